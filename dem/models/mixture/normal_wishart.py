"""Normal-Wishart distributions of the means and precisions of K Gaussians   (PRML 10.40, 10.59).

    q(mu_k, Lambda_k) = N(mu_k | m_k, inv(beta_k Lambda_k)) Wishart(Lambda_k | W_k, nu_k)

All four covariance types have the same model, full Gaussians; they differ in the class of q. The best q of a class has
inv(W) = the average, over the entries that the class makes equal, of

    A_k = inv(W_0) + N_k S_k + N_k beta_0 / beta_k (x_k - m_0)(x_k - m_0)'   (PRML 10.62)

and nu is averaged in the same way: "full" has A_k itself; "diag" its diagonal; "spherical" the mean of its diagonal;
"tied" the mean of A_k over the components. These are scikit-learn's updates. Each is the optimum of its class, so none
lowers the bound on the log-evidence. (For Wisharts with diagonal W, E[log |Lambda|] is that of (d, d) matrices.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import digamma, multigammaln

from dem.core.block import Float
from dem.families import DiagonalGaussian, FullGaussian, GaussianFamily, Gaussians, SphericalGaussian, TiedGaussian


class FullScale:
    """W of shape (K, d, d); the base class of the other shapes."""

    matrices = True
    shared = False

    def is_singular(self, covariance: Float) -> bool:
        """Whether a covariance has no inverse in float64, whatever the columns' units."""
        deviations = np.sqrt(np.diag(covariance))
        if not (deviations > 0).all():
            return True
        try:
            pivots = np.diag(np.linalg.cholesky(covariance / np.outer(deviations, deviations))) ** 2
        except np.linalg.LinAlgError:
            return True
        return bool(pivots.min() < 8 * len(pivots) * np.finfo(np.float64).eps)

    def floored(self, covariance: Float, floor: float | Float) -> Float:
        """Return a covariance with one number, or (d,), added to its diagonal."""
        return np.asarray(covariance + floor * np.eye(len(covariance)))

    def scatter(self, weight: Float, x: Float) -> Float:
        """Return weight_k x_k x_k' for the rows x_k of x (K, d), in the shape of the class."""
        return np.asarray(np.einsum("k,ki,kj->kij", weight, x, x))

    def times(self, weight: Float, covariances: Float) -> Float:
        """Return weight_k times each covariance."""
        return np.asarray(weight[:, None, None] * covariances)

    def average(self, values: Float) -> Float:
        """Return values (K,), averaged if the components share W."""
        return values

    def log_det(self, factor: Float, d: int) -> Float:
        """Return log |U U'|."""
        return np.asarray(2 * np.log(np.einsum("...ii->...i", factor)).sum(axis=-1))

    def squares(self, factor: Float, x: Float) -> Float:
        """Return |U_k' x_k|^2 (K,) for the rows of x (K, d)."""
        return np.asarray((np.einsum("...ij,...i->...j", factor, x) ** 2).sum(axis=-1))

    def trace(self, prior_factor: Float, factor: Float, d: int) -> Float:
        """Return tr(inv(U_0 U_0') U_k U_k')."""
        return np.asarray((np.linalg.solve(prior_factor, factor) ** 2).sum(axis=(-2, -1)))


class TiedScale(FullScale):
    """One W of shape (d, d)."""

    shared = True

    def scatter(self, weight: Float, x: Float) -> Float:
        """Return the mean of weight_k x_k x_k' over the components."""
        return np.asarray((x.T * weight) @ x / len(x))

    def times(self, weight: Float, covariances: Float) -> Float:
        """Return the mean weight times the covariance."""
        return np.asarray(weight.mean() * covariances)

    def average(self, values: Float) -> Float:
        """Return the mean of the values."""
        return np.asarray(values.mean())


class DiagonalScale(FullScale):
    """The diagonals of W, of shape (K, d)."""

    matrices = False

    def is_singular(self, covariance: Float) -> bool:
        """Whether a variance is 0."""
        return not bool((covariance > 0).all())

    def floored(self, covariance: Float, floor: float | Float) -> Float:
        """Return variances with one number, or (d,), added."""
        return np.asarray(covariance + floor)

    def scatter(self, weight: Float, x: Float) -> Float:
        """Return weight_k x_k^2."""
        return np.asarray(weight[:, None] * x**2)

    def times(self, weight: Float, covariances: Float) -> Float:
        """Return weight_k times each row."""
        return np.asarray(weight[:, None] * covariances)

    def log_det(self, factor: Float, d: int) -> Float:
        """Return log |U U'| of the diagonals."""
        return np.asarray(2 * np.log(factor).sum(axis=-1))

    def squares(self, factor: Float, x: Float) -> Float:
        """Return the sum of (u_k x_k)^2 over the columns."""
        return np.asarray(((factor * x) ** 2).sum(axis=-1))

    def trace(self, prior_factor: Float, factor: Float, d: int) -> Float:
        """Return the sum of the ratios of variances."""
        return np.asarray(((factor / prior_factor) ** 2).sum(axis=-1))


class SphericalScale(DiagonalScale):
    """W a multiple of the identity, of shape (K,)."""

    def scatter(self, weight: Float, x: Float) -> Float:
        """Return weight_k times the mean of x_k^2 over the columns."""
        return np.asarray(weight * (x**2).mean(axis=1))

    def times(self, weight: Float, covariances: Float) -> Float:
        """Return weight_k times each variance."""
        return np.asarray(weight * covariances)

    def log_det(self, factor: Float, d: int) -> Float:
        """Return log |U U'| of the multiples of the identity."""
        return np.asarray(2 * d * np.log(factor))

    def squares(self, factor: Float, x: Float) -> Float:
        """Return u^2 |x|^2."""
        return np.asarray(factor**2 * (x**2).sum(axis=-1))

    def trace(self, prior_factor: Float, factor: Float, d: int) -> Float:
        """Return d times the ratio of variances."""
        return np.asarray(d * (factor / prior_factor) ** 2)


SCALES: dict[type[GaussianFamily], FullScale] = {
    FullGaussian: FullScale(),
    TiedGaussian: TiedScale(),
    DiagonalGaussian: DiagonalScale(),
    SphericalGaussian: SphericalScale(),
}


@dataclass(frozen=True)
class NormalWishart:
    """The prior of every component.

    Attributes
    ----------
    mean : array of shape (d,)
        m_0.
    mean_precision : float
        beta_0.
    degrees_of_freedom : float
        nu_0, greater than d - 1.
    covariance : array
        inv(W_0): (d, d) full and tied, (d,) diagonal, () spherical.
    factor : array
        U with U U' = W_0, of the same shape.
    """

    mean: Float
    mean_precision: float
    degrees_of_freedom: float
    covariance: Float
    factor: Float

    def posterior(
        self, family: GaussianFamily, counts: Float, means: Float, covariances: Float
    ) -> tuple[Gaussians, Float, Float]:
        """Return the posterior, given expected counts N (K,), means (K, d) and covariances S of the rows.

        Returns
        -------
        theta : Gaussians
            The means m, and the covariances inv(nu W) with their factors: nu W are the expected precisions.
        mean_precision : array of shape (K,)
            beta.
        degrees_of_freedom : array of shape (K,), or () if the components share W
            nu.

        Raises
        ------
        ValueError
            If a covariance is not positive definite.
        """
        return self.from_scatter(family, counts, means, SCALES[type(family)].times(counts, covariances))

    def from_scatter(
        self, family: GaussianFamily, counts: Float, means: Float, scatter: Float
    ) -> tuple[Gaussians, Float, Float]:
        """Return what `posterior` does, given N S in place of S (tied: the mean of N_k S_k over the components)."""
        scale = SCALES[type(family)]
        beta = self.mean_precision + counts
        nu = self.degrees_of_freedom + scale.average(counts)
        offset = means - self.mean
        between = scale.scatter(counts * self.mean_precision / beta, offset)
        total = self.covariance + scatter + between
        m = np.ascontiguousarray(self.mean + (counts / beta)[:, None] * offset)  # PRML 10.61
        inverse = total / nu.reshape(nu.shape + (1,) * (total.ndim - nu.ndim))
        return family.from_covariances(m, inverse), beta, nu

    def expected(
        self, family: GaussianFamily, counts: Float, means: Float, posterior: tuple[Gaussians, Float, Float]
    ) -> float:
        """Return E[log p(x | mu, Lambda)] summed over the rows, in nats, under the posterior given these rows.

        A_k = nu_k inv(nu_k W_k) has the scatter of the rows and the prior's part, so the scatter is not needed.
        """
        theta, beta, nu = posterior
        scale, d, factor = SCALES[type(family)], len(self.mean), theta.precisions_cholesky
        between = counts * self.mean_precision / beta * scale.squares(factor, means - self.mean)
        within = nu * d - scale.trace(self.factor, factor, d) - between
        about = counts * scale.squares(factor, means - theta.means)
        log_norm = scale.log_det(factor, d) - d * np.log(2 * np.pi) + 2 * log_correction(beta, nu, d)
        return 0.5 * float((counts * log_norm - within - about).sum())

    def divergence(self, family: GaussianFamily, theta: Gaussians, beta: Float, nu: Float) -> float:
        """Return the sum over the components of KL(q(mu, Lambda) || prior), in nats; q is what `posterior` returns."""
        scale, d = SCALES[type(family)], len(self.mean)
        factor, nu_0 = theta.precisions_cholesky, self.degrees_of_freedom
        ratio = self.mean_precision / beta
        squares = scale.squares(factor, theta.means - self.mean)
        normal = 0.5 * (d * (ratio - 1 - np.log(ratio)) + self.mean_precision * squares)
        log_det = scale.log_det(factor, d) - d * np.log(nu) - scale.log_det(self.factor, d)  # log |inv(W_0) W|
        wishart = (
            0.5 * (scale.trace(self.factor, factor, d) - nu * d - nu_0 * log_det)
            + multigammaln(nu_0 / 2, d)
            - multigammaln(nu / 2, d)
            + 0.5 * (nu - nu_0) * multidigamma(nu / 2, d)
        )
        return float((normal + wishart).sum())


def multidigamma(a: Float, d: int) -> Float:
    """Return the derivative of log Gamma_d(a): the sum of psi(a - i / 2) over i < d."""
    return np.asarray(sum(digamma(a - i / 2) for i in range(d)))


def log_correction(beta: Float, nu: Float, d: int) -> Float:
    """Return E[log N(x | mu, inv(Lambda))] - log N(x | m, inv(nu W)), the same for all x   (PRML 10.64, 10.65)."""
    log_det = multidigamma(nu / 2, d) + d * np.log(2 / nu)  # E[log |Lambda|] - log |nu W|
    return np.asarray(0.5 * (log_det - d / beta))
