"""Mixtures: p(x) = sum over k of w_k p(x | k)   (PRML 9.7).

E-step: responsibilities r_k(x) = w_k p(x | k) / p(x), and the sums of r_k(x) t(x)   (PRML 9.13).
M-step: w_k = N_k / N, and each family's own estimate from the sums   (PRML 9.26).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from dem.families.family import Family, Given, safe_counts
from dem.frame import Frame
from dem.model import Array, Block, Float
from dem.models.mixture_kernel import (
    CACHE_BYTES,
    MIN_TILE,
    CentredDensities,
    Densities,
    LinearDensities,
    MixtureKernel,
    MixtureStats,
    Precision,
    Softmax,
)
from dem.models.rowwise import check_finite, named
from dem.scan import Scan, scan_bytes
from dem.seeding import Seeding
from dem.stats import ARITY

TINY = float(np.finfo(np.float64).tiny)
TOLERANCE = 1e-9
"""Nats: what float64 products may lose of any row's log-likelihood before the centred path takes over."""
ROUNDINGS = 8
"""Roundings of |H| |T|, with each column's largest magnitude in T, that the largest error is taken to be."""
SINGLE_TOLERANCE = 1e-4
"""Nats a row, on the average: what float32 products may lose while iterating on float32 data."""
SINGLE_ROUNDINGS = 2
"""Roundings of |H| |T|, with each column's root mean square in T, that the mean error is taken to be."""


@dataclass(frozen=True)
class MixtureParams:
    """Parameters of a mixture.

    Attributes
    ----------
    weights : array of shape (K,)
        The mixing proportions, summing to 1.
    theta
        The parameters of all K components.
    floor : Precision
        The least exact arithmetic that the next sweep may use: within a fit it only rises.
    """

    weights: Float
    theta: Any
    floor: Precision = Precision.SINGLE


@dataclass(frozen=True)
class MixtureModel:
    """A mixture of K components of one family.

    Attributes
    ----------
    n_components : int
    family : Family
    seeding : Seeding
        How the first responsibilities are made from the sample.
    given : Given
        First parameters that the user has set.
    frame : Frame or None
        Where features are taken; None before `bind`.
    largest : array of shape (d,)
        The largest magnitude of each column in the frame.
    typical : array of shape (d,)
        The root mean square of each column in the frame.
    single : bool
        The data are float32 or float16, so float32 products may serve while iterating.
    """

    n_components: int
    family: Family[Any]
    seeding: Seeding = field(default_factory=Seeding)
    given: Given = field(default_factory=Given)
    frame: Frame | None = None
    largest: Float | None = None
    typical: Float | None = None
    single: bool = False

    @property
    def needs_scatter(self) -> bool:
        """Whether the family wants the whole scatter."""
        return self.family.needs_scatter

    def bind(self, scan: Scan) -> MixtureModel:
        """Return the model in the frame of the scan's sample."""
        x = scan.sample.x[scan.sample.weight > 0]
        check_rows(scan.rows, self.n_components)
        check_distinct(x, self.n_components)
        frame = Frame.near(x, isotropic=self.family.isotropic)
        return replace(
            self,
            family=self.family.bind(scan, frame),
            frame=frame,
            largest=frame.largest(scan.low, scan.high),
            typical=root_mean_square(scan, frame),
            single=x.dtype.kind == "f" and x.dtype.itemsize <= 4 and plain_weights(scan),
        )

    def start(self, sample: Block, rng: np.random.Generator) -> MixtureParams:
        """Return parameters from first responsibilities on the sample."""
        x = np.asarray(sample.x, dtype=np.float64)
        weight = np.ones(len(x))
        if sample.weight is not None:
            x, weight = x[sample.weight > 0], sample.weight[sample.weight > 0]
        resp = self.seeding.responsibilities(x, weight, self.n_components, rng) * weight
        counts = safe_counts(resp.sum(axis=1))
        centres = (resp / counts[:, None]) @ x
        theta = self.family.initial(np.ascontiguousarray(x.T), resp, centres)
        return MixtureParams(
            counts / counts.sum() if self.given.weights is None else self.given.weights,
            self.family.override(theta, self.given),
        )

    def known(self) -> MixtureParams | None:
        """Return the first parameters, if the user has set all of them."""
        theta = self.family.known(self.given)
        return None if theta is None or self.given.weights is None else MixtureParams(self.given.weights, theta)

    def precision(self, params: MixtureParams) -> Precision:
        """Return the cheapest arithmetic that meets the tolerance for these parameters and this data."""
        if self.frame is None or self.largest is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        if params.floor == Precision.CENTRED:
            return Precision.CENTRED
        size = self._size(params.theta, self.frame, self.largest)
        if not ROUNDINGS * np.finfo(np.float64).eps * size <= TOLERANCE:
            return Precision.CENTRED
        if self.single and self.typical is not None:
            size = self._size(params.theta, self.frame, self.typical)
            if SINGLE_ROUNDINGS * np.finfo(np.float32).eps * size <= SINGLE_TOLERANCE:
                return params.floor
        return Precision.DOUBLE

    def exact(self, params: MixtureParams) -> MixtureParams:
        """Return the parameters marked for float64 or centred arithmetic."""
        if self.precision(params) >= Precision.DOUBLE:
            return params
        return replace(params, floor=Precision.DOUBLE)

    def fresh(self, params: MixtureParams) -> MixtureParams:
        """Return the parameters with which float32 products may serve again: the sample's fit was in float64."""
        return replace(params, floor=Precision.SINGLE)

    def kernel(self, params: MixtureParams) -> Callable[[Block], MixtureStats]:
        """Return the kernel in the arithmetic that `precision` chooses."""
        densities = self._densities(params, self.precision(params), self.frame)
        return MixtureKernel(densities, self.n_components)

    def m_step(self, params: MixtureParams, stats: MixtureStats) -> MixtureParams:
        """Return weights N_k / N and the family's estimate."""
        counts = stats.sums[0]
        theta = self.family.estimate(stats.sums, stats.frame, params.theta)
        return MixtureParams(counts / counts.sum(), theta, stats.precision)

    def objective(self, params: MixtureParams, stats: MixtureStats) -> float:
        """Return the log-likelihood."""
        return self.log_likelihood(params, stats)

    def log_likelihood(self, params: MixtureParams, stats: MixtureStats) -> float:
        """Return the log-likelihood in nats a row, rows weighted."""
        mean = stats.log_likelihood / stats.weight
        return mean if stats.precision == Precision.CENTRED else mean + self.family.shared(params.theta)

    def expected(self, params: MixtureParams, stats: MixtureStats, new: MixtureParams) -> float:
        """Return Q(new; stats) in nats a row   (PRML 9.40)."""
        complete = self.family.expected(new.theta, stats.sums, stats.frame)
        return (complete + float(stats.sums[0] @ log_weights(new))) / stats.weight

    def rows(self, params: MixtureParams, what: str) -> Callable[[Block], Array]:
        """Return the function from a block to its "label", "proba" or "score".

        It works on any rows, seen in the fit or not: the frame comes from the parameters, and the
        arithmetic (float64 products or centred) from the block's own range.
        """
        return partial(self._rows, params, what)

    def output(self, params: MixtureParams, what: str) -> tuple[np.dtype[Any], int | None]:
        """Return dtype and columns: "label" (n,) unsigned, "proba" (n, K), "score" (n,) in nats."""
        k = self.n_components
        outputs: dict[str, tuple[np.dtype[Any], int | None]] = {
            "label": (np.min_scalar_type(k - 1), None),
            "proba": (np.dtype(np.float64), k),
            "score": (np.dtype(np.float64), None),
        }
        return named(outputs, what)

    def _rows(self, params: MixtureParams, what: str, block: Block) -> Array:
        """Return one output of a block of shape (n, d).

        Raises
        ------
        ValueError
            If a value is missing or infinite.
        """
        x = block.x
        dtype, columns = self.output(params, what)
        out = np.empty(len(x) if columns is None else (len(x), columns), dtype)
        if len(x) == 0:
            return out
        frame = Frame.at(params.weights @ self.family.centres(params.theta))
        size = self._size(params.theta, frame, frame.largest(*check_finite(block)))
        linear = self.family.complete and ROUNDINGS * np.finfo(np.float64).eps * size <= TOLERANCE
        densities = self._densities(params, Precision.DOUBLE if linear else Precision.CENTRED, frame)
        softmax = Softmax(densities)
        for start in range(0, len(x), densities.tile):
            rows = slice(start, start + densities.tile)
            joint = densities.joint(x[rows])
            if what == "label":
                out[rows] = joint.argmax(axis=0)
            elif what == "score":
                out[rows] = softmax(joint)
            else:
                softmax(joint)
                out[rows] = joint.T
        return out

    def draw(self, params: MixtureParams, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the mixture, and their components (n,): ancestral sampling."""
        labels = rng.choice(self.n_components, size=n, p=params.weights)
        x = np.empty((n, self.family.centres(params.theta).shape[1]))
        for k in range(self.n_components):
            chosen = np.flatnonzero(labels == k)
            x[chosen] = self.family.draw(params.theta, k, len(chosen), rng)
        return x, labels

    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters for data of d columns."""
        return self.family.n_parameters(self.n_components, d) + self.n_components - 1

    def workspace_bytes(self, d: int) -> int:
        """Return what a task allocates beside its block, in bytes: a node of the tree holds `ARITY` sums and more."""
        k, family = self.n_components, self.family
        tiles = max(8 * (family.n_features(d) + 4 * d + 2 * k) * MIN_TILE, 2 * CACHE_BYTES)
        sums = 8 * family.n_centred(d) * k
        e_step = tiles + 4 * 8 * family.factor_size(k, d) + (ARITY + 4) * sums
        return max(e_step, scan_bytes(d, scatter=self.needs_scatter))

    def _size(self, theta: Any, frame: Frame, magnitudes: Float) -> float:
        """Return max over k of |eta_k| . t, with t the features of these magnitudes (d,)."""
        d = len(magnitudes)
        features = np.ones((self.family.n_features(d), 1))
        features[1 : 1 + d, 0] = magnitudes
        self.family.fill(features, d)
        size = float((np.abs(self.family.natural(theta, frame)) @ features).max())
        return size + self.family.shared_size(theta)

    def _densities(self, params: MixtureParams, precision: Precision, frame: Frame | None) -> Densities:
        """Return the densities of all components in one arithmetic."""
        if precision == Precision.CENTRED or frame is None:
            return CentredDensities(self.family, params.theta, log_weights(params))
        return LinearDensities(self.family, params.theta, log_weights(params), frame, precision)


def plain_weights(scan: Scan) -> bool:
    """Whether the rows' weights are of a size that float32 can carry."""
    return 1e-6 < scan.moments.weight / scan.rows < 1e6


def root_mean_square(scan: Scan, frame: Frame) -> Float:
    """Return the root mean square of each column in the frame."""
    covariance = scan.moments.covariance
    variance = np.diag(covariance) if covariance.ndim == 2 else covariance
    return np.asarray(np.sqrt(variance + (scan.moments.mean - frame.shift) ** 2) * frame.scale)


def log_weights(params: MixtureParams) -> Float:
    """Return the log mixing proportions, finite for empty components."""
    return np.asarray(np.log(np.maximum(params.weights, TINY)))


def check_rows(n_rows: int, n_components: int) -> None:
    """Refuse fewer rows than components.

    Raises
    ------
    ValueError
    """
    if n_rows < n_components:
        raise ValueError(
            f"{n_rows} rows are too few for n_components={n_components}: "
            f"Expected n_samples >= n_components but got n_samples = {n_rows}"
        )


def check_distinct(sample: Array, n_components: int) -> None:
    """Refuse more components than the sample has distinct rows.

    Raises
    ------
    ValueError
    """
    for rows in (sample[: 8 * n_components], sample):  # the first few nearly always settle it
        distinct = len(np.unique(rows, axis=0))
        if distinct >= n_components:
            return
    raise ValueError(
        f"n_components={n_components} is more than the {distinct} distinct rows "
        f"among {len(sample)} sampled rows of positive weight: "
        "use fewer components, or a larger sample_size"
    )
