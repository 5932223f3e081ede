"""The parts of split-and-merge moves: the rows of some components, jumps, and what a component must be worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, Float

LEAST_SHARE = 1e-2
"""Rows with a smaller responsibility are left out of a component's own rows."""
LOCAL_ROWS = 2000
"""Of more rows of a component, only so many are used to find a division."""
ROWS_A_PARAMETER, SMALL = 10, 0.3
"""Components with fewer rows must be worth more. A component may go to a few rows that happen to lie together: that
raises the likelihood of the sample, but not that of the data."""


class Splittable(Protocol):
    """What a model needs so that its components are joined and split, besides the contract of `dem.em.model`."""

    @property
    def n_components(self) -> int:
        """K."""

    def resized(self, n_components: int) -> Any:
        """Return the bound model with another number of components, for some of the rows."""

    def points(self, x: Float) -> Float:
        """Return rows x (n, d) as points with meaningful directions."""

    def from_responsibilities(self, x: Float, resp: Float) -> Any:
        """Return the parameters for responsibilities (K, n), times weights, of the columns of x (d, n)."""

    def responsibilities(self, params: Any, block: Block) -> tuple[Float, Float]:
        """Return the responsibilities (K, n) of a block, and its log-likelihoods (n,) without the base measure."""


@dataclass(frozen=True)
class Rows:
    """The sample under the current parameters.

    Attributes
    ----------
    sample, whole : Block
        The rows as they are, and with missing values filled in.
    weight : array of shape (n,)
    resp : array of shape (K, n)
    score : array of shape (n,)
    """

    sample: Block
    whole: Block
    weight: Float
    resp: Float
    score: Float

    @classmethod
    def of(cls, model: Splittable, params: Any, sample: Block, whole: Block) -> Rows:
        """Return the sample with the responsibilities of a model."""
        weight = np.ones(len(sample.x)) if sample.weight is None else np.asarray(sample.weight, dtype=np.float64)
        resp, score = model.responsibilities(params, sample)
        return cls(sample, whole, weight, resp, score)

    def own(self, *members: int) -> Own:
        """Return the rows of some components."""
        resp = self.resp[list(members)].sum(axis=0)
        every = np.flatnonzero((resp > LEAST_SHARE) & (self.weight > 0))
        at = every[:LOCAL_ROWS]  # the order of the sample is random
        share, total = resp[at], self.weight @ resp
        weight = self.weight[at] * share
        weight *= (self.weight[every] @ resp[every]) / weight.sum()
        log_f = self.score[at] + np.log(share) - np.log(total / self.weight.sum())
        sample = Block(self.sample.x[at], weight)
        whole = sample if self.whole is self.sample else Block(self.whole.x[at], weight)
        return Own(every, Block(self.sample.x[every]), weight, float(weight @ log_f), sample, whole)


@dataclass(frozen=True)
class Own:
    """The rows of some components, weighted by their responsibilities; of many rows, the first ones.

    Attributes
    ----------
    at : array of shape (m,)
        The numbers of all these rows in the sample.
    every : Block
        All these rows.
    weight : array of shape (n,)
        The weights of the first ones, with the sum of all.
    level : float
        The sum of their weighted log-densities, in nats.
    sample, whole : Block
        The first rows as they are, and with missing values filled in.
    """

    at: NDArray[np.intp]
    every: Block
    weight: Float
    level: float
    sample: Block
    whole: Block


@dataclass(frozen=True)
class Move:
    """A jump.

    Attributes
    ----------
    gain : float
        The least that it changes the log-likelihood by, in nats.
    joined : (int, int) or None
        The components that become one: the second one is free then.
    split : (int, int)
        The component that becomes two, and where its second half goes. Without `joined` these two are divided anew.
    at : array of shape (m,)
        The rows that are divided.
    first : array of shape (m,)
        The share of each that the first half gets.
    credit : float
        See `Join`.
    """

    gain: float
    joined: tuple[int, int] | None
    split: tuple[int, int]
    at: NDArray[np.intp]
    first: Float
    credit: float = 0.0

    @property
    def total(self) -> float:
        """The gain, without losses that are not real."""
        return self.gain + self.credit

    @property
    def components(self) -> set[int]:
        """The components that change."""
        return {*self.split, *(self.joined or ())}

    def apply(self, resp: Float) -> None:
        """Change responsibilities (K, n)."""
        i, j = self.split
        if self.joined is None:
            both = resp[i, self.at] + resp[j, self.at]
        else:
            into, free = self.joined
            resp[into] += resp[free]
            resp[free] = 0
            both = resp[i, self.at]
        resp[i, self.at], resp[j, self.at] = both * self.first, both * (1 - self.first)


@dataclass(frozen=True)
class Worth:
    """The gain, in nats, that a component must be worth so that it is not an accident of the sample.

    Attributes
    ----------
    parameters : float
        Free parameters of a component.
    weight : float
        Of all rows of the sample.
    """

    parameters: float
    weight: float

    def is_large(self, count: float) -> bool:
        """Whether so many rows do not lie together by chance."""
        return count >= ROWS_A_PARAMETER * self.parameters

    def __call__(self, count: float) -> float:
        """Return the least gain of a component of so many rows: by AIC if it is large, else nearly by BIC."""
        return self.parameters * (1.0 if self.is_large(count) else SMALL * float(np.log(max(self.weight, 2.0))))

    def of_part(self, own: Own, first: Float) -> float:
        """Return the least gain of the smaller part of a division."""
        part = float(own.weight @ first)
        return self(min(part, float(own.weight.sum()) - part))


@dataclass(frozen=True)
class Division:
    """A component that is divided in two.

    Attributes
    ----------
    gain : float
        In nats.
    beyond : float
        What it gains beyond what the smaller part must be worth.
    first : array of shape (m,)
        The share of the first half in each row.
    """

    gain: float
    beyond: float
    first: Float


@dataclass(frozen=True)
class Join:
    """Two components that could become one.

    Attributes
    ----------
    pair : (int, int)
    loss : float
        The most that the log-likelihood loses, in nats.
    credit : float
        How much of this is no real loss, because the smaller component may be an accident of the sample.
    """

    pair: tuple[int, int]
    loss: float
    credit: float


@dataclass
class Work:
    """The work that is left, in operations."""

    left: float

    def spend(self, operations: float) -> None:
        """Take note of work."""
        self.left -= operations
