"""What a linear latent model says of each row: latents, scores, and what is missing in it filled in."""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core.block import Array, Block
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.family import FactorAnalysisFamily, PPCAFamily
from dem.families.family import filling
from dem.models.latent.algebra import LatentParams, noise_of
from dem.models.latent.kernel import LatentKernel
from dem.models.mixture.kernel import CentredDensities, tiles_bytes
from dem.models.row_checks import check_finite, filled_dtype, named

NO_NOISE = (
    "nothing is left to the noise, so there is no density of rows with missing values (NaN): use fewer components, "
    "leave out constant columns, or fill these values in"
)


def output(params: LatentParams, what: str) -> tuple[np.dtype[Any], int | None]:
    """Return dtype and columns of an output of rows of d columns.

    "latent" (n, q): E[z | x]; "score" (n,): log p(x), in nats; both float64, of what is observed where values are
    missing. "filled:DTYPE" (n, d): x, where missing E[x | what is observed]; "deviation:DTYPE": the standard deviation
    that goes with it, 0 where observed.

    Raises
    ------
    ValueError
        If there is no such output.
    """
    d, q = params.loadings.shape
    if (dtype := filled_dtype(what)) is not None:
        return dtype, d
    outputs: dict[str, int | None] = {"latent": q, "score": None, "filled:float64": d, "deviation:float64": d}
    return np.dtype(np.float64), named(outputs, what)


def rows(params: LatentParams, what: str, block: Block) -> Array:
    """Return one output of a block of shape (n, d), NaN where missing.

    Raises
    ------
    ValueError
        If a value is infinite, or missing of a model without noise.
    """
    x = block.x
    dtype, columns = output(params, what)
    out = np.zeros(len(x) if columns is None else (len(x), columns), dtype)
    if len(x) == 0:
        return out
    if not check_finite(block)[2]:
        _of_incomplete(params, what, x, out)
    elif what.startswith("filled"):
        out[...] = x
    elif not what.startswith("deviation"):
        kernel = LatentKernel(params)
        for start in range(0, len(x), kernel.tile):
            here = slice(start, start + kernel.tile)
            z, residuals = kernel.latent(x[here])
            out[here] = z if what == "latent" else kernel.log_density(z, residuals)
    return out


def _of_incomplete(params: LatentParams, what: str, x: Array, out: Array) -> None:
    """Write one output of rows x (n, d) with missing values."""
    densities = observed_densities(params)
    for start in range(0, len(x), densities.tile):
        here = slice(start, start + densities.tile)
        tile = x[here]
        log_density = densities.joint(tile)
        if what == "score":
            out[here] = log_density[0]
        elif what == "latent":
            out[here] = densities.reuse.z[1:, 0].T
        else:
            one = np.ones((1, len(tile)))
            mean, variance = filling(densities.family).fill(densities.theta, tile.T, densities.reuse, one)
            out[here] = (np.sqrt(variance) if what.startswith("deviation") else mean).T


def rows_bytes(q: int, d: int) -> int:
    """Return what a task allocates for outputs of rows, in bytes: most of it where values are missing."""
    return tiles_bytes(FactorAnalysisFamily(q).with_missing(), 1, d)


def analyser(params: LatentParams) -> FactorAnalysers:
    """Return the parameters as those of one factor analyser."""
    noise = np.asarray(params.noise_variance, dtype=np.float64).reshape(1, -1)
    return FactorAnalysers(params.mean[None], params.loadings[None], noise)


def observed_densities(params: LatentParams) -> CentredDensities[FactorAnalysers]:
    """Return the densities of rows with missing values.

    Raises
    ------
    ValueError
        If there is no noise.
    """
    if not noise_of(params).any():
        raise ValueError(NO_NOISE)
    theta = analyser(params)
    kind = PPCAFamily if theta.noise_variances.shape[1] == 1 else FactorAnalysisFamily
    return CentredDensities(kind(params.loadings.shape[1]).with_missing(), theta, np.zeros(1))
