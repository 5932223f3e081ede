"""The contract of a component family: the densities of all K components at once.

Where log p(x | k) = eta_k . t(x) + log h(x), the features t(x) of a tile are the rows of T, the log-densities of all
components are H @ T and the expected sufficient statistics T @ R.T: two products, the fast path (`linear`). The exact
path evaluates each component on its own (Gaussians about their own centres), and is the only one of families that are
not linear, such as Student's t. Tiles are (d, n): a row for each column of the data.

`dem.families.exponential_family` makes a family of four short functions; most are written that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.scan.scanner import Scan

T = TypeVar("T")

CACHE_BYTES = 2**21
"""What a tile's features and responsibilities may take: about a core's second-level cache."""
EMPTY = float(np.finfo(np.float64).eps)
"""Components with a smaller share of the rows' weight than this keep their parameters."""


def safe_counts(counts: Float) -> Float:
    """Return the components' expected weights (K,), none too small to divide by."""
    return np.asarray(np.maximum(counts, EMPTY * counts.sum()))


def like(flags: Array, values: Float) -> Array:
    """Return something of each component (K,) with as many axes as `values` (K, ...), to stand beside them."""
    return flags.reshape(-1, *[1] * (values.ndim - 1))


@dataclass(frozen=True)
class Given:
    """First parameters that the user has set; None where the sample is to tell them.

    Attributes
    ----------
    weights : array of shape (K,) or None
    means : array of shape (K, d) or None
    precisions_cholesky : array or None
        In the family's shape.
    """

    weights: Float | None = None
    means: Float | None = None
    precisions_cholesky: Float | None = None


class Family(Protocol[T]):
    """The densities of all K components at once; `theta` holds all K."""

    @property
    def linear(self) -> bool:
        """Whether the fast path exists; if not, there are no features, and what tells of them is never called."""

    @property
    def complete(self) -> bool:
        """Whether eta . t(x) + log h(x) is all of log p; if not, `shared` has the rest, as a mean over all rows."""

    @property
    def needs_scatter(self) -> bool:
        """Whether `bind` wants the (d, d) scatter of all rows."""

    def squared(self, variances: Float) -> Float:
        """Return what the family makes of the columns' variances (d,) or other squares, (d,): each, or their mean.

        These must be numbers that float64 can hold. 1 of columns whose values it does not square.
        """

    @property
    def wants(self) -> str:
        """What values the family takes, in words: "numbers > 0"."""

    def wants_in(self, column: int) -> str:
        """Return what values the family takes in one column."""

    def check_columns(self, d: int) -> None:
        """Refuse data of d columns that the family cannot be of, by a ValueError."""

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return which entries of x (d, n) the family does not take; None if it takes all numbers."""

    def doubts(self, low: Float, high: Float) -> dict[int, str]:
        """Return what to tell of columns of this range, (d,) each, that are taken, but hardly meant: by column."""

    def log_base(self, x: Float) -> Float | None:
        """Return log h(x) of the columns of x (d, n), in nats, (n,); None if it is 0."""

    def observed_log_base(self, x: Float) -> Float | None:
        """Return log h of what is observed in x (d, n), NaN where missing."""

    def with_missing(self) -> Family[T]:
        """Return the family of rows in which values are missing (NaN), with the same parameters.

        Its densities are those of the observed values, its parameters' estimates are made from them; of a family that
        is one already the family itself.

        Raises
        ------
        ValueError
            If there is none.
        """

    def fill(self, theta: T, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance (d, n) of the missing values of x (d, n), given what is observed.

        Asked only of families from `with_missing`. Where x is observed the mean is x, and the variance 0.

        Parameters
        ----------
        theta
        x : array of shape (d, n)
        reuse
            What `log_density` returned for x.
        resp : array of shape (K, n)
            Responsibilities, which sum to 1.
        """

    def frame(self, x: Float) -> Frame:
        """Return the frame for features of data like the sample x (n, d)."""

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with what it needs of the whole data."""

    def coordinates(self, x: Float) -> Float:
        """Return the rows x (n, d) as points (n, m) among which distances mean something, to choose first centres."""

    def pseudo_rows(self, x: Float) -> Float:
        """Return the rows (m, d) that a prior adds to each component, given a sample x (m, d) of the data."""

    def n_features(self, d: int) -> int:
        """Return F, the number of features of a row of d columns, the constant 1 included."""

    def n_centred(self, d: int) -> int:
        """Return F', the number of sums of the exact path, the counts included."""

    def features(self, rows: Array, frame: Frame, out: Array) -> None:
        """Write the features of rows (n, d) into `out` (F - 1, n), in its precision; the constant 1 is left out."""

    def natural(self, theta: T, frame: Frame) -> Float:
        """Return eta (K, F) for features in `frame`, the log-normaliser in column 0."""

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the largest magnitude of each feature (F,) of rows within [low, high] (d,).

        It decides when products lose too much and the exact path takes over: 0 where that is no more exact.
        """

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return each feature's typical magnitude (F,): it decides when float32 products may serve while iterating."""

    def shared(self, theta: T) -> float:
        """Return the mean over all rows of what log p has beside eta . t(x) and log h(x), in nats."""

    def shared_size(self, theta: T) -> float:
        """Return the sum of the magnitudes of what `shared` adds up: its roundings are of these."""

    def log_density(self, theta: T, x: Float, out: Float) -> Any:
        """Write log p(x | k) - log h(x) of the columns of x (d, n) into `out` (K, n), in nats, exactly.

        Returns
        -------
        Whatever `sums` of the same tile can use again.
        """

    def sums(self, theta: T, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the exact path's sums of x, weighted by `resp` (K, n), to `out` (F', K), the counts in row 0."""

    def initial(self, x: Float, resp: Float) -> T:
        """Return parameters from responsibilities (K, n) of the columns of `x` (d, n)."""

    def override(self, theta: T, given: Given) -> T:
        """Return `theta` with what the user has set."""

    def known(self, given: Given) -> T | None:
        """Return the parameters that the user has set, if they are all there."""

    def estimate(self, sums: Float, frame: Frame, previous: T | None) -> T:
        """Return the parameters that maximise the expected log density given sums taken in `frame`.

        Components without rows keep `previous`, the parameters that the sums were made with.
        """

    def centres(self, theta: T) -> Float:
        """Return the points (K, d) about which the exact path takes its sums."""

    def expected(self, theta: T, sums: Float, frame: Frame, previous: T) -> float:
        """Return the sum over rows and components of r (log p(x | k) - log h(x)), from sums taken in `frame`.

        For families with latent variables of their own, the lower bound of it that touches it at `previous`, the
        parameters that the sums were made with.
        """

    def draw(self, theta: T, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n rows (n, d) of one component."""

    def named(self, theta: T) -> Any:
        """Return the parameters as users see them: arrays by name, the first axis that of the components."""

    @property
    def tile_bytes(self) -> int:
        """What all that may take of a tile, in bytes (see `tile_width`)."""

    def tile_width(self, k: int, d: int) -> int:
        """Return how many numbers of each row the exact path of K components holds in a tile."""

    def work(self, x: Array, k: int) -> float:
        """Return about how many operations an iteration of K components on the rows x (n, d), with holes, takes."""

    def factor_size(self, k: int, d: int) -> int:
        """Return how many numbers the largest array of K components' parameters holds."""

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of K components, the weights aside."""
