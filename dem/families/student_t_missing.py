"""Student's t where values are missing: the rows' own scales are told by what is observed.

What is observed of a row, o columns, is Student's t too, of the same degrees of freedom. With D its squared distance,

    E u = (nu + o) / (nu + D),    E log u = digamma((nu + o) / 2) - log((nu + D) / 2)

and given u the missing columns are Gaussian, so that E[u (x - mu)(x - mu)'] is E u e e' + C, with e the residual filled
in by its conditional mean, and C the Gaussian's conditional covariance (Liu and Rubin 1995).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from scipy.special import betaln, digamma, gammaln

from dem.families.exact import ExactFamily
from dem.families.gaussian import LOG_2PI
from dem.families.gaussian_filled import FilledDiagonal
from dem.families.gaussian_full import ObservedFull
from dem.model import Float

if TYPE_CHECKING:
    from dem.families.student_t import StudentTs

MISSING_KINDS: dict[str, type[ObservedFull] | type[FilledDiagonal]] = {"full": ObservedFull, "diag": FilledDiagonal}


@dataclass(frozen=True)
class Scales:
    """What the E-step of a tile found.

    Attributes
    ----------
    reuse
        The Gaussian's.
    u, log_u : array of shape (K, n)
        E u and E log u.
    spread : array of shape (K, n)
        E[1 / u], infinite where there is none.
    """

    reuse: Any
    u: Float
    log_u: Float
    spread: Float


class ObservedT(ExactFamily):
    """Mixed into `StudentT`, makes it one of rows with missing values."""

    covariance_type: str
    reg_covar: float

    def with_missing(self) -> Self:
        """Return the family itself."""
        return self

    @property
    def gaussian(self) -> ObservedFull | FilledDiagonal:
        """The family of x given u = 1."""
        return MISSING_KINDS[self.covariance_type](self.reg_covar)

    def log_density(self, theta: StudentTs, x: Float, out: Float) -> Any:
        """Write the log-densities of the observed entries; return what is expected of u."""
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
        return Scales(reuse, u, log_u, spread)

    def sums(self, theta: StudentTs, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the sums of r and r E log u, and the Gaussian's of completed rows weighted by r E u."""
        out[0] += resp.sum(axis=1)
        out[1] += np.einsum("kn,kn->k", resp, reuse.log_u)
        self.gaussian.add(theta.gaussians, x, reuse.reuse, resp * reuse.u, resp, out[2:])

    def fill(self, theta: StudentTs, x: Float, reuse: Scales, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each entry of x (d, n), given responsibilities (K, n).

        The variance is infinite where nu and what is observed are too few for one.
        """
        return self.gaussian.filled(theta.gaussians, x, reuse.reuse, resp, reuse.spread)
