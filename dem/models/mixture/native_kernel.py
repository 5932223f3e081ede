"""The E-step of a mixture by the native kernel: a function from a block to its statistics, like `MixtureKernel`."""

from __future__ import annotations

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
from dem.families.gaussian.base import Gaussians
from dem.families.gaussian.centred_map import CentredMap
from dem.families.gaussian.forms import GaussianForm, gaussian_form, has_missing_map, missing_map
from dem.families.gaussian.missing_map import MissingMap
from dem.families.student_form import StudentForm, student_form
from dem.kernel.columns import Columns, columns_in_frame, no_items, stored_columns
from dem.kernel.estep import CentredEStep, EStep, LinearEStep, PatternEStep, StudentEStep
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import FeaturePieces, Pieces, RowPieces
from dem.kernel.runner import NativeEStep, NativeOutputs, OutputShape, centred_bytes, linear_bytes
from dem.kernel.tasks import COMPLETE, ENTROPY, LABEL, PROBA, SCORE, TOP_INDEX, TOP_WEIGHT
from dem.models.mixture.kernel import MixtureParams, MixtureStats, Restore, eta_of, unchanged, weight_of
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
    return family.linear is not None or exact_function(family) is not None


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
        return exact_densities(family, params)
    return linear_densities(linear, params, precision, frame)


def exact_densities(family: Family[Any], params: MixtureParams) -> NativeDensities | None:
    """Return the densities of the exact path, or None if the native kernel does not have it."""
    if (gaussian := gaussian_form(family)) is not None:
        return centred_densities(gaussian, params.theta, params.log_weights)
    if (missing := missing_map(family, params.theta)) is not None:
        return pattern_densities(missing, params.log_weights)
    student = student_form(family)
    return None if student is None else student_densities(student, params)


def centred_densities(form: GaussianForm, theta: Gaussians, log_weights: Float) -> NativeDensities:
    """Return the densities of Gaussians about their own means."""
    step = centred_step(form.centred_map(theta), log_weights)
    restore = one_square if form.one_square else unchanged
    return NativeDensities(step, RowPieces(step.dtype), Frame.at(step.means), Precision.CENTRED, restore)


def pattern_densities(found: MissingMap, log_weights: Float) -> NativeDensities:
    """Return the densities of full or tied Gaussians of rows with missing values."""
    matrices = found.precisions, found.covariances, found.log_dets
    step = PatternEStep(centred_step(found.centred, log_weights), *map(np.ascontiguousarray, matrices))
    frame = Frame.at(found.centred.means)
    return NativeDensities(step, RowPieces(step.dtype), frame, Precision.CENTRED, found.completed)


def student_densities(form: StudentForm, params: MixtureParams) -> NativeDensities:
    """Return the densities of Student's t."""
    found = form.student_map(params.theta)
    gaussians = centred_step(found.gaussians, params.log_weights)
    step = StudentEStep(gaussians, np.ascontiguousarray(found.degrees_of_freedom))
    frame, restore = Frame.at(gaussians.means), partial(with_log_u, found.log_u)
    return NativeDensities(step, RowPieces(step.dtype), frame, Precision.CENTRED, restore)


def centred_step(found: CentredMap, log_weights: Float) -> CentredEStep:
    """Return the arrays of the exact path, with the log-weights."""
    arrays = found.means, found.factors, found.constants + log_weights
    return CentredEStep(*map(np.ascontiguousarray, arrays))


def linear_densities(linear: Linear[Any], params: MixtureParams, precision: Precision, frame: Frame) -> NativeDensities:
    """Return the densities of an exponential family: the features are products of columns, or Python writes them."""
    dtype = precision.dtype
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


def one_square(sums: Float) -> Float:
    """Return the sums (1 + 2 d, K) with one sum of the squares of all columns (2 + d, K)."""
    d = len(sums) // 2
    return np.concatenate([sums[: 1 + d], sums[1 + d :].sum(axis=0, keepdims=True)])


def with_log_u(log_u: Float, sums: Float) -> Float:
    """Return the sums of r and of r E log u first, given E log u at the means (K,)."""
    counts, logs = sums[-2], sums[-1]
    return np.concatenate([[counts, log_u * counts - logs], sums[:-2]])


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
    exact, linear = exact_function(family), family.linear
    sizes = [] if linear is None else linear_sizes(linear, exact is not None, k, d, kernel_id)
    if exact is not None:
        sizes.append(centred_bytes(kernel_id, exact, k, d))
    if not sizes:
        return 0
    return max(sizes) + 4 * 8 * (family.parameter_size(k, d) + family.n_exact_sums(d) * k)


def linear_sizes(linear: Linear[Any], in_frame: bool, k: int, d: int, kernel_id: KernelId) -> list[int]:
    """Return the workspaces for features of columns in a frame, or of those that the family has, in bytes."""
    f, double, origin = linear.n_features(d), np.dtype(np.float64), np.zeros(d)
    if in_frame:
        columns = columns_in_frame(origin, origin, double, no_items())
    else:
        columns = kernel_columns(linear.features(d, Frame.at(origin)), d, double)
    return [linear_bytes(kernel_id, f"dem_linear_{name}", f, k, columns) for name in ("float64", "float32")]


def exact_function(family: Family[Any]) -> str | None:
    """Return the name of the function for the exact path, or None if the native kernel does not have it."""
    if has_missing_map(family):
        return "dem_patterns"
    student = student_form(family)
    gaussian = gaussian_form(family) if student is None else student.gaussian
    if gaussian is None:
        return None
    name = "whitened" if gaussian.has_matrices else "independent"
    return f"dem_{name}" if student is None else f"dem_student_{name}"
