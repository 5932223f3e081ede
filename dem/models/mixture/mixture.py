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

from dem.core.block import Array, Block, Float
from dem.core.coordinate_frame import Frame
from dem.core.stats import ARITY
from dem.em.model import Step
from dem.em.row_output import REAL, RowOutput, RowOutputs
from dem.em.seeding import Seeding
from dem.families.family import Family, Given, safe_counts, with_missing
from dem.models.mixture import rows as mixture_rows
from dem.models.mixture.kernel import MixtureKernel, MixtureParams, MixtureStats, densities_of, tiles_bytes
from dem.models.mixture.pattern_kernel import PatternKernel, Products
from dem.models.mixture.precision import Precision, double_suffices, products_size, single_suffices
from dem.models.mixture.prior import BoundPrior, Prior
from dem.models.row_checks import check_distinct, check_enough_rows
from dem.scan.scanner import Scan, scan_bytes
from dem.scan.support import Measure


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
    prior : Prior or None
        None for maximum likelihood; else the objective is the log-likelihood and the log prior density.
    observed_family : Family or None
        That of the rows at hand: `family`, or what it is where values are missing; None before `bind`, as all below.
    frame : Frame or None
        Where features are taken.
    largest : array of shape (F,)
        The largest magnitude of each feature in the frame.
    typical : array of shape (F,)
        The typical magnitude of each feature in the frame.
    single : bool
        The data are float32 or float16, so float32 products may serve while iterating.
    base : float
        The mean of log h(x) over all rows, in nats.
    pseudo : BoundPrior or None
        The prior in the data's units.
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

    @property
    def measure(self) -> Measure:
        """The family's support and base measure."""
        return self.family

    @property
    def observed(self) -> Family[Any]:
        """The family of the rows at hand."""
        return self.family if self.observed_family is None else self.observed_family

    @property
    def needs_scatter(self) -> bool:
        """Whether the family wants the whole scatter."""
        return self.family.needs_scatter

    def squared(self, variances: Float) -> Float:
        """Return what the family squares."""
        return self.family.squared(variances)

    def work(self, x: Array) -> float:
        """Return the operations of an iteration on the rows x (n, d), about."""
        return self.observed.work(x, self.n_components)

    def bind(self, scan: Scan) -> MixtureModel:
        """Return the model in the frame of the scan's sample."""
        x = scan.sample.x[scan.sample.weight > 0]
        check_enough_rows(scan.rows_with_value, self.n_components)
        check_distinct(x, self.n_components)
        frame = self.family.frame(x)
        whole = self.family.bind(scan, frame)
        family = with_missing(whole) if scan.lacking.any() else whole
        base = scan.measured.base / scan.moments.weight
        bound = replace(self, family=whole, observed_family=family, frame=frame, base=base)
        if (linear := family.linear) is not None:
            bound = replace(
                bound,
                largest=linear.largest(scan.low, scan.high, frame),
                typical=linear.typical(scan, frame),
                single=x.dtype.kind == "f" and x.dtype.itemsize <= 4 and plain_weights(scan),
            )
        elif (by_pattern := family.by_pattern) is not None and by_pattern.marginals.linear is not None:
            bound = replace(bound, largest=by_pattern.marginals.linear.largest(scan.low, scan.high, frame))
        return replace(bound, pseudo=None if self.prior is None else BoundPrior.of(self.prior, family, scan))

    def start(self, sample: Block, rng: np.random.Generator) -> MixtureParams:
        """Return parameters from first responsibilities on the sample."""
        x, resp = self.first_responsibilities(sample, rng)
        counts = safe_counts(resp.sum(axis=1))
        theta = self.family.initial(x, resp)
        if (settable := self.family.settable) is not None:
            theta = settable.override(theta, self.given)
        return MixtureParams(counts / counts.sum() if self.given.weights is None else self.given.weights, theta)

    def first_responsibilities(self, sample: Block, rng: np.random.Generator) -> tuple[Float, Float]:
        """Return the sample's rows of positive weight as columns (d, n), and weighted responsibilities (K, n)."""
        x = np.asarray(sample.x, dtype=np.float64)
        weight = np.ones(len(x))
        if sample.weight is not None:
            x, weight = x[sample.weight > 0], sample.weight[sample.weight > 0]
        resp = self.seeding.responsibilities(self.family.coordinates(x), weight, self.n_components, rng)
        return np.ascontiguousarray(x.T), resp * weight

    def known(self) -> MixtureParams | None:
        """Return the first parameters, if the user has set all of them."""
        settable = self.family.settable
        theta = None if settable is None else settable.known(self.given)
        return None if theta is None or self.given.weights is None else MixtureParams(self.given.weights, theta)

    def precision(self, params: MixtureParams) -> Precision:
        """Return the cheapest arithmetic that meets the tolerance for these parameters and this data."""
        if self.frame is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        linear = self.observed.linear
        if params.floor == Precision.CENTRED or linear is None or self.largest is None or self.typical is None:
            return Precision.CENTRED
        if self.prior is not None and not linear.complete:  # the pseudo-rows' sums are those of the exact path
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
        """Return the parameters with which float32 products may serve again: the sample's fit was in float64."""
        return replace(params, floor=Precision.SINGLE)

    def kernel(self, params: MixtureParams) -> Callable[[Block], MixtureStats]:
        """Return the kernel in the arithmetic that `precision` chooses."""
        precision, by_pattern = self.precision(params), self.observed.by_pattern
        if by_pattern is not None and self.frame is not None and self.largest is not None:
            return PatternKernel(self.observed, by_pattern, params, Products(self.frame, self.largest))
        densities = densities_of(self.observed, params, precision, self.frame)
        return MixtureKernel(densities, self.n_components)

    def m_step(self, params: MixtureParams, stats: MixtureStats) -> Step[MixtureParams]:
        """Return weights N_k / N and the family's estimate, each with the prior's rows beside the data's."""
        counts = stats.sums[0]
        if self.prior is not None:
            counts = counts + self.prior.weight_rows
        theta = self.observed.estimate(self._with_prior(params, stats), stats.frame, params.theta)
        return Step(MixtureParams(counts / counts.sum(), theta, stats.precision))

    def objective(self, params: MixtureParams, stats: MixtureStats) -> float:
        """Return the log-likelihood plus the log prior density, in nats a row."""
        value = self.log_likelihood(params, stats)
        if self.pseudo is not None:
            value += self.pseudo.log_density(self.observed, params.theta, params.log_weights) / stats.weight
        return value

    def log_likelihood(self, params: MixtureParams, stats: MixtureStats) -> float:
        """Return the log-likelihood in nats a row, rows weighted."""
        mean = stats.log_likelihood / stats.weight + self.base
        linear = self.observed.linear
        if stats.precision == Precision.CENTRED or linear is None:
            return mean
        return mean + linear.shared(params.theta)

    def expected(self, params: MixtureParams, stats: MixtureStats, new: MixtureParams) -> float:
        """Return Q(new; stats) in nats a row, the prior included   (PRML 9.40)."""
        complete = self.observed.expected(new.theta, self._with_prior(params, stats), stats.frame, params.theta)
        counts = stats.sums[0] + (0.0 if self.prior is None else self.prior.weight_rows)
        return (complete + float(counts @ new.log_weights)) / stats.weight + self.base

    def _with_prior(self, params: MixtureParams, stats: MixtureStats) -> Float:
        """Return the sums of the data and of the prior's pseudo-rows."""
        if self.pseudo is None:
            return stats.sums
        return stats.sums + self.pseudo.sums(self.observed, params.theta, stats.frame, len(stats.sums))

    def row_outputs(self, params: MixtureParams, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of outputs: see `dem.models.mixture.rows`."""
        return mixture_rows.mixture_outputs(self.n_components, self.family.centres(params.theta).shape[1], dtype)

    def rows(self, params: MixtureParams, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs."""
        return partial(mixture_rows.compute_mixture_output, self, params, output)

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
        sums = 8 * self.observed.n_centred(d) * self.n_components
        e_step = tiles_bytes(self.observed, self.n_components, d) + (ARITY + 4) * sums
        return max(e_step, scan_bytes(d, scatter=self.needs_scatter))

    def rows_bytes(self, d: int) -> int:
        """Return what a task allocates for outputs of rows, in bytes, whatever is missing in them."""
        families = (self.family, self.family.with_missing())
        return max(tiles_bytes(family, self.n_components, d) for family in families if family is not None)


def plain_weights(scan: Scan) -> bool:
    """Whether the rows' weights are of a size that float32 can carry."""
    return 1e-6 < scan.moments.weight / scan.rows_with_value < 1e6
