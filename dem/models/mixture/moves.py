"""Moves of variational mixtures: merge two components, or delete one   (Hughes and Sudderth 2013).

EM takes rows from a component that the data do not need only slowly, or not at all: many components of a few rows each
are a local optimum. A move goes there in one step. It is made if the bound on the log-evidence rises:

- Merge i and j: the sums of their rows add, so the bound after it is known from the sums, apart from the entropy of
  q(z). This falls by the sum over the rows of (r_i + r_j) h(r_i / (r_i + r_j)), where h is the entropy of two
  proportions in nats. On the sample it is computed row by row. Where only sums are known it is at most
  (N_i + N_j) h(N_i / (N_i + N_j)), since h is concave: a merge that raises the bound even so is safe.
- Delete j: its rows go to any others. This needs the rows, so it is tried on the sample alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from scipy.special import xlogy

from dem.core.block import Array, Block, Float
from dem.em.loop import State, rounding_of
from dem.models.mixture.component_sums import ComponentSums
from dem.models.mixture.kernel import MixtureParams, MixtureStats

NEAREST = 3
"""Each component may merge with this number of others, the nearest."""
LEAST_ROWS = 0.01
"""Components with fewer rows are empty: no move is tried with them."""
TRIAL_ITER = 4
"""Iterations of EM after a move on the sample, before it is judged."""
TILE_ENTRIES = 2**19
"""Entries of an array of rows by components, or by pairs, that is in memory at a time."""

Pairs = list[tuple[int, int]]
Again = Callable[[Any, Any, int], State[Any]]
"""Continues EM on the sample with a model from parameters, for at most a number of iterations."""


class Mergeable(Protocol):
    """What merges and deletions need of a model."""

    @property
    def copies(self) -> float:
        """Factor on the counts of the rows."""

    def component_sums(self, params: Any, stats: MixtureStats) -> ComponentSums:
        """Return the sums of the rows of each component, times `copies`."""

    def posterior_of(self, sums: ComponentSums) -> Any:
        """Return the posterior given the sums."""

    def merge_gain(self, sums: ComponentSums, i: int, j: int) -> float:
        """Return by how much the bound rises, in nats, if i and j merge and q(z) keeps its entropy."""

    def in_best_order(self, sums: ComponentSums) -> ComponentSums:
        """Return the sums of the components in the order that suits the prior best."""

    def responsibilities(self, params: Any, block: Block) -> Array:
        """Return the responsibilities of the rows (n, K)."""


def near_pairs(params: MixtureParams, sums: ComponentSums) -> Pairs:
    """Return pairs (i, j), i < j, of components with rows: each with the nearest others, in deviations of either."""
    means, factor = params.theta.means, params.theta.precisions_cholesky
    used = np.flatnonzero(sums.counts >= LEAST_ROWS)
    distance = np.full((len(means), len(means)), np.inf)
    for j in used:
        distance[used, j] = sums.scale.squares(factor, means - means[j])[used]
    distance = np.minimum(distance, distance.T)
    np.fill_diagonal(distance, np.inf)
    nearest = {int(j): np.argsort(distance[j], kind="stable")[:NEAREST].tolist() for j in used}
    return sorted({(min(i, j), max(i, j)) for j in nearest for i in nearest[j] if distance[i, j] < np.inf})


def most_entropy(sums: ComponentSums, pairs: Pairs) -> Float:
    """Return the most entropy, in nats, that the merge of each pair can take from q(z)."""
    first, second = _columns(pairs)
    return _pair_entropy(sums.counts[first], sums.counts[second])


def entropy_on_rows(model: Mergeable, params: MixtureParams, sample: Block, pairs: Pairs) -> Float:
    """Return the entropy, in nats, that the merge of each pair takes from q(z) of these rows."""
    first, second = _columns(pairs)
    total = np.zeros(len(pairs))
    step = max(1, TILE_ENTRIES // max(1, len(pairs), len(params.weights)))
    for start in range(0, len(sample.x), step):
        block = sample.part(start, start + step)
        resp = model.responsibilities(params, block)
        entropy = _pair_entropy(resp[:, first], resp[:, second])
        total += entropy.sum(axis=0) if block.weight is None else block.weight @ entropy
    return np.asarray(model.copies * total)


def _columns(pairs: Pairs) -> Array:
    """Return the first and the second components of the pairs, (2, n)."""
    return np.array(pairs, dtype=np.intp).reshape(-1, 2).T


def _pair_entropy(a: Array, b: Array) -> Float:
    """Return (a + b) h(a / (a + b))."""
    return np.asarray(xlogy(a + b, a + b) - xlogy(a, a) - xlogy(b, b))


def best_merges(
    model: Mergeable, sums: ComponentSums, pairs: Pairs, losses: Float, least: float
) -> tuple[ComponentSums, float]:
    """Return the sums after all merges that raise the bound, the best first, and by how much they raise it, in nats.

    A component takes part in one merge at most: a second would take another entropy from q(z).

    Parameters
    ----------
    model : Mergeable
    sums : ComponentSums
    pairs : list of (int, int)
    losses : array
        The entropy that each merge takes, or a bound of it.
    least : float
        Merges that raise the bound by no more than this are not made: it is rounding.
    """
    gains = np.array([model.merge_gain(sums, *pair) for pair in pairs]) - losses
    touched, total = set[int](), 0.0
    for p in np.argsort(-gains, kind="stable"):
        if gains[p] <= least or touched & set(pairs[p]):
            continue
        gain = model.merge_gain(sums, *pairs[p]) - losses[p]  # the merges before have changed it a little
        if gain > least:
            sums, total, touched = sums.merged(*pairs[p]), total + float(gain), touched | set(pairs[p])
    return sums, total


def merged_by_sums(
    model: Mergeable, params: MixtureParams, sums: ComponentSums, least: float
) -> tuple[ComponentSums, float]:
    """Return the sums after the merges that are safe by the sums alone, and by how much the bound rises, in nats."""
    pairs = near_pairs(params, sums)
    return best_merges(model, sums, pairs, most_entropy(sums, pairs), least)


def moved_on_sample(model: Mergeable, state: State[Any], sample: Block, again: Again, most: int) -> State[Any]:
    """Return the state after moves on the sample, as long as they raise the bound.

    Parameters
    ----------
    model : Mergeable
        Bound to the sample.
    state : State
        At the end of EM, with its statistics.
    sample : Block
    again : callable
    most : int
        Iterations of EM that the moves may cost.
    """
    while most > 0:
        least, most = rounding_of(state.objective), most - 1  # the merges need the responsibilities
        for trial in _trials(model, state, sample, least):
            found = again(model, trial, TRIAL_ITER)
            most -= len(found.history)
            if found.objective > state.objective + least:
                state = found
                break
            if most <= 0:
                break
        else:
            break
    return state


def _trials(model: Mergeable, state: State[Any], sample: Block, least: float) -> Iterator[Any]:
    """Yield parameters to try: after merges and in the best order, then without each component, the smallest first."""
    params, sums = state.params, model.component_sums(state.params, state.stats)
    pairs = near_pairs(params, sums)
    losses = entropy_on_rows(model, params, sample, pairs)
    merged, gain = best_merges(model, sums, pairs, losses, least * float(sums.counts.sum()))
    ordered = model.in_best_order(merged)
    if gain > 0 or np.abs(ordered.counts - sums.counts).max() >= LEAST_ROWS:
        yield model.posterior_of(ordered)
    for j in np.argsort(sums.counts, kind="stable"):
        if sums.counts[j] >= LEAST_ROWS:
            yield model.posterior_of(model.in_best_order(sums.without(j)))
