"""Gaussians that share one full covariance.

The quadratic term of log p is the same for every component, so it cancels in the responsibilities. Its sum over the
rows follows from the scatter matrix of all rows, which the first pass computes. So a pass needs only the features 1
and x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.layout import Order
from dem.core.linalg import triangle_size, unpack
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians, means_in_frame
from dem.families.gaussian.full import FullMarginals, MatrixGaussian, add_to_diagonal, draw_full
from dem.families.gaussian.missing import ObservedGaussian
from dem.scan.scanner import Scan

NOT_BOUND = "the tied family is not bound to data, so its second moment is not known: call bind(scan, frame) first"


@dataclass(frozen=True)
class TiedGaussian(MatrixGaussian):
    """One covariance of shape (d, d).

    Attributes
    ----------
    second : array of shape (d, d) or None
        Mean of (x - shift)(x - shift)' over all rows, in the data's units; None before `bind`.
    """

    second: Float | None = None

    needs_scatter: ClassVar[bool] = True
    has_shared_term: ClassVar[bool] = True
    shared_parameters: ClassVar[tuple[str, ...]] = ("covariances",)
    """The parameters, of `named_parameters`, that have no axis of components."""

    def with_missing(self) -> GaussianFamily:
        """Return the family for rows with missing values; it needs no second moment of all rows."""
        return ObservedTied(self.reg_covar)

    def bind(self, scan: Scan, frame: Frame) -> TiedGaussian:
        """Return the family with the second moment of all rows about the frame's origin."""
        offset = (scan.moments.centre - frame.shift).astype(np.float64)
        return replace(super().bind(scan, frame), second=scan.moments.covariance + np.outer(offset, offset))

    def n_features(self, d: int) -> int:
        """Return 1 + d."""
        return 1 + d

    def n_exact_sums(self, d: int) -> int:
        """Return 1 + d + d (d + 1) / 2: about each component's mean the quadratic terms differ."""
        return 1 + d + triangle_size(d)

    def feature_map_of(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x only."""
        return feature_map(columns)

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, P m), with means m in the frame."""
        offsets = means_in_frame(theta, frame)
        upper = theta.precisions_cholesky
        scaled = upper / frame.scale[:, None]
        whitened = offsets @ scaled
        constant = np.log(np.diag(upper)).sum() - 0.5 * (offsets.shape[1] * LOG_2PI + (whitened**2).sum(axis=1))
        return np.concatenate([constant[:, None], whitened @ scaled.T], axis=1)

    def shared_term(self, theta: Gaussians) -> float:
        """Return -0.5 tr(P second): the mean of the quadratic term over the rows, in nats."""
        if self.second is None:
            raise ValueError(NOT_BOUND)
        upper = theta.precisions_cholesky
        return -0.5 * float(np.einsum("ij,ij->", upper, self.second @ upper))

    def shared_term_size(self, theta: Gaussians) -> float:
        """Return 0.5 times the sum of |P| |second|, in nats."""
        if self.second is None:
            return 0.0
        upper = np.abs(theta.precisions_cholesky)
        spread = np.sqrt(np.diag(self.second))
        return 0.5 * float(np.einsum("ij,ij->", upper @ upper.T, np.outer(spread, spread)))

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the covariance within the components, plus reg_covar."""
        d = len(frame.scale)
        counts = sums[0]
        between = (offsets.T * counts) @ offsets / counts.sum()
        between /= frame.scale[:, None] * frame.scale
        if len(sums) == self.n_features(d):
            if self.second is None:
                raise ValueError(NOT_BOUND)
            return add_to_diagonal(self.second - between, self.reg_covar_values)
        within = unpack(sums[1 + d :].sum(axis=1) / counts.sum(), d)  # the exact path has these sums
        return add_to_diagonal(within - between, self.reg_covar_values)

    def restore_empty(self, new: Float, old: Float, empty: Array) -> Float:
        """Return `new`: empty components do not contribute to the shared covariance."""
        return new

    def expected(self, theta: Gaussians, sums: Float, frame: Frame, previous: Gaussians) -> float:
        """Return the sum of r log p, including the quadratic term."""
        d = len(frame.scale)
        linear = float(np.einsum("kf,fk->", self.natural(theta, frame), sums[: 1 + d]))
        if len(sums) == self.n_features(d):
            return linear + self.shared_term(theta) * float(sums[0].sum())
        upper = theta.precisions_cholesky / frame.scale[:, None]
        within = unpack(sums[1 + d :].sum(axis=1), d)
        return linear - 0.5 * float(np.einsum("ij,ij->", upper, within @ upper))

    def reordered(self, theta: Gaussians, order: Order) -> Gaussians:
        """Return the means in this order, with the covariance that all components have."""
        return replace(theta, means=theta.means[order])

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + inv(U') z."""
        return draw_full(theta.means[component], theta.precisions_cholesky, n, rng)

    def n_parameters(self, k: int, d: int) -> int:
        """Return K d + d (d + 1) / 2."""
        return k * d + triangle_size(d)


class ObservedTied(ObservedGaussian, TiedGaussian):
    """Tied Gaussians of rows with missing values."""

    @property
    def by_pattern(self) -> FullMarginals:
        """The marginals of patterns: full Gaussians."""
        return FullMarginals()
