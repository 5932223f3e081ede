"""First parameters of factor analysers, from responsibilities on the sample: closed forms of probabilistic PCA."""

from __future__ import annotations

import numpy as np

from dem.core.block import Float
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.noise import NoiseKind
from dem.families.family import safe_counts

LEAST_SHARE = 1e-3
"""Smallest noise variance of a component at the start, as a share of the noise variance of all components."""
ROUNDINGS = 64
"""If the part that the factors do not explain is smaller than this number of roundings of the rows, it is rounding."""


def first_analysers(noise: NoiseKind, x: Float, resp: Float) -> FactorAnalysers:
    """Return, for each component, the closed form of probabilistic PCA on its rows (PRML 12.45); no noise is 0.

    With diagonal noise, columns are divided by their standard deviations within the components. Then the start does not
    depend on the units of the columns, and neither does the model. With isotropic noise both depend on them.

    Parameters
    ----------
    noise : NoiseKind
    x : array of shape (d, n)
    resp : array of shape (K, n)
        Responsibilities times the weights of the rows.
    """
    from sklearn.utils.extmath import randomized_svd  # here: workers make no starts and need not import it

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
            # QR after each product: otherwise rounding of wide columns hides the directions of narrow ones
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
    loadings = LEAST_SHARE * size * np.random.default_rng(0).standard_normal((k, d, q))  # no direction is exactly 0
    loadings += directions * np.sqrt(np.maximum(lengths[:, None, :] - size**2, 0.0))
    scaled = own * (unit**2 if m == d else 1.0)
    return FactorAnalysers(means, loadings * unit[:, None], np.maximum(scaled, noise.floor(d)))


def least_noise(noise: NoiseKind, own: Float, counts: Float, within: Float) -> Float:
    """Return the smallest noise variance (1, 1) or (1, d) of a component at the start.

    If all columns share a variance, it is a share of the variance that the factors do not explain, not of the whole
    variance. Otherwise a column much wider than the others would make it so large that the directions of the others
    start as noise, and EM would be very slow.

    Parameters
    ----------
    noise : NoiseKind
    own : array of shape (m, 1) or (m, d)
        The noise of the components that have enough rows to estimate it.
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
