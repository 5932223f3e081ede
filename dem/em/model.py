"""The contract between models and the engine.

Models need only NumPy and SciPy. A model is a frozen object of pure functions; its parameters ``P`` and its statistics
``S`` are values. The engine uses only the members listed here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from dem.core.block import Array, Block, Float
from dem.core.stats import S
from dem.em.row_output import REAL, RowOutput, RowOutputs
from dem.scan.scanner import Scan
from dem.scan.support import Measure

P = TypeVar("P")
P_contra = TypeVar("P_contra", contravariant=True)


@dataclass(frozen=True)
class Step(Generic[P]):
    """The result of an M-step.

    Attributes
    ----------
    params : P
        The new parameters.
    converged : bool
        Whether the model's own test says that the fit has converged; then `params` are the old parameters. Models
        without such a test leave the decision to the objective.
    """

    params: P
    converged: bool = False


class Model(Protocol[P, S]):
    """A latent-variable model: pure functions between parameters and statistics that add."""

    @property
    def needs_scatter(self) -> bool:
        """Whether the first pass must gather the whole (d, d) scatter."""

    @property
    def measure(self) -> Measure | None:
        """The support and base measure that the first pass evaluates for every row; None if it need not."""

    def squared(self, variances: Float) -> Float:
        """Return the squares (d,) that the model computes from columns of variances (d,): see `dem.families.family`."""

    def workspace_bytes(self, d: int) -> int:
        """Return the bytes that a task needs in addition to its block of d columns, in any kind of pass."""

    def work(self, x: Array) -> float:
        """Return the approximate number of operations of an iteration on the rows x (n, d), which may have NaN.

        The starts on the sample choose their effort by it. The model must be bound.
        """

    def bind(self, scan: Scan) -> Self:
        """Return the model prepared for these data: frame, ranges, constants. A bound model can be bound again.

        The scan must be completed (see `dem.scan.fill_sample`): its sample and moments have no missing values.
        `scan.lacking` counts the missing values (NaN) that the rows will have.
        """

    def bind_like(self, scan: Scan, guess: Self, params: P) -> Self | None:
        """Return the model prepared for these data, such that a pass of `guess` with `params` is a pass of its own.

        `guess` was bound before the data were read, to rows like those expected. The statistics of its pass are then
        used after `own_stats`. None if they cannot be: the ranges break the error bound of the arithmetic of that pass,
        or values are missing where none were expected, or the other way round. Then the pass must be made again.
        """

    def own_stats(self, params: P, stats: S, guess: Self) -> S:
        """Return the statistics of a pass of `guess` (see `bind_like`) as those of a pass of this model."""

    def start(self, sample: Block, rng: np.random.Generator) -> P:
        """Return initial parameters from a sample of rows without missing values."""

    def kernel(self, params: P) -> Callable[[Block], S]:
        """Return the function from a block to its expected sufficient statistics."""

    def m_step(self, params: P, stats: S) -> Step[P]:
        """Return the parameters that maximise the expected log joint density given `stats`."""

    def objective(self, params: P, stats: S) -> float:
        """Return the objective that EM never lowers, in nats a row: log-likelihood plus log prior, or a bound.

        `stats` come from a pass with `params`; also in the next two methods.
        """

    def log_likelihood(self, params: P, stats: S) -> float | None:
        """Return the log-likelihood of `params`, in nats a row; None where there is none."""

    def expected(self, params: P, stats: S, new: P) -> float | None:
        """Return Q(new; stats), which the M-step maximises (priors included), in nats a row; None if there is none."""

    def is_exact(self, params: P) -> bool:
        """Whether the arithmetic of the kernel of `params` is accurate enough for reported results."""

    def exact(self, params: P) -> P:
        """Return the same parameters, marked so that `is_exact` holds."""

    def for_new_fit(self, params: P) -> P:
        """Return the same parameters without marks of the fit that they come from, to start another fit."""


@dataclass(frozen=True)
class Move(Generic[P]):
    """Parameters that EM would not reach, with a better objective.

    Attributes
    ----------
    params : P
    gain : float
        The objective rises by this at least, in nats a row.
    """

    params: P
    gain: float


@runtime_checkable
class Moving(Protocol):
    """Models that can leave a local optimum of EM by moves of their own, such as merges (`dem.models.mixture.moves`).

    How components are joined and split on the sample is in `dem.em.moves`.
    """

    def move(self, params: Any, stats: Any) -> Move[Any] | None:
        """Return a move that raises the objective for sure, by the sums of a pass with `params`; None without one."""

    def trial(self, params: Any, stats: Any) -> Any:
        """Return parameters that may be better than `params`, which a pass will tell; None if there are none."""

    def moved_on_sample(self, state: Any, sample: Block, again: Callable[[Any, Any, int], Any], most: int) -> Any:
        """Return the end of EM on the sample after moves that are better on it; without any, `state`, which is one.

        The model is bound to the sample. `again(model, params, n)` continues EM on the sample and returns its state;
        the moves may cost about `most` iterations.
        """


class Rowwise(Protocol[P_contra]):
    """Models with outputs for every row."""

    def row_outputs(self, params: P_contra, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of the outputs; outputs with the shape of the rows have this floating dtype."""

    def rows(self, params: P_contra, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one output of the table, an entry (or row) per row."""

    def rows_bytes(self, d: int) -> int:
        """Return the bytes that a task needs in addition to its block of d columns and its results, also with NaN."""


class Generative(Rowwise[P_contra], Protocol[P_contra]):
    """Models with a density: rows can be drawn from them."""

    def draw(self, params: P_contra, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latent variables."""

    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters for data of d columns."""
