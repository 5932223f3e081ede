"""Variational Bayesian mixtures of Gaussians   (PRML 10.2; Blei and Jordan 2006 for the Dirichlet process).

The fit makes q(z) q(pi) prod over k of q(mu_k, Lambda_k) as close to the posterior as possible. The E-step is that of
the mixture, with

    log rho_k(x) = log N(x | m_k, inv(nu_k W_k)) + E[log pi_k] + (E[log |Lambda_k|] - log |nu_k W_k| - d / beta_k) / 2

(PRML 10.46, 10.64 to 10.66). So the statistics are the same sums. The sum of log sum_k rho_k(x) over the rows is the
data's part of the bound at the best q(z). The bound on the log-evidence is this sum minus the divergences of q(pi) and
q(mu, Lambda) from their priors. The M-step computes the posterior given the sums   (PRML 10.58 to 10.63).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from dem.core.block import Array, Block, Float
from dem.em.loop import State, rounding_of
from dem.em.model import Move, Step
from dem.em.row_output import REAL, RowOutput, RowOutputs, find_output
from dem.families import GaussianFamily
from dem.families.family import safe_counts
from dem.kernel.kernel_id import KernelId
from dem.models.mixture.component_sums import ComponentSums
from dem.models.mixture.kernel import MixtureParams, MixtureStats
from dem.models.mixture.mixing import Mixing
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.moves import LEAST_ROWS, Again, merged_by_sums, moved_on_sample
from dem.models.mixture.normal_wishart import SCALES, NormalWishart, log_correction
from dem.models.mixture.precision import Precision
from dem.scan.moments import Moments
from dem.scan.scanner import Scan
from dem.scan.support import Measure

SINGULAR = (
    "the covariance of the data is singular, so it cannot be the prior: leave out columns that are constant or sums of "
    "others, or set reg_covar > 0 or covariance_prior"
)
MOST_COPIES = 2.0
"""Each row of a sample counts for at most this number when moves are judged. With a thousand copies the noise of the
sample would look like components: one more component with p parameters fits a sample better by about p nats, each
copied, and the bound charges it about (p / 2) log N nats, 6 p at N = 100,000."""


@dataclass(frozen=True)
class ComponentPrior:
    """The user's prior for the components; None takes a value from the data, as in scikit-learn.

    Attributes
    ----------
    mean : array of shape (d,) or None
        m_0; None for the mean of the data.
    mean_precision : float
        beta_0: the number of rows that the prior mean counts as.
    degrees_of_freedom : float or None
        nu_0, more than d - 1; None for d.
    covariance : array or None
        inv(W_0): (d, d) full and tied, (d,) diagonal, () spherical; None for the data's covariance.
    """

    mean: Float | None = None
    mean_precision: float = 1.0
    degrees_of_freedom: float | None = None
    covariance: Float | None = None

    def bind(self, moments: Moments, family: GaussianFamily) -> NormalWishart:
        """Return the prior for data of these moments.

        Raises
        ------
        ValueError
            If the covariance of the data cannot be that of the prior.
        """
        d = len(moments.centre)
        nu = float(d) if self.degrees_of_freedom is None else self.degrees_of_freedom
        covariance = _covariance(moments, family) if self.covariance is None else self.covariance
        mean = moments.mean if self.mean is None else self.mean
        return NormalWishart(mean, self.mean_precision, nu, covariance, family.factor(covariance))


def _covariance(moments: Moments, family: GaussianFamily) -> Float:
    """Return the unbiased covariance of the data, in the shape of the prior; plus reg_covar if it is singular."""
    covariance = _unbiased(moments, family)
    scale = SCALES[type(family)]
    for proper in (covariance, scale.floored(covariance, family.reg_covar_values)):
        if not scale.is_singular(proper):
            return proper
    raise ValueError(SINGULAR)


def _unbiased(moments: Moments, family: GaussianFamily) -> Float:
    """Return the unbiased covariance, diagonal or mean variance of the data."""
    if moments.weight < 2:
        raise ValueError(
            f"n_samples={moments.weight:.4g}, the sum of the rows' weights, is less than 2, which a covariance needs: "
            "give larger weights, which should be numbers of rows, or set covariance_prior"
        )
    scatter = moments.scatter / (moments.weight - 1)
    if SCALES[type(family)].matrices:
        return scatter
    variances = np.diag(scatter).copy() if scatter.ndim == 2 else scatter
    return np.asarray(variances.mean()) if family.isotropic else variances


@dataclass(frozen=True, kw_only=True)
class BayesianParams(MixtureParams):
    """q(pi) and q(mu, Lambda); `weights` are E[pi], `theta` the means m and the covariances inv(nu W).

    Attributes
    ----------
    mixing : Mixing
        q(pi).
    mean_precision : array of shape (K,)
        beta.
    degrees_of_freedom : array of shape (K,), or () for tied covariances
        nu.
    """

    mixing: Mixing
    mean_precision: Float
    degrees_of_freedom: Float

    @property
    def log_weights(self) -> Float:
        """The terms of log rho_k other than log N(x | m_k, inv(nu_k W_k)), (K,)."""
        d = self.theta.means.shape[1]
        return np.asarray(self.mixing.log_mean + log_correction(self.mean_precision, self.degrees_of_freedom, d))


@dataclass(frozen=True)
class BayesianMixtureModel:
    """A Gaussian mixture whose parameters have distributions.

    Attributes
    ----------
    mixture : MixtureModel
        With a Gaussian family; its kernel is the E-step.
    mixing : Mixing
        p(pi): a `Dirichlet`, or `StickBreaking` for a Dirichlet process.
    components : ComponentPrior
        p(mu, Lambda), as the user set it.
    prior : NormalWishart or None
        The complete prior; None before `bind`. It comes from the first data that the model is bound to: all rows.
    whole : float
        The weight of all rows.
    copies : float
        Factor on the counts of the bound rows, so that a sample has the weight of all rows relative to the prior.
    """

    mixture: MixtureModel
    mixing: Mixing
    components: ComponentPrior = ComponentPrior()
    prior: NormalWishart | None = None
    whole: float = 0.0
    copies: float = 1.0

    @property
    def n_components(self) -> int:
        """K; some components may get no rows."""
        return self.mixture.n_components

    @property
    def family(self) -> GaussianFamily:
        """The components' family."""
        return cast(GaussianFamily, self.mixture.family)

    @property
    def measure(self) -> Measure:
        """The support and base measure of the family."""
        return self.mixture.measure

    @property
    def needs_scatter(self) -> bool:
        """Whether the family or the default prior needs the whole scatter."""
        default = self.components.covariance is None and self.prior is None
        return self.mixture.needs_scatter or (default and SCALES[type(self.family)].matrices)

    def squared(self, variances: Float) -> Float:
        """Return the squares that the family computes, (d,)."""
        return self.family.squares_used(variances)

    def work(self, x: Array) -> float:
        """Return the number of operations of the mixture."""
        return self.mixture.work(x)

    @property
    def has_native_kernel(self) -> bool:
        """Whether the native kernel has the family."""
        return self.mixture.has_native_kernel

    @property
    def kernel_id(self) -> KernelId:
        """The implementation of the E-step."""
        return self.mixture.kernel_id

    def with_kernel(self, kernel_id: KernelId) -> BayesianMixtureModel:
        """Return the model with this implementation of the E-step."""
        return replace(self, mixture=self.mixture.with_kernel(kernel_id))

    def bind(self, scan: Scan) -> BayesianMixtureModel:
        """Return the model in the frame of the data; missing parts of the prior come from the data."""
        return self._with_prior(scan, self.mixture.bind(scan))

    def bind_like(self, scan: Scan, guess: BayesianMixtureModel, params: BayesianParams) -> BayesianMixtureModel | None:
        """Return the model bound in the frame of `guess`; None if that pass must be made again."""
        mixture = self.mixture.bind_like(scan, guess.mixture, params)
        return None if mixture is None else self._with_prior(scan, mixture)

    def own_stats(self, params: BayesianParams, stats: MixtureStats, guess: BayesianMixtureModel) -> MixtureStats:
        """Return the statistics: both models have the same frame."""
        return stats

    def _with_prior(self, scan: Scan, mixture: MixtureModel) -> BayesianMixtureModel:
        """Return the model with this bound mixture; missing parts of the prior come from the data."""
        moments = scan.moments
        whole = moments.weight if self.prior is None else self.whole
        family = cast(GaussianFamily, mixture.family)
        prior = self.components.bind(moments, family) if self.prior is None else self.prior
        return replace(self, mixture=mixture, prior=prior, whole=whole, copies=whole / moments.weight)

    def start(self, sample: Block, rng: np.random.Generator) -> BayesianParams:
        """Return the posterior given first responsibilities on the sample."""
        x, resp = self.mixture.first_responsibilities(sample, rng)
        return self.from_responsibilities(x, resp)

    def from_responsibilities(self, x: Float, resp: Float) -> BayesianParams:
        """Return the posterior given weighted responsibilities (K, n) of the columns of x (d, n)."""
        sums, frame = self.family.sums_about_means(x, resp)
        stats = MixtureStats(x.shape[1], float(resp.sum()), 0.0, sums, frame, Precision.SINGLE)
        return self._posterior(stats)

    def known(self) -> None:
        """Return None: the user cannot set first parameters."""
        return

    def m_step(self, params: BayesianParams, stats: MixtureStats) -> Step[BayesianParams]:
        """Return the posterior given the statistics, with expectations of missing values under q(x_missing | z)."""
        return Step(self._posterior(self._completed(params, stats)))

    def _posterior(self, stats: MixtureStats) -> BayesianParams:
        return self.posterior_of(self._component_sums(stats), stats.precision)

    def _component_sums(self, stats: MixtureStats) -> ComponentSums:
        """Return the sums of complete rows, or of completed ones, by component."""
        frame, sums, scale = stats.frame, stats.sums, SCALES[type(self.family)]
        counts = self.copies * sums[0]
        offsets = sums[1 : 1 + len(frame.scale)].T / safe_counts(sums[0])[:, None]
        covariances = self.family.covariances(sums, frame, offsets)
        return ComponentSums(counts, frame.shift + offsets / frame.scale, scale.times(counts, covariances), scale)

    def component_sums(self, params: BayesianParams, stats: MixtureStats) -> ComponentSums:
        """Return the sums of the rows of each component, with expectations of missing values, times `copies`."""
        return self._component_sums(self._completed(params, stats))

    def _completed(self, params: BayesianParams, stats: MixtureStats) -> MixtureStats:
        family = cast(GaussianFamily, self.mixture.family_of_rows)
        return replace(stats, sums=family.completed_sums(stats.sums, stats.frame, params.theta))

    def posterior_of(self, sums: ComponentSums, floor: Precision = Precision.SINGLE) -> BayesianParams:
        """Return the posterior given the sums."""
        theta, beta, nu = self._bound_prior().from_scatter(self.family, sums.counts, sums.means, sums.scatter)
        mixing = self.mixing.posterior(sums.counts)
        return BayesianParams(mixing.mean, theta, floor, mixing=mixing, mean_precision=beta, degrees_of_freedom=nu)

    def bound_of(self, sums: ComponentSums) -> float:
        """Return the bound at the posterior given the sums, in nats, without the entropy of q(z) and log h(x)."""
        return self._components_bound(sums) + self._mixing_bound(sums.counts)

    def _components_bound(self, sums: ComponentSums) -> float:
        """Return E[log p(x | z, mu, Lambda)] less the divergence of q(mu, Lambda)."""
        prior = self._bound_prior()
        posterior = prior.from_scatter(self.family, sums.counts, sums.means, sums.scatter)
        expected = prior.expected(self.family, sums.counts, sums.means, posterior)
        return expected - prior.divergence(self.family, *posterior)

    def _mixing_bound(self, counts: Float) -> float:
        """Return E[log p(z | pi)] less the divergence of q(pi)."""
        mixing = self.mixing.posterior(counts)
        return float(counts @ mixing.log_mean) - mixing.divergence(self.mixing)

    def merge_gain(self, sums: ComponentSums, i: int, j: int) -> float:
        """Return by how much the bound rises, in nats, if i and j merge and q(z) keeps its entropy."""
        if sums.scale.shared:
            before, after = sums, sums.merged(i, j)
        else:  # the others stay as they are
            before = sums.ordered(np.array([i, j]))
            after = before.merged(0, 1)
        counts = sums.counts.copy()
        counts[i], counts[j] = counts[i] + counts[j], 0.0
        components = self._components_bound(after) - self._components_bound(before)
        return components + self._mixing_bound(counts) - self._mixing_bound(sums.counts)

    def in_best_order(self, sums: ComponentSums) -> ComponentSums:
        """Return the sums of the components in the order that suits p(pi) best."""
        return sums.ordered(self.mixing.best_order(sums.counts))

    def move(self, params: BayesianParams, stats: MixtureStats) -> Move[BayesianParams] | None:
        """Return the posterior after the merges of components that raise the bound for sure; None without any."""
        weight, least = self.copies * stats.weight, rounding_of(self.objective(params, stats))
        merged, gain = merged_by_sums(self, params, self.component_sums(params, stats), least * weight)
        return None if gain == 0 else Move(self.posterior_of(merged, stats.precision), gain / weight)

    def trial(self, params: BayesianParams, stats: MixtureStats) -> BayesianParams | None:
        """Return the posterior without the components that have fewer rows than they cost nats; None without any."""
        sums = self.component_sums(params, stats)
        smaller = [j for j in np.argsort(sums.counts, kind="stable").tolist()[:-1] if sums.counts[j] >= LEAST_ROWS]
        doubtful = [j for j in smaller if sums.counts[j] < self._cost(sums, j)]
        if not doubtful:
            return None
        for j in doubtful:
            sums = sums.without(j)
        return self.posterior_of(sums, stats.precision)

    def _cost(self, sums: ComponentSums, j: int) -> float:
        """Return by how much the divergences from the priors fall, in nats, without component j."""
        counts, prior = sums.counts.copy(), self._bound_prior()
        counts[j] = 0.0
        mixing = [self.mixing.posterior(n).divergence(self.mixing) for n in (sums.counts, counts)]
        part, at = (sums, j) if sums.scale.shared else (sums.ordered(np.array([j])), 0)
        components = [
            prior.divergence(self.family, *prior.from_scatter(self.family, s.counts, s.means, s.scatter))
            for s in (part, part.without(at))
        ]
        return mixing[0] - mixing[1] + components[0] - components[1]

    def moved_on_sample(
        self, state: State[BayesianParams], sample: Block, again: Again, most: int
    ) -> State[BayesianParams]:
        """Return the state after merges and deletions of components on the sample: see `dem.models.mixture.moves`.

        They are judged with at most `MOST_COPIES` of each row; EM then goes on with as many as before. Without any, the
        state is the same.
        """
        judge = replace(self, copies=min(MOST_COPIES, self.copies))
        begun = again(judge, state.params, 1)
        moved = moved_on_sample(judge, begun, sample, again, most)
        return state if moved is begun else again(self, moved.params, most)

    def responsibilities(self, params: BayesianParams, block: Block) -> Array:
        """Return the responsibilities of the rows (n, K)."""
        return self.rows(params, find_output(self.row_outputs(params), "proba"))(block)

    def objective(self, params: BayesianParams, stats: MixtureStats) -> float:
        """Return the bound on the log-evidence at the best q(z), in nats a row   (PRML 10.70)."""
        return self.mixture.log_likelihood(params, stats) - self._divergence(params) / (self.copies * stats.weight)

    def log_likelihood(self, params: BayesianParams, stats: MixtureStats) -> None:
        """Return None: the parameters are distributions."""
        return

    def expected(self, params: BayesianParams, stats: MixtureStats, new: BayesianParams) -> float:
        """Return E[log p(x, z | pi, mu, Lambda)] under q(z) and `new`, minus the divergence of `new`, in nats a row."""
        return self.mixture.expected(params, stats, new) - self._divergence(new) / (self.copies * stats.weight)

    def _divergence(self, params: BayesianParams) -> float:
        """Return KL(q(pi) || p(pi)) + sum over k of KL(q(mu_k, Lambda_k) || p(mu, Lambda)), in nats."""
        components = params.theta, params.mean_precision, params.degrees_of_freedom
        return params.mixing.divergence(self.mixing) + self._bound_prior().divergence(self.family, *components)

    def _bound_prior(self) -> NormalWishart:
        if self.prior is None:
            raise ValueError("the model is not bound to data: call bind(scan) first")
        return self.prior

    def is_exact(self, params: BayesianParams) -> bool:
        """Whether a pass with these parameters works in float64 or centred arithmetic."""
        return self.mixture.is_exact(params)

    def exact(self, params: BayesianParams) -> BayesianParams:
        """Return the parameters marked for float64 or centred arithmetic."""
        return replace(params, floor=self.mixture.exact(params).floor)

    def for_new_fit(self, params: BayesianParams) -> BayesianParams:
        """Return the parameters with float32 products allowed again."""
        return replace(params, floor=Precision.SINGLE)

    def kernel(self, params: BayesianParams) -> Callable[[Block], MixtureStats]:
        """Return the mixture's kernel."""
        return self.mixture.kernel(params)

    def row_outputs(self, params: BayesianParams, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the mixture's table of outputs."""
        return self.mixture.row_outputs(params, dtype)

    def rows(self, params: BayesianParams, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one of the outputs; "score" is log sum_k rho_k(x), as scikit-learn's."""
        return self.mixture.rows(params, output)

    def draw(self, params: BayesianParams, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the mixture at E[pi], m and inv(nu W), and their components (n,)."""
        return self.mixture.draw(params, n, rng)

    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters of the mixture."""
        return self.mixture.n_parameters(d)

    def workspace_bytes(self, d: int) -> int:
        """Return the bytes that a task needs in addition to its block."""
        return self.mixture.workspace_bytes(d)

    def rows_bytes(self, d: int) -> int:
        """Return the bytes that a task needs for row outputs."""
        return self.mixture.rows_bytes(d)
