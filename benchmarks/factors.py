"""Factor analysis in memory, beside scikit-learn's to the same log-likelihood."""

from __future__ import annotations

import sys
import warnings

import numpy as np
from sklearn.decomposition import FactorAnalysis as Sklearn
from threadpoolctl import threadpool_limits

import dem
from benchmarks.common import Row, send, side_by_side, timed

N, D, Q = 200_000, 64, 8
THREADS = 2
BAR = 10
SAME = 1e-6
"""Nats a row that the two log-likelihoods may differ by, at most."""


def factor_data(n: int, d: int, q: int, seed: int) -> np.ndarray:
    """Return n rows (n, d) of q factors and as much noise, unequal from column to column."""
    rng = np.random.default_rng(seed)
    noise = rng.uniform(0.5, 2.0, size=d) * q**0.5
    return rng.standard_normal((n, q)) @ rng.standard_normal((q, d)) + noise * rng.standard_normal((n, d))


def main() -> None:
    """Measure with two threads, both with the same tolerance; the log-likelihoods reached are compared."""
    x = factor_data(N, D, Q, seed=0)
    # scikit-learn's tolerance is that of the log-likelihood of all rows
    ours = dem.FactorAnalysis(Q, engine=dem.Engine(workers=THREADS))
    theirs = Sklearn(Q, tol=SAME * N, random_state=0)
    with threadpool_limits(THREADS), warnings.catch_warnings():
        warnings.simplefilter("error")
        t, t_sklearn = side_by_side([timed(lambda: ours.fit(x)), timed(lambda: theirs.fit(x))])
    gap = ours.lower_bound_ - theirs.loglike_[-1] / N
    name = f"factor analysis {N / 1e6:g}M x {D}, q={Q}, float64, {THREADS} threads"
    note = f"{t:.2f} and {t_sklearn:.2f} s, {ours.n_iter_} and {theirs.n_iter_} iterations, {gap:.1e} nats a row ahead"
    print(f"{name}: {note}", file=sys.stderr)
    if gap < -SAME:
        raise ValueError(f"dem stopped {-gap:.1e} nats a row below scikit-learn")
    send([Row(name, "scikit-learn", t_sklearn / t, BAR, True, note)])


if __name__ == "__main__":
    main()
