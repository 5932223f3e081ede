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
from dem.families.family import EMPTY, Filling
from dem.families.feature_columns import Column
from dem.families.feature_map import FeatureMap, with_indicators
from dem.families.gaussian.base import GaussianFamily, Gaussians, offsets_of
from dem.families.plain import from_columns


class ObservedColumns(GaussianFamily):
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

    def from_columns(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return the features of the family, 0 where a value is missing, and the indicators."""
        whole = super().from_columns(columns)  # type: ignore[safe-super]
        return with_indicators(whole, len(columns), before=whole.n_features)

    def estimate(self, sums: Float, frame: Frame, previous: Gaussians | None) -> Gaussians:
        """Return means and variances by PRML 9.24 and 9.25; each column uses the rows in which it is observed.

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
        """Return sums of complete rows: missing values are replaced by their expectations given the component."""
        d = len(frame.scale)
        lacking = sums[:1] - sums[-d:]
        offsets = offsets_of(theta, frame).T
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

    def fill(self, theta: Gaussians, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n)."""
        return from_columns(x, resp, theta.means, self.column_variances(theta))
