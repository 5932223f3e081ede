"""The E-step of a mixture by the native kernel: a function from a block to its statistics, like `MixtureKernel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core.block import Block, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Family
from dem.families.feature_columns import NO_MASK, ONE, Column, Op, in_frame
from dem.families.feature_map import FeatureMap
from dem.kernel.estep import CentredEStep, LinearEStep, NativeEStep, centred_workspace, linear_workspace
from dem.kernel.kernel_id import KernelId
from dem.models.mixture.kernel import MixtureParams, MixtureStats, eta_of, weight_of
from dem.models.mixture.precision import Precision


@dataclass(frozen=True, eq=False)
class NativeKernel:
    """The E-step: a function from a block to its statistics.

    Attributes
    ----------
    e_step : NativeEStep
    n_sums : int
        F, the number of sums of the family.
    frame : Frame
    precision : Precision
    kernel : KernelId
    """

    e_step: NativeEStep
    n_sums: int
    frame: Frame
    precision: Precision
    kernel: KernelId

    def __call__(self, block: Block) -> MixtureStats:
        """Return the statistics of a block of shape (n, d)."""
        f, k, _ = self.e_step.of.shape
        sums = np.zeros((f, k))
        log_likelihood = self.e_step(block.x, block.weight, sums)
        if f > self.n_sums:  # spherical Gaussians need the sum of all squares
            sums = np.concatenate([sums[: self.n_sums - 1], sums[self.n_sums - 1 :].sum(axis=0, keepdims=True)])
        return MixtureStats(
            len(block.x), weight_of(block), log_likelihood, sums, self.frame, self.precision, self.kernel
        )


def native_kernel(
    family: Family[Any], params: MixtureParams, precision: Precision, frame: Frame | None, kernel: KernelId
) -> NativeKernel | None:
    """Return the E-step of a family, or None if the native kernel does not have it: then NumPy is used."""
    linear = family.linear
    if precision == Precision.CENTRED or frame is None or linear is None:
        return centred_kernel(family, params, kernel)
    dtype = np.dtype(np.float32 if precision == Precision.SINGLE else np.float64)
    features = linear.features(len(frame.scale), frame)
    if not isinstance(features, FeatureMap) or not has_plain_columns(features, frame):
        return None
    eta = eta_of(linear, params.theta, params.log_weights, frame)
    return NativeKernel(
        NativeEStep(linear_e_step(features, eta, frame, dtype), kernel), features.n_features, frame, precision, kernel
    )


def centred_kernel(family: Family[Any], params: MixtureParams, kernel: KernelId) -> NativeKernel | None:
    """Return the E-step of Gaussians about their own means; None for other families."""
    found = family.centred_map(params.theta)
    if found is None:
        return None
    means, factors, constants = (
        np.ascontiguousarray(a) for a in (found.means, found.factors, found.constants + params.log_weights)
    )
    n_sums = family.n_exact_sums(means.shape[1])
    e_step = NativeEStep(CentredEStep(means, factors, constants), kernel)
    return NativeKernel(e_step, n_sums, Frame.at(means), Precision.CENTRED, kernel)


def has_plain_columns(features: FeatureMap, frame: Frame) -> bool:
    """Whether features are products of the data's columns in the frame, and perhaps of their sum of squares."""
    plain = (ONE, *in_frame(frame))
    square = Column(Op.SUM_OF_SQUARES, 1, argument=len(frame.scale))
    return features.columns in (plain, (*plain, square)) and bool((features.masks == NO_MASK).all())


def linear_e_step(features: FeatureMap, eta: Float, frame: Frame, dtype: np.dtype[Any]) -> LinearEStep:
    """Return the E-step of features that are products of plain columns, in float64 or float32."""
    shift, scale = (np.ascontiguousarray(a, dtype=dtype) for a in (frame.shift, frame.scale))
    pairs = np.ascontiguousarray(features.pairs.T, dtype=np.int32)
    has_square = len(features.columns) > 1 + len(scale)
    return LinearEStep(np.ascontiguousarray(eta, dtype=dtype), shift, scale, pairs, has_square)


def native_bytes(family: Family[Any], k: int, d: int, kernel: KernelId) -> int:
    """Return the memory of the native E-step for K components of d columns, in bytes; 0 if it lacks the family."""
    if family.linear is None:
        return 0
    f = family.n_exact_sums(d)
    linear = linear_workspace(kernel, family.linear.n_features(d), k, d)
    centred = centred_workspace(kernel, k, d, independent=f <= 1 + 2 * d)
    return max(linear, centred) + 4 * 8 * (family.parameter_size(k, d) + f * k)
