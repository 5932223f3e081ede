"""Positive quantities with normal logarithms: the diagonal Gaussian of log x.

    log p(x) = log N(log x | mu, sigma^2) - log x

So the logarithms are as exact as a Gaussian: they have a frame near the data, and the exact path about each mean.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import log
from dem.families.family import safe_counts
from dem.families.feature_columns import Op, in_frame
from dem.families.feature_map import FeatureMap
from dem.families.gaussian.base import Gaussians
from dem.families.gaussian.diag import DiagonalGaussian, ObservedDiagonal
from dem.families.independent_columns import mixture_moments
from dem.scan.scanner import Scan

LARGEST_LOG = 230.0
"""Limit of logarithms of moments, so that means, variances and their squares are finite (about 1e100 at most)."""
SMALLEST_SIGMA = 1e-6
"""Smallest sigma. If all values are equal, the likelihood has no upper bound without it."""


class LogNormal(DiagonalGaussian):
    """Each column is log-normal: "mu" and "sigma" (K, d), the mean and standard deviation of log x."""

    wants: ClassVar[str] = "numbers > 0"
    takes_squares: ClassVar[bool] = False

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family itself: reg_covar is not used, because logarithms have no unit."""
        return self

    def frame(self, x: Float) -> Frame:
        """Return the frame of the logarithms."""
        return Frame.near(log(np.asarray(x, dtype=np.float64)))

    def features(self, d: int, frame: Frame) -> FeatureMap:
        """Return log x in the frame, and its square."""
        return self.feature_map_of(in_frame(frame, Op.LOG))

    def largest_magnitudes(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the features (F,) of a row with the largest magnitude of each logarithm in the frame."""
        return super().largest_magnitudes(log(low), log(high), frame)

    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the features (F,) of a row with the root mean square of each logarithm over the sample."""
        x = np.asarray(scan.sample.x[scan.sample.weight > 0], dtype=np.float64)
        return self._features_of(np.sqrt((((log(x) - frame.shift) * frame.scale) ** 2).mean(axis=0)))

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variances of the logarithms, at least `SMALLEST_SIGMA`^2: the maximum under this constraint."""
        return np.maximum(super().covariances(sums, frame, offsets), SMALLEST_SIGMA**2)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Float:
        """Write log N(log x); return log x."""
        logs = log(x)
        super().log_density(theta, logs, out)
        return logs

    def add_sums(self, theta: Gaussians, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the Gaussian's sums of log x."""
        super().add_sums(theta, reuse, None, resp, out)

    def initial(self, x: Float, resp: Float) -> Gaussians:
        """Return the estimate from responsibilities (K, n) of the columns of `x` (d, n)."""
        logs = log(x)
        centres = (resp / safe_counts(resp.sum(axis=1))[:, None]) @ logs.T
        sums = np.zeros((self.n_exact_sums(len(x)), len(resp)))
        self.add_sums(Gaussians(centres, np.empty(0), np.empty(0)), x, logs, resp, sums)
        return self.estimate(sums, Frame.at(centres), None)

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return exp of random rows of the Gaussian."""
        return np.exp(super().draw(theta, component, n, rng))

    def named_parameters(self, theta: Gaussians) -> dict[str, Float]:
        """Return mu and sigma."""
        return {"mu": theta.means, "sigma": np.sqrt(theta.covariances)}

    def log_base(self, x: Float) -> Float:
        """Return the sum of -log x."""
        return np.asarray(-log(x).sum(axis=0))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x <= 0."""
        return np.asarray(x <= 0)

    def seeding_points(self, x: Float) -> Float:
        """Return log x."""
        return log(x)

    def with_missing(self) -> LogNormal:
        """Return the family for rows with missing values."""
        return ObservedLogNormal(self.reg_covar)


class ObservedLogNormal(LogNormal, ObservedDiagonal):
    """Log-normal columns of rows with missing values."""

    def log_base(self, x: Float) -> Float:
        """Return the sum of -log x over the observed columns."""
        return np.asarray(-np.nansum(log(x), axis=0))

    def conditional_moments(self, theta: Gaussians, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n)."""
        return mixture_moments(x, resp, *log_normal_moments(theta))


def log_normal_moments(theta: Gaussians) -> tuple[Float, Float]:
    """Return the means and variances (K, d) of log-normal columns."""
    means = np.exp(np.minimum(theta.means + theta.covariances / 2, LARGEST_LOG))
    return means, np.expm1(np.minimum(theta.covariances, LARGEST_LOG)) * np.minimum(means, np.exp(LARGEST_LOG / 2)) ** 2
