"""Factor analysers: Gaussians whose covariance is W W' + Psi, with q factors and diagonal noise.

With isotropic noise they are probabilistic PCAs (Tipping and Bishop 1999, "Mixtures of probabilistic principal
component analysers"); with a variance for each column, factor analysers (Ghahramani and Hinton 1996). Sums are of size
O(d q).
The E-step is in `dem.families.factors.e_step`, what follows from the parameters in `dem.families.factors.algebra`.
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
from dem.families.factors.algebra import FactorAnalysers, Sums, latent_moments, m_step, residual_squares
from dem.families.factors.e_step import e_step, sums_by_products, sums_by_residuals
from dem.families.factors.missing import ObservedFactors
from dem.families.factors.noise import EPS, NoiseKind
from dem.families.factors.start import first_analysers
from dem.families.family import safe_counts
from dem.families.gaussian.base import LOG_2PI
from dem.families.plain import Plain
from dem.families.reg_covar import added, of_all_columns, of_columns
from dem.scan.scanner import Scan

NARROW = 64
"""Columns among which all directions serve to choose first centres."""


class FactorFamily(NoiseKind, Plain):
    """Base of the two kinds of noise."""

    @abstractmethod
    def with_missing(self) -> FactorFamily:
        """Return the family of rows with missing values."""

    def check_columns(self, d: int) -> None:
        """Refuse as many factors as columns: then no noise is left."""
        if self.n_factors >= d:
            raise ValueError(
                f"n_factors={self.n_factors} must be less than the number of columns, n_features={d}: use fewer "
                "factors, or a Gaussian mixture with full covariances"
            )

    def coordinates(self, x: Float) -> Float:
        """Return the rows as they are; of many columns the leading directions, as many as two components have.

        Whitened, all directions of wide data count the same, and noise drowns the components: from centres chosen
        there EM did not part two that lie far apart in 5,000 columns.
        """
        directions = 2 * (1 + self.n_factors)
        if min(x.shape) <= max(directions, NARROW):
            return x
        from sklearn.decomposition import PCA  # here, since workers never start and need not pay for it

        leading = PCA(directions, svd_solver="randomized", random_state=0)
        return np.asarray(leading.fit_transform(x / self.units(x.var(axis=0))))

    def log_density(self, theta: FactorAnalysers, x: Float, out: Float) -> Any:
        """Write -0.5 (r' inv(Psi) r + |E[z | x]|^2) and the normaliser; return the latents."""
        return e_step(theta, x, self.squares, out)

    def sums(self, theta: FactorAnalysers, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add E[z^ | x] E[z^ | x]', r E[z^ | x]' and r^2, each times the responsibility."""
        weighted = reuse.z * resp
        second = weighted.transpose(1, 0, 2) @ reuse.z.transpose(1, 2, 0)
        if reuse.y is None or reuse.squares is None:
            cross, squares = sums_by_residuals(theta, x, reuse.z, weighted, self.squares)
        else:
            cross, excess = sums_by_products(theta.algebra, reuse.y, weighted, second)
            squares = resp @ reuse.squares.T - self.pool(excess)
        (a, k, _), d = weighted.shape, len(x)
        out[: a * a] += second.transpose(1, 2, 0).reshape(-1, k)
        out[a * a : a * a + d * a] += cross.reshape(-1, k)
        out[a * a + d * a :] += squares.T

    def estimate(self, sums: Float, frame: Frame, previous: FactorAnalysers | None) -> FactorAnalysers:
        """Return mean, loadings and noise by the M-step of PX-EM (Liu, Rubin and Wu 1998).

        The latents' prior is widened to N(a, T T'), which the M-step fits as well; x = mu + W z + e with such latents
        is x = (mu + W a) + (W T) z + e with those of N(0, I). Plain EM creeps where the noise is small beside the
        factors: here the mean is the weighted mean at once, and the loadings find their lengths.

        Raises
        ------
        ValueError
            If a noise variance falls to 0.
        """
        assert previous is not None  # the sums are about its residuals
        _, d, q = previous.loadings.shape
        empty, average, algebra = *averages(sums, d, q), previous.algebra
        step = m_step(average, algebra, previous.loadings)
        loadings = previous.loadings + step[:, :, 1:]
        squares = average.squares + self.pool(residual_squares(average, algebra, step, loadings))
        noise = self.floored(squares * self.n_noise(d) / d, previous)
        self.check_noise(loadings, noise)
        shift, turn = latent_moments(average, algebra, loadings, noise)
        means = previous.means + (step[:, :, 0] + np.einsum("kdq,kq->kd", loadings, shift))
        keep = empty[:, None]
        return FactorAnalysers(
            np.where(keep, previous.means, means),
            np.where(keep[:, :, None], previous.loadings, loadings @ turn),
            np.where(keep, previous.noise_variances, noise),
        )

    def expected(self, theta: FactorAnalysers, sums: Float, frame: Frame, previous: FactorAnalysers) -> float:
        """Return E[log p(x, z | theta)] and the entropy of z, under the posterior of the old parameters.

        A lower bound of the sum of r log p(x | theta), which it touches at the old parameters (PRML 9.70); each
        component's better one of two: with the latents as they are, and with those that `estimate` has shifted and
        stretched.
        """
        _, d, q = theta.loadings.shape
        _, average, algebra = *averages(sums, d, q), previous.algebra
        log_det_noise = d / self.n_noise(d) * np.log(theta.noise_variances).sum(axis=1)
        log_det_posterior = np.linalg.slogdet(algebra.posterior)[1]

        def bound(means: Float, loadings: Float, latents: Float) -> Float:
            step = np.concatenate([(means - previous.means)[:, :, None], loadings - previous.loadings], axis=2)
            squares = average.squares + self.pool(residual_squares(average, algebra, step, loadings))
            noise = log_det_noise + (squares / theta.noise_variances).sum(axis=1)
            return np.asarray(-0.5 * (d * LOG_2PI + noise + latents - log_det_posterior - q))

        latents = np.einsum("kjj->k", average.second[:, 1:, 1:] + algebra.posterior)
        plain = bound(theta.means, theta.loadings, latents)
        fitted = previous.loadings + m_step(average, algebra, previous.loadings)[:, :, 1:]
        shift, turn = latent_moments(average, algebra, fitted, theta.noise_variances)
        loadings = theta.loadings @ np.linalg.inv(turn)
        means = theta.means - np.einsum("kdq,kq->kd", loadings, shift)
        turned = bound(means, loadings, q + 2 * np.linalg.slogdet(turn)[1])
        return float(sums[0] @ np.maximum(plain, turned))

    def initial(self, x: Float, resp: Float) -> FactorAnalysers:
        """Return each component's closed form of probabilistic PCA on its rows (PRML 12.45), with noise everywhere."""
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

    def named(self, theta: FactorAnalysers) -> dict[str, Float]:
        """Return "means", "loadings" and "noise_variances"."""
        return {"means": theta.means, "loadings": theta.loadings, "noise_variances": theta.noise_variances}

    def n_centred(self, d: int) -> int:
        """Return (1 + q)^2 + d (1 + q) + the number of noise variances."""
        a = 1 + self.n_factors
        return a * a + d * a + self.n_noise(d)

    def tile_width(self, k: int, d: int) -> int:
        """Return x, y, residuals, fits and squares, and each component's whitened, plain and weighted latents."""
        return 5 * d + k * (1 + 3 * (1 + self.n_factors))

    def factor_size(self, k: int, d: int) -> int:
        """Return the size of the augmented loadings."""
        return k * d * (1 + self.n_factors)

    def n_parameters(self, k: int, d: int) -> int:
        """Return K (d + d q - q (q - 1) / 2 + the number of noise variances): W is known up to a rotation.

        With so many factors that a free covariance has fewer parameters, those of that one.
        """
        q = self.n_factors
        return k * (d + min(d * q - q * (q - 1) // 2 + self.n_noise(d), triangle_size(d)))


def averages(sums: Float, d: int, q: int) -> tuple[NDArray[np.bool_], Sums]:
    """Return which components (K,) have no rows, and the sums (F', K) divided by the counts, fit to be solved for."""
    counts = sums[0]
    empty = counts < safe_counts(counts)
    average = Sums.unpack(sums, d, q).over(np.where(empty, 1.0, counts))
    average.second[empty] = np.eye(1 + q)
    return empty, average


class PPCAFamily(FactorFamily):
    """Isotropic noise: probabilistic PCAs."""

    pooled = True
    rounding = (64 * EPS) ** 2  # of the residuals' squares: beside a wide column the noise of the others may be small

    def squared(self, variances: Float) -> Float:
        """Return the mean: narrow columns are little beside wide ones."""
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
        """Return the family with a `reg_covar` in the data's units: that of the columns that no factor can take away.

        A factor explains a column far wider than the others; its share would be more than all that the others vary by.
        """
        return replace(self, reg_covar=of_all_columns(self.reg_covar, scan, widest=self.n_factors))

    def floor(self, d: int) -> Float:
        """Return the one."""
        return np.atleast_1d(added(self.reg_covar))

    def units(self, variances: Float) -> Float:
        """Return 1: the model depends on the units."""
        return np.ones(len(variances))

    def with_missing(self) -> FactorFamily:
        """Return probabilistic PCAs of rows with missing values."""
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
        """Return the family with a `reg_covar` in the data's units."""
        return replace(self, reg_covar=of_columns(self.reg_covar, scan))

    def floor(self, d: int) -> Float:
        """Return each column's."""
        return np.broadcast_to(added(self.reg_covar), (d,))

    def units(self, variances: Float) -> Float:
        """Return the columns' deviations; 1 of constant columns."""
        return np.asarray(np.sqrt(np.where(variances > 0, variances, 1.0)))

    def with_missing(self) -> FactorFamily:
        """Return factor analysers of rows with missing values."""
        return ObservedFactorAnalysis(self.n_factors, self.reg_covar)


class ObservedPPCA(ObservedFactors, PPCAFamily):
    """Probabilistic PCAs of rows in which values are missing."""


class ObservedFactorAnalysis(ObservedFactors, FactorAnalysisFamily):
    """Factor analysers of rows in which values are missing."""


NOISE: dict[str, type[FactorFamily]] = {"isotropic": PPCAFamily, "diagonal": FactorAnalysisFamily}
"""The kinds of noise, by name."""
