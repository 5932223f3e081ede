"""Mixtures of factor analysers: beside what every mixture says of each row, its latents."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dem.core.block import Array, Block
from dem.families.factors.family import FactorFamily
from dem.families.family import Family, with_missing
from dem.models.mixture import rows as mixture_rows
from dem.models.mixture.kernel import CentredDensities, MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.models.row_checks import check_finite


class FactorMixtureModel(MixtureModel):
    """A mixture whose family is one of `dem.families.factors.family`."""

    family: FactorFamily

    def output(self, params: MixtureParams, what: str) -> tuple[np.dtype[Any], int | None]:
        """Return dtype and columns of an output.

        "latent" (n, q): E[z | x] under the most probable component; "latents" (n, K q): those of all components side by
        side; or what every mixture has.
        """
        q = self.family.n_factors
        columns = {"latent": q, "latents": self.n_components * q}
        if what in columns:
            return np.dtype(np.float64), columns[what]
        d = self.family.centres(params.theta).shape[1]
        return mixture_rows.output(self.n_components, d, what, columns)

    def rows(self, params: MixtureParams, what: str) -> Callable[[Block], Array]:
        """Return the function from a block to one of its outputs."""
        if what in ("latent", "latents"):
            return partial(self._latents, params, what)
        return super().rows(params, what)

    def _latents(self, params: MixtureParams, what: str, block: Block) -> Array:
        """Return the latents of a block of shape (n, d)."""
        x = block.x
        dtype, columns = self.output(params, what)
        out = np.empty((len(x), columns or 0), dtype)
        family: Family[Any] = self.family
        if len(x) and not check_finite(block)[2]:
            family = with_missing(family)
        densities = CentredDensities(family, params.theta, params.log_weights)
        for start in range(0, len(x), densities.tile):
            here = slice(start, start + densities.tile)
            label = densities.joint(x[here]).argmax(axis=0)
            z = densities.reuse.z[1:]
            out[here] = z[:, label, np.arange(len(label))].T if what == "latent" else z.T.reshape(len(label), -1)
        return out
