"""Families of the exponential form, each written as four short functions.

    log p(x | theta) = a(theta) + sum over i of eta_i(theta) . t_i(x) + log h(x)   (PRML 2.194)

A subclass says what t, (a, eta), the maximum-likelihood theta for given means of t, and a draw are. Everything else
follows. `theta` is a dict of arrays by name, with a row for each component; most have an entry (K, d) for each column.

Where values are missing (`Observed`), each column has an indicator feature:

    log p(x_o | theta) = sum over j of o_j (a_j + eta_j . t(x_j)) + log h(x_o)

o_j is 1 where the column is observed and 0 where not, and then its other features are 0 too. The marginal is exact, for
one more feature a column; and each column's means are taken over the rows that have it.
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
from dem.families.family import EMPTY, Filling, like, safe_counts
from dem.families.feature_columns import Column, Op
from dem.families.feature_map import FeatureMap, feature_map, with_indicators
from dem.families.features import Features, ObservedStatistics, Statistics
from dem.families.plain import LinearFamily, from_columns
from dem.scan.scanner import Scan

Theta = dict[str, Float]

BLEND = 0.1
"""Share of its rows that a component first takes from all: a probability that starts at 0 would stay there."""
TINY = float(np.finfo(np.float64).tiny)


def log(x: Array) -> Array:
    """Return log x, finite at 0: there 0 * log 0 must be 0, not NaN. Rows of weight 0 may have x < 0, too."""
    floored = np.maximum(x, np.finfo(x.dtype).tiny)
    return np.asarray(np.log(floored, out=floored))


def not_counts(x: Float) -> NDArray[np.bool_]:
    """Return where x is none of 0, 1, 2, ..."""
    return np.asarray((x < 0) | (x != np.floor(x)))


@dataclass(frozen=True)
class ExponentialFamily(LinearFamily):
    """Base of the exponential families."""

    # ---- what a family is: these four, and where it needs them `log_base`, `outside` and `wants`

    @abstractmethod
    def statistics(self, x: Array) -> tuple[Array, ...]:
        """Return t(x) of a tile x (d, n): one or more arrays (m, n), with d rows or more together."""

    @abstractmethod
    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return the log-normaliser, (K, d) or (K,), and for each array of `statistics` its coefficients (K, m)."""

    @abstractmethod
    def from_means(self, *means: Float) -> Theta:
        """Return the maximum-likelihood parameters, given the mean (K, m) of each array of `statistics`."""

    @abstractmethod
    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return n rows (n, d) of one component, whose parameters have lost their first axis."""

    # `moments(theta)`, the mean and the variance (K, d) of each column, is needed only to fill in missing values.

    # ---- what follows

    def with_missing(self) -> Observed:
        """Return the family of rows with missing values; right where all columns are independent."""
        return Observed(self)

    @property
    def fills(self) -> bool:
        """Whether missing values can be filled in: the family has the method `moments`."""
        return isinstance(self, WithMoments)

    def filled(self, theta: Theta, x: Float, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each entry of x (d, n), given responsibilities (K, n)."""
        assert isinstance(self, WithMoments)
        return from_columns(x, resp, *self.moments(theta))

    def of_columns(self, values: Array, like: Array) -> Array:
        """Return what each column has (K, d), for the columns' statistics or parameters in `like` (K, m)."""
        return np.tile(values, like.shape[1] // values.shape[1])

    def n_columns(self, theta: Theta) -> int:
        """Return d."""
        return int(next(iter(theta.values())).shape[1])

    def n_statistics(self, d: int) -> tuple[int, ...]:
        """Return the number of rows m of each array of `statistics`, for data of d columns."""
        return tuple(len(t) for t in self.statistics(np.ones((d, 1))))

    def n_features(self, d: int) -> int:
        """Return 1 and the number of statistics."""
        return 1 + sum(self.n_statistics(d))

    def features(self, d: int, frame: Frame) -> Features:
        """Return t(x), in the data's own coordinates."""
        return Statistics(self.statistics, self.n_features(d))

    def observed_features(self, d: int, frame: Frame) -> Features:
        """Return the features of rows with missing values: an indicator for each column, and t(x), 0 where missing."""
        return ObservedStatistics(self.features(d, frame), d)

    def natural(self, theta: Theta, frame: Frame) -> Float:
        """Return a(theta) and eta(theta) side by side, (K, F)."""
        normaliser, *eta = self.natural_parameters(theta)
        constant = normaliser.sum(axis=1) if normaliser.ndim == 2 else normaliser
        return np.concatenate([constant[:, None], *eta], axis=1)

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return zeros: the exact path is the same products."""
        return np.zeros(self.n_features(len(low)))

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return the mean magnitude of each feature on the sample."""
        x = np.asarray(scan.sample.x[scan.sample.weight > 0], dtype=np.float64)
        return np.concatenate([[1.0], np.abs(features_of(self, x.T)).mean(axis=1)])

    def log_density(self, theta: Theta, x: Float, out: Float) -> Float:
        """Write H T; return T, the constant left out."""
        eta = self.natural(theta, Frame.at(np.zeros(len(x))))
        t = features_of(self, x)
        np.matmul(eta[:, 1:], t, out=out)
        out += eta[:, :1]
        return t

    def sums(self, theta: Theta, x: Float, reuse: Float, resp: Float, out: Float) -> None:
        """Add T R'."""
        out[0] += resp.sum(axis=1)
        out[1:] += reuse @ resp.T

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return the estimate from the responsibilities, blended a little."""
        resp = (1 - BLEND) * resp + BLEND / len(resp) * resp.sum(axis=0)
        t = np.concatenate([np.ones((1, x.shape[1])), features_of(self, x)])
        return self.estimate(t @ resp.T, self.frame(x.T), None)

    def estimate(self, sums: Float, frame: Frame, previous: Theta | None) -> Theta:
        """Return the maximum-likelihood parameters: the means of t are those that the data show   (PRML 2.228)."""
        counts = sums[0]
        safe = safe_counts(counts)
        means = (sums[1:] / safe).T
        theta = self.from_means(*np.split(means, np.cumsum(self.n_statistics(len(frame.scale)))[:-1], axis=1))
        if previous is not None and (empty := counts < safe).any():
            theta = {name: np.where(like(empty, new), previous[name], new) for name, new in theta.items()}
        return theta

    def centres(self, theta: Theta) -> Float:
        """Return zeros: the sums are taken in the data's own coordinates."""
        return np.zeros((len(next(iter(theta.values()))), self.n_columns(theta)))

    def expected(self, theta: Theta, sums: Float, frame: Frame, previous: Theta) -> float:
        """Return <eta, S>."""
        return float(np.einsum("kf,fk->", self.natural(theta, frame), sums))

    def draw(self, theta: Theta, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n rows of one component."""
        return self.sample({name: values[component] for name, values in theta.items()}, n, rng)

    def named(self, theta: Theta) -> Any:
        """Return the arrays by name."""
        return theta

    def tile_width(self, k: int, d: int) -> int:
        """Return x and its features twice, and a number for each component."""
        return d + 2 * self.n_features(d) + k

    def factor_size(self, k: int, d: int) -> int:
        """Return the size of the natural parameters."""
        return k * self.n_features(d)

    def n_parameters(self, k: int, d: int) -> int:
        """Return one for each statistic."""
        return k * (self.n_features(d) - 1)


@dataclass(frozen=True)
class OpFamily(ExponentialFamily):
    """Base of the exponential families whose statistics are columns of a `FeatureMap`, so that Python computes none."""

    ops: ClassVar[tuple[Op, ...]] = (Op.X,)

    def __init_subclass__(cls) -> None:
        """Refuse a subclass whose `statistics` are others than its columns.

        Raises
        ------
        TypeError
        """
        super().__init_subclass__()
        if "statistics" in vars(cls):
            raise TypeError(f"{cls.__name__} defines its own statistics: derive it from ExponentialFamily")

    def columns(self, d: int) -> tuple[tuple[Column, ...], ...]:
        """Return the columns of each array of `statistics`: one op of each column of the data."""
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
        """Return the same of rows with missing values."""
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
class Observed(LinearFamily):
    """An exponential family of rows with missing values; what does not depend on these it has from the family.

    Attributes
    ----------
    family : ExponentialFamily
        Each of its columns has a log-normaliser of its own.
    """

    family: ExponentialFamily

    @property
    def filling(self) -> Filling[Theta] | None:
        """The family itself, if there are means and variances to fill in."""
        return self if self.family.fills else None

    # ---- the density, and the sums

    def n_features(self, d: int) -> int:
        """Return 1, the indicators and the statistics."""
        return d + self.family.n_features(d)

    def features(self, d: int, frame: Frame) -> Features:
        """Return the indicators and t(x), 0 where x is missing."""
        return self.family.observed_features(d, frame)

    def natural(self, theta: Theta, frame: Frame) -> Float:
        """Return 0, a(theta) of each column and eta(theta), side by side, (K, F)."""
        normaliser, *eta = self.family.natural_parameters(theta)
        if normaliser.ndim == 1:
            raise ValueError(
                f"the columns of {type(self.family).__name__} are not independent given the component, so that values "
                "cannot be missing: leave such rows out, fill them in, or use another family"
            )
        return np.concatenate([np.zeros((len(normaliser), 1)), normaliser, *eta], axis=1)

    def log_density(self, theta: Theta, x: Float, out: Float) -> Float:
        """Write H T; return T, the constant left out."""
        t = features_of(self, x)
        np.matmul(self.natural(theta, Frame.at(np.zeros(len(x))))[:, 1:], t, out=out)
        return t

    def sums(self, theta: Theta, x: Float, reuse: Float, resp: Float, out: Float) -> None:
        """Add T R'."""
        out[0] += resp.sum(axis=1)
        out[1:] += reuse @ resp.T

    def estimate(self, sums: Float, frame: Frame, previous: Theta | None) -> Theta:
        """Return the maximum-likelihood parameters: the means of t over the rows that have the column."""
        d = len(frame.scale)
        counts = sums[1 : 1 + d].T
        safe = np.maximum(counts, EMPTY * sums[0].sum())
        totals = np.split(sums[1 + d :].T, np.cumsum(self.family.n_statistics(d))[:-1], axis=1)
        theta = self.family.from_means(*(total / self.family.of_columns(safe, total) for total in totals))
        if previous is not None and (empty := counts < safe).any():
            theta = {
                name: np.where(self.family.of_columns(empty, new), previous[name], new) for name, new in theta.items()
            }
        return theta

    def expected(self, theta: Theta, sums: Float, frame: Frame, previous: Theta) -> float:
        """Return <eta, S>."""
        return float(np.einsum("kf,fk->", self.natural(theta, frame), sums))

    def fill(self, theta: Theta, x: Float, reuse: Float, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each entry of x (d, n), given responsibilities (K, n)."""
        return self.family.filled(theta, x, resp)

    def log_base(self, x: Float) -> Float | None:
        """Return log h of what is observed."""
        return self.family.observed_log_base(x)

    def observed_log_base(self, x: Float) -> Float | None:
        """Return the same."""
        return self.family.observed_log_base(x)

    def with_missing(self) -> Observed:
        """Return the family itself."""
        return self

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return the family's, and 1 for each indicator."""
        found = self.family.typical(scan, frame)
        return np.concatenate([found[:1], np.ones(scan.n_columns), found[1:]])

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return zeros: the exact path is the same products."""
        return np.zeros(self.n_features(len(low)))

    # ---- what the family itself says

    @property
    def wants(self) -> str:  # type: ignore[override]
        """What values are taken."""
        return self.family.wants

    def squared(self, variances: Float) -> Float:
        """Return what the family squares."""
        return self.family.squared(variances)

    def wants_in(self, column: int) -> str:
        """Return what is taken in a column."""
        return self.family.wants_in(column)

    def check_columns(self, d: int) -> None:
        """Refuse data of d columns that the family cannot be of."""
        self.family.check_columns(d)

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return which entries of x (d, n) are not taken."""
        return self.family.outside(x)

    def frame(self, x: Float) -> Frame:
        """Return the family's frame."""
        return self.family.frame(x)

    def bind(self, scan: Scan, frame: Frame) -> Observed:
        """Return the bound family's."""
        return Observed(self.family.bind(scan, frame))

    def coordinates(self, x: Float) -> Float:
        """Return the family's points."""
        return self.family.coordinates(x)

    def pseudo_rows(self, x: Float) -> Float:
        """Return the family's rows of a prior."""
        return self.family.pseudo_rows(x)

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return the family's first parameters: a start has whole rows."""
        return self.family.initial(x, resp)

    def centres(self, theta: Theta) -> Float:
        """Return zeros."""
        return self.family.centres(theta)

    def draw(self, theta: Theta, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return whole rows."""
        return self.family.draw(theta, component, n, rng)

    def named(self, theta: Theta) -> Any:
        """Return the family's names."""
        return self.family.named(theta)

    def tile_width(self, k: int, d: int) -> int:
        """Return x and its features twice, and a number for each component."""
        return d + 2 * self.n_features(d) + k

    def factor_size(self, k: int, d: int) -> int:
        """Return the size of the natural parameters."""
        return k * self.n_features(d)

    def n_parameters(self, k: int, d: int) -> int:
        """Return the family's."""
        return self.family.n_parameters(k, d)
