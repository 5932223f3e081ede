"""Which components of two models are the same, and a model with its components in another order.

Two components are alike if they take the same rows: of rows drawn from both models, as many from each component, the
overlap of two components is the sum of the smaller responsibilities divided by that of the larger ones (Jaccard's
index with weights). It is 1 for the same component and 0 for two that share no row, for every family of distributions.
The pairs of largest overlap in all are found by the Hungarian method (Kuhn 1955; Crouse 2016).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Block, Float
from dem.core.error_state import default_error_state
from dem.core.human import plural
from dem.core.layout import Order
from dem.em.row_output import find_output
from dem.estimators.scaling import inner_of
from dem.estimators.summary import columns_of

LEAST_OVERLAP = 0.25
"""A pair of components with less overlap is not the same component: one is new, the other gone."""
LEAST_COUNT = 0.01
"""A component with fewer rows is empty."""
ROWS_OF_COMPONENT, LEAST_ROWS, MATCHED_BYTES = 512, 8, 2**28
"""Rows drawn from each component: the most, the least, and about the bytes of all rows with their memberships."""


@dataclass(frozen=True)
class Matching:
    """How the components of a model belong to those of an earlier one.

    Attributes
    ----------
    order : int array of shape (K,)
        For `reordered`: the component `order[k]` gets the number k. Components of the earlier model keep their numbers,
        new ones take the numbers of those that are gone, and then the next ones. If the model has fewer components than
        the earlier one, those whose numbers do not exist any more come first in the free numbers.
    partner : int array of shape (K,)
        The number in the earlier model of each component in this order; -1 for new components.
    overlap : array of shape (K,)
        Of each component in this order with its partner, from 0 to 1; 0 for new components.
    gone : tuple of int
        The components of the earlier model that have no partner.
    empty : tuple of int
        The components, in this order, that no row of the fit belongs to, as Bayesian mixtures have them. They have no
        partner, are not new, and come last in the free numbers. Those of the earlier model are not gone.
    """

    order: Order
    partner: NDArray[np.intp]
    overlap: Float
    gone: tuple[int, ...]
    empty: tuple[int, ...] = ()

    @property
    def new(self) -> tuple[int, ...]:
        """The components, in this order, that the earlier model does not have."""
        return tuple(k for k in np.flatnonzero(self.partner < 0).tolist() if k not in self.empty)

    @property
    def renumbered(self) -> tuple[int, ...]:
        """The components, in this order, that have another number in the earlier model."""
        numbers = np.arange(len(self.partner))
        return tuple(np.flatnonzero((self.partner >= 0) & (self.partner != numbers)).tolist())

    def record(self) -> dict[str, Any]:
        """Return the numbers in the form of JSON."""
        return {
            "kept": int((self.partner >= 0).sum()),
            "new": list(self.new),
            "gone": list(self.gone),
            "empty": list(self.empty),
            "renumbered": list(self.renumbered),
            "overlap": self.overlap.tolist(),
        }

    def __str__(self) -> str:
        """Return "3 of 4 components are those of the earlier model (overlap 0.92 to 1.00); new: 2; gone: 2"."""
        same = self.overlap[self.partner >= 0]
        used = len(self.partner) - len(self.empty)
        words = f"{len(same)} of {plural(used, 'component')} are those of the earlier model"
        if len(same):
            words += f" (overlap {same.min():.2f} to {same.max():.2f})"
        named = {"new": self.new, "gone": self.gone, "with another number": self.renumbered}
        return "; ".join([words, *(f"{what}: {', '.join(map(str, found))}" for what, found in named.items() if found)])


class Matchable:
    """The part of an estimator with components that compares and reorders them."""

    _by_component: ClassVar[tuple[str, ...]] = ()
    """Names of the fitted arrays whose first axis is the component."""
    _shared_if_tied: ClassVar[tuple[str, ...]] = ()
    """Those that tied components share."""
    _rows_of_components: Callable[[int, np.random.Generator], Float]
    _model_of_rows: Callable[[], tuple[Any, Any]]
    n_features_in_: int

    @default_error_state()
    def match(self, other: Any) -> Matching:
        """Return which components of an earlier model are those of this one: see `dem.estimators.matching`.

        Parameters
        ----------
        other : fitted mixture or K-means
            With the same columns, and any number of components.

        Raises
        ------
        TypeError
            `other` has no components.
        ValueError
            It has other columns.
        """
        check_comparable(self, other)
        check_is_fitted(self)
        k, rng = self._n_numbered + other._n_numbered, np.random.default_rng(0)
        each = MATCHED_BYTES // (8 * k * (self.n_features_in_ + k))
        n = min(ROWS_OF_COMPONENT, max(LEAST_ROWS, each))
        rows = [model._rows_of_components(n, rng) for model in (self, other)]
        block = Block(np.concatenate(rows))
        found = overlaps(*(_memberships(model, block) for model in (self, other)))
        return matching_of(found, self._empty_components, other._empty_components)

    def reordered(self, order: Any) -> Self:
        """Return the same model with its components in another order: component `order[0]` becomes the first.

        The weights of a Dirichlet process depend on the order, and change a little.

        Parameters
        ----------
        order : sequence of int, of shape (K,)
            Each number from 0 to K - 1 once, such as the `order` of a `Matching`.

        Raises
        ------
        ValueError
            If it is not that.
        """
        check_is_fitted(self)
        k = self._n_numbered
        numbers = np.asarray(order)
        if numbers.shape != (k,) or not np.array_equal(np.sort(numbers), np.arange(k)):
            raise ValueError(f"order must have each number from 0 to {k - 1} once, got {numbers.tolist()}")
        model = copy.copy(self)
        model.__dict__.update(self.__dict__)  # with what pickles leave out, such as the training data of K-means
        if (inner := inner_of(self)) is not None:
            model.__dict__["_inner"] = inner.reordered(numbers)
        model._take_order(numbers.astype(np.intp))
        return model

    @property
    def _n_numbered(self) -> int:
        """The number of components of the fitted model."""
        return len(getattr(self, self._by_component[0]))

    @property
    def _empty_components(self) -> NDArray[np.bool_]:
        """A mask of the components that no row of the fit belongs to; none if this is not known."""
        counts = getattr(self, "effective_counts_", None)
        return np.zeros(self._n_numbered, np.bool_) if counts is None else np.asarray(counts) < LEAST_COUNT

    def _take_order(self, order: Order) -> None:
        """Put the components into this order."""
        asked = getattr(self, "covariance_type", "")
        fitted = getattr(self, "_fitted_type", asked)  # the setting may have been changed since the fit
        shared = self._shared_if_tied if "tied" in fitted else ()
        for name in self._by_component:
            if hasattr(self, name) and name not in shared:
                setattr(self, name, getattr(self, name)[order])


def check_comparable(model: Any, other: Any) -> None:
    """Check that two models have components on the same columns.

    Raises
    ------
    TypeError, ValueError
    """
    for each in (model, other):
        if not isinstance(each, Matchable):
            raise TypeError(f"a {type(each).__name__} has no components to compare: give a mixture or K-means")
    check_is_fitted(other)
    if hasattr(model, "n_features_in_") and model.n_features_in_ != other.n_features_in_:
        raise ValueError(
            f"the models have {model.n_features_in_} and {plural(other.n_features_in_, 'column')}, so their components "
            "cannot be compared: give models of the same columns"
        )
    if hasattr(model, "n_features_in_"):
        names = [columns_of(each, each.n_features_in_) for each in (model, other)]
        if (differ := names[0].first_other_name(names[1])) is not None:
            raise ValueError(
                f"the first model has the column {differ[0]!r} where the second has {differ[1]!r}, so their components "
                "cannot be compared: give models of the same columns in the same order"
            )


def overlaps(own: Float, others: Float) -> Float:
    """Return the overlap of each pair of components (K, K'), given the memberships (n, K) and (n, K') of n rows."""
    smaller = np.array([np.minimum(column[:, None], others).sum(axis=0) for column in own.T])
    larger = own.sum(axis=0)[:, None] + others.sum(axis=0) - smaller
    return np.divide(smaller, larger, out=np.zeros_like(smaller), where=larger > 0)


def matching_of(
    overlap: Float, empty: NDArray[np.bool_] | None = None, empty_other: NDArray[np.bool_] | None = None
) -> Matching:
    """Return the matching of largest overlap in all, given the overlaps (K, K') and masks of the empty components."""
    k, k_other = overlap.shape
    empty = np.zeros(k, np.bool_) if empty is None else empty
    empty_other = np.zeros(k_other, np.bool_) if empty_other is None else empty_other
    overlap = np.where(empty[:, None] | empty_other, 0.0, overlap)
    pairs = [(i, j) for i, j in zip(*linear_sum_assignment(-overlap), strict=True) if overlap[i, j] >= LEAST_OVERLAP]
    order, partner, found = np.full(k, -1, np.intp), np.full(k, -1, np.intp), np.zeros(k)
    late = []
    for i, j in sorted(pairs, key=lambda pair: int(pair[1])):
        if j < k:
            order[j], partner[j], found[j] = i, j, overlap[i, j]
        else:
            late.append((i, j))
    paired = {int(i) for i, _ in pairs}
    new = [(i, -1) for i in sorted(range(k), key=lambda i: bool(empty[i])) if i not in paired]
    for place, (i, j) in zip(np.flatnonzero(order < 0), [*late, *new], strict=True):
        order[place], partner[place], found[place] = i, j, overlap[i, j] if j >= 0 else 0.0
    gone = sorted(set(np.flatnonzero(~empty_other).tolist()) - {int(j) for _, j in pairs})
    return Matching(order, partner, found, tuple(gone), tuple(np.flatnonzero(empty[order]).tolist()))


def _memberships(model: Any, block: Block) -> Float:
    """Return the responsibilities (n, K) of rows; of K-means, 1 for the cluster of a row.

    Rows outside the support of a model belong to none of its components.
    """
    of_rows, params = model._model_of_rows()
    outputs = of_rows.row_outputs(params)
    if "proba" in outputs:
        family = getattr(of_rows, "family", None)
        outside = None if family is None else family.outside(block.x.T)
        inside = slice(None) if outside is None else ~outside.any(axis=0)
        found = np.zeros((len(block.x), model._n_numbered))
        found[inside] = of_rows.rows(params, find_output(outputs, "proba"))(Block(block.x[inside]))
        return found
    labels = of_rows.rows(params, find_output(outputs, "label"))(block)
    return np.eye(len(model.cluster_centers_))[labels]
