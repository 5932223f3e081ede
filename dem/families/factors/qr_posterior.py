"""The posterior of z by orthogonal transformations, for rows whose systems H would lose digits.

H = I + W_o' inv(Psi_o) W_o is the Gram matrix of A = (inv(sqrt(Psi_o)) W_o, I), one below the other. Where some columns
are far wider than the others, and one of them is missing, what the narrow ones add to H is below the rounding of the
rest. The factor R of A = Q R with R' R = H has their digits; it comes with Q' (x_o - mu) / sqrt(psi_o), and no normal
equations. Some ten times the cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.linalg import inverse_stack
from dem.families.factors.algebra import FactorAnalysers

Rows = NDArray[np.intp]

LARGEST_LOSS = 1e5
"""Share of the diagonal of H that the pivots of its Cholesky factor may be cancelled to, in all: eps * 1e5 is 2e-11."""
A_DIGIT = 10.0
"""Smaller losses are those of any matrix."""
PART_BYTES = 2**20
"""What the systems of the rows may take that are factorised at a time."""


@dataclass(frozen=True)
class QRPosterior:
    """Some rows of a tile.

    Attributes
    ----------
    rows : int array of shape (m,)
        Where they stand in the tile.
    inverse : array of shape (q, q, m)
        M with G = M' M, lower triangular.
    whitened : array of shape (q, m)
        M W' inv(Psi) (x - mu): E[z | x_o] = M' times it.
    log_det : array of shape (m,)
        log |H|.
    """

    rows: Rows
    inverse: Float
    whitened: Float
    log_det: Float

    def spread(self, loadings: Float) -> Float:
        """Return M w_j, (d, q, m): w_j' G w_j is its square."""
        return np.asarray(np.einsum("ijm,dj->dim", self.inverse, loadings))


def rows_needing_qr(systems: Float, lower: Float) -> Rows:
    """Return the rows for which the Cholesky factors (q, q, n) of the systems (q, q, n) have lost digits."""
    pivots = np.einsum("jjn->jn", lower)  # what they lose in turn multiplies
    shares = np.einsum("jjn->jn", systems) / (pivots * pivots)
    return np.flatnonzero(np.prod(np.where(shares > A_DIGIT, shares, 1.0), axis=0) > LARGEST_LOSS)


def qr_posteriors(theta: FactorAnalysers, k: int, rows: Rows, rest: Float, observed: Float) -> Iterator[QRPosterior]:
    """Return the posteriors of component k for these rows, some at a time.

    Parameters
    ----------
    theta : FactorAnalysers
    k : int
    rows : int array
    rest : array of shape (d, n)
        The whole tile's x - mu, 0 where missing.
    observed : array of shape (d, n)
        1 where x is observed, else 0.
    """
    d, q = theta.loadings.shape[1:]
    root = np.sqrt(theta.column_terms.inverse[k])
    scaled = theta.loadings[k] * root[:, None]
    order = np.argsort(-np.abs(scaled).max(axis=1), kind="stable")  # large rows first: so Householder's keep the small
    step = max(1, PART_BYTES // (8 * (q + d) * (1 + q)))
    for start in range(0, len(rows), step):
        here = rows[start : start + step]
        a = np.zeros((len(here), d + q, 1 + q))
        np.multiply(observed[:, here][order].T[:, :, None], scaled[order], out=a[:, :d, :q])
        a[:, :d, q] = (rest[:, here] * root[:, None])[order].T
        a[:, d:, :q] = np.eye(q)
        r = np.asarray(np.linalg.qr(a, mode="r"))
        lower = np.ascontiguousarray(r[:, :q, :q].transpose(2, 1, 0))
        log_det = 2 * np.log(np.abs(np.einsum("jjm->jm", lower))).sum(axis=0)
        yield QRPosterior(here, inverse_stack(lower), np.ascontiguousarray(r[:, :q, q].T), log_det)
