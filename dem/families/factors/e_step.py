"""The E-step of K factor analysers on one tile: log-densities, latents, and sums of residuals.

Squares such as |x - mu|^2 are computed from products with one origin for all components, if this keeps enough digits.
Otherwise they are computed from the residuals of each component, at several times the cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dem.core.block import Float
from dem.families.factors.algebra import FactorAnalysers, PosteriorTerms

TOLERANCE = 1e-9
"""Largest error of a row's log-likelihood that products may cause, in nats for each column."""
ROUNDINGS = 8
"""Assumed error of products, in roundings of the largest squares."""

Squares = Callable[[Float], Float]
"""Function from a tile (d, n) to its squares, (d, n), or to their sum over the columns, (1, n)."""


@dataclass(frozen=True)
class Latents:
    """Result of the E-step of a tile.

    Attributes
    ----------
    z : array of shape (1 + q, K, n)
        E[z^ | x].
    y, squares : array or None
        The tile minus the origin, and its squares; None if products lose too many digits.
    """

    z: Float
    y: Float | None = None
    squares: Float | None = None


def e_step(theta: FactorAnalysers, x: Float, squares_of: Squares, out: Float) -> Latents:
    """Write log p(x | k) of the columns of x (d, n) into `out` (K, n); return the latents."""
    terms = theta.posterior_terms
    y = x - terms.origin[:, None]
    squares = squares_of(y)
    np.matmul(terms.inverse, squares, out=out)
    if products_suffice(out, terms.offsets[0], len(x)):
        latents = Latents(by_products(terms, y, out), y, squares)
    else:
        latents = Latents(by_residuals(theta, x, squares_of, out))
    out *= -0.5
    out += terms.log_normaliser[:, None]
    return latents


def products_suffice(norms: Float, offsets: Float, d: int) -> bool:
    """Return whether products keep the tolerance, for the squares of rows (K, n) and of means (K,) about the origin."""
    size = float((np.sqrt(norms.max(axis=1, initial=0.0)) + np.sqrt(offsets)).max()) ** 2
    return bool(ROUNDINGS * np.finfo(np.float64).eps * size <= TOLERANCE * d)


def by_products(terms: PosteriorTerms, y: Float, out: Float) -> Float:
    """Replace the squares of y in `out` (K, n) by (x - mu)' inv(C) (x - mu); return E[z^ | x].

    (x - mu)' inv(C) (x - mu) = (x - mu)' inv(Psi) (x - mu) - |B' (x - mu)|^2   (Woodbury).
    """
    (k, n), q = out.shape, terms.whiten.shape[1]
    projected = np.matmul(terms.columns.T, y).reshape(1 + q, k, n)
    projected -= terms.offsets[:, :, None]
    out -= 2 * projected[0]
    out -= terms.offsets[0][:, None]
    latent = projected[1:]
    out -= np.einsum("jkn,jkn->kn", latent, latent)
    z = np.ones((1 + q, k, n))
    z[1:] = (terms.whiten @ latent.transpose(1, 0, 2)).transpose(1, 0, 2)
    return z


def by_residuals(theta: FactorAnalysers, x: Float, squares_of: Squares, out: Float) -> Float:
    """Write (x - mu)' inv(C) (x - mu) to `out` (K, n), from residuals and without cancellation; return E[z^ | x].

    (x - mu)' inv(C) (x - mu) = r' inv(Psi) r + |E[z | x]|^2.
    """
    k, _, q = theta.loadings.shape
    terms = theta.posterior_terms
    z = np.ones((1 + q, k, x.shape[1]))
    for i in range(k):
        residual = x - theta.means[i][:, None]
        latent = terms.whiten[i] @ (terms.project[i].T @ residual)
        residual -= theta.loadings[i] @ latent
        np.matmul(terms.inverse[i], squares_of(residual), out=out[i])
        out[i] += np.einsum("jn,jn->n", latent, latent)
        z[1:, i] = latent
    return z


def sums_by_products(terms: PosteriorTerms, y: Float, weighted: Float, second: Float) -> tuple[Float, Float]:
    """Return the sums of r E[z^ | x]', (d, 1 + q, K), and the sums of y^2 minus the sums of r^2, (K, d).

    With r = y - W^ E[z^ | x] and W^ about the origin:
    sum r z^' = sum y z^' - W^ sum z^ z^',  sum r^2 = sum y^2 - sum over the columns of W^ * (sum y z^' + sum r z^').

    Parameters
    ----------
    terms : PosteriorTerms
    y : array of shape (d, n)
    weighted : array of shape (1 + q, K, n)
        E[z^ | x] times the responsibilities.
    second : array of shape (K, 1 + q, 1 + q)
        The sums of z^ z^'.
    """
    (a, k, n), d = weighted.shape, len(y)
    raw = np.matmul(y, weighted.reshape(-1, n).T).reshape(d, a, k)
    cross = raw - (terms.augmented @ second).transpose(1, 2, 0)
    raw += cross
    return cross, np.einsum("kda,dak->kd", terms.augmented, raw)


def sums_by_residuals(
    theta: FactorAnalysers, x: Float, z: Float, weighted: Float, squares_of: Squares
) -> tuple[Float, Float]:
    """Return the sums of r E[z^ | x]' (d, 1 + q, K) and of r^2 (K, 1 or d), from the residuals of each component."""
    (a, k, _), d = z.shape, len(x)
    cross, squares = np.empty((d, a, k)), np.empty(theta.noise_variances.shape)
    for i in range(k):
        residual = x - theta.means[i][:, None]
        residual -= theta.loadings[i] @ z[1:, i]
        cross[:, :, i] = residual @ weighted[:, i].T
        squares[i] = squares_of(residual) @ weighted[0, i]
    return cross, squares
