"""Positive quantities whose logarithms are normal: the diagonal Gaussian of log x.

    log p(x) = log N(log x | mu, sigma^2) - log x

So all that keeps the Gaussian's digits (the frame near the data, the path about each mean) serves the logarithms.
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
from dem.families.plain import from_columns
from dem.scan.scanner import Scan

LARGEST_LOG = 230.0
"""Means, variances and their squares stay finite, about 1e100 at most, however far the logarithms spread."""
SMALLEST_SIGMA = 1e-6
"""Where all values are equal the likelihood has no bound: they are taken to spread by a millionth."""


class LogNormal(DiagonalGaussian):
    """Each column log-normal: "mu" and "sigma" (K, d), mean and standard deviation of log x."""

    wants: ClassVar[str] = "numbers > 0"
    takes_squares: ClassVar[bool] = False

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family itself: logarithms have no unit."""
        return self

    def frame(self, x: Float) -> Frame:
        """Return the frame of the logarithms."""
        return Frame.near(log(np.asarray(x, dtype=np.float64)))

    def features(self, d: int, frame: Frame) -> FeatureMap:
        """Return log x in the frame, and its square."""
        return self.from_columns(in_frame(frame, Op.LOG))

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the features of the largest magnitudes that the logarithms have in the frame."""
        return super().largest(log(low), log(high), frame)

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return the features of the logarithms' root mean squares on the sample."""
        x = np.asarray(scan.sample.x[scan.sample.weight > 0], dtype=np.float64)
        return self._features_of(np.sqrt((((log(x) - frame.shift) * frame.scale) ** 2).mean(axis=0)))

    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the variances of the logarithms, none below the smallest: the maximum among those allowed."""
        return np.maximum(super().covariances(sums, frame, offsets), SMALLEST_SIGMA**2)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Float:
        """Write log N(log x); return log x."""
        logs = log(x)
        super().log_density(theta, logs, out)
        return logs

    def sums(self, theta: Gaussians, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the Gaussian's sums of log x."""
        super().sums(theta, reuse, None, resp, out)

    def initial(self, x: Float, resp: Float) -> Gaussians:
        """Return the estimate from responsibilities (K, n) of the columns of `x` (d, n)."""
        logs = log(x)
        centres = (resp / safe_counts(resp.sum(axis=1))[:, None]) @ logs.T
        sums = np.zeros((self.n_centred(len(x)), len(resp)))
        self.sums(Gaussians(centres, np.empty(0), np.empty(0)), x, logs, resp, sums)
        return self.estimate(sums, Frame.at(centres), None)

    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return exp of the Gaussian's rows."""
        return np.exp(super().draw(theta, component, n, rng))

    def named(self, theta: Gaussians) -> dict[str, Float]:
        """Return mu and sigma."""
        return {"mu": theta.means, "sigma": np.sqrt(theta.covariances)}

    def log_base(self, x: Float) -> Float:
        """Return the sum of -log x."""
        return np.asarray(-log(x).sum(axis=0))

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return where x <= 0."""
        return np.asarray(x <= 0)

    def coordinates(self, x: Float) -> Float:
        """Return log x."""
        return log(x)

    def with_missing(self) -> LogNormal:
        """Return the family of rows with missing values."""
        return ObservedLogNormal(self.reg_covar)


class ObservedLogNormal(LogNormal, ObservedDiagonal):
    """Each column log-normal."""

    def log_base(self, x: Float) -> Float:
        """Return the sum of -log x over the observed columns."""
        return np.asarray(-np.nansum(log(x), axis=0))

    def fill(self, theta: Gaussians, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each entry of x (d, n), given responsibilities (K, n)."""
        return from_columns(x, resp, *log_normal_moments(theta))


def log_normal_moments(theta: Gaussians) -> tuple[Float, Float]:
    """Return the means and variances (K, d) of log-normal columns."""
    means = np.exp(np.minimum(theta.means + theta.covariances / 2, LARGEST_LOG))
    return means, np.expm1(np.minimum(theta.covariances, LARGEST_LOG)) * np.minimum(means, np.exp(LARGEST_LOG / 2)) ** 2
