"""Passes to a log-likelihood that the best of five full-data scikit-learn fits reaches."""

from __future__ import annotations

import sys
import warnings

import numpy as np
from sklearn.mixture import GaussianMixture as Sklearn

import dem
from benchmarks.common import Row, send

BAR = 5
CLOSE = 1e-4
"""Nats a row."""


def overlapping(seed: int, n: int, d: int, k: int) -> np.ndarray:
    """Return n rows of k overlapping Gaussians of random shapes and unequal weights."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 3.0))
    labels = rng.choice(k, size=n, p=weights)
    means = rng.normal(scale=1.2, size=(k, d))
    factors = rng.normal(size=(k, d, d)) / d**0.5 + 0.4 * np.eye(d)
    x = np.empty((n, d))
    for j in range(k):
        chosen = labels == j
        x[chosen] = means[j] + rng.standard_normal((chosen.sum(), d)) @ factors[j]
    return x


def passes_row(name: str, x: np.ndarray, k: int) -> Row:
    """Return the row of one data set."""
    scores, iterations = [], []
    for seed in range(5):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            peer = Sklearn(k, random_state=seed, tol=1e-5, max_iter=200).fit(x)
        scores.append(peer.score(x))
        iterations.append(peer.n_iter_)
    best = max(scores)
    model = dem.GaussianMixture(k, tol=1e-5, max_iter=50).fit(x)
    reached = [i for i, bound in enumerate(model.lower_bounds_) if bound >= best - CLOSE]
    passes = reached[0] + 2 if reached else np.inf  # the scan, and this pass itself
    note = f"reached {model.lower_bound_ - best:+.1e} nats a row beside the best of {iterations} iterations"
    print(f"{name}: {passes} passes, {note}", file=sys.stderr)
    return Row(name, "best of 5 scikit-learn fits", float(passes), BAR, False, note)


if __name__ == "__main__":
    send(
        [
            passes_row("passes, 400k x 8, K=12, overlapping", overlapping(1, 400_000, 8, 12), 12),
            passes_row("passes, 300k x 4, K=8, overlapping", overlapping(2, 300_000, 4, 8), 8),
        ]
    )
