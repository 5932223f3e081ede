"""Gaussians that share one full covariance.

The quadratic term of log p is the same for every component, so it drops out of the responsibilities,
and its sum over the rows follows from the scatter of all rows, known from the first pass. What is left
in the sweep are the features 1 and x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import covariances_from, precisions_cholesky, triangle_size, unpack
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.gaussian.base import (
    LOG_2PI,
    CentredMap,
    GaussianFamily,
    Gaussians,
    add_centred_sums,
    offsets_of,
)
from dem.families.gaussian.full import FullMarginals, draw_full, floored
from dem.families.gaussian.missing import ObservedGaussian
from dem.scan.scanner import Scan


@dataclass(frozen=True)
class TiedGaussian(GaussianFamily):
    """One covariance of shape (d, d).

    Attributes
    ----------
    second : array of shape (d, d) or None
        Mean of (x - shift)(x - shift)' over all rows, in the data's units; None before `bind`.
    """

    second: Float | None = None

    needs_scatter: ClassVar[bool] = True
    complete: ClassVar[bool] = False

    def with_missing(self) -> GaussianFamily:
        """Return the family of rows with missing values: its sums are about the means, and need no second moment."""
        return ObservedTied(self.reg_covar)

    def bind(self, scan: Scan, frame: Frame) -> TiedGaussian:
        """Take the second moment of all rows about the frame's origin."""
        offset = (scan.moments.centre - frame.shift).astype(np.float64)
        return replace(super().bind(scan, frame), second=scan.moments.covariance + np.outer(offset, offset))

    def n_features(self, d: int) -> int:
        """Return 1 + d."""
        return 1 + d

    def n_centred(self, d: int) -> int:
        """Return 1 + d + d (d + 1) / 2: about centres of their own the quadratic terms differ."""
        return 1 + d + triangle_size(d)

    def from_columns(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return x alone."""
        return feature_map(columns)

    def natural(self, theta: Gaussians, frame: Frame) -> Float:
        """Return eta: (log-normaliser, P m), m the means in the frame."""
        offsets = offsets_of(theta, frame)
        upper = theta.precisions_cholesky
        scaled = upper / frame.scale[:, None]
        whitened = offsets @ scaled
        constant = np.log(np.diag(upper)).sum() - 0.5 * (offsets.shape[1] * LOG_2PI + (whitened**2).sum(axis=1))
        return np.concatenate([constant[:, None], whitened @ scaled.T], axis=1)

    def shared(self, theta: Gaussians) -> float:
        """Return -0.5 tr(P second): the quadratic term's mean over the rows."""
        if self.second is None:
            raise ValueError("the tied family is not bound to data: its second moment is not known")
        upper = theta.precisions_cholesky
        return -0.5 * float(np.einsum("ij,ij->", upper, self.second @ upper))

    def shared_size(self, theta: Gaussians) -> float:
        """Return 0.5 sum of |P| |second|, and the same of the means, which the M-step takes off again."""
        if self.second is None:
            return 0.0
        upper = np.abs(theta.precisions_cholesky)
        spread = np.sqrt(np.diag(self.second))
        return 0.5 * float(np.einsum("ij,ij->", upper @ upper.T, np.outer(spread, spread)))

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the scatter within the components, plus reg_covar."""
        d = len(frame.scale)
        counts = sums[0]
        between = (offsets.T * counts) @ offsets / counts.sum()
        between /= frame.scale[:, None] * frame.scale
        if len(sums) == self.n_features(d):
            if self.second is None:
                raise ValueError("the tied family is not bound to data: its second moment is not known")
            return floored(self.second - between, self.added)
        within = unpack(sums[1 + d :].sum(axis=1) / counts.sum(), d)  # the centred path gathers it
        return floored(within - between, self.added)

    def keep(self, new: Float, old: Float, empty: Array) -> Float:
        """Return `new`: an empty component has no part in the shared covariance."""
        return new

    def expected(self, theta: Gaussians, sums: Float, frame: Frame, previous: Gaussians) -> float:
        """Return the sum of r log p, the quadratic term included."""
        d = len(frame.scale)
        linear = float(np.einsum("kf,fk->", self.natural(theta, frame), sums[: 1 + d]))
        if len(sums) == self.n_features(d):
            return linear + self.shared(theta) * float(sums[0].sum())
        upper = theta.precisions_cholesky / frame.scale[:, None]
        within = unpack(sums[1 + d :].sum(axis=1), d)
        return linear - 0.5 * float(np.einsum("ij,ij->", upper, within @ upper))

    def factor(self, covariances: Float) -> Float:
        """Return the one U."""
        return precisions_cholesky(covariances)

    def invert(self, precisions_cholesky: Float) -> Float:
        """Return inv(U U')."""
        return covariances_from(precisions_cholesky)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> None:
        """Write -0.5 |U' (x - mu)|^2 and the normaliser."""
        CentredMap.of(theta).log_density(x, out)

    def sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add 1, x - mu and the triangle of (x - mu)(x - mu)', each times the responsibility."""
        add_centred_sums(theta.means, x, resp, out)

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + inv(U') z."""
        return draw_full(theta.means[component], theta.precisions_cholesky, n, rng)

    def n_parameters(self, k: int, d: int) -> int:
        """Return K d + d (d + 1) / 2."""
        return k * d + triangle_size(d)


class ObservedTied(ObservedGaussian, TiedGaussian):
    """Of rows with missing values."""

    @property
    def by_pattern(self) -> FullMarginals:
        """Patterns leave full Gaussians."""
        return FullMarginals()
