"""Factor analysers: Gaussians whose covariance is W W' + Psi, with q factors and diagonal noise.

With isotropic noise they are probabilistic PCAs (Tipping and Bishop 1999, "Mixtures of probabilistic principal
component analysers"); with a variance for each column, factor analysers (Ghahramani and Hinton 1996). The sums have the
size O(d q). The E-step is in `dem.families.factors.e_step`, the M-step in `dem.families.factors.algebra`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle_size
from dem.families.base import FamilyBase
from dem.families.factors.algebra import FactorAnalysers, ResidualSums, latent_moments, m_step, residual_squares
from dem.families.factors.e_step import e_step, sums_by_products, sums_by_residuals
from dem.families.factors.missing import ObservedFactors
from dem.families.factors.noise import EPS, NoiseKind
from dem.families.factors.start import first_analysers
from dem.families.family import safe_counts
from dem.families.gaussian.base import LOG_2PI
from dem.families.reg_covar import column_reg_covar, reg_covar_values, shared_reg_covar
from dem.scan.scanner import Scan

FEW_COLUMNS = 64
"""Up to this number of columns, first centres are chosen in all directions."""


class FactorFamily(NoiseKind, FamilyBase):
    """Base of the families with isotropic and with diagonal noise."""

    @abstractmethod
    def with_missing(self) -> FactorFamily:
        """Return the family for rows with missing values."""

    def check_columns(self, d: int) -> None:
        """Raise an error if there are as many factors as columns: no noise would be left."""
        if self.n_factors >= d:
            raise ValueError(
                f"n_factors={self.n_factors} must be less than the number of columns, n_features={d}: use fewer "
                "factors, or a Gaussian mixture with full covariances"
            )

    def seeding_points(self, x: Float) -> Float:
        """Return the rows; if they have many columns, their leading directions, as many as two components have.

        With many columns, whitening gives all directions the same weight, and noise hides the components. In a test
        with 5,000 columns, EM from such centres did not separate two components that were far apart.
        """
        directions = 2 * (1 + self.n_factors)
        if min(x.shape) <= max(directions, FEW_COLUMNS):
            return x
        from sklearn.decomposition import PCA  # here: workers make no starts and need not import it

        leading = PCA(directions, svd_solver="randomized", random_state=0)
        return np.asarray(leading.fit_transform(x / self.units(x.var(axis=0))))

    def log_density(self, theta: FactorAnalysers, x: Float, out: Float) -> Any:
        """Write -0.5 (r' inv(Psi) r + |E[z | x]|^2) plus the log-normaliser; return the latents."""
        return e_step(theta, x, self.squares, out)

    def add_sums(self, theta: FactorAnalysers, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add E[z^ | x] E[z^ | x]', r E[z^ | x]' and r^2, weighted by the responsibilities."""
        weighted = reuse.z * resp
        second = weighted.transpose(1, 0, 2) @ reuse.z.transpose(1, 2, 0)
        if reuse.y is None or reuse.squares is None:
            cross, squares = sums_by_residuals(theta, x, reuse.z, weighted, self.squares)
        else:
            cross, excess = sums_by_products(theta.posterior_terms, reuse.y, weighted, second)
            squares = resp @ reuse.squares.T - self.pool(excess)
        (a, k, _), d = weighted.shape, len(x)
        out[: a * a] += second.transpose(1, 2, 0).reshape(-1, k)
        out[a * a : a * a + d * a] += cross.reshape(-1, k)
        out[a * a + d * a :] += squares.T

    def estimate(self, sums: Float, frame: Frame, previous: FactorAnalysers | None) -> FactorAnalysers:
        """Return mean, loadings and noise by the M-step of PX-EM (Liu, Rubin and Wu 1998).

        The prior of the latents is N(a, T T'), and the M-step estimates a and T too. x = mu + W z + e with this prior
        is the same model as x = (mu + W a) + (W T) z + e with the prior N(0, I). Plain EM is slow if the noise is small
        compared with the factors. PX-EM finds the mean and the lengths of the loadings at once.

        Raises
        ------
        ValueError
            If a noise variance falls to 0.
        """
        assert previous is not None  # the sums are made from its residuals
        _, d, q = previous.loadings.shape
        empty, average, terms = *averages(sums, d, q), previous.posterior_terms
        step = m_step(average, terms, previous.loadings)
        loadings = previous.loadings + step[:, :, 1:]
        squares = average.squares + self.pool(residual_squares(average, terms, step, loadings))
        noise = self.floored(squares * self.n_noise(d) / d, previous)
        self.check_noise(loadings, noise)
        shift, turn = latent_moments(average, terms, loadings, noise)
        means = previous.means + (step[:, :, 0] + np.einsum("kdq,kq->kd", loadings, shift))
        keep = empty[:, None]
        return FactorAnalysers(
            np.where(keep, previous.means, means),
            np.where(keep[:, :, None], previous.loadings, loadings @ turn),
            np.where(keep, previous.noise_variances, noise),
        )

    def expected(self, theta: FactorAnalysers, sums: Float, frame: Frame, previous: FactorAnalysers) -> float:
        """Return E[log p(x, z | theta)] plus the entropy of z, under the posterior of the old parameters.

        It is a lower bound of the sum of r log p(x | theta), with equality at the old parameters (PRML 9.70). Each
        component has two bounds, with the prior N(0, I) of the latents and with N(a, T T') of `estimate`. The larger
        one counts.
        """
        _, d, q = theta.loadings.shape
        _, average, terms = *averages(sums, d, q), previous.posterior_terms
        log_det_noise = d / self.n_noise(d) * np.log(theta.noise_variances).sum(axis=1)
        log_det_posterior = np.linalg.slogdet(terms.posterior)[1]

        def bound(means: Float, loadings: Float, latents: Float) -> Float:
            step = np.concatenate([(means - previous.means)[:, :, None], loadings - previous.loadings], axis=2)
            squares = average.squares + self.pool(residual_squares(average, terms, step, loadings))
            noise = log_det_noise + (squares / theta.noise_variances).sum(axis=1)
            return np.asarray(-0.5 * (d * LOG_2PI + noise + latents - log_det_posterior - q))

        latents = np.einsum("kjj->k", average.second[:, 1:, 1:] + terms.posterior)
        plain = bound(theta.means, theta.loadings, latents)
        fitted = previous.loadings + m_step(average, terms, previous.loadings)[:, :, 1:]
        shift, turn = latent_moments(average, terms, fitted, theta.noise_variances)
        loadings = theta.loadings @ np.linalg.inv(turn)
        means = theta.means - np.einsum("kdq,kq->kd", loadings, shift)
        turned = bound(means, loadings, q + 2 * np.linalg.slogdet(turn)[1])
        return float(sums[0] @ np.maximum(plain, turned))

    def initial(self, x: Float, resp: Float) -> FactorAnalysers:
        """Return, for each component, the closed form of probabilistic PCA on its rows (PRML 12.45); no noise is 0."""
        theta = first_analysers(self, x, resp)
        self.check_noise(theta.loadings, theta.noise_variances)
        return theta

    def centres(self, theta: FactorAnalysers) -> Float:
        """Return the means."""
        return theta.means

    def draw(self, theta: FactorAnalysers, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return mu + W z + e."""
        d, q = theta.loadings.shape[1:]
        z = rng.standard_normal((n, q))
        noise = np.sqrt(theta.noise_variances[component]) * rng.standard_normal((n, d))
        return np.asarray(theta.means[component] + z @ theta.loadings[component].T + noise)

    def named_parameters(self, theta: FactorAnalysers) -> dict[str, Float]:
        """Return "means", "loadings" and "noise_variances"."""
        return {"means": theta.means, "loadings": theta.loadings, "noise_variances": theta.noise_variances}

    def n_exact_sums(self, d: int) -> int:
        """Return (1 + q)^2 + d (1 + q) + the number of noise variances."""
        a = 1 + self.n_factors
        return a * a + d * a + self.n_noise(d)

    def tile_width(self, k: int, d: int) -> int:
        """Count x, y, residuals, fits and squares; and for each component its whitened, plain and weighted latents."""
        return 5 * d + k * (1 + 3 * (1 + self.n_factors))

    def parameter_size(self, k: int, d: int) -> int:
        """Return the number of entries of W^."""
        return k * d * (1 + self.n_factors)

    def n_parameters(self, k: int, d: int) -> int:
        """Return K (d + d q - q (q - 1) / 2 + the number of noise variances): W is unique up to a rotation.

        With many factors, a full covariance has fewer parameters; then their number counts.
        """
        q = self.n_factors
        return k * (d + min(d * q - q * (q - 1) // 2 + self.n_noise(d), triangle_size(d)))


def averages(sums: Float, d: int, q: int) -> tuple[NDArray[np.bool_], ResidualSums]:
    """Return which components (K,) have no rows, and the sums (F', K) divided by the counts.

    Empty components get E[z^ z^'] = I, so that the M-step can solve for all components at once.
    """
    counts = sums[0]
    empty = counts < safe_counts(counts)
    average = ResidualSums.unpack(sums, d, q).over(np.where(empty, 1.0, counts))
    average.second[empty] = np.eye(1 + q)
    return empty, average


class PPCAFamily(FactorFamily):
    """Isotropic noise: probabilistic PCAs."""

    pooled = True
    rounding = (64 * EPS) ** 2  # of squares: next to a wide column, the noise of the others can be very small

    def squares_used(self, variances: Float) -> Float:
        """Return the mean of the variances: all columns share one noise variance."""
        return np.full_like(variances, variances.mean())

    def squares(self, x: Float) -> Float:
        """Return |x|^2."""
        return np.asarray(np.einsum("dn,dn->n", x, x)[None])

    def pool(self, columns: Float) -> Float:
        """Return the sum over all columns."""
        return np.asarray(columns.sum(axis=1, keepdims=True))

    def n_noise(self, d: int) -> int:
        """Return 1."""
        return 1

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with `reg_covar` in the units of the data, from all but the q columns of largest variance.

        A factor explains a column that is much wider than the others. If this column counted, `reg_covar` could be
        larger than the variances of the others.
        """
        return replace(self, reg_covar=shared_reg_covar(self.reg_covar, scan, widest=self.n_factors))

    def floor(self, d: int) -> Float:
        """Return the smallest noise variance, (1,)."""
        return np.atleast_1d(reg_covar_values(self.reg_covar))

    def units(self, variances: Float) -> Float:
        """Return 1: this model depends on the units of the columns."""
        return np.ones(len(variances))

    def with_missing(self) -> FactorFamily:
        """Return the family for rows with missing values."""
        return ObservedPPCA(self.n_factors, self.reg_covar)


class FactorAnalysisFamily(FactorFamily):
    """Noise with a variance for each column: factor analysers."""

    pooled = False

    def squares(self, x: Float) -> Float:
        """Return each column's square."""
        return x * x

    def pool(self, columns: Float) -> Float:
        """Return the columns as they are."""
        return columns

    def n_noise(self, d: int) -> int:
        """Return d."""
        return d

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with `reg_covar` in the units of the data."""
        return replace(self, reg_covar=column_reg_covar(self.reg_covar, scan))

    def floor(self, d: int) -> Float:
        """Return the smallest noise variance of each column, (d,)."""
        return np.broadcast_to(reg_covar_values(self.reg_covar), (d,))

    def units(self, variances: Float) -> Float:
        """Return the standard deviations of the columns; 1 for constant columns."""
        return np.asarray(np.sqrt(np.where(variances > 0, variances, 1.0)))

    def with_missing(self) -> FactorFamily:
        """Return the family for rows with missing values."""
        return ObservedFactorAnalysis(self.n_factors, self.reg_covar)


class ObservedPPCA(ObservedFactors, PPCAFamily):
    """Probabilistic PCAs for rows with missing values."""


class ObservedFactorAnalysis(ObservedFactors, FactorAnalysisFamily):
    """Factor analysers for rows with missing values."""


NOISE: dict[str, type[FactorFamily]] = {"isotropic": PPCAFamily, "diagonal": FactorAnalysisFamily}
"""The kinds of noise, by name."""
