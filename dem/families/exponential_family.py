"""Exponential families. Each one is written as four short functions.

    log p(x | theta) = a(theta) + sum over i of eta_i(theta) . t_i(x) + log h(x)   (PRML 2.194)

A subclass defines t, (a, eta), the maximum-likelihood theta for given means of t, and random rows. Everything else
follows from these. `theta` is a dict of arrays by name. The first axis is the component; most arrays are (K, d).

If values are missing (`ObservedExponentialFamily`), each column has an indicator feature:

    log p(x_o | theta) = sum over j of o_j (a_j + eta_j . t(x_j)) + log h(x_o)

o_j is 1 if column j is observed. If it is missing, o_j and the other features of the column are 0. So the marginal
density is exact, and needs one more feature for each column. The means of a column's statistics use the rows in which
it is observed.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.base import LinearFamily
from dem.families.family import EMPTY_SHARE, Filling, expand_to, safe_counts
from dem.families.feature_columns import Column, Op
from dem.families.feature_map import FeatureMap, feature_map, with_indicators
from dem.families.features import Features, FeaturesWithIndicators, PythonFeatures
from dem.families.independent_columns import mixture_moments
from dem.scan.scanner import Scan

Theta = dict[str, Float]

BLEND = 0.1
"""Share of a component's first rows that comes from all rows: a probability that starts at 0 would stay at 0."""
TINY = float(np.finfo(np.float64).tiny)


def log(x: Array) -> Array:
    """Return log x, finite for x <= 0: 0 * log 0 must be 0, not NaN, and rows of weight 0 can have x < 0."""
    floored = np.maximum(x, np.finfo(x.dtype).tiny)
    return np.asarray(np.log(floored, out=floored))


def not_counts(x: Float) -> NDArray[np.bool_]:
    """Return a mask: True where x is not one of 0, 1, 2, ..."""
    return np.asarray((x < 0) | (x != np.floor(x)))


@dataclass(frozen=True)
class MatrixProducts(LinearFamily):
    """Base of families whose exact path has the same matrix products as the fast path: H T and T R'."""

    def log_density(self, theta: Theta, x: Float, out: Float) -> Float:
        """Write H T; return T without the constant."""
        eta = self.natural(theta, Frame.at(np.zeros(len(x))))
        t = features_of(self, x)
        np.matmul(eta[:, 1:], t, out=out)
        out += eta[:, :1]
        return t

    def add_sums(self, theta: Theta, x: Float, reuse: Float, resp: Float, out: Float) -> None:
        """Add T R'; `reuse` is T."""
        out[0] += resp.sum(axis=1)
        out[1:] += reuse @ resp.T

    def largest_magnitudes(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return zeros: the exact path is not more exact."""
        return np.zeros(self.n_features(len(low)))

    def tile_width(self, k: int, d: int) -> int:
        """Return d + 2 (F - 1) + K, rounded up: x, its features twice, and the log-densities."""
        return d + 2 * self.n_features(d) + k

    def parameter_size(self, k: int, d: int) -> int:
        """Return K F, the size of the natural parameters."""
        return k * self.n_features(d)


@dataclass(frozen=True)
class ExponentialFamily(MatrixProducts):
    """Base of the exponential families."""

    # ---- the four functions of a family; `log_base`, `outside` and `wants` where needed

    @abstractmethod
    def statistics(self, x: Array) -> tuple[Array, ...]:
        """Return t(x) of a tile x (d, n): one or more arrays (m, n), which together have at least d rows."""

    @abstractmethod
    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return the log-normaliser, (K, d) or (K,), and the coefficients (K, m) of each array of `statistics`."""

    @abstractmethod
    def from_means(self, *means: Float) -> Theta:
        """Return the maximum-likelihood parameters, given the means (K, m) of each array of `statistics`."""

    @abstractmethod
    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return n random rows (n, d) of one component; its parameters `theta` have no component axis."""

    # To fill in missing values, a family also needs `moments(theta)`: the mean and the variance (K, d) of each column.

    # ---- everything else

    def with_missing(self) -> ObservedExponentialFamily:
        """Return the family for rows with missing values; correct if all columns are independent."""
        return ObservedExponentialFamily(self)

    @property
    def can_fill(self) -> bool:
        """Whether missing values can be filled in: if the family has the method `moments`."""
        return isinstance(self, WithMoments)

    def moments_of_missing(self, theta: Theta, x: Float, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n)."""
        assert isinstance(self, WithMoments)
        return mixture_moments(x, resp, *self.moments(theta))

    def repeat_columns(self, values: Array, target: Array) -> Array:
        """Return one value for each column (K, d), repeated for each statistic or parameter in `target` (K, m)."""
        return np.tile(values, target.shape[1] // values.shape[1])

    def n_columns(self, theta: Theta) -> int:
        """Return d, the number of columns of the data."""
        return int(next(iter(theta.values())).shape[1])

    def n_statistics(self, d: int) -> tuple[int, ...]:
        """Return the number of rows m of each array of `statistics`, for data of d columns."""
        return tuple(len(t) for t in self.statistics(np.ones((d, 1))))

    def n_features(self, d: int) -> int:
        """Return 1 plus the number of statistics."""
        return 1 + sum(self.n_statistics(d))

    def features(self, d: int, frame: Frame) -> Features:
        """Return t(x), in the data's own coordinates."""
        return PythonFeatures(self.statistics, self.n_features(d))

    def observed_features(self, d: int, frame: Frame) -> Features:
        """Return the features of rows with missing values: an indicator for each column, then t(x), 0 where missing."""
        return FeaturesWithIndicators(self.features(d, frame), d)

    def natural(self, theta: Theta, frame: Frame) -> Float:
        """Return a(theta) and eta(theta) side by side, (K, F)."""
        normaliser, *eta = self.natural_parameters(theta)
        constant = normaliser.sum(axis=1) if normaliser.ndim == 2 else normaliser
        return np.concatenate([constant[:, None], *eta], axis=1)

    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the mean magnitude of each feature on the sample."""
        x = np.asarray(scan.sample.x[scan.sample.weight > 0], dtype=np.float64)
        return np.concatenate([[1.0], np.abs(features_of(self, x.T)).mean(axis=1)])

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return the estimate from the responsibilities, each blended with the mean of all (see `BLEND`)."""
        resp = (1 - BLEND) * resp + BLEND / len(resp) * resp.sum(axis=0)
        t = np.concatenate([np.ones((1, x.shape[1])), features_of(self, x)])
        return self.estimate(t @ resp.T, self.frame(x.T), None)

    def estimate(self, sums: Float, frame: Frame, previous: Theta | None) -> Theta:
        """Return the maximum-likelihood parameters: E[t] equals the mean of t over the data   (PRML 2.228)."""
        counts = sums[0]
        safe = safe_counts(counts)
        means = (sums[1:] / safe).T
        theta = self.from_means(*np.split(means, np.cumsum(self.n_statistics(len(frame.scale)))[:-1], axis=1))
        if previous is not None and (empty := counts < safe).any():
            theta = {name: np.where(expand_to(empty, new), previous[name], new) for name, new in theta.items()}
        return theta

    def centres(self, theta: Theta) -> Float:
        """Return zeros: the sums are taken in the data's own coordinates."""
        return np.zeros((len(next(iter(theta.values()))), self.n_columns(theta)))

    def draw(self, theta: Theta, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n random rows of one component."""
        return self.sample({name: values[component] for name, values in theta.items()}, n, rng)

    def named_parameters(self, theta: Theta) -> Any:
        """Return the parameters unchanged."""
        return theta

    def n_parameters(self, k: int, d: int) -> int:
        """Return one for each component and statistic."""
        return k * (self.n_features(d) - 1)


@dataclass(frozen=True)
class OpFamily(ExponentialFamily):
    """Base of the exponential families whose statistics are columns of a `FeatureMap`, described by ops."""

    ops: ClassVar[tuple[Op, ...]] = (Op.X,)

    def __init_subclass__(cls) -> None:
        """Check a subclass.

        Raises
        ------
        TypeError
            If it defines `statistics`: these are computed from `ops`.
        """
        super().__init_subclass__()
        if "statistics" in vars(cls):
            raise TypeError(f"{cls.__name__} defines statistics(): derive it from ExponentialFamily, not from OpFamily")

    def columns(self, d: int) -> tuple[tuple[Column, ...], ...]:
        """Return the columns of each array of `statistics`: one op for each column of the data."""
        return tuple(tuple(Column(op, j) for j in range(d)) for op in self.ops)

    def statistics(self, x: Array) -> tuple[Array, ...]:
        """Return t(x) of a tile x (d, n)."""
        return tuple(np.split(features_of(self, x), np.cumsum(self.n_statistics(len(x)))[:-1]))

    def n_statistics(self, d: int) -> tuple[int, ...]:
        """Return the number of columns of each array."""
        return tuple(map(len, self.columns(d)))

    def features(self, d: int, frame: Frame) -> Features:
        """Return t(x), in the data's own coordinates: a `FeatureMap`."""
        return self._map(d)

    def observed_features(self, d: int, frame: Frame) -> Features:
        """Return the features of rows with missing values, as a `FeatureMap`."""
        return with_indicators(self._map(d), d, before=1)

    def _map(self, d: int) -> FeatureMap:
        return feature_map(tuple(chain.from_iterable(self.columns(d))))


@runtime_checkable
class WithMoments(Protocol):
    """Families that have the mean and the variance of each column, to fill in missing values."""

    def moments(self, theta: Theta) -> tuple[Float, Float]:
        """Return the mean and the variance (K, d) of each column."""


def features_of(family: LinearFamily, x: Array) -> Array:
    """Return the features (F - 1, n) of a tile x (d, n) in the data's own coordinates, in the precision of x."""
    d = len(x)
    out = np.empty((family.n_features(d) - 1, x.shape[1]), x.dtype)
    family.features(d, Frame.at(np.zeros(d))).write(x.T, out)
    return out


@dataclass(frozen=True)
class ObservedExponentialFamily(MatrixProducts):
    """An exponential family for rows with missing values. It asks `family` for everything that these do not change.

    Attributes
    ----------
    family : ExponentialFamily
        It has one log-normaliser for each column.
    """

    family: ExponentialFamily

    @property
    def filling(self) -> Filling[Theta] | None:
        """The family itself; None if it cannot fill in missing values."""
        return self if self.family.can_fill else None

    # ---- the density, and the sums

    def n_features(self, d: int) -> int:
        """Return d plus the number of features of the family."""
        return d + self.family.n_features(d)

    def features(self, d: int, frame: Frame) -> Features:
        """Return the indicators and t(x), 0 where x is missing."""
        return self.family.observed_features(d, frame)

    def natural(self, theta: Theta, frame: Frame) -> Float:
        """Return 0, a(theta) of each column, and eta(theta), side by side, (K, F)."""
        normaliser, *eta = self.family.natural_parameters(theta)
        if normaliser.ndim == 1:
            raise ValueError(
                f"{type(self.family).__name__} does not support missing values, because its columns are not "
                "independent given the component: remove the rows that have them, fill them in, or choose another "
                "family"
            )
        return np.concatenate([np.zeros((len(normaliser), 1)), normaliser, *eta], axis=1)

    def estimate(self, sums: Float, frame: Frame, previous: Theta | None) -> Theta:
        """Return the maximum-likelihood parameters; means of t use the rows in which the column is observed."""
        d = len(frame.scale)
        counts = sums[1 : 1 + d].T
        safe = np.maximum(counts, EMPTY_SHARE * sums[0].sum())
        totals = np.split(sums[1 + d :].T, np.cumsum(self.family.n_statistics(d))[:-1], axis=1)
        theta = self.family.from_means(*(total / self.family.repeat_columns(safe, total) for total in totals))
        if previous is not None and (empty := counts < safe).any():
            theta = {
                name: np.where(self.family.repeat_columns(empty, new), previous[name], new)
                for name, new in theta.items()
            }
        return theta

    def conditional_moments(self, theta: Theta, x: Float, reuse: Float, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n)."""
        return self.family.moments_of_missing(theta, x, resp)

    def log_base(self, x: Float) -> Float | None:
        """Return log h of the observed values of each row."""
        return self.family.observed_log_base(x)

    def observed_log_base(self, x: Float) -> Float | None:
        """Return log h of the observed values of each row."""
        return self.family.observed_log_base(x)

    def with_missing(self) -> ObservedExponentialFamily:
        """Return the family itself."""
        return self

    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the magnitudes of the family's features, and 1 for each indicator."""
        found = self.family.typical_magnitudes(scan, frame)
        return np.concatenate([found[:1], np.ones(scan.n_columns), found[1:]])

    # ---- delegated to the family

    @property
    def wants(self) -> str:  # type: ignore[override]
        """The supported values, as text."""
        return self.family.wants

    def squares_used(self, variances: Float) -> Float:
        """Return the squares that the family computes with."""
        return self.family.squares_used(variances)

    def wants_in_column(self, column: int) -> str:
        """Return the supported values of one column, as text."""
        return self.family.wants_in_column(column)

    def check_columns(self, d: int) -> None:
        """Raise a ValueError if the family cannot have d columns."""
        self.family.check_columns(d)

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return a mask of the entries of x (d, n) outside the support."""
        return self.family.outside(x)

    def frame(self, x: Float) -> Frame:
        """Return the frame of the family."""
        return self.family.frame(x)

    def bind(self, scan: Scan, frame: Frame) -> ObservedExponentialFamily:
        """Return the family for missing values of the bound family."""
        return ObservedExponentialFamily(self.family.bind(scan, frame))

    def seeding_points(self, x: Float) -> Float:
        """Return the points of the family."""
        return self.family.seeding_points(x)

    def pseudo_rows(self, x: Float) -> Float:
        """Return the pseudo-rows of the family."""
        return self.family.pseudo_rows(x)

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return the first parameters of the family: the rows of a start are complete."""
        return self.family.initial(x, resp)

    def centres(self, theta: Theta) -> Float:
        """Return the reference points of the family."""
        return self.family.centres(theta)

    def draw(self, theta: Theta, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n random rows, which are complete."""
        return self.family.draw(theta, component, n, rng)

    def named_parameters(self, theta: Theta) -> Any:
        """Return the parameters for users."""
        return self.family.named_parameters(theta)

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of parameters of the family."""
        return self.family.n_parameters(k, d)
