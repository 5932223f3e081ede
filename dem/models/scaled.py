"""Row outputs and draws of a model of scaled rows, for rows in the data's units.

It has the contract of the model, so that outputs read the data themselves: observed values, row numbers and places in
messages stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Self, TypeVar

import numpy as np

from dem.core.block import Array, Block, Float
from dem.em.model import Generative, P, Rowwise
from dem.em.row_output import REAL, RowOutput, RowOutputs
from dem.kernel.kernel_id import KernelId, kernel_of
from dem.scan.scaling import Scaling

SCALED_BYTES = 2**22
"""About the most bytes of rows that are scaled at a time, in float64."""

M = TypeVar("M", bound=Rowwise[Any])


@dataclass(frozen=True)
class InDataUnits(Generic[M]):
    """A model of scaled rows, as a model of the rows.

    Attributes
    ----------
    model : Rowwise
        Its parameters are those of scaled rows.
    scaling : Scaling
    """

    model: M
    scaling: Scaling

    @property
    def kernel_id(self) -> KernelId:
        """The implementation of the E-step."""
        return kernel_of(self.model)

    @property
    def has_native_kernel(self) -> bool:
        """Whether the native kernel has the model."""
        return getattr(self.model, "has_native_kernel", False)

    def with_kernel(self, kernel_id: KernelId) -> Self:
        """Return the model with this implementation of the E-step."""
        model: Any = self.model
        return replace(self, model=model.with_kernel(kernel_id))

    def row_outputs(self, params: Any, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the model's table of outputs."""
        return self.model.row_outputs(params, dtype)

    def rows(self, params: Any, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs."""
        inner = replace(output, dtype=REAL) if output.name in ("filled", "deviation") else output
        return partial(self._of_block, self.model.rows(params, inner), output)

    def rows_bytes(self, d: int) -> int:
        """Return the bytes that a task needs: those of the model, and of the rows that are scaled at a time."""
        rows = _rows_at_a_time(d)
        return self.model.rows_bytes(d) + 4 * 8 * d * rows

    def _of_block(self, of_scaled: Callable[[Block], Array], output: RowOutput, block: Block) -> Array:
        """Return one output of a block, some rows at a time."""
        out = np.empty(output.shape(len(block.x)), output.dtype)
        step = _rows_at_a_time(block.x.shape[1])
        for start in range(0, len(block.x), step):
            part = block.part(start, start + step)
            values = of_scaled(part._replace(x=self.scaling(part.x)))
            out[start : start + step] = self._in_units(output.name, values, part.x)
        return out

    def _in_units(self, name: str, values: Array, x: Array) -> Array:
        """Return the output of rows x (n, d) in their units, given that of the scaled rows."""
        if name == "filled":  # observed values keep their bits
            return np.where(np.isnan(x), self.scaling.back(values), x)
        return values * self.scaling.scale if name == "deviation" else values


class DensityInDataUnits(InDataUnits[Generative[Any]]):
    """A model with a density: that of a row is the scaled one divided by the scales of its observed columns."""

    def draw(self, params: P, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latent variables."""
        z, latent = self.model.draw(params, n, rng)
        return self.scaling.back(z), latent

    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters, without those of the scaling."""
        return self.model.n_parameters(d)

    def _in_units(self, name: str, values: Array, x: Array) -> Array:
        """Return the output of rows x (n, d) in their units; log-densities are those of the observed values."""
        if name not in ("score", "complete"):
            return super()._in_units(name, values, x)
        missing = np.isnan(x)
        volume = self.scaling.log_volume
        return np.asarray(values - (~missing @ volume if missing.any() else volume.sum()))


def _rows_at_a_time(d: int) -> int:
    """Return how many rows of d columns are scaled at a time."""
    return max(1, SCALED_BYTES // (8 * d))
