"""The E-step of a mixture by the native kernel: a function from a block to its statistics, like `MixtureKernel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.families.family import Family, Linear
from dem.families.feature_map import FeatureMap
from dem.families.gaussian.forms import GaussianForm, gaussian_form
from dem.kernel.estep import CentredEStep, LinearEStep, NativeEStep, workspace_bytes
from dem.kernel.kernel_id import KernelId
from dem.models.mixture.kernel import MixtureParams, MixtureStats, eta_of, weight_of
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


def native_kernel(
    family: Family[Any], params: MixtureParams, precision: Precision, frame: Frame | None, kernel_id: KernelId
) -> NativeKernel | None:
    """Return the E-step of a family, or None if the native kernel does not have it: then NumPy is used."""
    form, linear = gaussian_form(family), family.linear
    if form is None:
        return None
    if precision == Precision.CENTRED or frame is None or linear is None:
        return centred_kernel(form, params, kernel_id)
    dtype = np.dtype(np.float32 if precision == Precision.SINGLE else np.float64)
    e_step = NativeEStep(linear_e_step(linear, params, frame, dtype), kernel_id)
    return NativeKernel(e_step, frame, precision, kernel_id)


def centred_kernel(form: GaussianForm, params: MixtureParams, kernel_id: KernelId) -> NativeKernel:
    """Return the E-step of Gaussians about their own means."""
    found = form.centred_map(params.theta)
    arrays = found.means, found.factors, found.constants + params.log_weights
    e_step = NativeEStep(CentredEStep(*map(np.ascontiguousarray, arrays)), kernel_id)
    return NativeKernel(e_step, Frame.at(found.means), Precision.CENTRED, kernel_id, form.one_square)


def linear_e_step(linear: Linear[Any], params: MixtureParams, frame: Frame, dtype: np.dtype[Any]) -> LinearEStep:
    """Return the E-step of features of Gaussians: products of the columns in the frame."""
    d = len(frame.scale)
    features = linear.features(d, frame)
    assert isinstance(features, FeatureMap)
    eta = eta_of(linear, params.theta, params.log_weights, frame)
    eta, shift, scale = (np.ascontiguousarray(a, dtype=dtype) for a in (eta, frame.shift, frame.scale))
    pairs = np.ascontiguousarray(features.pairs.T, dtype=np.int32)
    return LinearEStep(eta, shift, scale, pairs, len(features.columns) > 1 + d)


def native_bytes(family: Family[Any], k: int, d: int, kernel_id: KernelId) -> int:
    """Return the memory of the native E-step for K components of d columns, in bytes; 0 if it lacks the family."""
    form, linear = gaussian_form(family), family.linear
    if form is None or linear is None:
        return 0
    f, centred = linear.n_features(d), "dem_whitened" if form.has_matrices else "dem_independent"
    sizes = [workspace_bytes(kernel_id, f"dem_linear_{dtype}", f, k, d) for dtype in ("float64", "float32")]
    sizes.append(workspace_bytes(kernel_id, centred, family.n_exact_sums(d), k, d))
    return max(sizes) + 4 * 8 * (family.parameter_size(k, d) + family.n_exact_sums(d) * k)
