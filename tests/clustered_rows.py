"""Rows in three overlapping clusters, of each kind of values that families take."""

import numpy as np

N, D, K = 300, 3, 3
WHOLE = 2**30
"""Coordinates are multiples of 1 / WHOLE, so that a shift by a power of two is exact."""


def data(seed=0, n=N):
    """Return overlapping clusters of different shapes (n, D), on a grid of 1 / WHOLE."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0, 0], [3, 1, -2], [-2, 4, 1]])
    shapes = rng.normal(size=(K, D, D)) + np.eye(D)
    label = rng.integers(K, size=n)
    x = centres[label] + np.einsum("nij,nj->ni", shapes[label], rng.normal(size=(n, D)))
    return np.round(x * WHOLE) / WHOLE


def positive(seed=0, n=N):
    """Return positive numbers, of three scales."""
    return np.exp(data(seed, n) / 2)


def counts(seed=0, n=N):
    """Return counts from 1 on."""
    return 1 + np.floor(positive(seed, n))


def counts_from_zero(seed=0, n=N):
    return np.floor(positive(seed, n))


def codes(seed=0, n=N):
    """Return codes 0 to 4 (0 and 1 in the first column)."""
    return np.clip(np.round(data(seed, n)), 0, [1, 4, 4])


def binary(seed=0, n=N):
    return np.clip(codes(seed, n), 0, 1)


def angles(seed=0, n=N):
    """Return angles, some beyond one turn."""
    return data(seed, n) / 2


def directions(seed=0, n=N):
    x = data(seed, n)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def with_holes(rows, seed=0, n=N):
    """Return such rows with holes: every fourth value, but never all of a row: a fit leaves it out."""
    x = np.array(rows(seed, n))
    rng = np.random.default_rng(seed + 7)
    holes = rng.random(x.shape) < 0.25
    holes[: n // 10, 0] = True
    holes[holes.all(axis=1), 2] = False
    x[holes] = np.nan
    return x
