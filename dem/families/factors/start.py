"""First parameters of factor analysers, from responsibilities on the sample: closed forms of probabilistic PCA."""

from __future__ import annotations

import numpy as np

from dem.core.block import Float
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.noise import NoiseKind
from dem.families.family import safe_counts

LEAST_SHARE = 1e-3
"""Share of the noise variance of all components that a start leaves to each of them."""
ROUNDINGS = 64
"""Deviations of what the factors leave, in roundings of the rows, that are taken to be rounding."""


def first_analysers(noise: NoiseKind, x: Float, resp: Float) -> FactorAnalysers:
    """Return each component's closed form of probabilistic PCA on its rows (PRML 12.45), with noise everywhere.

    Where each column has a noise of its own, in units of the columns' deviations within the components: then the fit
    does not depend on the columns' units, as the model does not. With isotropic noise both depend on them.

    Parameters
    ----------
    noise : NoiseKind
    x : array of shape (d, n)
    resp : array of shape (K, n)
        Responsibilities, times the rows' weights.
    """
    from sklearn.utils.extmath import randomized_svd  # here, since workers never start and need not pay for it

    d, q, k = len(x), noise.n_factors, len(resp)
    counts = safe_counts(resp.sum(axis=1))
    rows = [np.flatnonzero(r > 0) for r in resp]
    shares = [r[at] / count for r, at, count in zip(resp, rows, counts, strict=True)]
    means = np.array([x[:, at] @ share for at, share in zip(rows, shares, strict=True)])

    def centred(i: int) -> Float:
        return np.asarray((x[:, rows[i]] - means[i][:, None]) * np.sqrt(shares[i]))

    variances = np.array([np.einsum("dn,dn->d", y, y) for y in map(centred, range(k))])
    within = counts @ variances / counts.sum()
    unit = noise.units(within)
    directions, lengths, left = np.zeros((k, d, q)), np.zeros((k, q)), variances / unit**2
    for i in range(k):
        if len(rows[i]):
            y = centred(i) / unit[:, None]
            # QR after each product: without it the directions of narrow columns drown in the rounding of wide ones
            u, s, v = randomized_svd(
                y, min(q, *y.shape), n_iter=2, power_iteration_normalizer="QR", flip_sign=False, random_state=0
            )
            directions[i, :, : len(s)], lengths[i, : len(s)] = u, s**2
            y -= (u * s) @ v
            left[i] = np.einsum("dn,dn->d", y, y)
    m = noise.n_noise(d)
    own = noise.pool(left) * (m / d) * (d / (d - q) if m == 1 else 1.0)
    seen = np.array([len(at) > 1 + q for at in rows])
    least = least_noise(noise, own[seen], counts[seen], noise.pool((within / unit**2)[None]) * (m / d))
    own = np.maximum(own, least)
    size = np.sqrt(own.mean(axis=1))[:, None, None]
    loadings = LEAST_SHARE * size * np.random.default_rng(0).standard_normal((k, d, q))  # no direction is quite 0
    loadings += directions * np.sqrt(np.maximum(lengths[:, None, :] - size**2, 0.0))
    scaled = own * (unit**2 if m == d else 1.0)
    return FactorAnalysers(means, loadings * unit[:, None], np.maximum(scaled, noise.floor(d)))


def least_noise(noise: NoiseKind, own: Float, counts: Float, within: Float) -> Float:
    """Return the least noise variance (1, 1) or (1, d) that a component starts with.

    Of columns that share a variance it is a share of what the factors leave, not of what all rows vary by, or a column
    far wider than the others would set it so high that their directions begin as noise: there EM stands nearly still.

    Parameters
    ----------
    noise : NoiseKind
    own : array of shape (m, 1) or (m, d)
        The noise of the components that have rows enough to tell it.
    counts : array of shape (m,)
        Their weights.
    within : array of shape (1, 1) or (1, d)
        The variance about the components' means.
    """
    if noise.pooled and len(own):
        pooled = (counts @ own / counts.sum())[None]
        if (pooled > (ROUNDINGS * np.finfo(np.float64).eps) ** 2 * within).all():
            return np.asarray(LEAST_SHARE * pooled)
    return LEAST_SHARE * within
