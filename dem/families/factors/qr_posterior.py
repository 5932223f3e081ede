"""The posterior of z by QR decomposition, for rows whose matrices H would lose digits.

H = I + W_o' inv(Psi_o) W_o is the Gram matrix of A, which is inv(sqrt(Psi_o)) W_o stacked on I. If some columns are
much wider than the others, and one of them is missing, the contributions of the narrow columns to H are smaller than
its rounding. QR of A keeps them: A = Q R with R' R = H, and Q' (x_o - mu) / sqrt(psi_o) comes without normal equations.
It costs about ten times as much.
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
"""Largest product, over the pivots of the Cholesky factor, of the factors by which cancellation makes them smaller than
the diagonal of H. The relative error is then about eps * 1e5 = 2e-11."""
A_DIGIT = 10.0
"""A pivot that becomes smaller by less than this factor does not count: this happens for every matrix."""
PART_BYTES = 2**20
"""Memory for the matrices of the rows that are factorised together, in bytes."""


@dataclass(frozen=True)
class QRPosterior:
    """The posterior of z for some rows of a tile.

    Attributes
    ----------
    rows : int array of shape (m,)
        Their indices in the tile.
    inverse : array of shape (q, q, m)
        M, lower triangular, with G = M' M.
    whitened : array of shape (q, m)
        M W' inv(Psi) (x - mu); M' times this is E[z | x_o].
    log_det : array of shape (m,)
        log |H|.
    """

    rows: Rows
    inverse: Float
    whitened: Float
    log_det: Float

    def spread(self, loadings: Float) -> Float:
        """Return M w_j, (d, q, m); its squared length is w_j' G w_j."""
        return np.asarray(np.einsum("ijm,dj->dim", self.inverse, loadings))


def rows_needing_qr(systems: Float, lower: Float) -> Rows:
    """Return the rows for which the Cholesky factors `lower` (q, q, n) of the matrices H (q, q, n) have lost digits."""
    pivots = np.einsum("jjn->jn", lower)  # the losses of the pivots multiply
    shares = np.einsum("jjn->jn", systems) / (pivots * pivots)
    return np.flatnonzero(np.prod(np.where(shares > A_DIGIT, shares, 1.0), axis=0) > LARGEST_LOSS)


def qr_posteriors(theta: FactorAnalysers, k: int, rows: Rows, rest: Float, observed: Float) -> Iterator[QRPosterior]:
    """Yield the posteriors of component k for these rows, a part of the rows at a time.

    Parameters
    ----------
    theta : FactorAnalysers
    k : int
    rows : int array
    rest : array of shape (d, n)
        x - mu of the whole tile, 0 where missing.
    observed : array of shape (d, n)
        1 where x is observed, else 0.
    """
    d, q = theta.loadings.shape[1:]
    root = np.sqrt(theta.column_terms.inverse[k])
    scaled = theta.loadings[k] * root[:, None]
    order = np.argsort(
        -np.abs(scaled).max(axis=1), kind="stable"
    )  # large rows first: Householder QR then keeps the small ones
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
