"""Mixtures: p(x) = sum over k of w_k p(x | k)   (PRML 9.7).

E-step: responsibilities r_k(x) = w_k p(x | k) / p(x), and the sums of r_k(x) t(x)   (PRML 9.13).
M-step: w_k = N_k / N, and the estimate of the family from the sums   (PRML 9.26).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.stats import ARITY
from dem.em.model import Step
from dem.em.row_output import REAL, RowOutput, RowOutputs
from dem.em.seeding import Seeding
from dem.families.family import ByPattern, Family, Given, safe_counts, with_missing
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.models.mixture import rows as mixture_rows
from dem.models.mixture.kernel import (
    MixtureKernel,
    MixtureParams,
    MixtureStats,
    densities_of,
    e_step_bytes,
)
from dem.models.mixture.native_kernel import has_native, native_bytes, native_kernel
from dem.models.mixture.native_patterns import native_patterns, pattern_bytes
from dem.models.mixture.pattern_kernel import NumPyKernels, PatternKernel, ProductBounds
from dem.models.mixture.precision import (
    LARGEST_IN_SINGLE,
    Precision,
    double_suffices,
    products_size,
    single_holds,
    single_suffices,
)
from dem.models.mixture.prior import BoundPrior, Prior
from dem.models.row_checks import check_distinct, check_enough_rows
from dem.scan.scanner import Scan, scan_bytes
from dem.scan.support import Measure


@dataclass(frozen=True)
class MixtureModel:
    """A mixture of K components of the same family.

    Attributes
    ----------
    n_components : int
    family : Family
    seeding : Seeding
        How first responsibilities are computed from the sample.
    given : Given
        First parameters set by the user.
    prior : Prior or None
        None for maximum likelihood. With a prior the objective is the log-likelihood plus the log prior density.
    observed_family : Family or None
        The family for the data: `family`, or its family for missing values. This and all below are set by `bind`.
    frame : Frame or None
        The frame of the features.
    largest : array of shape (F,)
        The largest magnitude of each feature in the frame.
    typical : array of shape (F,)
        The typical magnitude of each feature in the frame, not below 1e-20.
    single : bool
        Whether float32 products may be used while iterating: the data are float32 or float16, and neither too large
        nor too small.
    base : float
        The mean of log h(x) over all rows, in nats.
    pseudo : BoundPrior or None
        The prior in the units of the data.
    kernel_id : KernelId
        The implementation of the E-step that workers use. `bind` chooses NumPy for data that the native kernel lacks.
    """

    n_components: int
    family: Family[Any]
    seeding: Seeding = field(default_factory=Seeding)
    given: Given = field(default_factory=Given)
    prior: Prior | None = None
    observed_family: Family[Any] | None = None
    frame: Frame | None = None
    largest: Float | None = None
    typical: Float | None = None
    single: bool = False
    base: float = 0.0
    pseudo: BoundPrior | None = None
    kernel_id: KernelId = field(default=NUMPY, repr=False)

    @property
    def measure(self) -> Measure:
        """The family's support and base measure."""
        return self.family

    @property
    def family_of_rows(self) -> Family[Any]:
        """The family for the data: for complete rows, or for rows with missing values."""
        return self.family if self.observed_family is None else self.observed_family

    @property
    def needs_scatter(self) -> bool:
        """Whether the family needs the scatter matrix of all rows."""
        return self.family.needs_scatter

    def squared(self, variances: Float) -> Float:
        """Return the squares that the family computes with."""
        return self.family.squares_used(variances)

    @property
    def has_native_kernel(self) -> bool:
        """Whether the native kernel has the family."""
        return has_native(self.family)

    @property
    def patterns(self) -> tuple[ByPattern[Any], ProductBounds] | None:
        """For rows grouped by their missing values; None for other rows."""
        by_pattern = self.family_of_rows.by_pattern
        if by_pattern is None or self.frame is None or self.largest is None:
            return None
        return by_pattern, ProductBounds(self.frame, self.largest)

    def with_kernel(self, kernel_id: KernelId) -> MixtureModel:
        """Return the model with this implementation of the E-step."""
        return replace(self, kernel_id=kernel_id)

    def work(self, x: Array) -> float:
        """Return the approximate number of operations of an iteration on the rows x (n, d)."""
        return self.family_of_rows.work(x, self.n_components)

    def bind(self, scan: Scan) -> MixtureModel:
        """Return the model with everything that depends on the data; the frame is that of the scan's sample."""
        return self._in_frame(scan, self.family.frame(scan.sample.x[scan.sample.weight > 0]))

    def bind_like(self, scan: Scan, guess: MixtureModel, params: MixtureParams) -> MixtureModel | None:
        """Return the model bound in the frame of `guess`; None if that pass was not exact enough, or of other rows."""
        assert guess.frame is not None
        bound = self._in_frame(scan, guess.frame)
        exact = bound.precision(params) <= guess.precision(params)
        if bound.patterns is not None and bound.largest is not None:  # its kernel chooses products for each pattern
            exact = guess.largest is not None and bool((bound.largest <= guess.largest).all())
        return bound if exact and (bound.with_holes, bound.kernel_id) == (guess.with_holes, guess.kernel_id) else None

    def own_stats(self, params: MixtureParams, stats: MixtureStats, guess: MixtureModel) -> MixtureStats:
        """Return the statistics: both models have the same frame."""
        return stats

    @property
    def with_holes(self) -> bool:
        """Whether the model is bound to rows with missing values."""
        return self.family_of_rows is not self.family

    def _in_frame(self, scan: Scan, frame: Frame) -> MixtureModel:
        """Return the model with everything that depends on the data, in this frame."""
        x = scan.sample.x[scan.sample.weight > 0]
        check_enough_rows(scan.rows_with_value, self.n_components)
        check_distinct(x, self.n_components)
        complete = self.family.bind(scan, frame)
        family = with_missing(complete) if scan.lacking.any() else complete
        base = scan.measured.base / scan.moments.weight
        bound = replace(self, family=complete, observed_family=family, frame=frame, base=base)
        if (linear := family.linear) is not None:
            typical = linear.typical_magnitudes(scan, frame)
            bound = replace(
                bound,
                largest=linear.largest_magnitudes(scan.low, scan.high, frame),
                typical=np.maximum(typical, 1 / LARGEST_IN_SINGLE),  # so that parameters of tiny features fit float32
                single=single_holds(x.dtype, frame, frame.largest(scan.low, scan.high), typical)
                and weights_fit_float32(scan),
            )
        elif (by_pattern := family.by_pattern) is not None and by_pattern.marginals.linear is not None:
            bound = replace(bound, largest=by_pattern.marginals.linear.largest_magnitudes(scan.low, scan.high, frame))
        kernel_id = self.kernel_id if has_native(family) else NUMPY
        pseudo = None if self.prior is None else BoundPrior.of(self.prior, family, scan)
        return replace(bound, kernel_id=kernel_id, pseudo=pseudo)

    def start(self, sample: Block, rng: np.random.Generator) -> MixtureParams:
        """Return first parameters, from first responsibilities of the sample's rows."""
        return self.from_responsibilities(*self.first_responsibilities(sample, rng))

    def from_responsibilities(self, x: Float, resp: Float) -> MixtureParams:
        """Return the parameters for responsibilities (K, n), times weights, of the columns of x (d, n)."""
        counts = safe_counts(resp.sum(axis=1))
        theta = self.family.initial(x, resp)
        if (settable := self.family.settable) is not None:
            theta = settable.override(theta, self.given)
        return MixtureParams(counts / counts.sum() if self.given.weights is None else self.given.weights, theta)

    def first_responsibilities(self, sample: Block, rng: np.random.Generator) -> tuple[Float, Float]:
        """Return the sample's rows with positive weight as columns (d, n), and weighted responsibilities (K, n)."""
        x = np.asarray(sample.x, dtype=np.float64)
        weight = np.ones(len(x))
        if sample.weight is not None:
            x, weight = x[sample.weight > 0], sample.weight[sample.weight > 0]
        resp = self.seeding.responsibilities(self.family.seeding_points(x), weight, self.n_components, rng)
        return np.ascontiguousarray(x.T), resp * weight

    @property
    def can_split(self) -> bool:
        """Whether components may be joined and split on the sample; not if the user has set some first parameters."""
        return self.n_components > 1 and self.given.is_empty

    def resized(self, n_components: int) -> MixtureModel:
        """Return the bound model with another number of components, for some of the rows: see `dem.em.split_merge`.

        What all components share is that of these rows, so the shared term has to be computed for each row.
        """
        linear = self.family_of_rows.linear
        whole = linear is not None and linear.has_shared_term
        return replace(self, n_components=n_components, largest=None if whole else self.largest)

    def points(self, x: Float) -> Float:
        """Return the rows x (n, d) as points with meaningful distances."""
        return self.family.seeding_points(x)

    def responsibilities(self, params: MixtureParams, block: Block) -> tuple[Float, Float]:
        """Return the responsibilities (K, n) of a block, and the log-likelihoods (n,) without log h."""
        family, precision = self.family_of_rows, self.precision(params)
        if family.linear is not None and family.linear.has_shared_term:
            precision = Precision.CENTRED
        return mixture_rows.responsibilities(densities_of(family, params, precision, self.frame), block.x)

    def known(self) -> MixtureParams | None:
        """Return the user's first parameters if they are complete, otherwise None."""
        settable = self.family.settable
        theta = None if settable is None else settable.from_user(self.given)
        return None if theta is None or self.given.weights is None else MixtureParams(self.given.weights, theta)

    def precision(self, params: MixtureParams) -> Precision:
        """Return the cheapest arithmetic that meets the tolerance for these parameters and these data."""
        if self.frame is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        linear = self.family_of_rows.linear
        if params.floor == Precision.CENTRED or linear is None or self.largest is None or self.typical is None:
            return Precision.CENTRED
        if self.prior is not None and linear.has_shared_term:  # the prior has only the sums of the exact path
            return Precision.CENTRED
        size = products_size(linear, params.theta, self.frame, self.largest)
        if not double_suffices(size):
            return Precision.CENTRED
        if self.single:
            size = products_size(linear, params.theta, self.frame, self.typical)
            if single_suffices(size):
                return params.floor
        return Precision.DOUBLE

    def is_exact(self, params: MixtureParams) -> bool:
        """Whether a pass with these parameters works in float64 or centred arithmetic."""
        return self.precision(params) >= Precision.DOUBLE

    def exact(self, params: MixtureParams) -> MixtureParams:
        """Return the parameters marked for float64 or centred arithmetic."""
        return params if self.is_exact(params) else replace(params, floor=Precision.DOUBLE)

    def for_new_fit(self, params: MixtureParams) -> MixtureParams:
        """Return the parameters marked for float32 products again, because the fit to the sample ended in float64."""
        return replace(params, floor=Precision.SINGLE)

    def kernel(self, params: MixtureParams) -> Callable[[Block], MixtureStats]:
        """Return the kernel in the arithmetic that `precision` chooses."""
        precision = self.precision(params)
        if self.patterns is not None:
            return self._pattern_kernel(*self.patterns, params)
        if self.kernel_id != NUMPY:
            native = native_kernel(self.family_of_rows, params, precision, self.frame, self.kernel_id)
            if native is not None:
                return native
        densities = densities_of(self.family_of_rows, params, precision, self.frame)
        return MixtureKernel(densities, self.n_components)

    def _pattern_kernel(
        self, by_pattern: ByPattern[Any], bounds: ProductBounds, params: MixtureParams
    ) -> PatternKernel:
        """Return the kernel for rows grouped by their missing values."""
        family, native = self.family_of_rows, None
        if self.kernel_id != NUMPY:
            native = native_patterns(family, by_pattern, params, bounds, self.kernel_id)
        kernels = NumPyKernels(family, by_pattern, params, bounds) if native is None else native
        return PatternKernel(by_pattern, params.theta, kernels)

    def m_step(self, params: MixtureParams, stats: MixtureStats) -> Step[MixtureParams]:
        """Return weights N_k / N and the family's estimate; both count the rows of the prior too."""
        counts = stats.sums[0]
        if self.prior is not None:
            counts = counts + self.prior.weight_rows
        theta = self.family_of_rows.estimate(self._with_prior(params, stats), stats.frame, params.theta)
        return Step(MixtureParams(counts / counts.sum(), theta, stats.precision))

    def objective(self, params: MixtureParams, stats: MixtureStats) -> float:
        """Return the log-likelihood plus the log prior density, in nats a row."""
        value = self.log_likelihood(params, stats)
        if self.pseudo is not None:
            value += self.pseudo.log_density(self.family_of_rows, params.theta, params.log_weights) / stats.weight
        return value

    def log_likelihood(self, params: MixtureParams, stats: MixtureStats) -> float:
        """Return the weighted mean of the log-likelihood, in nats a row."""
        mean = stats.log_likelihood / stats.weight + self.base
        linear = self.family_of_rows.linear
        if stats.precision == Precision.CENTRED or linear is None:
            return mean
        return mean + linear.shared_term(params.theta)

    def expected(self, params: MixtureParams, stats: MixtureStats, new: MixtureParams) -> float:
        """Return Q(new; stats) in nats a row, including the prior   (PRML 9.40)."""
        complete = self.family_of_rows.expected(new.theta, self._with_prior(params, stats), stats.frame, params.theta)
        counts = stats.sums[0] + (0.0 if self.prior is None else self.prior.weight_rows)
        return (complete + float(counts @ new.log_weights)) / stats.weight + self.base

    def _with_prior(self, params: MixtureParams, stats: MixtureStats) -> Float:
        """Return the sums of the data plus those of the prior's pseudo-rows."""
        if self.pseudo is None:
            return stats.sums
        return stats.sums + self.pseudo.sums(self.family_of_rows, params.theta, stats.frame, len(stats.sums))

    def row_outputs(self, params: MixtureParams, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of outputs: see `dem.models.mixture.rows`."""
        return mixture_rows.mixture_outputs(self.n_components, self.family.centres(params.theta).shape[1], dtype)

    def rows(self, params: MixtureParams, output: RowOutput) -> Callable[[Block], Array]:
        """Return a function from a block to the values of one output."""
        return partial(mixture_rows.compute_mixture_output, self, params, output)

    def draw(self, params: MixtureParams, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n random rows (n, d) of the mixture, and their components (n,), by ancestral sampling."""
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
        """Return the memory of a task besides its block, in bytes; a node of the tree holds more than `ARITY` sums."""
        sums = 8 * self.family_of_rows.n_exact_sums(d) * self.n_components
        e_step = self._e_step_bytes(self.family_of_rows, d)
        return max(e_step + (ARITY + 4) * sums, scan_bytes(d, scatter=self.needs_scatter))

    def rows_bytes(self, d: int) -> int:
        """Return the memory of a task for outputs of rows, in bytes, with or without missing values."""
        families = [family for family in (self.family, self.family.with_missing()) if family is not None]
        return max(self._e_step_bytes(family, d) for family in families)

    def _e_step_bytes(self, family: Family[Any], d: int) -> int:
        """Return the memory of an E-step by either kernel, in bytes."""
        by_numpy = e_step_bytes(family, self.n_components, d)
        if self.kernel_id == NUMPY:
            return by_numpy
        native = native_bytes(family, self.n_components, d, self.kernel_id)
        if family.by_pattern is not None:
            native += pattern_bytes(family.by_pattern, self.n_components, d, self.kernel_id)
        return max(by_numpy, native)


def weights_fit_float32(scan: Scan) -> bool:
    """Whether the mean weight of the rows is within the range that float32 products can hold."""
    return 1e-6 < scan.moments.weight / scan.rows_with_value < 1e6
