"""From the sample to initial parameters: short runs of EM from many starts, long ones from the best.

That is the strategy of Biernacki, Celeux and Govaert (2003), "Choosing starting values for the EM
algorithm". Everything here depends on the sample alone, in the order of its hashes: last-bit differences
in moments of the whole data, which depend on the chunking, could flip a choice of k-means++.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem import em
from dem.model import Block, Model, P, S
from dem.scan import Scanner

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


def best_start(model: Model[P, S], sample: Block, start: Start) -> P:
    """Return the parameters at which the best of several runs of EM on the sample ends.

    Parameters
    ----------
    model : Model
        Not bound: it is bound to the sample here.
    sample : Block
        The rows, in an order that does not depend on the chunking.
    start : Start

    Raises
    ------
    ValueError
        If no start gives a proper model; the last one's reason.
    """
    scan = Scanner(sample.x.shape[1], model.needs_scatter, len(sample.x), start.seed, None)
    bound = model.bind(scan()(sample))
    sweep = em.OneBlock(sample)
    runs: list[em.State[P]] = []
    failure: ValueError | None = None
    for i in range(start.n_init):
        rng = np.random.default_rng([start.seed, i])
        try:
            params = bound.start(sample, rng)
            runs.append(em.fit(bound, params, sweep, tol=LONG_TOL, max_iter=SHORT_ITER))
        except ValueError as error:
            failure = error
    if not runs:
        raise failure or ValueError("n_init must be at least 1")
    runs.sort(key=lambda run: -run.objective)
    longer = [em.fit(bound, run.params, sweep, tol=LONG_TOL, max_iter=LONG_ITER) for run in runs[:FINALISTS]]
    return max(longer, key=lambda run: run.objective).params
