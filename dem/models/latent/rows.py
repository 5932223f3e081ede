"""The row outputs of a linear latent model: latents, scores, and rows with missing values filled in."""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core.block import Array, Block
from dem.em.row_output import NATS, REAL, RowOutput, RowOutputs, deviation, filled, output_table
from dem.families.factors.algebra import FactorAnalysers
from dem.families.factors.family import FactorAnalysisFamily, PPCAFamily
from dem.families.family import filling
from dem.models.latent.algebra import LatentParams, noise_diagonal
from dem.models.latent.kernel import LatentKernel
from dem.models.mixture.kernel import CentredDensities, e_step_bytes
from dem.models.row_checks import check_finite

NO_DENSITY_WITH_MISSING = (
    "the noise variance is 0, so rows with missing values (NaN) have no density: use fewer components, leave out "
    "constant columns, or fill these values in"
)


def latent_outputs(q: int, d: int, dtype: np.dtype[Any] = REAL) -> RowOutputs:
    """Return the table of outputs of a model of q latents and d columns; filled-in rows have this dtype.

    For rows with missing values, latents and scores are computed from the observed values.
    """
    return output_table(
        RowOutput("latent", "the latents, E[z | x]", columns=q, axis="latent"),
        RowOutput("score", "the log-likelihood, in nats", units=NATS),
        filled(d, dtype),
        deviation(d, dtype),
    )


def compute_latent_output(params: LatentParams, output: RowOutput, block: Block) -> Array:
    """Return one output of a block of shape (n, d), NaN where missing.

    Raises
    ------
    ValueError
        If a value is infinite, or if one is missing and the model has no noise.
    """
    x = block.x
    out = np.zeros(output.shape(len(x)), output.dtype)
    if len(x) == 0:
        return out
    if not check_finite(block)[2]:
        _write_incomplete(params, output, x, out)
    elif output.name == "filled":
        out[...] = x
    elif output.name != "deviation":
        kernel = LatentKernel(params)
        for start in range(0, len(x), kernel.tile):
            here = slice(start, start + kernel.tile)
            z, residuals = kernel.latent(x[here])
            out[here] = z if output.name == "latent" else kernel.log_density(z, residuals)
    return out


def _write_incomplete(params: LatentParams, output: RowOutput, x: Array, out: Array) -> None:
    """Write one output of rows x (n, d) with missing values."""
    densities = observed_densities(params)
    for start in range(0, len(x), densities.tile):
        here = slice(start, start + densities.tile)
        tile = x[here]
        log_density = densities.joint(tile)
        if output.name == "score":
            out[here] = log_density[0]
        elif output.name == "latent":
            out[here] = densities.reuse.z[1:, 0].T
        else:
            one = np.ones((1, len(tile)))
            mean, variance = filling(densities.family).conditional_moments(
                densities.theta, tile.T, densities.reuse, one
            )
            out[here] = (np.sqrt(variance) if output.name == "deviation" else mean).T


def rows_bytes(q: int, d: int) -> int:
    """Return the bytes that a task needs for row outputs; it needs most with missing values."""
    return e_step_bytes(FactorAnalysisFamily(q).with_missing(), 1, d)


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
    if not noise_diagonal(params).any():
        raise ValueError(NO_DENSITY_WITH_MISSING)
    theta = analyser(params)
    kind = PPCAFamily if theta.noise_variances.shape[1] == 1 else FactorAnalysisFamily
    return CentredDensities(kind(params.loadings.shape[1]).with_missing(), theta, np.zeros(1))
