"""The base of the four Gaussian families: means, and the form of the parameters.

log N(x | mu, C) = -0.5 * (d log 2 pi - log |P| + (x - mu)' P (x - mu)), P = inv(C) = U U'   (PRML 2.43)

`CentredMap` and `add_centred_sums` compute densities and sums about each component's own mean. So no digits cancel,
however far from 0 the data are.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle
from dem.families.base import LinearFamily
from dem.families.family import EMPTY_SHARE, Given, Settable, expand_to, safe_counts
from dem.families.feature_columns import Column, in_frame
from dem.families.feature_map import FeatureMap
from dem.families.gaussian.centred_map import CentredMap
from dem.families.patterns import PatternCache
from dem.families.reg_covar import RegCovar, column_reg_covar, reg_covar_values, shared_reg_covar
from dem.scan.scanner import Scan

LOG_2PI = float(np.log(2 * np.pi))

NOT_POSITIVE = (
    "a component's covariance is not positive definite: it has collapsed onto too few or equal rows; "
    "use fewer components, a larger reg_covar, or columns of similar scale"
)


@dataclass(frozen=True)
class Gaussians:
    """The parameters of K Gaussians, in the data's own units.

    Attributes
    ----------
    means : array of shape (K, d)
    covariances : array
        (K, d, d) full, (d, d) tied, (K, d) diagonal, (K,) spherical.
    precisions_cholesky : array
        Of the same shape: upper triangular U with inv(C) = U U', or 1 / sqrt of the variances. Densities are computed
        from it, not from the covariances: so a badly conditioned covariance costs no digits.
    """

    means: Float
    covariances: Float
    precisions_cholesky: Float

    @cached_property
    def by_pattern(self) -> PatternCache[Any]:
        """A cache of the marginals of patterns of missing values. It is not pickled."""
        return PatternCache()

    def __getstate__(self) -> dict[str, Float]:
        """Return only the fields, without the cache."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def matrix_map(theta: Gaussians) -> CentredMap:
    """Return the exact path of Gaussians with a matrix each, or one for all, as a value."""
    k, d = theta.means.shape
    factors = np.broadcast_to(theta.precisions_cholesky, (k, d, d))
    constants = [np.log(np.diag(upper)).sum() - 0.5 * d * LOG_2PI for upper in factors]
    return CentredMap(theta.means, factors, np.array(constants))


@dataclass(frozen=True)
class GaussianFamily(LinearFamily):
    """Base of the Gaussian families; each has one type of covariance.

    Attributes
    ----------
    reg_covar : float, FromData or None
        Added to the diagonal of the covariances after the M-step, in the data's units squared: see
        `dem.families.reg_covar`.
    """

    reg_covar: RegCovar = 0.0

    isotropic: ClassVar[bool] = False

    @property
    def settable(self) -> Settable[Gaussians]:
        """The family itself: users may set means and precisions."""
        return self

    def frame(self, x: Float) -> Frame:
        """Return the frame of the sample's mean and spread."""
        return Frame.near(x, isotropic=self.isotropic)

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with a `reg_covar` in the data's units."""
        in_units = shared_reg_covar if self.isotropic else column_reg_covar
        return replace(self, reg_covar=in_units(self.reg_covar, scan))

    @property
    def reg_covar_values(self) -> float | Float:
        """The numbers to add to the variances: one number, or (d,)."""
        return reg_covar_values(self.reg_covar)

    def features(self, d: int, frame: Frame) -> FeatureMap:
        """Return x in the frame, and its squares or products."""
        return self.feature_map_of(in_frame(frame))

    def largest_magnitudes(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the features (F,) of a row with the largest magnitude of each column in the frame."""
        return self._features_of(frame.largest(low, high))

    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the features (F,) of a row with the root mean square of each column in the frame."""
        return self._features_of(scan.root_mean_square(frame))

    def _features_of(self, magnitudes: Float) -> Float:
        d = len(magnitudes)
        out = np.empty((self.n_features(d) - 1, 1))
        self.feature_map_of(in_frame(Frame.at(np.zeros(d)))).write(magnitudes[None], out)
        return np.concatenate([[1.0], out[:, 0]])

    def centres(self, theta: Gaussians) -> Float:
        """Return the means."""
        return theta.means

    def estimate(self, sums: Float, frame: Frame, previous: Gaussians | None) -> Gaussians:
        """Return means and covariances by PRML 9.24 and 9.25, each from the rows in which its columns are observed.

        Raises
        ------
        ValueError
            If a covariance is not positive definite.
        """
        d = len(frame.scale)
        safe = self.safe_column_counts(sums, d)
        offsets = sums[1 : 1 + d].T / safe
        covariances = self.covariances(sums, frame, offsets)
        means = frame.shift + offsets / frame.scale
        if previous is not None and (empty := self.column_counts(sums, d) < safe).any():
            means = np.where(empty, previous.means, means)
            covariances = self.restore_empty(covariances, previous.covariances, empty)
        return self.from_covariances(means, covariances)

    def column_counts(self, sums: Float, d: int) -> Float:
        """Return the expected weight of the rows behind each mean: (K, 1), or (K, d) if columns have missing values."""
        return np.asarray(sums[0][:, None])

    def safe_column_counts(self, sums: Float, d: int) -> Float:
        """Return `column_counts`, raised where they are too small to divide by."""
        return np.asarray(np.maximum(self.column_counts(sums, d), EMPTY_SHARE * sums[0].sum()))

    def from_covariances(self, means: Float, covariances: Float) -> Gaussians:
        """Return the parameters with these covariances, in the family's shape; their factors are computed.

        Raises
        ------
        ValueError
            If a covariance is not positive definite.
        """
        try:
            return Gaussians(means, covariances, self.factor(covariances))
        except np.linalg.LinAlgError:
            raise ValueError(NOT_POSITIVE) from None

    def from_precisions(self, means: Float, precisions_cholesky: Float) -> Gaussians:
        """Return the parameters with these precision factors; the covariances are computed."""
        return Gaussians(means, self.invert(precisions_cholesky), precisions_cholesky)

    def initial(self, x: Float, resp: Float) -> Gaussians:
        """Return the estimate from responsibilities (K, n) of the columns of `x` (d, n)."""
        return self.estimate(*self.sums_about_means(x, resp), None)

    def sums_about_means(self, x: Float, resp: Float) -> tuple[Float, Frame]:
        """Return the sums of the columns of `x` (d, n) about their means weighted by `resp` (K, n), and the frame."""
        centres = (resp / safe_counts(resp.sum(axis=1))[:, None]) @ x.T
        sums = np.zeros((self.n_exact_sums(len(x)), len(resp)))
        self.add_sums(Gaussians(centres, np.empty(0), np.empty(0)), x, None, resp, sums)
        return sums, Frame.at(centres)

    def completed_sums(self, sums: Float, frame: Frame, theta: Gaussians) -> Float:
        """Return the expected sums (F, K) of completed rows, given `theta`; complete rows need no change."""
        return sums

    def from_user(self, given: Given) -> Gaussians | None:
        """Return the user's parameters if they have means and precisions, otherwise None."""
        if given.means is None or given.precisions_cholesky is None:
            return None
        return self.from_precisions(given.means, given.precisions_cholesky)

    def override(self, theta: Gaussians, given: Given) -> Gaussians:
        """Return `theta` with the user's parameters in place of its own."""
        means = theta.means if given.means is None else given.means
        if given.precisions_cholesky is not None:
            return self.from_precisions(means, given.precisions_cholesky)
        return Gaussians(means, theta.covariances, theta.precisions_cholesky)

    def restore_empty(self, new: Float, old: Float, empty: Array) -> Float:
        """Return covariances `new`; components without rows in any column, `empty` (K, 1) or (K, d), get `old`."""
        return np.asarray(np.where(expand_to(np.asarray(empty.all(axis=1)), new), old, new))

    def tile_width(self, k: int, d: int) -> int:
        """Return 4 d + K: x, x - mu, two copies of it, and the log-densities."""
        return 4 * d + k

    def parameter_size(self, k: int, d: int) -> int:
        """Return the size of K matrices (d, d)."""
        return k * d * d

    def named_parameters(self, theta: Gaussians) -> dict[str, Float]:
        """Return "means" and "covariances"; the covariances are in the family's shape."""
        return {"means": theta.means, "covariances": theta.covariances}

    @abstractmethod
    def feature_map_of(self, columns: tuple[Column, ...]) -> FeatureMap:
        """Return the features of the family, given x as d columns of a `FeatureMap`."""

    @abstractmethod
    def covariances(self, sums: Float, frame: Frame, offsets: Float) -> Float:
        """Return the covariances, plus reg_covar, given the means (K, d) in the frame."""

    @abstractmethod
    def factor(self, covariances: Float) -> Float:
        """Return the Cholesky factors of the precisions."""

    @abstractmethod
    def invert(self, precisions_cholesky: Float) -> Float:
        """Return the covariances, given the Cholesky factors of the precisions."""

    @abstractmethod
    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write the log-densities, computed about each mean."""

    @abstractmethod
    def add_sums(self, theta: Gaussians, x: Float, reuse: None, resp: Float, out: Float) -> None:
        """Add the sums of the features about each mean."""

    @abstractmethod
    def draw(self, theta: Gaussians, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n random rows of one component."""

    @abstractmethod
    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of the means and covariances."""


def means_in_frame(theta: Gaussians, frame: Frame) -> Float:
    """Return the means (K, d) in the frame."""
    return (theta.means - frame.shift) * frame.scale


def add_centred_sums(centres: Float, x: Float, resp: Float, out: Float) -> None:
    """Add the sums of 1, x - mu and the triangle of (x - mu)(x - mu)', weighted by `resp` (K, n), to `out` (F, K)."""
    d = len(x)
    row, column = triangle(d)
    for k, centre in enumerate(centres):
        centred = x - centre[:, None]
        weighted = centred * resp[k]
        out[0, k] += resp[k].sum()
        out[1 : 1 + d, k] += weighted.sum(axis=1)
        out[1 + d :, k] += (weighted @ centred.T)[row, column]
