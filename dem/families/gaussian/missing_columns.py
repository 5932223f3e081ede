"""Gaussians of independent columns where values are missing: each column has an indicator feature, "observed".

    log N(x_o | mu, sigma^2) = sum over j of o_j a_j + (the terms in x, without those of missing columns)

a_j is the column's log-normaliser, o_j 1 where the column is observed and 0 where not. Missing columns are so left out
of the density, and of the sums: their marginal is taken exactly, for one more feature a column. The M-step divides each
column's sums by that column's own counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import EMPTY, Filling
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, with_indicators
from dem.families.gaussian.base import GaussianFamily, Gaussians, offsets_of
from dem.families.plain import from_columns


class ObservedColumns(GaussianFamily):
    """Mixed into a Gaussian family, makes it one of rows with missing values: the last d features are indicators."""

    @property
    def filling(self) -> Filling[Gaussians]:
        """The family itself."""
        return self

    def with_missing(self) -> GaussianFamily:
        """Return the family itself."""
        return self

    def n_features(self, d: int) -> int:
        """Return d more than the family has."""
        return super().n_features(d) + d  # type: ignore[safe-super]

    def from_columns(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return what the family makes of x, 0 where it is missing, and the indicators."""
        whole = super().from_columns(columns)  # type: ignore[safe-super]
        return with_indicators(whole, len(columns), before=whole.n_features)

    def estimate(self, sums: Float, frame: Frame, previous: Gaussians | None) -> Gaussians:
        """Return means and variances by PRML 9.24 and 9.25, each column's over the rows that have it.

        Raises
        ------
        ValueError
            If a variance is not positive.
        """
        d = len(frame.scale)
        counts = sums[-d:].T
        safe = np.maximum(counts, EMPTY * sums[0].sum())
        offsets = sums[1 : 1 + d].T / safe
        covariances = self.covariances(sums, frame, offsets)
        means = frame.shift + offsets / frame.scale
        if previous is not None and (empty := counts < safe).any():
            means = np.where(empty, previous.means, means)
            covariances = self.keep(covariances, previous.covariances, empty)
        return self.from_covariances(means, covariances)

    def completed(self, sums: Float, frame: Frame, theta: Gaussians) -> Float:
        """Return the sums as of complete rows: missing values as they are expected given the component."""
        d = len(frame.scale)
        lacking = sums[:1] - sums[-d:]
        offsets = offsets_of(theta, frame).T
        squares = offsets**2 + (frame.scale**2 * self.columns(theta)).T
        return self.with_expected(sums[:-d].copy(), lacking * offsets, lacking * squares)

    def columns(self, theta: Gaussians) -> Float:
        """Return the variance of each column (K, d)."""
        return theta.covariances

    def with_expected(self, sums: Float, x: Float, squares: Float) -> Float:
        """Return sums (F, K) to which x (d, K) and its squares (d, K) are added."""
        d = len(x)
        sums[1 : 1 + d] += x
        sums[1 + d :] += squares
        return sums

    def fill(self, theta: Gaussians, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each entry of x (d, n), given responsibilities (K, n)."""
        return from_columns(x, resp, theta.means, self.columns(theta))
