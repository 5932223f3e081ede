"""K-means: the hard-assignment case of the mixture's kernel   (PRML 9.1).

E-step: each row to its nearest centre, by L = H T with eta_k = (-|c_k|^2 / 2, c_k) and an argmax over k   (PRML 9.2).
M-step: c_k = the mean of its rows   (PRML 9.4); empty clusters are first given the rows farthest from their centres.

Matrix products only choose the nearest centre. All sums are of differences to that centre, in float64, so that neither
an offset of the data nor their spread costs digits.

For rows with missing values, the E-step and its statistics are in `missing`; the M-step is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.em.model import Step
from dem.em.row_output import REAL, RowOutput, RowOutputs, filled, output_table
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.kmeans.kernel import KMeansKernel, KMeansStats, Nearest, kernel_bytes
from dem.models.kmeans.missing import NearestObserved, ObservedKernel
from dem.models.kmeans.native_kernel import OUTPUTS, NativeKMeansKernel, native_bytes, native_rows
from dem.models.mixture.precision import Precision, single_holds
from dem.models.row_checks import check_distinct, check_enough_rows, check_finite, label_dtype
from dem.scan.scanner import Scan, scan_bytes

BORDER_TOLERANCE = 1e-7
"""Products may move the border between two centres by this share of their distance. The inertia changes by its
square."""
SINGLE_BORDER_TOLERANCE = 1e-3
"""The same for float32 products on float32 data, in the iterations before the last."""
MISSING_BORDER_TOLERANCE = 1e-10
"""BORDER_TOLERANCE for rows with missing values, per column. Centres may be close in all observed columns o of a row; a
wrong choice then costs d / |o| times the error."""
PRODUCT_ROUNDINGS = 8
"""The error of a product is taken as this many roundings of |H| |T|."""
STEP_ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Steps shorter than this share of a cluster's spread are rounding: no row has changed its cluster."""


@dataclass(frozen=True)
class KMeansParams:
    """Parameters of K-means.

    Attributes
    ----------
    centers : array of shape (K, d)
    separation : float
        Squared distance of the two nearest centres; inf for one centre.
    floor : Precision
        The least exact arithmetic that the next pass may use.
    settled : bool
        The last step was within the tolerance: the next pass scores these centres and is the last one.
    """

    centers: Float
    separation: float
    floor: Precision = Precision.SINGLE
    settled: bool = False

    @classmethod
    def at(cls, centers: Float, floor: Precision = Precision.SINGLE, *, settled: bool = False) -> KMeansParams:
        """Return the parameters with these centres (K, d)."""
        distances, _ = cKDTree(centers).query(centers, k=2)
        return cls(centers, float(distances[:, 1].min()) ** 2, floor, settled)


def kmeans_outputs(k: int, d: int, dtype: np.dtype[Any] = REAL) -> RowOutputs:
    """Return the table of outputs of k clusters of d columns; filled-in rows have this dtype."""
    return output_table(
        RowOutput("label", "the cluster whose centre is nearest", label_dtype(k), n_labels=k),
        RowOutput("distance", "the distances to all centres", columns=k, axis="component"),
        RowOutput("score", "minus the squared distance to the nearest centre"),
        filled(d, dtype, "those of the nearest centre"),
    )


@dataclass(frozen=True)
class KMeansModel:
    """K-means with K clusters.

    Attributes
    ----------
    n_clusters : int
    init : {"k-means++", "random"}
        How scikit-learn's K-means chooses its first centres on the sample.
    tol : float
        The fit stops when the squared shift of all centres is at most `tol` times the mean variance of the columns.
    frame : Frame or None
        The coordinates for products; None before `bind`.
    largest : array of shape (d,)
        The largest magnitude of each column in the frame.
    variance : float
        The mean variance of the columns.
    single : bool
        Float32 products may be used in the iterations before the last: the data are float32 or float16, and neither
        too large nor too small.
    missing : bool
        Rows have missing values.
    kernel_id : KernelId
        The implementation of the E-step and of results for rows that workers use. Rows with missing values always have
        NumPy's, so `bind` chooses it for data that have them.
    """

    n_clusters: int
    init: str = "k-means++"
    tol: float = 1e-4
    frame: Frame | None = None
    largest: Float | None = None
    variance: float = 0.0
    single: bool = False
    missing: bool = False
    kernel_id: KernelId = field(default=NUMPY, repr=False)

    needs_scatter = False
    measure = None
    has_native_kernel = True

    def with_kernel(self, kernel_id: KernelId) -> KMeansModel:
        """Return the model with this implementation of the E-step."""
        return replace(self, kernel_id=kernel_id)

    def squared(self, variances: Float) -> Float:
        """Return the mean for every column: columns of small variance matter little in distances."""
        return np.full_like(variances, variances.mean())

    def work(self, x: Array) -> float:
        """Return the operations of two products of every row with the centres."""
        return 4.0 * self.n_clusters * x.size

    def bind(self, scan: Scan) -> KMeansModel:
        """Return the model in the frame of the scan's sample."""
        x = scan.sample.x[scan.sample.weight > 0]
        check_enough_rows(scan.rows_with_value, self.n_clusters, "n_clusters")
        check_distinct(x, self.n_clusters, "n_clusters")
        frame = Frame.near(x, isotropic=True)
        missing, largest = bool(scan.lacking.any()), frame.largest(scan.low, scan.high)
        return replace(
            self,
            frame=frame,
            largest=largest,
            variance=float(scan.moments.covariance.mean()),
            single=single_holds(x.dtype, frame, largest),
            missing=missing,
            kernel_id=NUMPY if missing else self.kernel_id,
        )

    def bind_like(self, scan: Scan, guess: KMeansModel, params: KMeansParams) -> KMeansModel | None:
        """Return the bound model; None if the pass of `guess` was not exact enough for these ranges, or of other rows.

        The frame is for products alone, and sums are about the centres: so the frames may differ.
        """
        bound, frame = self.bind(scan), guess.frame
        assert frame is not None
        exact = replace(guess, largest=frame.largest(scan.low, scan.high)).precision(params) <= guess.precision(params)
        return bound if exact and (bound.missing, bound.kernel_id) == (guess.missing, guess.kernel_id) else None

    def own_stats(self, params: KMeansParams, stats: KMeansStats, guess: KMeansModel) -> KMeansStats:
        """Return the statistics: they are about the centres."""
        return stats

    def start(self, sample: Block, rng: np.random.Generator) -> KMeansParams:
        """Return the centres that scikit-learn's K-means finds on the sample, ordered by their coordinates."""
        from sklearn.cluster import KMeans  # imported here: workers do not need it

        x, weight = np.asarray(sample.x, dtype=np.float64), sample.weight
        if weight is not None:
            x, weight = x[weight > 0], weight[weight > 0]
        seed = int(rng.integers(2**31 - 1))
        lloyd = KMeans(self.n_clusters, init=self.init, n_init=1, tol=self.tol, random_state=seed)
        centers = lloyd.fit(x, sample_weight=weight).cluster_centers_
        return KMeansParams.at(centers[np.lexsort(centers.T[::-1])])

    def precision(self, params: KMeansParams) -> Precision:
        """Return the cheapest arithmetic that meets the tolerance for these parameters and this data."""
        if self.frame is None or self.largest is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        found = sufficient_precision(params, self.frame, self.largest, missing=self.missing)
        return params.floor if found == Precision.SINGLE and self.single else max(found, Precision.DOUBLE)

    def is_exact(self, params: KMeansParams) -> bool:
        """Whether a pass with these parameters works with float64 products or differences."""
        return self.precision(params) >= Precision.DOUBLE

    def exact(self, params: KMeansParams) -> KMeansParams:
        """Return the parameters marked for float64 products or differences."""
        return params if self.is_exact(params) else replace(params, floor=Precision.DOUBLE)

    def for_new_fit(self, params: KMeansParams) -> KMeansParams:
        """Return the parameters without the marks of an earlier fit."""
        return replace(params, floor=Precision.SINGLE, settled=False)

    def kernel(self, params: KMeansParams) -> Callable[[Block], KMeansStats]:
        """Return the kernel in the arithmetic that `precision` chooses."""
        precision = self.precision(params)
        assert self.frame is not None
        if self.missing:
            return ObservedKernel(NearestObserved(params.centers, self.frame, precision))
        if self.kernel_id != NUMPY:
            return NativeKMeansKernel(params.centers, self.frame, precision, self.kernel_id)
        return KMeansKernel(Nearest(params.centers, self.frame, precision))

    def m_step(self, params: KMeansParams, stats: KMeansStats) -> Step[KMeansParams]:
        """Return the clusters' means; converged if no centre moves, or if the last step was within the tolerance."""
        if params.settled:
            return Step(params, converged=True)
        moved = stats.relocated()
        step = moved.centers.shift - params.centers + moved.step()
        centers = params.centers + step
        spread = (stats.inertia.sum() / stats.weight) ** 0.5
        if (np.abs(step) <= STEP_ROUNDING * spread + np.spacing(np.abs(centers))).all():
            return Step(params, converged=True)
        settled = float(np.vdot(step, step)) <= self.tol * self.variance
        if settled and not self.is_exact(params):  # the step was made in float32: repeat it in float64
            return Step(KMeansParams.at(centers, Precision.DOUBLE))
        return Step(KMeansParams.at(centers, params.floor, settled=settled))

    def objective(self, params: KMeansParams, stats: KMeansStats) -> float:
        """Return minus the inertia a row, rows weighted, in the data's units squared   (PRML 9.1)."""
        return -float(stats.inertia.sum()) / stats.weight

    def log_likelihood(self, params: KMeansParams, stats: KMeansStats) -> None:
        """Return None: there is no density."""
        return

    def expected(self, params: KMeansParams, stats: KMeansStats, new: KMeansParams) -> float:
        """Return minus the distortion a row of the `new` centres with the old labels.

        If it is better, with the labels after the farthest rows have moved to the empty clusters.
        """
        distortions = (s.distortion(new.centers - s.centers.shift) for s in (stats, stats.relocated()))
        return -min(distortions) / stats.weight

    def row_outputs(self, params: KMeansParams, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of outputs; filled-in rows have this dtype."""
        return kmeans_outputs(self.n_clusters, params.centers.shape[1], dtype)

    def rows(self, params: KMeansParams, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs."""
        return partial(self._rows, params, output)

    def _rows(self, params: KMeansParams, output: RowOutput, block: Block) -> Array:
        """Return one output of a block of shape (n, d); its range decides the arithmetic."""
        x = block.x
        out = np.empty(output.shape(len(x)), output.dtype)
        if len(x) == 0:
            return out
        frame = Frame.at(params.centers.mean(axis=0))
        low, high, whole = check_finite(block)
        found = max(sufficient_precision(params, frame, frame.largest(low, high), missing=not whole), Precision.DOUBLE)
        if whole and self.kernel_id != NUMPY and output.name in OUTPUTS:
            return native_rows(params.centers, frame, found, output, x, self.kernel_id)
        nearest = (Nearest if whole else NearestObserved)(params.centers, frame, found)
        for start in range(0, len(x), nearest.tile):
            rows = x[start : start + nearest.tile]
            here = slice(start, start + len(rows))
            if output.name == "distance":
                out[here] = nearest.distances(rows)
            elif output.name == "label":
                out[here] = nearest.labels(rows)
            elif output.name == "score":
                out[here] = -nearest.residuals(rows, nearest.labels(rows))[1]
            else:
                out[here] = rows if whole else np.where(np.isnan(rows), params.centers[nearest.labels(rows)], rows)
        return out

    def workspace_bytes(self, d: int) -> int:
        """Return the bytes that a task needs in addition to its block."""
        width = 2 * d if self.missing else d  # each column, and whether it is observed
        return max(kernel_bytes(self.n_clusters, width), self._native_bytes(d), scan_bytes(d, scatter=False))

    def rows_bytes(self, d: int) -> int:
        """Return the bytes that a task needs for row outputs, also with missing values."""
        return max(kernel_bytes(self.n_clusters, 2 * d), self._native_bytes(d))

    def _native_bytes(self, d: int) -> int:
        """Return the bytes that a task of the native kernel needs; 0 with NumPy."""
        return 0 if self.kernel_id == NUMPY else native_bytes(self.n_clusters, d, self.kernel_id)


def sufficient_precision(params: KMeansParams, frame: Frame, largest: Float, *, missing: bool) -> Precision:
    """Return the cheapest arithmetic that moves no border between centres by more than its tolerance.

    An error e in both L_j and L_k moves their border by 2 e / |c_j - c_k|.

    Parameters
    ----------
    params : KMeansParams
    frame : Frame
        The coordinates for products.
    largest : array of shape (d,)
        The largest magnitude of each column there.
    missing : bool
        Rows have missing values.
    """
    c = (params.centers - frame.shift) * frame.scale
    size = float((np.abs(c) @ largest + 0.5 * np.einsum("ij,ij->i", c, c)).max())
    apart = params.separation * float(frame.scale[0]) ** 2
    for precision, dtype, tolerance in (
        (Precision.SINGLE, np.float32, SINGLE_BORDER_TOLERANCE),
        (Precision.DOUBLE, np.float64, MISSING_BORDER_TOLERANCE / len(largest) if missing else BORDER_TOLERANCE),
    ):
        if 2 * PRODUCT_ROUNDINGS * float(np.finfo(dtype).eps) * size <= tolerance * apart:
            return precision
    return Precision.CENTRED
