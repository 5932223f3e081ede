"""Gaussians about their own means: densities and sums without cancellation, whatever the data's offset."""

from __future__ import annotations

import numpy as np

from dem.families.gaussian import LOG_2PI
from dem.linalg import triangle
from dem.model import Float


def centred_log_density(x: Float, mean: Float, upper: Float, out: Float) -> None:
    """Write log N(x | mean, inv(U U')) for the columns of x (d, n) into `out` (n,)."""
    whitened = upper.T @ (x - mean[:, None])
    np.einsum("ij,ij->j", whitened, whitened, out=out)
    out *= -0.5
    out += np.log(np.diag(upper)).sum() - 0.5 * len(mean) * LOG_2PI


def add_centred_sums(centres: Float, x: Float, resp: Float, out: Float) -> None:
    """Add each component's centred features, weighted by `resp` (K, n), to `out` (F, K)."""
    d = len(x)
    row, column = triangle(d)
    for k, centre in enumerate(centres):
        centred = x - centre[:, None]
        weighted = centred * resp[k]
        out[0, k] += resp[k].sum()
        out[1 : 1 + d, k] += weighted.sum(axis=1)
        out[1 + d :, k] += (weighted @ centred.T)[row, column]
