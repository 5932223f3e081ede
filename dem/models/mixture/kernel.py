"""The E-step of a mixture on one block: joint log-densities, responsibilities, sums.

The first axis of arrays is the feature or the component, and the last axis the row. So every reduction runs along
contiguous memory. A tile is so small that its features stay in the cache. Workspaces are allocated once for each task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import CACHE_BYTES, Family, Linear
from dem.families.features import Features
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.mixture.precision import Precision

T = TypeVar("T")
Restore = Callable[[Float], Float]
"""From sums that a kernel adds to those of the family."""

MIN_TILE, MAX_TILE = 256, 16384
LARGEST_TILE = 2**26
"""Largest tile, in bytes: for very wide data a tile has fewer rows than `MIN_TILE`."""
WIDE = 128
"""From this number of columns rows are not transposed: that costs more than reductions over strided memory."""
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class MixtureParams:
    """Parameters of a mixture.

    Attributes
    ----------
    weights : array of shape (K,)
        The mixing proportions; they sum to 1.
    theta
        The parameters of all K components.
    floor : Precision
        The least exact arithmetic that the next sweep may use. Within a fit it only becomes more exact.
    """

    weights: Float
    theta: Any
    floor: Precision = Precision.SINGLE

    @property
    def log_weights(self) -> Float:
        """The log mixing proportions (K,), finite for empty components; the E-step adds them to the log-densities."""
        return np.asarray(np.log(np.maximum(self.weights, TINY)))


@dataclass(frozen=True)
class MixtureStats:
    """Expected sufficient statistics of a mixture.

    Attributes
    ----------
    rows : int
    weight : float
        Sum of the rows' weights.
    log_likelihood : float
        Weighted sum of log p(x) over the rows, in nats, without log h(x) and the shared term.
    sums : array of shape (F, K)
        Sums of the features, weighted by responsibilities.
    frame : Frame
        The frame of the features: statistics of different frames cannot be added.
    precision : Precision
        The arithmetic of the pass.
    kernel : KernelId
        The implementation of the E-step: statistics of different ones cannot be added either.
    """

    rows: int
    weight: float
    log_likelihood: float
    sums: Float
    frame: Frame
    precision: Precision
    kernel: KernelId = NUMPY

    def __add__(self, other: MixtureStats) -> MixtureStats:
        """Return the statistics of both sets of rows.

        Raises
        ------
        ValueError
            If their frames, arithmetics or kernels differ.
        """
        if self.precision != other.precision or self.kernel != other.kernel or not self.frame.same(other.frame):
            raise ValueError(
                "cannot add these statistics: they have different reference points, arithmetics or kernels"
            )
        return MixtureStats(
            self.rows + other.rows,
            self.weight + other.weight,
            self.log_likelihood + other.log_likelihood,
            self.sums + other.sums,
            self.frame,
            self.precision,
            self.kernel,
        )


class Densities(Protocol):
    """Joint log-densities log w_k p(x | k) of a tile, and the sums of its features."""

    frame: Frame
    precision: Precision
    n_sums: int
    tile: int

    def joint(self, rows: Array) -> Array:
        """Return the joint log-densities (K, n) of rows (n, d), in a workspace that may be overwritten."""

    def add(self, resp: Array, out: Float) -> None:
        """Add the sums of the last tile that `joint` was called with, weighted by `resp` (K, n), to `out` (F, K)."""


class LinearDensities:
    """The fast path: L = H T and S = T R'.

    Parameters
    ----------
    features : Features
        T.
    eta : array of shape (K, F)
        H: the natural parameters; column 0 also has the log-weights.
    frame : Frame
        The frame of the features.
    precision : Precision
    """

    def __init__(self, features: Features, eta: Float, frame: Frame, precision: Precision) -> None:
        dtype = precision.dtype
        self.features, self.frame, self.precision = features, frame, precision
        self.eta = eta.astype(dtype)
        k, self.n_sums = eta.shape
        self.tile = tile_rows((self.n_sums + k) * self.eta.itemsize)
        self._features = np.empty((self.n_sums, self.tile), dtype)
        self._features[0] = 1
        self._joint = np.empty((k, self.tile), dtype)
        self._sums = np.empty((self.n_sums, k), dtype)
        self._tile = self._features

    def joint(self, rows: Array) -> Array:
        """Return H T."""
        n = len(rows)
        features = self._tile = self._features[:, :n]
        self.features.write(rows, features[1:])
        return np.matmul(self.eta, features, out=self._joint[:, :n])

    def add(self, resp: Array, out: Float) -> None:
        """Add T R'."""
        out += np.matmul(self._tile, resp.T, out=self._sums)


class CentredDensities(Generic[T]):
    """The exact path: each component separately (Gaussians about their means), in float64 and the units of the data."""

    def __init__(self, family: Family[T], theta: T, log_weights: Float) -> None:
        centres = family.centres(theta)
        k, d = centres.shape
        self.family, self.theta, self.log_weights = family, theta, log_weights
        self.frame, self.precision = Frame.at(centres), Precision.CENTRED
        self.n_sums = family.n_exact_sums(d)
        self.tile = tile_rows(8 * family.tile_width(k, d), family.tile_bytes)
        self._x = np.empty((self.tile, d)).T if d >= WIDE else np.empty((d, self.tile))
        self._joint = np.empty((k, self.tile))
        self._tile = self._x
        self.reuse: Any = None  # the result of `family.log_density` for the last tile

    def joint(self, rows: Array) -> Array:
        """Return the log-densities, plus the log-weights."""
        n = len(rows)
        x = self._tile = self._x[:, :n]
        x[...] = rows.T
        joint = self._joint[:, :n]
        self.reuse = self.family.log_density(self.theta, x, joint)
        joint += self.log_weights[:, None]
        return joint

    def add(self, resp: Array, out: Float) -> None:
        """Add the family's sums of the exact path."""
        self.family.add_sums(self.theta, self._tile, self.reuse, resp, out)


def densities_of(family: Family[T], params: MixtureParams, precision: Precision, frame: Frame | None) -> Densities:
    """Return the densities of all components in the given arithmetic."""
    linear = family.linear
    if precision == Precision.CENTRED or frame is None or linear is None:
        return CentredDensities(family, params.theta, params.log_weights)
    features = linear.features(len(frame.scale), frame)
    return LinearDensities(features, eta_of(linear, params.theta, params.log_weights, frame), frame, precision)


def eta_of(linear: Linear[T], theta: T, log_weights: Float, frame: Frame) -> Float:
    """Return H (K, F): the natural parameters, with the log-weights added to column 0."""
    eta = linear.natural(theta, frame)
    eta[:, 0] += log_weights
    return eta


def e_step_bytes(family: Family[T], k: int, d: int) -> int:
    """Return the memory of an E-step, in bytes: tiles of d columns for K components, and arrays of parameters."""
    linear = family.linear
    width = family.tile_width(k, d) + k + (0 if linear is None else linear.n_features(d))
    return max(8 * width * tile_rows(8 * width, 0), 2 * family.tile_bytes) + 4 * 8 * family.parameter_size(k, d)


class MixtureKernel:
    """The E-step: a function from a block to its statistics."""

    def __init__(self, densities: Densities, n_components: int) -> None:
        self.densities, self.n_components = densities, n_components
        self.softmax = Softmax(densities)

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        densities, x = self.densities, block.x
        sums = np.zeros((densities.n_sums, self.n_components))
        log_likelihood = 0.0
        for start in range(0, len(x), densities.tile):
            rows, weight = positive_weight_rows(block.part(start, start + densities.tile))
            if len(rows) == 0:
                continue
            joint = densities.joint(rows)
            row_log_likelihood = self.softmax(joint)
            if weight is None:
                log_likelihood += float(row_log_likelihood.sum(dtype=np.float64))
            else:
                joint *= weight
                log_likelihood += float(row_log_likelihood @ np.asarray(weight, dtype=np.float64))
            densities.add(joint, sums)
        return MixtureStats(len(x), weight_of(block), log_likelihood, sums, densities.frame, densities.precision)


def unchanged(sums: Float) -> Float:
    """Return the sums."""
    return sums


def weight_of(block: Block) -> float:
    """Return the sum of the weights of the rows."""
    return float(len(block.x)) if block.weight is None else float(block.weight.sum(dtype=np.float64))


def positive_weight_rows(tile: Block) -> tuple[Array, Array | None]:
    """Return the rows with positive weight, and their weights. Values in rows of weight 0 could overflow."""
    if tile.weight is None or (tile.weight > 0).all():
        return tile.x, tile.weight
    keep = tile.weight > 0
    return tile.x[keep], tile.weight[keep]


class Softmax:
    """Turns joint log-densities into responsibilities, in place; holds the workspaces of a tile.

    Log-responsibilities have a lower bound. There exp is far below the rounding of any sum, but not denormal: products
    with denormal numbers are a hundred times slower on some processors.
    """

    def __init__(self, densities: Densities) -> None:
        dtype = densities.precision.dtype
        self._largest, self._total, self._inverse = np.empty((3, densities.tile), dtype)
        self._floor = -60.0 if dtype == np.float32 else -600.0

    def __call__(self, joint: Array) -> Array:
        """Turn joint (K, n) into responsibilities; return the log-likelihoods (n,), valid until the next call."""
        n = joint.shape[1]
        largest, total, inverse = self._largest[:n], self._total[:n], self._inverse[:n]
        np.max(joint, axis=0, out=largest)
        joint -= largest
        np.maximum(joint, self._floor, out=joint)
        np.exp(joint, out=joint)
        np.sum(joint, axis=0, out=total)
        np.reciprocal(total, out=inverse)
        joint *= inverse
        np.log(total, out=total)
        total += largest
        return np.asarray(total)


def tile_rows(bytes_per_row: int, tile_bytes: int = CACHE_BYTES) -> int:
    """Return the number of rows of a tile: as many as fit in the cache, a multiple of 64.

    It is between `MIN_TILE` and `MAX_TILE`, but a tile never takes more than `LARGEST_TILE` bytes.

    Parameters
    ----------
    bytes_per_row : int
        The size of a row in all arrays of the tile.
    tile_bytes : int
        The size of the cache.
    """
    rows = int(np.clip(tile_bytes // bytes_per_row // 64 * 64, MIN_TILE, MAX_TILE))
    return max(1, min(rows, LARGEST_TILE // bytes_per_row))
