"""What a model is: the contract between the maths and the engine.

Everything below runs on NumPy and SciPy alone. A model is a frozen object of pure functions; its
parameters ``P`` and its statistics ``S`` are values. The engine knows only what stands here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, Self, TypeVar

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
    """What an M-step gives.

    Attributes
    ----------
    params : P
        The new parameters.
    converged : bool
        Whether the model's own measure says that the fit has converged: `params` are those that the step was given.
        Models without such a measure leave this to the objective.
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
        """What the first pass is to ask of every row; None if nothing."""

    def squared(self, variances: Float) -> Float:
        """Return what the model makes of the columns' variances (d,), (d,): see `dem.families.family`."""

    def workspace_bytes(self, d: int) -> int:
        """Return what a task allocates beside its block of d columns, in bytes, in any kind of pass."""

    def work(self, x: Array) -> float:
        """Return about how many operations an iteration on the rows x (n, d) takes, by what is missing in them.

        Starts on the sample are measured by it. The model is bound.
        """

    def bind(self, scan: Scan) -> Self:
        """Return the model fitted out for this data: frame, ranges, constants; also if it is bound already.

        The scan is a completed one (see `dem.scan.fill_sample`): its sample and its moments have no holes, and
        `scan.lacking` tells whether the rows will, as NaN.
        """

    def start(self, sample: Block, rng: np.random.Generator) -> P:
        """Return initial parameters from a sample of rows without missing values."""

    def kernel(self, params: P) -> Callable[[Block], S]:
        """Return the function from a block to its expected sufficient statistics."""

    def m_step(self, params: P, stats: S) -> Step[P]:
        """Return the parameters that maximise the expected log joint density given `stats`."""

    def objective(self, params: P, stats: S) -> float:
        """Return what EM never lets fall, in nats a row: the log-likelihood of `params` and log prior, or a bound.

        `stats` were made with `params`; so in the two methods below.
        """

    def log_likelihood(self, params: P, stats: S) -> float | None:
        """Return the log-likelihood of `params`, in nats a row; None where there is none."""

    def expected(self, params: P, stats: S, new: P) -> float | None:
        """Return Q(new; stats), which the M-step maximises (priors included), in nats a row; None if there is none."""

    def is_exact(self, params: P) -> bool:
        """Whether the kernel of `params` works in arithmetic whose results may be reported."""

    def exact(self, params: P) -> P:
        """Return the same parameters, marked so that `is_exact` holds."""

    def for_new_fit(self, params: P) -> P:
        """Return the same parameters without the marks of the fit that they come from: another fit starts there."""


class Rowwise(Protocol[P_contra]):
    """Models with outputs for every row."""

    def row_outputs(self, params: P_contra, dtype: np.dtype[Any] = REAL) -> RowOutputs:
        """Return the table of the outputs; those of the shape of the rows have this floating dtype."""

    def rows(self, params: P_contra, output: RowOutput) -> Callable[[Block], Array]:
        """Return the function from a block to one output of the table, an entry (or row) per row."""

    def rows_bytes(self, d: int) -> int:
        """Return what a task allocates beside its block of d columns and its results, in bytes, whatever is missing."""


class Generative(Rowwise[P_contra], Protocol[P_contra]):
    """Models with a density: rows can be drawn from them."""

    def draw(self, params: P_contra, n: int, rng: np.random.Generator) -> tuple[Float, Array]:
        """Return n rows (n, d) drawn from the model, and their latent variables."""

    def n_parameters(self, d: int) -> int:
        """Return the number of free parameters for data of d columns."""
