"""Eigenvalues of a covariance, accurate for any units of its columns.

A covariance is D R D, with the standard deviations D of the columns and their correlations R. Sums over the rows keep
the digits of R. But usual solvers have an error that is a share of the largest eigenvalue, and so they lose small ones.
Therefore R is factorised, R = L L', and a one-sided Jacobi method finds the singular values of D L. Each of them has as
many correct digits as R, for any D (Demmel and Veselic 1992, "Jacobi's method is more accurate than QR", SIAM J. Matrix
Anal. Appl. 13).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack, qr

from dem.core.block import Float

EPS = float(np.finfo(np.float64).eps)
SAFE_RATIO = 1e-6
"""If the smallest eigenvalue is above this share of the largest, the usual solver keeps all but six of its digits."""
RANK_ROUNDINGS = 16.0
"""Rounding error, in roundings for each column, allowed in the remaining variance of a column that is a sum of others:
four times the largest error in 4,000 random data sets."""


class Spectrum(NamedTuple):
    """Eigenvalues, the largest first, and eigenvectors.

    Attributes
    ----------
    values : array of shape (d,)
        Exactly 0 beyond the rank.
    vectors : array of shape (d, d)
        One in each column.
    """

    values: Float
    vectors: Float


def spectrum(covariance: Float) -> Spectrum:
    """Return the eigenvalues and eigenvectors of a covariance (d, d)."""
    values, vectors = np.linalg.eigh(covariance)
    if values[0] > SAFE_RATIO * values[-1]:
        return Spectrum(values[::-1], vectors[:, ::-1])
    factor = square_root(covariance)
    d, rank = factor.shape
    if rank == 0:
        return Spectrum(np.zeros(d), np.eye(d))
    left, lengths, _ = jacobi_svd(factor)
    beyond = qr(left)[0][:, rank:]  # any orthogonal directions
    return Spectrum(np.append(lengths**2, np.zeros(d - rank)), np.hstack([left, beyond]))


def square_root(covariance: Float) -> Float:
    """Return F (d, r) such that F F' is the covariance (d, d); r is its rank.

    The correlations are factorised with pivoting, until almost no variance of any column remains. So the units of the
    columns have no influence on which columns count as sums of others.
    """
    deviation = np.sqrt(np.diag(covariance))
    unit = np.where(deviation > 0, deviation, 1.0)
    d = len(unit)
    lower, pivots, rank, _ = lapack.dpstrf(covariance / unit[:, None] / unit, tol=RANK_ROUNDINGS * d * EPS, lower=1)
    factor = np.empty((d, rank))
    factor[pivots - 1] = np.tril(lower)[:, :rank]
    return np.asarray(factor * unit[:, None])


def jacobi_svd(matrix: Float) -> tuple[Float, Float, Float]:
    """Return U (m, n), the singular values (n,), the largest first, and V (n, n) of a matrix (m, n), m at least n.

    For a matrix D B E with diagonal D and E, each singular value keeps its digits if B is well-conditioned (Drmac and
    Veselic 2008, "New fast and accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. Appl. 29).

    Raises
    ------
    numpy.linalg.LinAlgError
        If entries are not finite, or the rotations do not converge.
    """
    if not np.isfinite(matrix).all():
        raise np.linalg.LinAlgError(f"a matrix of shape {matrix.shape} has entries that are not finite")
    order = np.argsort(-np.abs(matrix).max(axis=1), kind="stable")  # large rows first: otherwise small rows lose digits
    # joba=0 keeps small values; both sides of vectors, because scipy allocates too little memory for one side
    values, left, right, work, _, info = lapack.dgejsv(matrix[order], joba=0, jobu=0, jobv=0, jobt=1)
    if info:
        raise np.linalg.LinAlgError(f"the Jacobi rotations of a matrix of shape {matrix.shape} do not converge")
    rows = np.empty_like(left)
    rows[order] = left
    return rows, values * (work[0] / work[1]), right
