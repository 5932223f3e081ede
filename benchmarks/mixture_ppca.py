"""One EM iteration of a mixture of PPCA, in memory, beside its matrix products alone on the same tiles and threads."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, send, side_by_side, timed
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.families import NOISE, FactorAnalysers
from dem.models.mixture.kernel import tile_rows
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.scan.scanner import Scanner
from dem.source import open_source

N, D, Q, K, THREADS = 100_000, 1024, 8, 8, 2
BAR = 2.0


def planted(seed: int) -> tuple[np.ndarray, FactorAnalysers]:
    """Return rows (N, D) of K probabilistic PCAs, and their parameters."""
    rng = np.random.default_rng(seed)
    means, loadings = rng.normal(size=(K, D)), rng.normal(size=(K, D, Q))
    x = rng.standard_normal((N, D))
    label = rng.integers(K, size=N)
    for k in range(K):
        rows = np.flatnonzero(label == k)
        x[rows] += means[k] + rng.standard_normal((len(rows), Q)) @ loadings[k].T
    return x, FactorAnalysers(means, loadings, np.ones((K, 1)))


def iteration(x: np.ndarray, theta: FactorAnalysers, noise: str):
    """Return one E-step and M-step of dem's."""
    family = NOISE[noise](Q, 1e-6)
    source = open_source(x)
    model = MixtureModel(K, family).bind(SerialSweep(source)(Scanner(D, False, 2000, 0, len(x))))
    variances = np.ones((K, family.n_noise(D)))
    params = MixtureParams(np.full(K, 1 / K), FactorAnalysers(theta.means, theta.loadings, variances))
    sweep = ThreadSweep(source, THREADS)
    return lambda: model.m_step(params, sweep(partial(model.kernel, params)))


def products(x: np.ndarray, tile: int, width: int):
    """Return the two products of every tile: E[z | x] of all components, and the sums of x E[z | x]'.

    With diagonal noise there is a column more for each component: the squares with each variance, and their sums.
    """
    rng = np.random.default_rng(0)
    columns, latents = rng.random((D, K * width)), rng.random((K * width, tile))

    def part(start: int) -> np.ndarray:
        projected, sums = np.empty((K * width, tile)), np.zeros((D, K * width))
        for i in range(start, min(start + N // THREADS, N), tile):
            rows = x[i : i + tile].T
            n = rows.shape[1]
            np.matmul(columns.T, rows, out=projected[:, :n])
            sums += rows @ latents[:, :n].T
        return sums

    def run() -> None:
        with ThreadPoolExecutor(THREADS) as pool:
            sum(pool.map(part, range(0, N, N // THREADS)))

    return run


def main() -> None:
    """Measure both kinds of noise."""
    x, theta = planted(0)
    runs = [iteration(x, theta, noise) for noise in NOISE]
    tile = tile_rows(8 * NOISE["isotropic"](Q).tile_width(K, D))
    runs += [products(x, tile, Q), products(x, tile, Q + 1)]
    with threadpool_limits(1):
        times = side_by_side([timed(run) for run in runs], rounds=5)
    rows = []
    for noise, t, alone in zip(NOISE, times[:2], times[2:], strict=True):
        note = f"{N / t / 1e3:.0f} k rows/s, tiles of {tile}"
        case = f"mixture of factor analysers, {noise} noise, {N / 1e3:g}k x {D}, K={K}, q={Q}, {THREADS} threads"
        print(f"{case}: {t:.2f} s, products {alone:.2f} s", file=sys.stderr)
        rows.append(Row(case, "its matrix products alone", t / alone, BAR, False, note))
    send(rows)


if __name__ == "__main__":
    main()
