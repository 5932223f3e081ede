"""The contract of a component family: the densities of all K components at once, by role.

Every family has a density, a support, preparations before EM and costs: together a `Family`. Other roles only some
families have. An attribute gives the object that has the role, or None:

    linear              log p(x | k) = eta_k . t(x) + log h(x): the log-densities of a tile are H @ T and the expected
                        sufficient statistics T @ R.T, two matrix products. A family without it has the exact path
                        alone, which evaluates each component separately (Gaussians about their own centres)
    settable            the user can set first parameters
    with_missing()      the family of rows in which values are missing, with the same parameters
    filling             conditional moments of missing values
    by_pattern          rows in which the same values are missing are complete rows of another family

Tiles are (d, n): a row for each column of the data.

`dem.families.exponential_family` makes a family of four short functions; most are written that way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.features import Features
from dem.scan.scanner import Scan
from dem.scan.support import Measure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

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
    """First parameters that the user has set; None where the sample gives them.

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


class Density(Protocol[T]):
    """Densities, draws and estimates; `theta` are the parameters of all K components."""

    def log_density(self, theta: T, x: Float, out: Float) -> Any:
        """Write log p(x | k) - log h(x) of the columns of x (d, n) into `out` (K, n), in nats, exactly.

        Returns
        -------
        Whatever `sums` of the same tile can use again.
        """

    def n_centred(self, d: int) -> int:
        """Return F', the number of sums of the exact path, the counts included."""

    def sums(self, theta: T, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the exact path's sums of x, weighted by `resp` (K, n), to `out` (F', K), the counts in row 0."""

    def centres(self, theta: T) -> Float:
        """Return the points (K, d) about which the exact path takes its sums."""

    def initial(self, x: Float, resp: Float) -> T:
        """Return parameters from responsibilities (K, n) of the columns of `x` (d, n)."""

    def estimate(self, sums: Float, frame: Frame, previous: T | None) -> T:
        """Return the parameters that maximise the expected log density given sums taken in `frame`.

        Components without rows keep `previous`, the parameters that the sums were made with.
        """

    def expected(self, theta: T, sums: Float, frame: Frame, previous: T) -> float:
        """Return the sum over rows and components of r (log p(x | k) - log h(x)), from sums taken in `frame`.

        For families with latent variables of their own, the lower bound of it that touches it at `previous`, the
        parameters that the sums were made with.
        """

    def draw(self, theta: T, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n rows (n, d) of one component."""

    def named(self, theta: T) -> Any:
        """Return the parameters as users see them: arrays by name, the first axis that of the components."""

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of K components, the weights aside."""


class Support(Measure, Protocol):
    """What data the family takes; with their base measure, for the first scan."""

    def check_columns(self, d: int) -> None:
        """Refuse data of d columns that the family cannot be of, by a ValueError."""


class Preparation(Protocol):
    """What is done before EM, from a scan of the data and a sample."""

    @property
    def needs_scatter(self) -> bool:
        """Whether `bind` needs the (d, d) scatter of all rows."""

    def squared(self, variances: Float) -> Float:
        """Return what the family makes of the columns' variances (d,) or other squares, (d,): each, or their mean.

        These must be numbers that float64 can hold. 1 of columns whose values it does not square.
        """

    def frame(self, x: Float) -> Frame:
        """Return the frame for features of data like the sample x (n, d)."""

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with what it needs of the whole data."""

    def coordinates(self, x: Float) -> Float:
        """Return the rows x (n, d) as points (n, m) among which distances mean something, to choose first centres."""

    def pseudo_rows(self, x: Float) -> Float:
        """Return the rows (m, d) that a prior adds to each component, given a sample x (m, d) of the data."""


class Cost(Protocol):
    """The memory and the time that K components take."""

    @property
    def tile_bytes(self) -> int:
        """What a tile of the exact path may take, in bytes (see `tile_width`)."""

    def tile_width(self, k: int, d: int) -> int:
        """Return how many numbers of each row the exact path of K components holds in a tile."""

    def factor_size(self, k: int, d: int) -> int:
        """Return how many numbers the largest array of K components' parameters holds."""

    def work(self, x: Array, k: int) -> float:
        """Return about how many operations an iteration of K components on the rows x (n, d), with holes, takes."""


class Linear(Protocol[T_contra]):
    """The fast path: log p(x | k) = eta_k . t(x) + log h(x), and a term that all components share."""

    def n_features(self, d: int) -> int:
        """Return F, the number of features of a row of d columns, the constant 1 included."""

    def features(self, d: int, frame: Frame) -> Features:
        """Return t(x) for data of d columns, in a frame: a `FeatureMap`, unless Python computes them."""

    def natural(self, theta: T_contra, frame: Frame) -> Float:
        """Return eta (K, F) for features in `frame`, the log-normaliser in column 0."""

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the largest magnitude of each feature (F,) of rows within [low, high] (d,).

        It decides when products lose too much and the exact path takes over: 0 where that is not more exact.
        """

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return each feature's typical magnitude (F,): it decides when float32 products may serve while iterating."""

    @property
    def complete(self) -> bool:
        """Whether eta . t(x) + log h(x) is all of log p; if not, `shared` has the rest, as a mean over all rows."""

    def shared(self, theta: T_contra) -> float:
        """Return the mean over all rows of what log p has beside eta . t(x) and log h(x), in nats."""

    def shared_size(self, theta: T_contra) -> float:
        """Return the sum of the magnitudes of what `shared` adds up: its roundings are of these."""


class Settable(Protocol[T]):
    """First parameters can be set by the user."""

    def known(self, given: Given) -> T | None:
        """Return the parameters that the user has set, if they are all there."""

    def override(self, theta: T, given: Given) -> T:
        """Return `theta` with what the user has set."""


class Filling(Protocol[T_contra]):
    """Conditional moments of missing values."""

    def fill(self, theta: T_contra, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance (d, n) of the missing values of x (d, n), given what is observed.

        Where x is observed the mean is x, and the variance 0.

        Parameters
        ----------
        theta
        x : array of shape (d, n)
        reuse
            What `log_density` returned for x.
        resp : array of shape (K, n)
            Responsibilities, which sum to 1.
        """


class Marginal(Protocol[T_co]):
    """The distribution of the columns that a pattern of missing values leaves."""

    @property
    def theta(self) -> T_co:
        """Its parameters."""

    def add(self, sums: Float, counts: Float, out: Float) -> None:
        """Add to `out` (F', K) the sums of the whole rows, given those of the observed columns about their means.

        Parameters
        ----------
        sums : array of shape (F'', K)
        counts : array of shape (K,)
            The sums of the responsibilities.
        out : array of shape (F', K)
        """


class ByPattern(Protocol[T]):
    """Rows in which the same values are missing are complete rows of the other columns' marginal distributions."""

    @property
    def marginals(self) -> Family[T]:
        """The family of the marginals: full Gaussians."""

    def features(self, d: int) -> Features:
        """Return the features of d columns that the marginals have in the data's own coordinates; made once."""

    def marginal(self, theta: T, missing: Array) -> Marginal[T]:
        """Return the marginal of a pattern (d,): True where a value is missing."""


class Family(Density[T], Support, Preparation, Cost, Protocol[T]):
    """What a mixture needs of every family, and the roles that only some families have: None where there is none."""

    @property
    def members(self) -> tuple[Family[Any], ...]:
        """The families of its blocks of columns; the family itself, unless it is a product."""

    @property
    def linear(self) -> Linear[T] | None:
        """The fast path."""

    @property
    def settable(self) -> Settable[T] | None:
        """First parameters set by the user."""

    def with_missing(self) -> Family[T] | None:
        """Return the family of rows in which values are missing (NaN), with the same parameters; None if there is none.

        Its densities are those of the observed values, and estimates are made from these alone. A family of such rows
        returns itself.
        """

    @property
    def filling(self) -> Filling[T] | None:
        """Conditional moments of missing values: of families from `with_missing`."""

    @property
    def by_pattern(self) -> ByPattern[T] | None:
        """Work by patterns of missing values: of families from `with_missing`."""


def with_missing(family: Family[T]) -> Family[T]:
    """Return the family of rows with missing values.

    Raises
    ------
    ValueError
        If there is none.
    """
    if (found := family.with_missing()) is not None:
        return found
    name = next(type(member).__name__ for member in family.members if member.with_missing() is None)
    raise ValueError(
        f"{name} has no density of rows with missing values: leave such rows out, fill them in, or use another family"
    )


def filling(family: Family[T]) -> Filling[T]:
    """Return what fills in the missing values of a family's rows.

    Raises
    ------
    ValueError
        If there is nothing that does.
    """
    if (found := with_missing(family).filling) is not None:
        return found
    name = next(type(member).__name__ for member in family.members if with_missing(member).filling is None)
    raise ValueError(
        f"{name} does not implement moments(), the mean and the variance of each column, so that missing values cannot "
        "be filled in"
    )
