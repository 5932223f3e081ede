"""Gaussians of independent columns with missing values: each column has one more feature, the indicator "observed".

    log N(x_o | mu, sigma^2) = sum over j of o_j a_j + (the terms in x of the observed columns)

a_j is the log-normaliser of column j; o_j is 1 if the column is observed and 0 if not. So missing columns do not count
in the density and in the sums, which is exactly the marginal density. The M-step divides the sums of each column by the
counts of this column.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Filling
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, with_indicators
from dem.families.gaussian.base import GaussianFamily, Gaussians, means_in_frame
from dem.families.gaussian.independent import IndependentGaussian
from dem.families.independent_columns import mixture_moments, residuals


class ObservedColumns(IndependentGaussian):
    """Mixin that makes a Gaussian family accept missing values: the last d features are indicators."""

    @property
    def filling(self) -> Filling[Gaussians]:
        """The family itself."""
        return self

    def with_missing(self) -> GaussianFamily:
        """Return the family itself."""
        return self

    def n_features(self, d: int) -> int:
        """Return the number of features of the family, plus d."""
        return super().n_features(d) + d  # type: ignore[safe-super]

    def feature_map_of(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return the features of the family, 0 where a value is missing, and the indicators."""
        complete = super().feature_map_of(columns)  # type: ignore[safe-super]
        return with_indicators(complete, len(columns), before=complete.n_features)

    def column_counts(self, sums: Float, d: int) -> Float:
        """Return the sums of the indicators (K, d): each mean and variance uses the rows in which it is observed."""
        return sums[-d:].T

    def add_sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add the sums over the observed values, and the responsibilities of the rows that have each column."""
        d, missing = len(x), np.isnan(x)
        out[0] += resp.sum(axis=1)
        out[-d:] += ~missing @ resp.T
        for k, mean in enumerate(theta.means):
            self.add_residuals(residuals(x, mean, missing), resp[k], out[:, k])

    def completed_sums(self, sums: Float, frame: Frame, theta: Gaussians) -> Float:
        """Return sums of complete rows: missing values are replaced by their expectations given the component."""
        d = len(frame.scale)
        lacking = sums[:1] - sums[-d:]
        offsets = means_in_frame(theta, frame).T
        squares = offsets**2 + (frame.scale**2 * self.column_variances(theta)).T
        return self.with_expected(sums[:-d].copy(), lacking * offsets, lacking * squares)

    def column_variances(self, theta: Gaussians) -> Float:
        """Return the variance of each column (K, d)."""
        return theta.covariances

    def with_expected(self, sums: Float, x: Float, squares: Float) -> Float:
        """Return sums (F, K) with x (d, K) and its squares (d, K) added."""
        d = len(x)
        sums[1 : 1 + d] += x
        sums[1 + d :] += squares
        return sums

    def conditional_moments(self, theta: Gaussians, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n)."""
        return mixture_moments(x, resp, theta.means, self.column_variances(theta))
