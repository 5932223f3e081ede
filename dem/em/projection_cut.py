"""A cut of rows in two along the direction in which they look least like one Gaussian.

In whitened coordinates clusters are as wide as they are apart, so distances hide them if there are many columns. But
along the line between two clusters the kurtosis is far from that of a Gaussian: low if they are about equal, high if
one is small (Pena and Prieto 2001, "Cluster identification using projections").
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.em.seeding import whitened

ITERATIONS = 6
"""Of the search for a direction; it converges cubically (Hyvarinen and Oja 1997)."""
LEAST_PARTS = (0.25, 5e-3)
"""The smallest share of the weight on one side of an even cut, and of an uneven one."""
LEAST_ROWS = 8


def cut_labels(x: Float, weight: Float, rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Return on which side of a cut the rows x (n, m) with weights (n,) are, for the best even and the best uneven cut.

    There may be none.
    """
    if len(x) < LEAST_ROWS:
        return []
    z, share = whitened(x), weight / weight.sum()
    lines = [z @ extreme_direction(z, share, direction) for direction in first_directions(z, share, rng)]
    found = []
    for least in LEAST_PARTS:
        cuts = [best_cut(line, share, least) for line in lines]
        at = max(range(len(lines)), key=lambda i: cuts[i][0])
        if cuts[at][0] > -np.inf:
            found.append(lines[at] > cuts[at][1])
    return found


def first_directions(z: Float, share: Float, rng: np.random.Generator) -> list[Float]:
    """Return directions to begin with, for whitened rows z (n, m): two ends of the kurtosis matrix, and a random one.

    The matrix is E[|z|^2 z z']. For two clusters of the same shape one of its ends is the line between them (Pena,
    Prieto and Viladomat 2010).
    """
    _, vectors = np.linalg.eigh((z * (share * (z**2).sum(axis=1))[:, None]).T @ z)
    return [vectors[:, 0], vectors[:, -1], np.asarray(rng.standard_normal(z.shape[1]))]


def extreme_direction(z: Float, share: Float, first: Float) -> Float:
    """Return the direction (m,) of extreme kurtosis of whitened rows z (n, m), with weights of sum 1, near `first`."""
    w = first / np.linalg.norm(first)
    for _ in range(ITERATIONS):
        t = z @ w
        new = (share * t**3) @ z - 3 * (share @ t**2) * w
        length = float(np.linalg.norm(new))
        if not length > 0:
            break
        w = new / length
    return np.asarray(w)


def best_cut(t: Float, weight: Float, least: float) -> tuple[float, float]:
    """Return where to cut the points t (n,), so that a Gaussian on each side has the largest likelihood.

    Parameters
    ----------
    t, weight : array of shape (n,)
    least : float
        The smallest share of the weight on one side.

    Returns
    -------
    level : float
        The likelihood, up to a constant; -inf if there is no cut.
    cut : float
    """
    order = np.argsort(t, kind="stable")
    t, weight = t[order], weight[order]
    sums = np.cumsum([weight, weight * t, weight * t**2], axis=1)
    left, right = sums[:, :-1], sums[:, -1:] - sums[:, :-1]
    inside = (np.minimum(left[0], right[0]) > least * sums[0, -1]) & (t[1:] > t[:-1])
    if not inside.any():
        return -np.inf, 0.0
    level = np.where(inside, _level(left) + _level(right), -np.inf)
    at = int(np.argmax(level))
    return float(level[at]), float(0.5 * (t[at] + t[at + 1]))


def _level(sums: Float) -> Float:
    """Return the log-likelihood of parts with these sums of 1, t and t^2, up to a constant."""
    n = np.maximum(sums[0], np.finfo(np.float64).tiny)
    variance = np.maximum(sums[2] / n - (sums[1] / n) ** 2, 1e-8)
    return np.asarray(n * np.log(n) - 0.5 * n * np.log(variance))
