"""One EM iteration on rows with missing values, in memory, beside the same rows whole; and beside a loop over rows."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import multivariate_normal
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from benchmarks.factors import factor_data
from dem.core.block import Block
from dem.engine.sweep.threads import ThreadSweep
from dem.families import COVARIANCE_TYPES
from dem.kernel.choice import chosen_kernel
from dem.models.latent.ppca import PPCAModel
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scan, Scanner
from dem.source import open_source

THREADS = 2
MIXTURES = {
    "diag, any pattern": ("diag", 1_000_000, 16, 16, None, 1.3),
    "full, 30 patterns": ("full", 1_000_000, 16, 16, 30, 2.0),
    "full, thousands of patterns": ("full", 200_000, 16, 8, None, 10.0),
}
"""Covariances, rows, columns, components, patterns (None: each value on its own), and the bar."""
MISSING = 0.1
LOOP_ROWS, LOOP_BAR = 1000, 50
PPCA, PPCA_BAR = (200_000, 128, 8), 15.0


def holed(x: np.ndarray, patterns: int | None, seed: int = 0) -> np.ndarray:
    """Return the rows with a share of their values missing at random: each on its own, or by so many patterns."""
    rng = np.random.default_rng(seed)
    if patterns is None:
        missing = rng.random(x.shape) < MISSING
    else:
        found = np.unique(rng.random((20 * patterns, x.shape[1])) < MISSING, axis=0)
        missing = rng.permutation(found)[:patterns][rng.integers(patterns, size=len(x))]
    return np.where(missing, np.nan, x)


def iteration(model: Any, x: np.ndarray, first: Any):
    """Return one E-step and M-step of the model, from the parameters that `first` makes for the bound one."""
    source = open_source(x)
    sweep = ThreadSweep(source, THREADS)
    found: Scan = completed_scan(sweep(Scanner(x.shape[1], model.needs_scatter, 5000, 0, len(x), model.measure)))
    bound = model.bind(found)
    params = first(bound, Block(found.sample.x))
    return lambda: bound.m_step(params, sweep(partial(bound.kernel, params)))


def mixture(kind: str, means: np.ndarray):
    """Return the mixture, and the first parameters: the true means and unit covariances."""
    k, d = means.shape
    covariances = np.repeat(np.eye(d)[None], k, 0) if kind == "full" else np.ones((k, d))

    def first(bound: MixtureModel, sample: Block) -> MixtureParams:
        return MixtureParams(np.full(k, 1 / k), bound.family.from_covariances(means, covariances))

    return MixtureModel(k, COVARIANCE_TYPES[kind](0.0)).with_kernel(chosen_kernel()), first


def mixture_rows(case: str) -> list[Row]:
    """Return the row of a mixture; where nearly every row has a pattern of its own, beside the loop too."""
    kind, n, d, k, patterns, bar = MIXTURES[case]
    x, means = mixture_data(n, d, k, seed=0, spread=1.0)
    y = holed(x, patterns)
    model, first = mixture(kind, means)
    t, whole = times(iteration(model, y, first), iteration(model, x, first))
    name = f"{case}: {size(n)} x {d}, K={k}, {len(np.unique(np.isnan(y), axis=0)):,} patterns, {THREADS} threads"
    rows = [against_whole(name, n, t, whole, bar)]
    if kind == "full" and patterns is None:
        rows.append(against_loop(name, y, means, t))
    return rows


def ppca_row() -> Row:
    """Return the row of probabilistic PCA, a pass of O(D q) statistics on either side."""
    n, d, q = PPCA
    x = factor_data(n, d, q, seed=0)

    def first(bound: PPCAModel, sample: Block) -> Any:
        return bound.start(sample, np.random.default_rng(0))

    t, whole = times(*(iteration(PPCAModel(q), rows, first) for rows in (holed(x, None), x)))
    return against_whole(f"PPCA {size(n)} x {d}, q={q}, {THREADS} threads", n, t, whole, PPCA_BAR)


def against_whole(name: str, n: int, t: float, whole: float, bar: float) -> Row:
    """Return the row of a time beside that of complete rows."""
    note = f"{t:.3f} and {whole:.3f} s an iteration, {n / t / 1e6:.3f} M rows/s"
    print(f"{name}: {note}, {t / whole:.2f}", file=sys.stderr)
    return Row(f"{MISSING:.0%} missing, {name}", "the same rows whole", t / whole, bar, False, note)


def against_loop(name: str, y: np.ndarray, means: np.ndarray, t: float) -> Row:
    """Return the row of a full mixture beside a plain loop, timed on some of the rows and scaled to all."""
    part = y[:LOOP_ROWS]
    model, first = mixture("full", means)
    ours = iteration(model, part, first)().params.theta
    np.testing.assert_allclose(ours.means, loop(part, means)[0], rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours.covariances, loop(part, means)[1], rtol=1e-8, atol=1e-10)
    (some,) = side_by_side([timed(lambda: loop(part, means))])
    theirs = some * len(y) / LOOP_ROWS
    note = f"{theirs:.0f} s an iteration, of {LOOP_ROWS:,} rows in {some:.2f} s"
    print(f"{name}: {note}, {theirs / t:.0f}", file=sys.stderr)
    return Row(f"{MISSING:.0%} missing, {name}", "a loop over rows with SciPy", theirs / t, LOOP_BAR, True, note)


def loop(x: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means and covariances after one iteration from unit covariances, row by row, as in the textbook."""
    k, d = means.shape
    covariances, weights = np.repeat(np.eye(d)[None], k, 0), np.full(k, 1 / k)
    counts, first, second = np.zeros(k), np.zeros((k, d)), np.zeros((k, d, d))
    for row in x:
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        joint = np.array([
            np.log(weights[j]) + multivariate_normal.logpdf(row[o], means[j, o], covariances[j][np.ix_(o, o)])
            for j in range(k)
        ])  # fmt: skip
        resp = np.exp(joint - joint.max())
        resp /= resp.sum()
        for j in range(k):
            factor, across = cho_factor(covariances[j][np.ix_(o, o)]), covariances[j][np.ix_(o, m)]
            filled, spread = row.copy(), np.zeros((d, d))
            filled[m] = means[j, m] + across.T @ cho_solve(factor, row[o] - means[j, o])
            spread[np.ix_(m, m)] = covariances[j][np.ix_(m, m)] - across.T @ cho_solve(factor, across)
            counts[j] += resp[j]
            first[j] += resp[j] * filled
            second[j] += resp[j] * (np.outer(filled, filled) + spread)
    new = first / counts[:, None]
    return new, second / counts[:, None, None] - new[:, :, None] * new[:, None, :]


def times(*runs: Any) -> list[float]:
    """Return the best time of each."""
    return side_by_side([timed(run) for run in runs], rounds=9)


def size(n: int) -> str:
    """Return a number of rows in words."""
    return f"{n / 1e6:g}M" if n >= 1e6 else f"{n / 1e3:g}k"


def main() -> None:
    """Measure, in this process."""
    with threadpool_limits(1):
        rows = [row for case in MIXTURES for row in mixture_rows(case)]
        rows.append(ppca_row())
    send(rows)


if __name__ == "__main__":
    main()
