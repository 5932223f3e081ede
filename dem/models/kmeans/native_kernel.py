"""K-means on one block by the native kernel: the E-step, like `KMeansKernel`, and results for rows, like `Nearest`."""

from __future__ import annotations

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.stats import ARITY
from dem.em.row_output import RowOutput
from dem.kernel.kernel_id import KernelId
from dem.kernel.kmeans import Centers, KMeansEStep, kmeans_bytes
from dem.kernel.runner import NativeOutputs, OutputShape
from dem.kernel.tasks import DISTANCE, LABEL, SCORE
from dem.models.kmeans.kernel import Farthest, KMeansStats, product_coefficients, total_weight
from dem.models.mixture.precision import Precision

OUTPUTS = {"label": LABEL, "score": SCORE, "distance": DISTANCE}
"""The row outputs that the native kernel has, and their kinds there."""


class NativeKMeansKernel:
    """The function from a block to its statistics.

    Parameters
    ----------
    centers : array of shape (K, d)
    frame : Frame
        The coordinates for products.
    precision : Precision
        The precision of products; CENTRED uses differences instead.
    kernel_id : KernelId
    """

    def __init__(self, centers: Float, frame: Frame, precision: Precision, kernel_id: KernelId) -> None:
        self.centers, self.kernel_id = centers, kernel_id
        self._e_step = KMeansEStep(native_centers(centers, frame, precision), kernel_id)

    def __call__(self, block: Block) -> KMeansStats:
        """Return the statistics of a block of shape (n, d)."""
        x, weight, (k, d) = block.x, block.weight, self.centers.shape
        found = self._e_step(x, weight)
        rows, label = found.far_row, found.far_label
        far = Farthest(
            square=found.far_square,
            key=block.keys.of(rows),
            label=label,
            weight=np.ones(len(rows)) if weight is None else weight[rows].astype(np.float64),
            residual=x[rows].astype(np.float64) - self.centers[label],
        )
        return KMeansStats(
            rows=len(x),
            weight=total_weight(block),
            counts=found.counts,
            sums=found.sums,
            inertia=found.inertia,
            farthest=Farthest.none(d).merge(far, k),
            centers=Frame.at(self.centers),
            kernel=self.kernel_id,
        )


def native_centers(centers: Float, frame: Frame, precision: Precision) -> Centers:
    """Return the centres (K, d) as the native kernel reads them."""
    if precision == Precision.CENTRED:
        shift, scale = np.zeros_like(centers[0]), np.ones_like(centers[0])
        eta = np.concatenate([np.zeros((len(centers), 1)), centers], axis=1)
    else:
        shift, scale = frame.shift, frame.scale
        eta = -product_coefficients((centers - shift) * scale)
    dtype = precision.dtype
    eta, shift, scale = (np.ascontiguousarray(a, dtype=dtype) for a in (eta, shift, scale))
    return Centers(np.ascontiguousarray(centers), eta, shift, scale, precision == Precision.CENTRED)


def native_rows(
    centers: Float, frame: Frame, precision: Precision, output: RowOutput, x: Array, kernel_id: KernelId
) -> Array:
    """Return one of `OUTPUTS` for complete rows x (n, d)."""
    out = np.empty(output.shape(len(x)), output.dtype)
    of = native_centers(centers, frame, Precision.CENTRED if output.name == "distance" else precision)
    assert of.dtype == np.float64
    shape = OutputShape(OUTPUTS[output.name], output.columns or 1, output.dtype.itemsize)
    NativeOutputs(of, kernel_id, shape)(x, out)
    return out


def native_bytes(k: int, d: int, kernel_id: KernelId) -> int:
    """Return the bytes that a task of k clusters and d columns needs; a node of the tree has `ARITY` sums."""
    return kmeans_bytes(kernel_id, k, d) + 8 * (ARITY + 6) * k * (2 * d + 6)
