"""Small dense linear algebra: packed triangles, and factors of covariances that stay accurate when ill-conditioned."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from dem.core.block import Array, Float

LONG_DOUBLE_FROM = 1e4
"""Factors are computed in long double if the estimated condition number is larger: eps * 1e4 is 2e-12."""
VECTORISED = 16
"""Matrices with more rows than this are inverted one by one (by LAPACK), smaller ones all at once."""


def triangle_size(d: int) -> int:
    """Return the number of entries in the upper triangle of a (d, d) matrix."""
    return d * (d + 1) // 2


@cache
def triangle(d: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the row and column numbers of the entries of an upper triangle, row by row; read-only."""
    row, column = np.triu_indices(d)
    row.flags.writeable = column.flags.writeable = False
    return row, column


@cache
def triangle_places(d: int) -> NDArray[np.intp]:
    """Return the position (d, d) of each entry of a symmetric matrix in its packed upper triangle; read-only."""
    places = np.empty((d, d), np.intp)
    row, column = triangle(d)
    places[row, column] = places[column, row] = np.arange(triangle_size(d))
    places.flags.writeable = False
    return places


def outer_triangle(x: Array, out: Array) -> None:
    """Write the upper triangle of x x' for each column of x (d, n) into `out` (d (d + 1) / 2, n), row by row."""
    start = 0
    for i in range(len(x)):
        stop = start + len(x) - i
        np.multiply(x[i], x[i:], out=out[start:stop])
        start = stop


def unpack(packed: Float, d: int) -> Float:
    """Return symmetric matrices (..., d, d) from upper triangles (..., d * (d + 1) / 2), row by row."""
    return np.asarray(np.take(packed, triangle_places(d), axis=-1))


def precisions_cholesky(covariances: Float) -> Float:
    """Return upper triangular U with inv(C) = U @ U.T for each covariance C.

    A float64 factor of a matrix with condition number c has a relative error of about c * eps. For large c the
    factor is therefore computed in long double.

    Parameters
    ----------
    covariances : array of shape (..., d, d)

    Returns
    -------
    array of shape (..., d, d)

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.
    """
    variances = np.einsum("...ii->...i", covariances)
    if not (np.isfinite(covariances).all() and (variances > 0).all()):
        raise np.linalg.LinAlgError("a covariance is not positive definite")
    deviations = power_of_two(np.sqrt(variances))  # division by these is exact; rounding errors would be amplified
    scales = deviations[..., :, None] * deviations[..., None, :]
    lower = np.linalg.cholesky(covariances / scales)
    diagonal = np.einsum("...ii->...i", lower)
    condition = (diagonal.max(-1) / diagonal.min(-1)) ** 2
    if np.any(condition > LONG_DOUBLE_FROM):
        inverse = _inverse_cholesky_longdouble((covariances / scales).astype(np.longdouble))
    else:
        inverse = np.linalg.inv(lower)
    upper = np.swapaxes(inverse, -1, -2) / deviations[..., :, None]
    return np.triu(upper.astype(np.float64))


def _inverse_cholesky_longdouble(matrices: np.ndarray) -> np.ndarray:
    """Return inv(L) for the Cholesky factors L of `matrices`, column by column in long double."""
    d = matrices.shape[-1]
    lower = np.zeros_like(matrices)
    inverse = np.zeros_like(matrices)
    for j in range(d):
        column = matrices[..., j:, j] - np.einsum("...ij,...j->...i", lower[..., j:, :j], lower[..., j, :j])
        if np.any(column[..., 0] <= 0):
            raise np.linalg.LinAlgError("a covariance is not positive definite")
        pivot = np.sqrt(column[..., 0])
        lower[..., j:, j] = column / pivot[..., None]
        row = -np.einsum("...i,...ij->...j", lower[..., j, :j], inverse[..., :j, :])
        inverse[..., j, :] = row / pivot[..., None]
        inverse[..., j, j] = 1 / pivot
    return inverse


def covariances_from(precisions_chol: Float) -> Float:
    """Return inv(U @ U.T) for each upper triangular U of shape (..., d, d)."""
    inverse = np.linalg.inv(precisions_chol)
    return np.asarray(np.swapaxes(inverse, -1, -2) @ inverse)


def factor_precision(precision: Float) -> Float:
    """Return the upper triangular U with `precision` = U @ U.T.

    U is unique, so it comes from the Cholesky factor of the matrix with its axes reversed.
    """
    flipped = scipy.linalg.cholesky(precision[::-1, ::-1], lower=True)
    return np.ascontiguousarray(flipped[::-1, ::-1])


def power_of_two(scale: Float) -> Float:
    """Return the powers of two nearest to `scale`. Multiplication by a power of two is exact and can be undone."""
    exponent = np.round(np.log2(scale))
    return np.asarray(np.exp2(exponent))


def cholesky_stack(matrices: Float, least: float = 0.0) -> Float:
    """Return the Cholesky factors L of many small matrices, all at once, in q steps of vector operations.

    Parameters
    ----------
    matrices : array of shape (q, q, n)
        Symmetric and positive definite, one for each n.
    least : float
        A known lower bound of the squared diagonal of L. Smaller values come from rounding; they are replaced by it.

    Returns
    -------
    array of shape (q, q, n)
        Lower triangular; entries above the diagonal are 0.

    Raises
    ------
    numpy.linalg.LinAlgError
        If a matrix is not positive definite.
    """
    lower = np.zeros_like(matrices)
    for j in range(len(matrices)):
        column = matrices[j:, j] - np.einsum("ikn,kn->in", lower[j:, :j], lower[j, :j])
        np.maximum(column[0], least, out=column[0])
        if not (column[0] > 0).all():
            raise np.linalg.LinAlgError("a matrix is not positive definite")
        np.multiply(column, 1 / np.sqrt(column[0]), out=lower[j:, j])
    return lower


def inverse_stack(lower: Float) -> Float:
    """Return the inverses (q, q, n) of many lower triangular matrices L (q, q, n); they are also lower triangular."""
    inverse = np.zeros_like(lower)
    for i in range(len(lower)):
        np.reciprocal(lower[i, i], out=inverse[i, i])
        inverse[i, :i] = np.einsum("jn,jkn->kn", lower[i, :i], inverse[:i, :i]) * -inverse[i, i]
    return inverse


def gram_stack(lower: Float, out: Float) -> None:
    """Write the upper triangles (q (q + 1) / 2, n), row by row, of M' M for lower triangular M (q, q, n) into `out`.

    If M = inv(L), then M' M = inv(L L').
    """
    q, start = len(lower), 0
    for i in range(q):
        np.einsum("kn,kjn->jn", lower[i:, i], lower[i:, i:], out=out[start : start + q - i])
        start += q - i


def block_inverses(matrices: Float, index: NDArray[np.intp]) -> tuple[Float, Float]:
    """Return the inverses of blocks of positive definite matrices, and the log-determinants of the blocks.

    Small blocks are inverted all at once by Gauss-Jordan elimination, in arrays whose last axis runs over the blocks.
    This takes m steps of long vector operations; a LAPACK call for each block would cost microseconds.

    Parameters
    ----------
    matrices : array of shape (g, d, d)
    index : int array of shape (m, p)
        The rows and columns of p blocks.

    Returns
    -------
    inverses : array of shape (m, m, g, p)
    log_det : array of shape (g, p)
    """
    (g, d, _), (m, p) = matrices.shape, index.shape
    at = index[:, None] * d + index
    tables = matrices.reshape(g, d * d)
    if m > VECTORISED:
        lower = np.linalg.cholesky(np.take(tables, np.moveaxis(at, -1, 0), axis=1))
        root = np.linalg.inv(lower)
        inverse = np.swapaxes(root, -1, -2) @ root
        log_det = 2 * np.log(np.einsum("gpii->gpi", lower)).sum(axis=-1)
        return np.ascontiguousarray(inverse.transpose(2, 3, 0, 1)), log_det
    a = np.stack([np.take(table, at) for table in tables], axis=2)
    log_det = np.zeros((g, p))
    for j in range(m):
        pivot = a[j, j].copy()
        log_det += np.log(pivot)
        row, column = a[j] / pivot, a[:, j].copy()
        a -= column[:, None] * row
        a[j], a[:, j], a[j, j] = row, column / -pivot, 1 / pivot
    return a, log_det


def gram_inverses(roots: Float, index: NDArray[np.intp]) -> tuple[Float, Float]:
    """Return the same as `block_inverses` for matrices U U', computed from U, which keeps more digits.

    Parameters
    ----------
    roots : array of shape (g, d, d)
        U.
    index : int array of shape (m, p)

    Returns
    -------
    inverses : array of shape (m, m, g, p)
    log_det : array of shape (g, p)
    """
    triangular = np.linalg.qr(np.swapaxes(roots[:, index.T], -1, -2), mode="r")
    inverse = np.linalg.inv(triangular)
    log_det = 2 * np.log(np.abs(np.einsum("gpii->gpi", triangular))).sum(axis=-1)
    return np.ascontiguousarray((inverse @ np.swapaxes(inverse, -1, -2)).transpose(2, 3, 0, 1)), log_det
