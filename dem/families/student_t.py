"""Student's t: a Gaussian with a different precision for each row, so that outliers have little weight.

    u ~ Gamma(nu / 2, nu / 2),    x | u ~ N(mu, S / u)

The E-step also gives u, a second latent variable (Peel and McLachlan 2000). With D the squared Mahalanobis distance:

    E u = (nu + d) / (nu + D),    E log u = digamma((nu + d) / 2) - log((nu + D) / 2)

M-step: mu and S are the Gaussian estimates from rows weighted by r E u, with S divided by the sum of r; nu solves
log(nu / 2) - digamma(nu / 2) = mean(E u - E log u) - 1, the equation for the shape of a gamma distribution.

With missing values, the o observed columns of a row have a Student's t distribution too: use o for d above, and the
distance of the observed columns for D. Given u, the missing columns are Gaussian. So E[u (x - mu)(x - mu)'] is
E u e e' + C, where e is the residual with missing values replaced by their conditional means, and C the conditional
covariance of the Gaussian (Liu and Rubin 1995).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from scipy.special import betaln, digamma, gammaln

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.base import FamilyBase
from dem.families.family import Filling, expand_to, safe_counts
from dem.families.gamma import log_peak, shape_of
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians
from dem.families.gaussian.diag import DiagonalGaussian, FilledDiagonal
from dem.families.gaussian.full import FullGaussian, ObservedFull
from dem.families.reg_covar import RegCovar, check_given_reg_covar, column_reg_covar, reg_covar_values
from dem.scan.scanner import Scan

MIN_DF, MAX_DF, FIRST_DF = 0.5, 1e6, 10.0
"""Limits of the degrees of freedom, and their first value."""
KINDS: dict[str, type[GaussianFamily]] = {"full": FullGaussian, "diag": DiagonalGaussian}


@dataclass(frozen=True)
class StudentTs:
    """The parameters of K Student's t distributions.

    Attributes
    ----------
    gaussians : Gaussians
        Means and scale matrices.
    degrees_of_freedom : array of shape (K,)
    """

    gaussians: Gaussians
    degrees_of_freedom: Float


@dataclass(frozen=True)
class StudentT(FamilyBase):
    """Multivariate Student's t over all columns: "means", "covariances" (the scale matrices S), "degrees_of_freedom".

    Attributes
    ----------
    covariance_type : {"full", "diag"}
    degrees_of_freedom : float or None
        The same fixed value for all components; None estimates one for each component.
    reg_covar : float, FromData or None
        Added to the diagonal of the scale matrices after the M-step, in squared units of the data; None for 1e-6 times
        each column's variance (see `dem.families.reg_covar`). It is not a prior: reg_covar can lower the
        log-likelihood, and this is never reported as convergence.
    """

    covariance_type: str = "full"
    degrees_of_freedom: float | None = None
    reg_covar: RegCovar = None

    def __post_init__(self) -> None:
        if self.covariance_type not in KINDS:
            raise ValueError(f"covariance_type must be one of {', '.join(KINDS)}, got {self.covariance_type!r}")
        if self.degrees_of_freedom is not None and not MIN_DF <= self.degrees_of_freedom <= MAX_DF:
            raise ValueError(
                f"degrees_of_freedom must be None or from {MIN_DF:g} to {MAX_DF:g}, got {self.degrees_of_freedom!r}"
            )
        check_given_reg_covar(self.reg_covar)

    def with_missing(self) -> StudentT:
        """Return the family for rows with missing values."""
        return ObservedStudentT(self.covariance_type, self.degrees_of_freedom, self.reg_covar)

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with `reg_covar` in the units of the data."""
        return replace(self, reg_covar=column_reg_covar(self.reg_covar, scan))

    @property
    def gaussian(self) -> GaussianFamily:
        """The Gaussian family of x given u = 1."""
        return KINDS[self.covariance_type](self.reg_covar)

    def log_density(self, theta: StudentTs, x: Float, out: Float) -> tuple[Float, Float]:
        """Write the log-densities; return E u and E log u for each row and component, (K, n)."""
        d, nu = len(x), theta.degrees_of_freedom[:, None]
        self.gaussian.log_density(theta.gaussians, x, out)
        distance = np.maximum(-2 * (out - self._log_det(theta)[:, None]) - d * LOG_2PI, 0)
        out[...] = self.log_normalisers(theta)[:, None] - (nu + d) / 2 * np.log1p(distance / nu)
        return (nu + d) / (nu + distance), digamma((nu + d) / 2) - np.log((nu + distance) / 2)

    def add_sums(self, theta: StudentTs, x: Float, reuse: tuple[Float, Float], resp: Float, out: Float) -> None:
        """Add the sums of r and of r E log u, and the Gaussian sums of rows weighted by r E u."""
        u, log_u = reuse
        out[0] += resp.sum(axis=1)
        out[1] += np.einsum("kn,kn->k", resp, log_u)
        self.gaussian.add_sums(theta.gaussians, x, None, resp * u, out[2:])

    def initial(self, x: Float, resp: Float) -> StudentTs:
        """Return the Gaussian's first parameters, from rows with clipped outliers, and the first degrees of freedom."""
        nu = FIRST_DF if self.degrees_of_freedom is None else self.degrees_of_freedom
        return StudentTs(
            self.gaussian.initial(np.ascontiguousarray(clip_to_fences(x.T).T), resp), np.full(len(resp), nu)
        )

    def estimate(self, sums: Float, frame: Frame, previous: StudentTs | None) -> StudentTs:
        """Return the parameters that maximise Q.

        Raises
        ------
        ValueError
            If a scale matrix is not positive definite.
        """
        counts, log_u, scaled = sums[0], sums[1], sums[2:]
        safe = safe_counts(counts)
        empty = counts < safe
        found = self.gaussian.estimate(scaled, frame, None if previous is None else previous.gaussians)
        ratio = np.where(empty, 1.0, scaled[0] / safe)
        gaussians = self._rescaled(found, expand_to(ratio, found.covariances))
        if self.degrees_of_freedom is not None:
            return StudentTs(gaussians, np.full(len(counts), self.degrees_of_freedom))
        nu = np.clip(2 * shape_of((scaled[0] - log_u) / safe - 1), MIN_DF, MAX_DF)
        return StudentTs(gaussians, nu if previous is None else np.where(empty, previous.degrees_of_freedom, nu))

    def _rescaled(self, found: Gaussians, ratio: Float) -> Gaussians:
        """Return the Gaussians with covariances times `ratio`; the part that is `reg_covar` is not multiplied."""
        if self.reg_covar == 0:
            root = found.precisions_cholesky / np.sqrt(ratio)
            return replace(found, covariances=found.covariances * ratio, precisions_cholesky=root)
        more = reg_covar_values(self.reg_covar) * (1 - ratio)
        diagonal = more * np.eye(found.means.shape[1]) if self.covariance_type == "full" else more
        return self.gaussian.from_covariances(found.means, found.covariances * ratio + diagonal)

    def expected(self, theta: StudentTs, sums: Float, frame: Frame, previous: StudentTs) -> float:
        """Return Q, the sum of r E log p(x, u | k)."""
        counts, log_u, scaled = sums[0], sums[1], sums[2:]
        d, a = len(frame.scale), theta.degrees_of_freedom / 2
        at_mean = self._log_det(theta) - d / 2 * LOG_2PI
        of_x = self.gaussian.expected(theta.gaussians, scaled, frame, previous.gaussians)
        of_x += float((counts - scaled[0]) @ at_mean)
        # The terms of u: a log a - log Gamma(a) + (a - 1) E log u - a E u, and d/2 E log u from x.
        of_u = counts * log_peak(a) + a * (log_u - scaled[0] + counts) + (d / 2 - 1) * log_u
        return of_x + float(of_u.sum())

    def draw(self, theta: StudentTs, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + (x - mu) / sqrt(u) with x from the Gaussian."""
        mean, nu = theta.gaussians.means[component], theta.degrees_of_freedom[component]
        deviation = self.gaussian.draw(theta.gaussians, component, n, rng) - mean
        return np.asarray(mean + deviation / np.sqrt(rng.chisquare(nu, size=(n, 1)) / nu))

    def seeding_points(self, x: Float) -> Float:
        """Return the rows with clipped outliers, so that outliers do not become first centres."""
        return clip_to_fences(x)

    def centres(self, theta: StudentTs) -> Float:
        """Return the means."""
        return theta.gaussians.means

    def named_parameters(self, theta: StudentTs) -> dict[str, Float]:
        """Return "means", "covariances" and "degrees_of_freedom"."""
        return {**self.gaussian.named_parameters(theta.gaussians), "degrees_of_freedom": theta.degrees_of_freedom}

    def n_exact_sums(self, d: int) -> int:
        """Return the number of sums of the Gaussian, plus 2."""
        return 2 + self.gaussian.n_exact_sums(d)

    def work(self, x: Array, k: int) -> float:
        """Return the operations of the Gaussian."""
        return self.gaussian.work(x, k)

    def tile_width(self, k: int, d: int) -> int:
        """Return the width of the Gaussian, plus E u, E log u and their work arrays."""
        return self.gaussian.tile_width(k, d) + 5 * k

    def parameter_size(self, k: int, d: int) -> int:
        """Return the size of the factors of the Gaussian."""
        return self.gaussian.parameter_size(k, d)

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of the Gaussian, plus K if the degrees of freedom are estimated."""
        return self.gaussian.n_parameters(k, d) + (k if self.degrees_of_freedom is None else 0)

    def log_normalisers(self, theta: StudentTs) -> Float:
        """Return the log-densities at the centres (K,), in nats."""
        d, nu = theta.gaussians.means.shape[1], theta.degrees_of_freedom
        gammas = gammaln(d / 2) - betaln(nu / 2, d / 2)  # log Gamma((nu + d) / 2) - log Gamma(nu / 2)
        return np.asarray(gammas + self._log_det(theta) - d / 2 * np.log(np.pi * nu))

    def _log_det(self, theta: StudentTs) -> Float:
        """Return -0.5 log |S| (K,)."""
        root = theta.gaussians.precisions_cholesky
        diagonal = np.einsum("kii->ki", root) if self.covariance_type == "full" else root
        return np.asarray(np.log(diagonal).sum(axis=1))


def clip_to_fences(x: Float) -> Float:
    """Return the rows x (n, d) with each column clipped to Tukey's fences, 1.5 interquartile ranges from the quartiles.

    If half of the values of a column are equal, the range is 0 and the column is not clipped.
    """
    low, high = np.quantile(x, [0.25, 0.75], axis=0)
    reach = np.where(high > low, 1.5 * (high - low), np.inf)
    return np.clip(x, low - reach, high + reach)


MISSING_KINDS: dict[str, type[ObservedFull] | type[FilledDiagonal]] = {"full": ObservedFull, "diag": FilledDiagonal}


@dataclass(frozen=True)
class PrecisionMoments:
    """Expectations of u from the E-step of a tile.

    Attributes
    ----------
    reuse
        The result of the Gaussian E-step.
    u, log_u : array of shape (K, n)
        E u and E log u.
    spread : array of shape (K, n)
        E[1 / u]; infinite if it does not exist.
    """

    reuse: Any
    u: Float
    log_u: Float
    spread: Float


class ObservedT(FamilyBase):
    """Mixin that makes `StudentT` accept missing values."""

    covariance_type: str
    reg_covar: RegCovar

    @property
    def filling(self) -> Filling[StudentTs]:
        """The family itself."""
        return self

    def with_missing(self) -> Self:
        """Return the family itself."""
        return self

    @property
    def gaussian(self) -> ObservedFull | FilledDiagonal:
        """The Gaussian family of x given u = 1."""
        return MISSING_KINDS[self.covariance_type](self.reg_covar)

    def log_density(self, theta: StudentTs, x: Float, out: Float) -> Any:
        """Write the log-densities of the observed values; return the expectations of u."""
        nu = theta.degrees_of_freedom[:, None]
        reuse = self.gaussian.log_density(theta.gaussians, x, out)
        constant = self.gaussian.constant(theta.gaussians, x, reuse)
        distance = np.maximum(-2 * (out - constant), 0)
        size = len(x) - np.isnan(x).sum(axis=0)
        columns = np.arange(1, len(x) + 1)
        gammas = gammaln(columns / 2) - betaln(nu / 2, columns / 2)  # log Gamma((nu + o) / 2) - log Gamma(nu / 2)
        gammas = np.concatenate([np.zeros_like(nu), gammas], axis=1)[:, size]
        out[...] = gammas + constant + size / 2 * (LOG_2PI - np.log(np.pi * nu))
        out -= (nu + size) / 2 * np.log1p(distance / nu)
        fewer = np.maximum(nu + size - 2, 0)
        spread = np.divide(nu + distance, fewer, out=np.full_like(out, np.inf), where=fewer > 0)
        u, log_u = (nu + size) / (nu + distance), digamma((nu + size) / 2) - np.log((nu + distance) / 2)
        return PrecisionMoments(reuse, u, log_u, spread)

    def add_sums(self, theta: StudentTs, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the sums of r and of r E log u, and the Gaussian sums of completed rows weighted by r E u."""
        out[0] += resp.sum(axis=1)
        out[1] += np.einsum("kn,kn->k", resp, reuse.log_u)
        self.gaussian.add(theta.gaussians, x, reuse.reuse, resp * reuse.u, resp, out[2:])

    def conditional_moments(
        self, theta: StudentTs, x: Float, reuse: PrecisionMoments, resp: Float
    ) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n).

        The variance is infinite if nu plus the number of observed columns is at most 2.
        """
        return self.gaussian.scaled_conditional_moments(theta.gaussians, x, reuse.reuse, resp, reuse.spread)


class ObservedStudentT(ObservedT, StudentT):
    """Student's t for rows with missing values."""
