"""Parameters of linear latent models as vectors, between which EM can be extrapolated (`dem.em.acceleration`).

A vector has no units: means and loadings are divided by the deviations of the columns, noise variances are logarithms.
W is known only up to a rotation of the latents, so it is rotated as near as possible to that of other parameters.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

import numpy as np

from dem.core.block import Float
from dem.models.latent.algebra import LatentParams, noise_diagonal

L = TypeVar("L", bound=LatentParams)
LARGEST_LOG = 30.0
"""Noise variances do not change by more than this power of e in a jump."""


def latent_vector(params: LatentParams, like: LatentParams) -> Float:
    """Return the parameters as a vector, in the units and the rotation of `like`."""
    unit = _units(like)
    left, _, right = np.linalg.svd(params.loadings.T @ (like.loadings / unit[:, None] ** 2))
    turned = params.loadings @ (left @ right)
    ratio = _log_ratio(np.atleast_1d(params.noise_variance), np.atleast_1d(like.noise_variance))
    return np.concatenate([(params.mean - like.mean) / unit, (turned / unit[:, None]).ravel(), ratio])


def latent_params(vector: Float, like: L) -> L:
    """Return the parameters of a vector that `latent_vector` made with the same `like`."""
    unit, (d, q) = _units(like), like.loadings.shape
    mean, loadings, ratio = np.split(vector, [d, d + d * q])
    noise = np.atleast_1d(like.noise_variance) * np.exp(np.clip(ratio, -LARGEST_LOG, LARGEST_LOG))
    return replace(
        like,
        mean=like.mean + mean * unit,
        loadings=loadings.reshape(d, q) * unit[:, None],
        noise_variance=noise if np.ndim(like.noise_variance) else float(noise[0]),
        stretch=None,
    )


def _units(like: LatentParams) -> Float:
    """Return the deviations of the columns (d,), 1 for constant columns."""
    deviation = np.sqrt((like.loadings**2).sum(axis=1) + noise_diagonal(like))
    return np.where(deviation > 0, deviation, 1.0)


def _log_ratio(noise: Float, like: Float) -> Float:
    """Return the logarithms of the ratios of noise variances, 0 for columns without noise."""
    ratio = np.divide(noise, like, out=np.ones(len(like)), where=like > 0)
    return np.log(np.maximum(ratio, np.finfo(np.float64).tiny))
