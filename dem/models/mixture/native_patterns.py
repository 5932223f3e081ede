"""The E-steps of rows with missing values by the native kernel, for `PatternKernel`."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.family import ByPattern, Family
from dem.families.gaussian.base import Gaussians
from dem.families.gaussian.forms import gaussian_form, missing_map
from dem.kernel.columns import columns_in_frame, no_items
from dem.kernel.estep import LinearEStep
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import RowPieces
from dem.models.mixture.kernel import MixtureParams, Restore, unchanged
from dem.models.mixture.native_kernel import (
    NativeDensities,
    centred_densities,
    native_bytes,
    pairs_of,
    pattern_densities,
)
from dem.models.mixture.pattern_kernel import ProductBounds, RowsKernel, about_means
from dem.models.mixture.precision import Precision

COPIED_BYTES = 2**20
"""About so many bytes of rows (as float64) are copied at a time."""


class NativeKernels:
    """The E-steps by the native kernel; see `PatternKernels`.

    Parameters
    ----------
    rare : NativeDensities
        Those of rows with missing values.
    by_pattern : ByPattern
    log_weights : array of shape (K,)
    products : ProductBounds
    kernel_id : KernelId
    """

    frequent = 1024  # measured: for fewer rows their own kernel is not faster

    def __init__(
        self,
        rare: NativeDensities,
        by_pattern: ByPattern[Gaussians],
        log_weights: Float,
        products: ProductBounds,
        kernel_id: KernelId,
    ) -> None:
        self.by_pattern, self.log_weights, self.products = by_pattern, log_weights, products
        self.kernel_id = kernel_id
        self.rare = self._rows_kernel(rare, unchanged)

    def complete(self, theta: Gaussians, columns: NDArray[np.intp]) -> RowsKernel:
        """Return the E-step of complete rows, given the marginal Gaussians of some columns."""
        family, products = self.by_pattern.marginals, self.products.of(columns)
        form, frame = gaussian_form(family), products.frame
        assert form is not None
        if (eta := products.eta(family, theta, self.log_weights)) is None:
            return self._rows_kernel(centred_densities(form, theta, self.log_weights), unchanged)
        return self._rows_kernel(self._linear(eta, frame), partial(about_means, theta=theta, frame=frame))

    def _linear(self, eta: Float, frame: Frame) -> NativeDensities:
        """Return the densities by products of columns; `linear_densities` would take longer than the rows."""
        columns = columns_in_frame(frame.shift, frame.scale, eta.dtype, no_items())
        pairs = np.ascontiguousarray(pairs_of(self.by_pattern.features(columns.d)).T)
        step = LinearEStep(np.ascontiguousarray(eta), columns, pairs)
        return NativeDensities(step, RowPieces(step.dtype), frame, Precision.DOUBLE, unchanged)

    def _rows_kernel(self, densities: NativeDensities, restore: Restore) -> RowsKernel:
        tile = max(1, COPIED_BYTES // (8 * densities.step.shape[2]))
        return RowsKernel(densities.kernel(self.kernel_id), tile, restore)


def native_patterns(
    family: Family[Gaussians],
    by_pattern: ByPattern[Gaussians],
    params: MixtureParams,
    products: ProductBounds,
    kernel_id: KernelId,
) -> NativeKernels | None:
    """Return the E-steps of a family of rows with missing values, or None if the native kernel does not have them."""
    if (found := missing_map(family, params.theta)) is None:
        return None
    rare = pattern_densities(found, params.log_weights)
    return NativeKernels(rare, by_pattern, params.log_weights, products, kernel_id)


def pattern_bytes(by_pattern: ByPattern[Gaussians], k: int, d: int, kernel_id: KernelId) -> int:
    """Return the memory of the E-step of one frequent pattern, and of the rows that are copied, in bytes."""
    return native_bytes(by_pattern.marginals, k, d, kernel_id) + 2 * COPIED_BYTES
