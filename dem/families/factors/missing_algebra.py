"""The M-step of K factor analysers from rows with missing values.

Each column has its own regression on the latents, over the rows in which it is observed:

    w^_j = (sum of x_j E[z^ | x_o]') inv(sum of E[z^ z^' | x_o]),  z^ = (1, z),  w^_j = (mu_j, w_j)

It is computed as a change of the old parameters, from e = x - mu - W z, so that no digits are lost. The missing values
are not treated as latent variables: EM would be slower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.core.linalg import triangle_size, unpack
from dem.families.factors.algebra import FactorAnalysers, covariance_rounding
from dem.families.family import EMPTY_SHARE

TOO_FEW = (
    "a column has too few observed values to estimate its loadings: use fewer components or factors, or leave out "
    "columns in which nearly all values are missing"
)


@dataclass(frozen=True)
class ColumnwiseSums:
    """Expected sums over rows, weighted by the responsibilities; the first axis is the component.

    Attributes
    ----------
    all_rows : array of shape (K, 1 + q, 1 + q)
        Sums of E[z^ z^' | x_o] over all rows; the entries [0, 0] are the counts.
    second : array of shape (K, d, 1 + q, 1 + q)
        The same over the rows in which column j is observed; the entries [0, 0] are their counts N_j.
    cross : array of shape (K, d, 1 + q)
        Sums of E[e_j z^' | x_o] over the rows in which column j is observed.
    squares : array of shape (K, d)
        Sums of E[e_j^2 | x_o] over the same rows.
    log_det : array of shape (K,)
        Sums of log |H|.
    """

    all_rows: Float
    second: Float
    cross: Float
    squares: Float
    log_det: Float

    @classmethod
    def unpack(cls, sums: Float, d: int, q: int) -> ColumnwiseSums:
        """Split sums (F', K) into arrays."""
        a, size = 1 + q, triangle_size(1 + q)
        second, cross, squares, log_det = np.split(sums.T, np.cumsum([(1 + d) * size, d * a, d]), axis=1)
        moments = unpack(second.reshape(-1, 1 + d, size), a)
        return cls(moments[:, 0], moments[:, 1:], cross.reshape(-1, d, a), squares, log_det[:, 0])

    @property
    def counts(self) -> Float:
        """The weight of the rows in which each column is observed, (K, d)."""
        return self.second[:, :, 0, 0]

    def lacking(self) -> np.ndarray:
        """Return which columns (K, d) are observed in almost no rows of a component."""
        return np.asarray(self.counts <= EMPTY_SHARE * self.all_rows[:, 0, 0].sum())

    def step(self) -> Float:
        """Return the change of W^ = (mu, W), (K, d, 1 + q); 0 for columns that are `lacking`.

        Raises
        ------
        ValueError
            If a column has too few observed values to estimate its loadings.
        """
        lacking = self.lacking()[:, :, None]
        second = np.where(lacking[..., None], np.eye(self.cross.shape[2]), self.second)
        try:
            return np.asarray(np.linalg.solve(second, np.where(lacking, 0.0, self.cross)[..., None])[..., 0])
        except np.linalg.LinAlgError:
            raise ValueError(TOO_FEW) from None

    def squares_after(self, step: Float) -> Float:
        """Return the sums of E[e_j^2 | x_o], (K, d), after W^ has changed by `step`."""
        grown = np.einsum("kdij,kdj->kdi", self.second, step)
        return np.asarray(self.squares + np.einsum("kdi,kdi->kd", grown - 2 * self.cross, step))

    def latent_moments(self) -> tuple[Float, Float]:
        """Return mean a (K, q) and a root T (K, q, q) of the covariance T T' of the latents, over all rows.

        T is the symmetric root: if the covariance is nearly I, as at the end of a fit, T does not rotate the latents.
        """
        counts = self.all_rows[:, 0, 0]
        empty = counts <= EMPTY_SHARE * counts.sum()
        average = self.all_rows / np.where(empty, 1.0, counts)[:, None, None]
        average[empty] = np.eye(average.shape[1])
        mean = average[:, 1:, 0]
        covariance = average[:, 1:, 1:] - mean[:, :, None] * mean[:, None, :]
        values, vectors = np.linalg.eigh(covariance)
        least = covariance_rounding(average[:, 1:, 1:])
        roots = vectors * np.sqrt(np.maximum(values, least))[:, None, :]
        return mean, roots @ np.swapaxes(vectors, 1, 2)

    def best_bound(self, theta: FactorAnalysers, previous: FactorAnalysers, shift: Float, turn: Float) -> Float:
        """Return the larger of two bounds, (K,): with the prior N(0, I) of the latents, and with N(a, T T')."""
        plain = self.bound(theta, previous, np.zeros_like(shift), np.broadcast_to(np.eye(shift.shape[1]), turn.shape))
        return np.maximum(plain, self.bound(theta, previous, shift, turn))

    def bound(self, theta: FactorAnalysers, previous: FactorAnalysers, shift: Float, turn: Float) -> Float:
        """Return the bound of sum log p(x_o | theta) from the old posteriors of z, (K,)   (PRML 9.70).

        It is E[log p(x_o, z)] plus the entropy. With the prior N(a, T T') of the latents, the model x = mu + W z + e is
        x = (mu - W inv(T) a) + (W inv(T)) z + e.

        Parameters
        ----------
        theta, previous : FactorAnalysers
            The new parameters, and those of the E-step that gave the sums.
        shift, turn : array of shape (K, q) and (K, q, q)
            a and T.
        """
        back = np.linalg.inv(turn)
        loadings = theta.loadings @ back
        means = theta.means - np.einsum("kdq,kq->kd", loadings, shift)
        step = np.concatenate([(means - previous.means)[:, :, None], loadings - previous.loadings], axis=2)
        columns, squares = theta.column_terms, self.squares_after(step)
        of_x = np.einsum("kd,kd->k", columns.log_noise, self.counts) + np.einsum("kd,kd->k", columns.inverse, squares)
        centred = np.concatenate([-shift[:, :, None], np.broadcast_to(np.eye(shift.shape[1]), turn.shape)], axis=2)
        latent = np.einsum("kij,kjl,kil->k", back @ centred, self.all_rows, back @ centred)
        entropy = self.log_det + self.all_rows[:, 0, 0] * (2 * np.linalg.slogdet(turn)[1] - shift.shape[1])
        return np.asarray(-0.5 * (of_x + latent + entropy))
