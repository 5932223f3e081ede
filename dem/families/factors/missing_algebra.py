"""The M-step of K factor analysers from rows in which values are missing.

Every column has its own regression on the latents, over the rows that have it:

    w^_j = sum over those rows of x_j E[z^ | x_o]' times inv(sum of E[z^ z^' | x_o]),  z^ = (1, z),  w^_j = (mu_j, w_j)

taken as a step from the old parameters, by e = x - mu - W z, which loses no digits. The missing values are no latent
variables here, so that they slow nothing down.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.core.linalg import triangle_size, unpack
from dem.families.factors.algebra import FactorAnalysers, covariance_rounding
from dem.families.family import EMPTY

TOO_FEW = (
    "too few rows have some column to tell its loadings: use fewer components or factors, or leave out columns of "
    "which nearly all is missing"
)


@dataclass(frozen=True)
class ColumnwiseSums:
    """A component's expected sums over the rows, weighted by its responsibilities; for all K, the first axis.

    Attributes
    ----------
    all_rows : array of shape (K, 1 + q, 1 + q)
        Of E[z^ z^' | x_o]; the counts at [0, 0].
    second : array of shape (K, d, 1 + q, 1 + q)
        The same of the rows that have column j; their counts N_j at [0, 0].
    cross : array of shape (K, d, 1 + q)
        Of E[e_j z^' | x_o], over the rows that have column j.
    squares : array of shape (K, d)
        Of E[e_j^2 | x_o], likewise.
    log_det : array of shape (K,)
        Of log |H|.
    """

    all_rows: Float
    second: Float
    cross: Float
    squares: Float
    log_det: Float

    @classmethod
    def unpack(cls, sums: Float, d: int, q: int) -> ColumnwiseSums:
        """Return the parts of sums (F', K)."""
        a, size = 1 + q, triangle_size(1 + q)
        second, cross, squares, log_det = np.split(sums.T, np.cumsum([(1 + d) * size, d * a, d]), axis=1)
        moments = unpack(second.reshape(-1, 1 + d, size), a)
        return cls(moments[:, 0], moments[:, 1:], cross.reshape(-1, d, a), squares, log_det[:, 0])

    @property
    def counts(self) -> Float:
        """The weight of the rows that have each column, (K, d)."""
        return self.second[:, :, 0, 0]

    def lacking(self) -> np.ndarray:
        """Return which columns (K, d) a component has next to no rows of."""
        return np.asarray(self.counts <= EMPTY * self.all_rows[:, 0, 0].sum())

    def step(self) -> Float:
        """Return by how much W^ grows, (K, d, 1 + q): mean and loadings at once; 0 where rows are lacking.

        Raises
        ------
        ValueError
            If the rows that have a column do not tell its loadings.
        """
        lacking = self.lacking()[:, :, None]
        second = np.where(lacking[..., None], np.eye(self.cross.shape[2]), self.second)
        try:
            return np.asarray(np.linalg.solve(second, np.where(lacking, 0.0, self.cross)[..., None])[..., 0])
        except np.linalg.LinAlgError:
            raise ValueError(TOO_FEW) from None

    def squares_after(self, step: Float) -> Float:
        """Return the sums of E[e_j^2 | x_o], (K, d), for a W^ that has grown by `step`."""
        grown = np.einsum("kdij,kdj->kdi", self.second, step)
        return np.asarray(self.squares + np.einsum("kdi,kdi->kd", grown - 2 * self.cross, step))

    def latent_moments(self) -> tuple[Float, Float]:
        """Return the latents' mean a (K, q) over all rows, and T (K, q, q) with covariance T T'.

        T is the symmetric root: where the covariance is nearly I, as at the end of a fit, it turns nothing.
        """
        counts = self.all_rows[:, 0, 0]
        empty = counts <= EMPTY * counts.sum()
        average = self.all_rows / np.where(empty, 1.0, counts)[:, None, None]
        average[empty] = np.eye(average.shape[1])
        mean = average[:, 1:, 0]
        covariance = average[:, 1:, 1:] - mean[:, :, None] * mean[:, None, :]
        values, vectors = np.linalg.eigh(covariance)
        least = covariance_rounding(average[:, 1:, 1:])
        roots = vectors * np.sqrt(np.maximum(values, least))[:, None, :]
        return mean, roots @ np.swapaxes(vectors, 1, 2)

    def best_bound(self, theta: FactorAnalysers, previous: FactorAnalysers, shift: Float, turn: Float) -> Float:
        """Return the better one of two bounds, (K,): with the latents as they are, and with their new moments."""
        plain = self.bound(theta, previous, np.zeros_like(shift), np.broadcast_to(np.eye(shift.shape[1]), turn.shape))
        return np.maximum(plain, self.bound(theta, previous, shift, turn))

    def bound(self, theta: FactorAnalysers, previous: FactorAnalysers, shift: Float, turn: Float) -> Float:
        """Return the bound of sum log p(x_o | theta) at the old posteriors of z, (K,)   (PRML 9.70).

        It is E[log p(x_o, z)] and the entropy, with the latents' prior N(a, T T') before they are shifted and turned:
        x = mu + W z + e is then x = (mu - W inv(T) a) + (W inv(T)) z + e.

        Parameters
        ----------
        theta, previous : FactorAnalysers
            The new parameters, and those that the sums were made with.
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
