"""K-means on rows: by the native kernel, by NumPy, and in long double."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.models.kmeans.kernel import Farthest, KMeansKernel, Nearest
from dem.models.kmeans.kmeans import PRODUCT_ROUNDINGS
from dem.models.kmeans.native_kernel import NativeKMeansKernel
from dem.models.mixture.precision import Precision
from kernel.e_steps import LONG, NATIVE

TOLERANCE = 1e-12
"""Largest errors of sums, relative to the sums of the terms' magnitudes: they are float64 in every arithmetic."""


@dataclass(frozen=True)
class Clusters:
    """Centres, the arithmetic, and rows."""

    centers: np.ndarray
    precision: Precision
    frame: Frame
    x: np.ndarray
    weight: np.ndarray | None = None

    def native(self):
        """Return the native kernel."""
        return NativeKMeansKernel(self.centers, self.frame, self.precision, NATIVE)

    def numpy(self):
        """Return NumPy's kernel."""
        return KMeansKernel(Nearest(self.centers, self.frame, self.precision))

    def stats(self, kernel=None):
        """Return the statistics of the rows by a kernel, the native one if none is given."""
        return (kernel or self.native())(Block(self.x, self.weight))

    def on(self, x, weight=None):
        """Return the same clusters with other rows."""
        return replace(self, x=x, weight=weight)


def clusters(d, k, precision, rng, *, n=250, spread=2.0, weighted=False):
    """Return clusters of unit variance, about the rows that they are given."""
    means = 3 + spread * rng.normal(size=(k, d))
    x = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    x = x.astype(precision.dtype)
    weight = rng.exponential(size=n) * (rng.random(n) < 0.9) if weighted else None
    centers = means + 0.3 * rng.normal(size=(k, d))
    return Clusters(centers, precision, Frame.near(x, isotropic=True), x, weight)


@dataclass(frozen=True)
class Expected:
    """Sums in long double for given labels, and the sums of the magnitudes of their terms."""

    counts: Any
    sums: Any
    sums_size: Any
    inertia: Any


def in_long_double(of, labels):
    """Return the sums of the rows that have a label; -1 is none."""
    k, weight = len(of.centers), np.ones(len(of.x)) if of.weight is None else of.weight
    found = labels >= 0
    rows, weight, labels = of.x[found].astype(LONG), weight[found].astype(LONG), labels[found]
    residuals = rows - of.centers[labels]
    member = (np.arange(k)[:, None] == labels) * weight
    squares = (residuals**2).sum(axis=1)
    return Expected(member.sum(axis=1), member @ residuals, member @ np.abs(residuals), member @ squares)


def of_each_row(of, kernel):
    """Return the label of each row, -1 where it has weight 0, and the farthest rows: from blocks of one row."""
    labels, farthest = np.full(len(of.x), -1), Farthest.none(of.x.shape[1])
    for i in range(len(of.x)):
        stats = kernel(Block(of.x, of.weight).part(i, i + 1))
        if stats.counts.any():
            labels[i] = stats.counts.argmax()
        farthest = farthest.merge(stats.farthest, len(of.centers))
    return labels, farthest


def squares_and_bounds(of):
    """Return the squared distances (n, K) in long double, and the largest error (n,) of comparing two of them."""
    z, c = (of.x - of.frame.shift) * of.frame.scale, (of.centers - of.frame.shift) * of.frame.scale
    size = np.abs(z) @ np.abs(c).T + (c**2).sum(axis=1) / 2
    eps = np.finfo(of.precision.dtype).eps
    error = 4 * PRODUCT_ROUNDINGS * eps * size.max(axis=1, initial=0) / of.frame.scale[0] ** 2
    squares = ((of.x.astype(LONG)[:, None] - of.centers) ** 2).sum(axis=2)
    if of.precision == Precision.CENTRED:
        error = 64 * eps * squares.min(axis=1, initial=np.inf)
    return squares, error


def assert_nearest(of, labels):
    """Each row has the label of a centre that is the nearest, within the roundings of products."""
    squares, error = squares_and_bounds(of)
    found = np.flatnonzero(labels >= 0)
    assert (squares[found, labels[found]] <= squares[found].min(axis=1) + error[found]).all()


def clear_rows(of):
    """Return the same clusters with those rows whose nearest centre is so by more than the roundings of products.

    In float32 the label of another row may depend on the order in which a kernel adds.
    """
    squares, error = squares_and_bounds(of)
    clear = (squares <= squares.min(axis=1, keepdims=True) + error[:, None]).sum(axis=1) == 1
    return of.on(of.x[clear], None if of.weight is None else of.weight[clear])


def assert_e_step(of, kernel):
    """Hold the statistics of a kernel against long double; return them and the labels."""
    labels, farthest = of_each_row(of, kernel)
    assert_nearest(of, labels)
    stats, expected = of.stats(kernel), in_long_double(of, labels)
    assert (stats.rows, stats.weight) == (len(of.x), len(of.x) if of.weight is None else of.weight.sum(dtype="f8"))
    assert (np.abs(stats.counts - expected.counts) <= TOLERANCE * expected.counts).all()
    assert (np.abs(stats.sums - expected.sums) <= TOLERANCE * expected.sums_size).all()
    assert (np.abs(stats.inertia - expected.inertia) <= TOLERANCE * expected.inertia).all()
    for name in ("key", "label", "square", "weight", "residual"):
        np.testing.assert_array_equal(getattr(stats.farthest, name), getattr(farthest, name))
    far = farthest.key
    np.testing.assert_array_equal(far, far[np.lexsort((far, -farthest.square))])
    np.testing.assert_array_equal(farthest.residual, of.x[far].astype(np.float64) - of.centers[labels[far]])
    squares = (farthest.residual.astype(LONG) ** 2).sum(axis=1)
    np.testing.assert_allclose(farthest.square, squares.astype(np.float64), rtol=1e-13)
    return stats, labels
