"""Mixtures of factor analysers: mixtures with the latents as additional row outputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dem.core.block import Array, Block
from dem.em.row_output import REAL, RowOutput, RowOutputs, output_table
from dem.families.factors.family import FactorFamily
from dem.families.family import Family, with_missing
from dem.models.mixture.kernel import CentredDensities, MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.models.row_checks import check_finite


def factor_outputs(k: int, q: int) -> RowOutputs:
    """Return the table of the additional outputs of k components with q factors each."""
    return output_table(
        RowOutput("latent", "the latents, E[z | x] under the most probable component", columns=q, axis="latent"),
        RowOutput("latents", "the latents under all components, side by side", columns=k * q, axis="component_latent"),
    )


class FactorMixtureModel(MixtureModel):
    """A mixture whose family is one of `dem.families.factors.family`."""

    family: FactorFamily

    def row_outputs(self, params: MixtureParams, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of every mixture's outputs, and those of the latents."""
        return {**super().row_outputs(params, dtype), **factor_outputs(self.n_components, self.family.n_factors)}

    def rows(self, params: MixtureParams, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs."""
        if output.name in ("latent", "latents"):
            return partial(self._latents, params, output)
        return super().rows(params, output)

    def _latents(self, params: MixtureParams, output: RowOutput, block: Block) -> Array:
        """Return the latents of a block of shape (n, d)."""
        x = block.x
        out = np.empty(output.shape(len(x)), output.dtype)
        family: Family[Any] = self.family
        if len(x) and not check_finite(block)[2]:
            family = with_missing(family)
        densities = CentredDensities(family, params.theta, params.log_weights)
        for start in range(0, len(x), densities.tile):
            here = slice(start, start + densities.tile)
            label = densities.joint(x[here]).argmax(axis=0)
            z = densities.reuse.z[1:]
            out[here] = z[:, label, np.arange(len(label))].T if output.name == "latent" else z.T.reshape(len(label), -1)
        return out
