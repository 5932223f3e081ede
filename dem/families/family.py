"""The contract of a component family: the densities of all K components at once, by role.

Every family has a density, a support, preparations before EM, and costs: together they are a `Family`. The other roles
are optional. An attribute gives the object that has the role, or None:

    linear              log p(x | k) = eta_k . t(x) + log h(x): the log-densities of a tile are H @ T, and the expected
                        sufficient statistics are T @ R.T: two matrix products. A family without this role has only
                        the exact path, which computes each component separately (Gaussians about their own means)
    settable            the user can set first parameters
    with_missing()      the family for rows with missing values, with the same parameters
    filling             conditional moments of missing values
    by_pattern          rows in which the same values are missing are complete rows of another family

Tiles are (d, n): one row of the tile for each column of the data.

Most families are exponential families and need only four short functions: see `dem.families.exponential_family`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.layout import Order
from dem.families.features import Features
from dem.scan.scanner import Scan
from dem.scan.support import Measure

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
T_contra = TypeVar("T_contra", contravariant=True)

CACHE_BYTES = 2**21
"""Memory for the features and responsibilities of a tile, in bytes: about the second-level cache of a core."""
EMPTY_SHARE = float(np.finfo(np.float64).eps)
"""A component with a smaller share of the rows' total weight is empty: it keeps its parameters."""


def safe_counts(counts: Float) -> Float:
    """Return the components' expected weights (K,), raised where they are too small to divide by."""
    return np.asarray(np.maximum(counts, EMPTY_SHARE * counts.sum()))


def expand_to(flags: Array, values: Float) -> Array:
    """Return flags (K,) with as many axes as `values` (K, ...), so that they can be broadcast together."""
    return flags.reshape(-1, *[1] * (values.ndim - 1))


@dataclass(frozen=True)
class Given:
    """First parameters set by the user; None means that they are computed from the sample.

    The name of this class is part of the identity of fits in checkpoints, so it cannot change.

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

    @property
    def is_empty(self) -> bool:
        """Whether the user has set nothing."""
        return self.weights is None and self.means is None and self.precisions_cholesky is None


class Density(Protocol[T]):
    """Densities, random rows and estimates; `theta` holds the parameters of all K components."""

    def log_density(self, theta: T, x: Float, out: Float) -> Any:
        """Write log p(x | k) - log h(x) of the columns of x (d, n) to `out` (K, n), in nats, by the exact path.

        Returns
        -------
        Anything that `add_sums` can use again for the same tile (its argument `reuse`).
        """

    def n_exact_sums(self, d: int) -> int:
        """Return F', the number of sums of the exact path, including the counts."""

    def add_sums(self, theta: T, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the exact path's sums of x, weighted by `resp` (K, n), to `out` (F', K); row 0 has the counts."""

    def centres(self, theta: T) -> Float:
        """Return the reference points (K, d) of the exact path's sums."""

    def initial(self, x: Float, resp: Float) -> T:
        """Return first parameters from responsibilities (K, n) of the columns of `x` (d, n)."""

    def estimate(self, sums: Float, frame: Frame, previous: T | None) -> T:
        """Return the parameters that maximise the expected log-density, from sums taken in `frame`.

        Empty components keep their parameters from `previous`: the parameters with which the sums were computed.
        """

    def expected(self, theta: T, sums: Float, frame: Frame, previous: T) -> float:
        """Return the sum over rows and components of r (log p(x | k) - log h(x)), from sums taken in `frame`.

        A family with latent variables returns a lower bound of it, which is exact at `previous`: the parameters with
        which the sums were computed.
        """

    def draw(self, theta: T, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n random rows (n, d) of one component."""

    def named_parameters(self, theta: T) -> Any:
        """Return the parameters for users: a dict of arrays; the first axis is the component."""

    def reordered(self, theta: T, order: Order) -> T:
        """Return the parameters with the components in this order: the first is component `order[0]`."""

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of K components, without the weights."""


class Support(Measure, Protocol):
    """The data that the family accepts; with the base measure, for the first scan."""

    def check_columns(self, d: int) -> None:
        """Raise a ValueError if the family cannot have d columns."""


class Preparation(Protocol):
    """What is done before EM, from a scan of the data and a sample."""

    @property
    def needs_scatter(self) -> bool:
        """Whether `bind` needs the (d, d) scatter matrix of all rows."""

    def squares_used(self, variances: Float) -> Float:
        """Return the squares (d,) that the family computes with, given the columns' variances (d,) or other squares.

        They are the columns' own, or their mean; 1 for columns whose values are not squared. A fit checks that float64
        can hold them.
        """

    def frame(self, x: Float) -> Frame:
        """Return the frame of the features, from the sample x (n, d)."""

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with the settings that depend on the whole data."""

    def seeding_points(self, x: Float) -> Float:
        """Return the rows x (n, d) as points (n, m) with meaningful distances; first centres are chosen among them."""

    def pseudo_rows(self, x: Float) -> Float:
        """Return the rows (m, d) that a prior adds to each component, given a sample x (m, d) of the data."""


class Cost(Protocol):
    """The memory and the time that K components need."""

    @property
    def tile_bytes(self) -> int:
        """Memory for a tile of the exact path, in bytes (see `tile_width`)."""

    def tile_width(self, k: int, d: int) -> int:
        """Return how many numbers for each row a tile of the exact path holds."""

    def parameter_size(self, k: int, d: int) -> int:
        """Return how many numbers the largest array of the parameters of K components has."""

    def work(self, x: Array, k: int) -> float:
        """Return the approximate number of operations of an iteration on the rows x (n, d); NaN is a missing value."""


class Linear(Protocol[T_contra]):
    """The fast path: log p(x | k) = eta_k . t(x) + log h(x) + a term that is the same for all components."""

    def n_features(self, d: int) -> int:
        """Return F, the number of features of a row of d columns, including the constant 1."""

    def features(self, d: int, frame: Frame) -> Features:
        """Return t(x) for data of d columns, in a frame: a `FeatureMap`, or features computed by Python."""

    def natural(self, theta: T_contra, frame: Frame) -> Float:
        """Return eta (K, F) for features in `frame`; column 0 has the log-normaliser."""

    def largest_magnitudes(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the largest magnitude of each feature (F,) over rows within [low, high] (d,).

        From it the error of the matrix products is bounded: if it is too large, the exact path is used. The magnitudes
        are 0 if the exact path is not more exact.
        """

    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the typical magnitude of each feature (F,): it decides if EM may iterate in float32."""

    @property
    def has_shared_term(self) -> bool:
        """Whether log p(x | k) has a term besides eta . t(x) and log h(x), the same for all components."""

    def shared_term(self, theta: T_contra) -> float:
        """Return the mean of the shared term over all rows, in nats; 0 if there is none."""

    def shared_term_size(self, theta: T_contra) -> float:
        """Return the sum of the magnitudes that `shared_term` adds, in nats; it bounds the rounding error."""


class Settable(Protocol[T]):
    """The user can set first parameters."""

    def from_user(self, given: Given) -> T | None:
        """Return the user's parameters if they are complete, otherwise None."""

    def override(self, theta: T, given: Given) -> T:
        """Return `theta` with the user's parameters in place of its own."""


class Filling(Protocol[T_contra]):
    """Conditional moments of missing values."""

    def conditional_moments(self, theta: T_contra, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance (d, n) of the missing values of x, given the observed values.

        Where x is observed, the mean is x and the variance 0.

        Parameters
        ----------
        theta
        x : array of shape (d, n)
        reuse
            The result of `log_density` for x.
        resp : array of shape (K, n)
            Responsibilities; they sum to 1.
        """


class Marginal(Protocol[T_co]):
    """The marginal distribution of the observed columns of one pattern of missing values."""

    @property
    def theta(self) -> T_co:
        """Its parameters."""

    def add(self, sums: Float, counts: Float, out: Float) -> None:
        """Add the expected sums of completed rows to `out`, from sums of the observed columns about their means.

        Parameters
        ----------
        sums : array of shape (F'', K)
        counts : array of shape (K,)
            The sums of the responsibilities.
        out : array of shape (F', K)
        """


class ByPattern(Protocol[T]):
    """Rows in which the same values are missing are complete rows of a marginal distribution of the other columns."""

    @property
    def marginals(self) -> Family[T]:
        """The family of the marginals: full Gaussians."""

    def features(self, d: int) -> Features:
        """Return the features of marginals of d columns, in the data's own coordinates; they are cached."""

    def marginal(self, theta: T, missing: Array) -> Marginal[T]:
        """Return the marginal of a pattern `missing` (d,): True where a value is missing."""


class Family(Density[T], Support, Preparation, Cost, Protocol[T]):
    """What a mixture needs of every family, and the optional roles: None if the family does not have the role."""

    @property
    def members(self) -> tuple[Family[Any], ...]:
        """The families of a product; of other families, the family itself."""

    @property
    def linear(self) -> Linear[T] | None:
        """The fast path."""

    @property
    def settable(self) -> Settable[T] | None:
        """First parameters set by the user."""

    def with_missing(self) -> Family[T] | None:
        """Return the family for rows with missing values (NaN), with the same parameters; None if there is none.

        Its densities and estimates use the observed values only. Such a family returns itself.
        """

    @property
    def filling(self) -> Filling[T] | None:
        """Conditional moments of missing values; only families from `with_missing` have them."""

    @property
    def by_pattern(self) -> ByPattern[T] | None:
        """Rows grouped by pattern of missing values; only families from `with_missing` have it."""


def with_missing(family: Family[T]) -> Family[T]:
    """Return the family for rows with missing values.

    Raises
    ------
    ValueError
        If there is none.
    """
    if (found := family.with_missing()) is not None:
        return found
    name = next(type(member).__name__ for member in family.members if member.with_missing() is None)
    raise ValueError(
        f"{name} does not support missing values: remove the rows that have them, fill them in, or choose another "
        "family"
    )


def filling(family: Family[T]) -> Filling[T]:
    """Return the object that computes conditional moments of a family's missing values.

    Raises
    ------
    ValueError
        If the family cannot compute them.
    """
    if (found := with_missing(family).filling) is not None:
        return found
    name = next(type(member).__name__ for member in family.members if with_missing(member).filling is None)
    raise ValueError(
        f"cannot fill in missing values: {name} does not implement moments(), the mean and variance of each column"
    )
