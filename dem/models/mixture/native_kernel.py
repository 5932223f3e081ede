"""The E-step of a mixture by the native kernel: a function from a block to its statistics, like `MixtureKernel`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, Float
from dem.core.coordinate_frame import Frame
from dem.em.row_output import RowOutput
from dem.families.family import Family, Linear
from dem.families.feature_map import FeatureMap
from dem.families.features import Features
from dem.families.gaussian.forms import GaussianForm, gaussian_form
from dem.kernel.columns import Columns, columns_in_frame, no_items, stored_columns
from dem.kernel.estep import CentredEStep, EStep, LinearEStep
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import FeaturePieces, Pieces, RowPieces
from dem.kernel.runner import NativeEStep, NativeOutputs, OutputShape, centred_bytes, linear_bytes
from dem.kernel.tasks import COMPLETE, ENTROPY, LABEL, PROBA, SCORE, TOP_INDEX, TOP_WEIGHT
from dem.models.mixture.kernel import MixtureParams, MixtureStats, eta_of, weight_of
from dem.models.mixture.native_columns import columns_first, columns_of
from dem.models.mixture.precision import Precision

OUTPUT_KINDS = {
    "label": LABEL,
    "proba": PROBA,
    "score": SCORE,
    "entropy": ENTROPY,
    "complete": COMPLETE,
    "top-index": TOP_INDEX,
    "top-weight": TOP_WEIGHT,
}
Restore = Callable[[Float], Float]


@dataclass(frozen=True, eq=False)
class NativeKernel:
    """The E-step: a function from a block to its statistics.

    Attributes
    ----------
    e_step : NativeEStep
    frame : Frame
    precision : Precision
    kernel_id : KernelId
    restore : callable
        From the sums that the library adds to those of the family.
    """

    e_step: NativeEStep
    frame: Frame
    precision: Precision
    kernel_id: KernelId
    restore: Restore

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        f, k, _ = self.e_step.step.shape
        sums = np.zeros((f, k))
        log_likelihood = self.e_step(block.x, block.weight, sums)
        n, weight, sums = len(block.x), weight_of(block), self.restore(sums)
        return MixtureStats(n, weight, log_likelihood, sums, self.frame, self.precision, self.kernel_id)


@dataclass(frozen=True, eq=False)
class NativeDensities:
    """Joint log-densities of all components as the native kernel computes them.

    Attributes
    ----------
    step : EStep
    pieces : Pieces
        How it reads the rows.
    frame : Frame
    precision : Precision
    restore : callable
        From the sums that the library adds to those of the family.
    """

    step: EStep
    pieces: Pieces
    frame: Frame
    precision: Precision
    restore: Restore

    def kernel(self, kernel_id: KernelId) -> NativeKernel:
        """Return the E-step."""
        e_step = NativeEStep(self.step, kernel_id, self.pieces)
        return NativeKernel(e_step, self.frame, self.precision, kernel_id, self.restore)

    def output(self, kernel_id: KernelId, output: RowOutput) -> NativeOutputs:
        """Return the function that writes an output of rows, one of those in `OUTPUT_KINDS`, without log h."""
        kind, columns = OUTPUT_KINDS[output.name], output.columns or 1
        return NativeOutputs(self.step, kernel_id, OutputShape(kind, columns, output.dtype.itemsize), self.pieces)


def has_native(family: Family[Any]) -> bool:
    """Whether the native kernel has a family, in some arithmetic."""
    return family.linear is not None or gaussian_form(family) is not None


def native_kernel(
    family: Family[Any], params: MixtureParams, precision: Precision, frame: Frame | None, kernel_id: KernelId
) -> NativeKernel | None:
    """Return the E-step of a family, or None if the native kernel does not have it: then NumPy is used."""
    found = native_densities(family, params, precision, frame)
    return None if found is None else found.kernel(kernel_id)


def native_densities(
    family: Family[Any], params: MixtureParams, precision: Precision, frame: Frame | None
) -> NativeDensities | None:
    """Return the densities of all components in this arithmetic, or None if the native kernel does not have them."""
    linear = family.linear
    if precision == Precision.CENTRED or frame is None or linear is None:
        form = gaussian_form(family)
        return None if form is None else centred_densities(form, params)
    return linear_densities(linear, params, precision, frame)


def centred_densities(form: GaussianForm, params: MixtureParams) -> NativeDensities:
    """Return the densities of Gaussians about their own means."""
    found = form.centred_map(params.theta)
    arrays = found.means, found.factors, found.constants + params.log_weights
    step = CentredEStep(*map(np.ascontiguousarray, arrays))
    restore = one_square if form.one_square else unchanged
    return NativeDensities(step, RowPieces(step.dtype), Frame.at(found.means), Precision.CENTRED, restore)


def linear_densities(linear: Linear[Any], params: MixtureParams, precision: Precision, frame: Frame) -> NativeDensities:
    """Return the densities of an exponential family: the features are products of columns, or Python writes them."""
    dtype = np.dtype(np.float32 if precision == Precision.SINGLE else np.float64)
    d = len(frame.scale)
    features = linear.features(d, frame)
    eta = eta_of(linear, params.theta, params.log_weights, frame)
    pairs, order = pairs_of(features), columns_first(pairs_of(features))
    step = LinearEStep(
        np.ascontiguousarray(eta[:, order], dtype=dtype),
        kernel_columns(features, d, dtype),
        np.ascontiguousarray(pairs[order].T),
    )
    return NativeDensities(step, pieces_of(features, dtype), frame, precision, partial(in_order, order))


def unchanged(sums: Float) -> Float:
    """Return the sums."""
    return sums


def one_square(sums: Float) -> Float:
    """Return the sums (1 + 2 d, K) with one sum of the squares of all columns (2 + d, K)."""
    d = len(sums) // 2
    return np.concatenate([sums[: 1 + d], sums[1 + d :].sum(axis=0, keepdims=True)])


def in_order(order: NDArray[np.intp], sums: Float) -> Float:
    """Return the sums in the order of the family's features."""
    out = np.empty_like(sums)
    out[order] = sums
    return out


def kernel_columns(features: Features, d: int, dtype: np.dtype[Any]) -> Columns:
    """Return the columns that features are products of; features that Python writes are such columns themselves."""
    if isinstance(features, FeatureMap):
        return columns_of(features, d, dtype)
    return stored_columns(features.n_features - 1, dtype)


def pairs_of(features: Features) -> NDArray[np.int32]:
    """Return the two columns of each feature (F, 2)."""
    if isinstance(features, FeatureMap):
        return np.asarray(features.pairs, dtype=np.int32)
    f = features.n_features
    return np.stack([np.zeros(f, np.int32), np.arange(f, dtype=np.int32)], axis=1)


def pieces_of(features: Features, dtype: np.dtype[Any]) -> Pieces:
    """Return how the native kernel reads rows."""
    if isinstance(features, FeatureMap):
        return RowPieces(dtype)
    return FeaturePieces(features.write, features.n_features - 1, dtype)


def native_bytes(family: Family[Any], k: int, d: int, kernel_id: KernelId) -> int:
    """Return the memory of the native kernel for K components of d columns, in bytes; 0 if it lacks the family."""
    form, linear = gaussian_form(family), family.linear
    if linear is None:
        return 0
    f, double, origin = linear.n_features(d), np.dtype(np.float64), np.zeros(d)
    if form is None:
        columns = kernel_columns(linear.features(d, Frame.at(origin)), d, double)
    else:
        columns = columns_in_frame(origin, origin, double, no_items())
    sizes = [linear_bytes(kernel_id, f"dem_linear_{name}", f, k, columns) for name in ("float64", "float32")]
    if form is not None:
        sizes.append(centred_bytes(kernel_id, "dem_whitened" if form.has_matrices else "dem_independent", k, d))
    return max(sizes) + 4 * 8 * (family.parameter_size(k, d) + family.n_exact_sums(d) * k)
