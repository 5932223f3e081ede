"""The E-step of a mixture by the native kernel: a function from a block to its statistics, like `MixtureKernel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.families.family import Family, Linear
from dem.families.feature_map import FeatureMap
from dem.families.features import Features
from dem.families.gaussian.forms import GaussianForm, gaussian_form
from dem.kernel.columns import Columns, columns_in_frame, no_items, stored_columns
from dem.kernel.estep import CentredEStep, EStep, LinearEStep
from dem.kernel.kernel_id import KernelId
from dem.kernel.pieces import FeaturePieces, Pieces, RowPieces
from dem.kernel.runner import NativeEStep, centred_bytes, linear_bytes
from dem.models.mixture.kernel import MixtureParams, MixtureStats, eta_of, weight_of
from dem.models.mixture.native_columns import columns_of
from dem.models.mixture.precision import Precision


@dataclass(frozen=True, eq=False)
class NativeKernel:
    """The E-step: a function from a block to its statistics.

    Attributes
    ----------
    e_step : NativeEStep
    frame : Frame
    precision : Precision
    kernel_id : KernelId
    adds_squares : bool
        Whether the sums of the squares of all columns become one sum.
    """

    e_step: NativeEStep
    frame: Frame
    precision: Precision
    kernel_id: KernelId
    adds_squares: bool = False

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        f, k, d = self.e_step.step.shape
        sums = np.zeros((f, k))
        log_likelihood = self.e_step(block.x, block.weight, sums)
        if self.adds_squares:
            sums = np.concatenate([sums[: 1 + d], sums[1 + d :].sum(axis=0, keepdims=True)])
        n, weight = len(block.x), weight_of(block)
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
    adds_squares : bool
        Whether the sums of the squares of all columns become one sum.
    """

    step: EStep
    pieces: Pieces
    frame: Frame
    precision: Precision
    adds_squares: bool = False

    def kernel(self, kernel_id: KernelId) -> NativeKernel:
        """Return the E-step."""
        e_step = NativeEStep(self.step, kernel_id, self.pieces)
        return NativeKernel(e_step, self.frame, self.precision, kernel_id, self.adds_squares)


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
    return NativeDensities(step, RowPieces(step.dtype), Frame.at(found.means), Precision.CENTRED, form.one_square)


def linear_densities(
    linear: Linear[Any], params: MixtureParams, precision: Precision, frame: Frame
) -> NativeDensities:
    """Return the densities of an exponential family: the features are products of columns, or Python writes them."""
    dtype = np.dtype(np.float32 if precision == Precision.SINGLE else np.float64)
    d = len(frame.scale)
    features = linear.features(d, frame)
    eta = np.ascontiguousarray(eta_of(linear, params.theta, params.log_weights, frame), dtype=dtype)
    step = LinearEStep(eta, kernel_columns(features, d, dtype), pairs_of(features))
    return NativeDensities(step, pieces_of(features, dtype), frame, precision)


def kernel_columns(features: Features, d: int, dtype: np.dtype[Any]) -> Columns:
    """Return the columns that features are products of; features that Python writes are such columns themselves."""
    if isinstance(features, FeatureMap):
        return columns_of(features, d, dtype)
    return stored_columns(features.n_features - 1, dtype)


def pairs_of(features: Features) -> NDArray[np.int32]:
    """Return the two columns of each feature (2, F)."""
    if isinstance(features, FeatureMap):
        return np.ascontiguousarray(features.pairs.T, dtype=np.int32)
    f = features.n_features
    return np.stack([np.zeros(f, np.int32), np.arange(f, dtype=np.int32)])


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
