"""The E-step of a mixture on one block: joint log-densities, responsibilities, sums.

Arrays are feature-major and component-major, so that every reduction runs along contiguous rows of a
tile; the tile is sized so that its features stay in the cache. Workspaces are allocated once a task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import CACHE_BYTES, Family, Linear
from dem.families.features import Features
from dem.models.mixture.precision import Precision

T = TypeVar("T")

MIN_TILE, MAX_TILE = 256, 16384
LARGEST_TILE = 2**26
"""Bytes: of very wide data a tile has fewer rows than `MIN_TILE`."""
WIDE = 128
"""Rows of so many columns are no longer turned: that costs more than reductions across their order."""
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class MixtureParams:
    """Parameters of a mixture.

    Attributes
    ----------
    weights : array of shape (K,)
        The mixing proportions, summing to 1.
    theta
        The parameters of all K components.
    floor : Precision
        The least exact arithmetic that the next sweep may use: within a fit it only rises.
    """

    weights: Float
    theta: Any
    floor: Precision = Precision.SINGLE

    @property
    def log_weights(self) -> Float:
        """What the E-step adds to the log-densities (K,): the log mixing proportions, finite for empty components."""
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
        Weighted sum over the rows, in nats, of what the features give of log p(x).
    sums : array of shape (F, K)
        Responsibility-weighted sums of the features.
    frame : Frame
        Where the features were taken: statistics of different frames do not add.
    precision : Precision
        The arithmetic that made them.
    """

    rows: int
    weight: float
    log_likelihood: float
    sums: Float
    frame: Frame
    precision: Precision

    def __add__(self, other: MixtureStats) -> MixtureStats:
        """Return the statistics of both sets of rows.

        Raises
        ------
        ValueError
            If they were taken in different frames.
        """
        if self.precision != other.precision or not self.frame.same(other.frame):
            raise ValueError("these statistics were taken about different reference points: they do not add")
        return MixtureStats(
            self.rows + other.rows,
            self.weight + other.weight,
            self.log_likelihood + other.log_likelihood,
            self.sums + other.sums,
            self.frame,
            self.precision,
        )


class Densities(Protocol):
    """Joint log-densities log w_k p(x | k) of a tile, and the sums that go with them."""

    frame: Frame
    precision: Precision
    n_sums: int
    tile: int

    def joint(self, rows: Array) -> Array:
        """Return the (K, n) joint log-densities of rows (n, d), in a workspace that may be overwritten."""

    def add(self, resp: Array, out: Float) -> None:
        """Add the sums of the tile last given to `joint`, weighted by `resp` (K, n), to `out` (F, K)."""


class LinearDensities:
    """The fast path: L = H T and S = T R'.

    Parameters
    ----------
    features : Features
        T.
    eta : array of shape (K, F)
        H: the natural parameters, the log-weights added to column 0.
    frame : Frame
        Where the features are taken.
    precision : Precision
    """

    def __init__(self, features: Features, eta: Float, frame: Frame, precision: Precision) -> None:
        dtype = np.float32 if precision == Precision.SINGLE else np.float64
        self.features, self.frame, self.precision = features, frame, precision
        self.eta = eta.astype(dtype)
        k, self.n_sums = eta.shape
        self.tile = tile_rows((self.n_sums + k) * self.eta.itemsize)
        self._features = np.empty((self.n_sums, self.tile), dtype)
        self._features[0] = 1
        self._joint = np.empty((k, self.tile), dtype)
        self._sums = np.empty((self.n_sums, k), dtype)
        self._now = self._features

    def joint(self, rows: Array) -> Array:
        """Return H T."""
        n = len(rows)
        features = self._now = self._features[:, :n]
        self.features.write(rows, features[1:])
        return np.matmul(self.eta, features, out=self._joint[:, :n])

    def add(self, resp: Array, out: Float) -> None:
        """Add T R'."""
        out += np.matmul(self._now, resp.T, out=self._sums)


class CentredDensities(Generic[T]):
    """The exact path: every component on its own (Gaussians about their centres), in float64 and the data's units."""

    def __init__(self, family: Family[T], theta: T, log_weights: Float) -> None:
        centres = family.centres(theta)
        k, d = centres.shape
        self.family, self.theta, self.log_weights = family, theta, log_weights
        self.frame, self.precision = Frame.at(centres), Precision.CENTRED
        self.n_sums = family.n_centred(d)
        self.tile = tile_rows(8 * family.tile_width(k, d), family.tile_bytes)
        self._x = np.empty((self.tile, d)).T if d >= WIDE else np.empty((d, self.tile))
        self._joint = np.empty((k, self.tile))
        self._now = self._x
        self.reuse: Any = None  # what the family found of the tile last given to `joint`

    def joint(self, rows: Array) -> Array:
        """Return the log-densities about each centre, plus the log-weights."""
        n = len(rows)
        x = self._now = self._x[:, :n]
        x[...] = rows.T
        joint = self._joint[:, :n]
        self.reuse = self.family.log_density(self.theta, x, joint)
        joint += self.log_weights[:, None]
        return joint

    def add(self, resp: Array, out: Float) -> None:
        """Add the centred features' sums."""
        self.family.sums(self.theta, self._now, self.reuse, resp, out)


def densities_of(family: Family[T], params: MixtureParams, precision: Precision, frame: Frame | None) -> Densities:
    """Return the densities of all components in one arithmetic."""
    linear = family.linear
    if precision == Precision.CENTRED or frame is None or linear is None:
        return CentredDensities(family, params.theta, params.log_weights)
    features = linear.features(len(frame.scale), frame)
    return LinearDensities(features, eta_of(linear, params.theta, params.log_weights, frame), frame, precision)


def eta_of(linear: Linear[T], theta: T, log_weights: Float, frame: Frame) -> Float:
    """Return H (K, F), the natural parameters with the log-weights in column 0."""
    eta = linear.natural(theta, frame)
    eta[:, 0] += log_weights
    return eta


def tiles_bytes(family: Family[T], k: int, d: int) -> int:
    """Return what tiles of d columns take for K components, and what follows from the parameters, in bytes."""
    linear = family.linear
    width = family.tile_width(k, d) + k + (0 if linear is None else linear.n_features(d))
    return max(8 * width * tile_rows(8 * width, 0), 2 * family.tile_bytes) + 4 * 8 * family.factor_size(k, d)


class MixtureKernel:
    """From a block to its statistics."""

    def __init__(self, densities: Densities, n_components: int) -> None:
        self.densities, self.n_components = densities, n_components
        self.softmax = Softmax(densities)

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        densities, x = self.densities, block.x
        sums = np.zeros((densities.n_sums, self.n_components))
        log_likelihood = 0.0
        for start in range(0, len(x), densities.tile):
            rows, weight = counted(block.part(start, start + densities.tile))
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
        weight_sum = float(len(x)) if block.weight is None else float(block.weight.sum(dtype=np.float64))
        return MixtureStats(len(x), weight_sum, log_likelihood, sums, densities.frame, densities.precision)


def counted(tile: Block) -> tuple[Array, Array | None]:
    """Return the rows that count and their weights: those of weight 0 may hold what would overflow."""
    if tile.weight is None or (tile.weight > 0).all():
        return tile.x, tile.weight
    keep = tile.weight > 0
    return tile.x[keep], tile.weight[keep]


class Softmax:
    """From joint log-densities to responsibilities, in place; holds the workspaces of a tile.

    Log-responsibilities are kept above a floor where exp is far below one rounding of any sum but not yet
    denormal: products with denormal numbers are a hundred times slower on some processors.
    """

    def __init__(self, densities: Densities) -> None:
        dtype = np.float32 if densities.precision == Precision.SINGLE else np.float64
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
        return total


def tile_rows(bytes_per_row: int, tile_bytes: int = CACHE_BYTES) -> int:
    """Return how many rows of a tile fit in the cache, a multiple of 64; of wide data at least `MIN_TILE`, if they can.

    Parameters
    ----------
    bytes_per_row : int
        What a row takes in all arrays of the tile.
    tile_bytes : int
        What the cache holds.
    """
    rows = int(np.clip(tile_bytes // bytes_per_row // 64 * 64, MIN_TILE, MAX_TILE))
    return max(1, min(rows, LARGEST_TILE // bytes_per_row))
