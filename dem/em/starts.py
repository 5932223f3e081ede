"""From the sample to initial parameters: short runs of EM from many starts, long ones from the best.

That is the strategy of Biernacki, Celeux and Govaert (2003), "Choosing starting values for the EM
algorithm". Everything here depends on the sample alone, in the order of its hashes: last-bit differences
in moments of the whole data, which depend on the chunking, could flip a choice of k-means++.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from dem.core.blas import single_threaded_blas, single_threaded_openmp
from dem.core.block import Block
from dem.core.stats import S
from dem.em import loop
from dem.em.model import Model, P
from dem.scan.fill_sample import completed
from dem.scan.sample import Sample
from dem.scan.scanner import Scanner

SHORT_ITER, LONG_ITER = 20, 250
FINALISTS = 4
LONG_TOL = 1e-5
"""Nats a row: well below the sampling error of the sample itself."""


@dataclass(frozen=True)
class Start:
    """How the first parameters are found.

    Attributes
    ----------
    n_init : int
        Starts tried on the sample. They cost no pass over the data.
    sample_size : int
        Rows in the sample (fewer where they would take more than 64 MiB).
    seed : int
        Of the sample and of the starts.
    """

    n_init: int = 10
    sample_size: int = 30_000
    seed: int = 0


def best_start(
    model: Model[P, S], sample: Block, start: Start, n_threads: int = 1, completion: Sample | None = None
) -> P:
    """Return the parameters at which the best of several runs of EM on the sample ends.

    Parameters
    ----------
    model : Model
        It is bound to the sample here; whatever only the whole data can tell, it keeps from having been bound to them.
    sample : Block
        The rows, in an order that does not depend on the chunking. Where they lack values, starts are made from a
        sample in which these are filled in (`dem.scan.fill_sample`), and EM goes on with what is observed.
    start : Start
    n_threads : int
        Starts run at a time; they do not depend on each other.
    completion : Sample, optional
        The sample with its missing values filled in, where that is done already.

    Raises
    ------
    ValueError
        If no start gives a proper model; the last one's reason.
    """
    sample = Block(sample.x.astype(np.float64), sample.weight)  # exact arithmetic costs little here
    scan = Scanner(sample.x.shape[1], model.needs_scatter, len(sample.x), start.seed, None)
    if completion is not None:
        completion = replace(completion, x=completion.x.astype(np.float64))
    found = completed(scan()(sample), completion)
    bound = model.bind(found)
    whole = Block(found.sample.x, found.sample.weight) if found.lacking.any() else sample
    sweep = loop.OneBlock(sample)

    def short(i: int) -> loop.State[P] | Exception:
        try:
            params = bound.start(whole, np.random.default_rng([start.seed, i]))
            return loop.fit(bound, params, sweep, tol=LONG_TOL, max_iter=SHORT_ITER)
        except (ValueError, ArithmeticError) as error:
            return error

    def long(run: loop.State[P]) -> loop.State[P]:
        try:
            return loop.fit(bound, run.params, sweep, tol=LONG_TOL, max_iter=LONG_ITER)
        except (ValueError, ArithmeticError):  # a component collapsed on the way
            return run

    with single_threaded_blas(), ThreadPoolExecutor(n_threads, initializer=single_threaded_openmp) as pool:
        runs = list(pool.map(short, range(start.n_init)))
        good = sorted((run for run in runs if isinstance(run, loop.State)), key=lambda run: -run.objective)
        if not good:
            raise next(run for run in runs if isinstance(run, Exception))
        longer = list(pool.map(long, good[:FINALISTS]))
    return model.fresh(max(longer, key=lambda run: run.objective).params)
