"""Products of families: blocks of columns with different distributions, independent given the component.

    log p(x | k) = sum over the parts of log p_part(x_columns | k)

The features of the parts are stacked. So a product of linear families is linear: it still needs two matrix products.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.core.layout import Order
from dem.families.family import CACHE_BYTES, Family, Filling, Linear, filling
from dem.families.feature_map import FeatureMap, concatenated
from dem.families.feature_writer import index_of
from dem.families.features import Features, StackedFeatures
from dem.scan.scanner import Scan

Theta = tuple[Any, ...]


@dataclass(frozen=True)
class Part:
    """A family and its columns.

    Attributes
    ----------
    name : str
    columns : tuple of int
    family : Family
    """

    name: str
    columns: tuple[int, ...]
    family: Family[Any]

    @cached_property
    def index(self) -> slice | list[int]:
        """The columns as an index: a slice if they are consecutive, because a slice copies nothing."""
        return index_of(self.columns)

    def frame_of(self, frame: Frame) -> Frame:
        """Return the frame of these columns."""
        return Frame(frame.shift[..., self.index], frame.scale[self.index])


@dataclass(frozen=True)
class Product:
    """A product of families.

    Attributes
    ----------
    parts : tuple of Part
        Each column is in one part. `theta` is a tuple of the parameters of the parts.
    """

    parts: tuple[Part, ...]
    tile_bytes: ClassVar[int] = CACHE_BYTES

    @property
    def members(self) -> tuple[Family[Any], ...]:
        """The families of the parts."""
        return tuple(member for part in self.parts for member in part.family.members)

    @property
    def linear(self) -> LinearProduct | None:
        """The fast path, if all parts have one."""
        linears = [part.family.linear for part in self.parts]
        found = tuple(linear for linear in linears if linear is not None)
        return LinearProduct(self.parts, found) if len(found) == len(linears) else None

    @property
    def settable(self) -> None:
        """None: users cannot set first parameters."""
        return

    @property
    def filling(self) -> Filling[Theta] | None:
        """The product itself, if all parts have conditional moments."""
        return None if any(part.family.filling is None for part in self.parts) else self

    @property
    def by_pattern(self) -> None:
        """None: rows are not grouped by pattern."""
        return

    @property
    def needs_scatter(self) -> bool:
        """Whether a part needs the scatter matrix."""
        return any(part.family.needs_scatter for part in self.parts)

    @property
    def wants(self) -> str:
        """The supported values of each part, as text."""
        return "; ".join(f"{part.family.wants} in {part.name}" for part in self.parts)

    def wants_in_column(self, column: int) -> str:
        """Return the supported values of one column, as text."""
        return next(p.family.wants_in_column(p.columns.index(column)) for p in self.parts if column in p.columns)

    def squares_used(self, variances: Float) -> Float:
        """Return the squares that each part computes with."""
        out = np.array(variances)
        for part in self.parts:
            out[part.index] = part.family.squares_used(variances[part.index])
        return out

    def check_columns(self, d: int) -> None:
        """Check that each of d columns is in exactly one part.

        Raises
        ------
        ValueError
            If it is not, or if a part cannot have its number of columns.
        """
        named = [column for part in self.parts for column in part.columns]
        for column in sorted({*named, *range(d)}):
            if column >= d:
                raise ValueError(f"family has column {column}, but the data have only columns 0 to {d - 1}")
            if named.count(column) != 1:
                how = "no family" if column not in named else "several families"
                raise ValueError(f"column {column} has {how}: give each of the {d} columns exactly one family")
        for part in self.parts:
            part.family.check_columns(len(part.columns))

    @property
    def checks_rows(self) -> bool:
        """Whether a part has its own support or base measure."""
        return any(part.family.checks_rows for part in self.parts)

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return a mask of the entries outside the support; None: there are none."""
        masks = [(part.index, part.family.outside(x[part.index])) for part in self.parts]
        if all(mask is None for _, mask in masks):
            return None
        out = np.zeros(x.shape, dtype=bool)
        for at, mask in masks:
            out[at] = False if mask is None else mask
        return out

    def range_warnings(self, low: Float, high: Float) -> dict[int, str]:
        """Return the warnings of all parts, by column."""
        warnings = (
            (part.columns, part.family.range_warnings(low[part.index], high[part.index])) for part in self.parts
        )
        return {columns[j]: words for columns, of_part in warnings for j, words in of_part.items()}

    def log_base(self, x: Float) -> Float | None:
        """Return the sum of the parts' log h."""
        return _sum_present(part.family.log_base(x[part.index]) for part in self.parts)

    def observed_log_base(self, x: Float) -> Float | None:
        """Return the sum of the parts' log h of the observed values."""
        return _sum_present(part.family.observed_log_base(x[part.index]) for part in self.parts)

    def with_missing(self) -> Product | None:
        """Return the product of the parts' families for missing values; None if a part has no such family."""
        found = [(part, part.family.with_missing()) for part in self.parts]
        parts = tuple(replace(part, family=family) for part, family in found if family is not None)
        return Product(parts) if len(parts) == len(found) else None

    def conditional_moments(self, theta: Theta, x: Float, reuse: list[Any], resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each part."""
        mean, variance = np.empty(x.shape), np.empty(x.shape)
        for part, t, again in zip(self.parts, theta, reuse, strict=True):
            mean[part.index], variance[part.index] = filling(part.family).conditional_moments(
                t, x[part.index], again, resp
            )
        return mean, variance

    def frame(self, x: Float) -> Frame:
        """Return the parts' frames side by side."""
        shift, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
        for part in self.parts:
            frame = part.family.frame(x[:, part.index])
            shift[part.index], scale[part.index] = frame.shift, frame.scale
        return Frame(shift, scale)

    def bind(self, scan: Scan, frame: Frame) -> Product:
        """Return the product of the parts, bound to their columns."""
        bound = (part.family.bind(scan.columns(part.index), part.frame_of(frame)) for part in self.parts)
        return Product(tuple(replace(part, family=family) for part, family in zip(self.parts, bound, strict=True)))

    def seeding_points(self, x: Float) -> Float:
        """Return the parts' points side by side."""
        return np.hstack([part.family.seeding_points(x[:, part.index]) for part in self.parts])

    def pseudo_rows(self, x: Float) -> Float:
        """Return the parts' rows side by side."""
        out = np.array(x)
        for part in self.parts:
            out[:, part.index] = part.family.pseudo_rows(x[:, part.index])
        return out

    def n_exact_sums(self, d: int) -> int:
        """Return 1 plus the number of the exact path's sums of all parts, each without the counts."""
        return int(self._exact_places[-1].stop)

    def work(self, x: Array, k: int) -> float:
        """Return the operations of all parts."""
        return sum(part.family.work(x[:, part.index], k) for part in self.parts)

    def log_density(self, theta: Theta, x: Float, out: Float) -> list[Any]:
        """Write the sum of the parts' log-densities; return a list with the result of each part."""
        term, reuse = np.empty_like(out), []
        out[...] = 0
        for part, t in zip(self.parts, theta, strict=True):
            reuse.append(part.family.log_density(t, x[part.index], term))
            out += term
        return reuse

    def add_sums(self, theta: Theta, x: Float, reuse: list[Any], resp: Float, out: Float) -> None:
        """Add the sums of each part to its rows of `out`."""
        out[0] += resp.sum(axis=1)
        for part, at, t, again in zip(self.parts, self._exact_places, theta, reuse, strict=True):
            sums = np.zeros((1 + at.stop - at.start, out.shape[1]))
            part.family.add_sums(t, x[part.index], again, resp, sums)
            out[at] += sums[1:]

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return the parts' first parameters."""
        return tuple(part.family.initial(x[part.index], resp) for part in self.parts)

    def estimate(self, sums: Float, frame: Frame, previous: Theta | None) -> Theta:
        """Return each part's estimate."""
        before = (None,) * len(self.parts) if previous is None else previous
        return tuple(
            part.family.estimate(np.concatenate([sums[:1], sums[at]]), part.frame_of(frame), old)
            for part, at, old in zip(self.parts, self._places(frame), before, strict=True)
        )

    def centres(self, theta: Theta) -> Float:
        """Return the parts' centres side by side."""
        found = [part.family.centres(t) for part, t in zip(self.parts, theta, strict=True)]
        out = np.zeros((len(found[0]), sum(len(part.columns) for part in self.parts)))
        for part, centres in zip(self.parts, found, strict=True):
            out[:, part.index] = centres
        return out

    def expected(self, theta: Theta, sums: Float, frame: Frame, previous: Theta) -> float:
        """Return the sum over the parts."""
        return sum(
            part.family.expected(t, np.concatenate([sums[:1], sums[at]]), part.frame_of(frame), old)
            for part, at, t, old in zip(self.parts, self._places(frame), theta, previous, strict=True)
        )

    def draw(self, theta: Theta, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return the parts' draws side by side."""
        x = np.empty((n, sum(len(part.columns) for part in self.parts)))
        for part, t in zip(self.parts, theta, strict=True):
            x[:, part.index] = part.family.draw(t, component, n, rng)
        return x

    def reordered(self, theta: Theta, order: Order) -> Theta:
        """Return the parameters of each part in this order."""
        return tuple(part.family.reordered(of_part, order) for part, of_part in zip(self.parts, theta, strict=True))

    def named_parameters(self, theta: Theta) -> dict[str, Any]:
        """Return a dict with the parameters of each part by its name."""
        return {part.name: part.family.named_parameters(t) for part, t in zip(self.parts, theta, strict=True)}

    def tile_width(self, k: int, d: int) -> int:
        """Return x, the log-densities, and the widths of all parts: their results are kept for `add_sums`."""
        return d + k + sum(part.family.tile_width(k, len(part.columns)) for part in self.parts)

    def parameter_size(self, k: int, d: int) -> int:
        """Return the sum of the sizes of the parts."""
        return sum(part.family.parameter_size(k, len(part.columns)) for part in self.parts)

    def n_parameters(self, k: int, d: int) -> int:
        """Return the sum over the parts."""
        return sum(part.family.n_parameters(k, len(part.columns)) for part in self.parts)

    @cached_property
    def _exact_places(self) -> tuple[slice, ...]:
        """The rows of each part in the sums of the exact path."""
        return block_slices(part.family.n_exact_sums(len(part.columns)) - 1 for part in self.parts)

    def _places(self, frame: Frame) -> tuple[slice, ...]:
        """Return the rows of each part in sums taken in a frame. A frame with one origin is that of the fast path."""
        linear = self.linear
        return self._exact_places if linear is None or frame.shift.ndim == 2 else linear.places


@dataclass(frozen=True)
class LinearProduct:
    """The fast path of a product: the features of the parts are stacked.

    Attributes
    ----------
    parts : tuple of Part
    linears : tuple of Linear
        The fast paths of the parts.
    """

    parts: tuple[Part, ...]
    linears: tuple[Linear[Any], ...]

    @property
    def has_shared_term(self) -> bool:
        """Whether a part has a shared term."""
        return any(linear.has_shared_term for linear in self.linears)

    @property
    def places(self) -> tuple[slice, ...]:
        """The rows of each part in the stacked features."""
        sizes = (linear.n_features(len(part.columns)) - 1 for part, linear in self._pairs())
        return block_slices(sizes)

    def n_features(self, d: int) -> int:
        """Return 1 plus the number of features of all parts, each without the constant."""
        return int(self.places[-1].stop)

    def features(self, d: int, frame: Frame) -> Features:
        """Return the stacked features of the parts: one `FeatureMap` if each part has one."""
        found = [(part, linear.features(len(part.columns), part.frame_of(frame))) for part, linear in self._pairs()]
        maps = [(part.columns, features) for part, features in found if isinstance(features, FeatureMap)]
        if len(maps) == len(found):
            return concatenated(maps)
        return StackedFeatures(tuple((part.index, features) for part, features in found))

    def natural(self, theta: Theta, frame: Frame) -> Float:
        """Return the eta of the parts side by side; column 0 has the sum of their log-normalisers."""
        both = zip(self._pairs(), theta, strict=True)
        etas = [linear.natural(t, part.frame_of(frame)) for (part, linear), t in both]
        return np.hstack([sum(eta[:, :1] for eta in etas), *(eta[:, 1:] for eta in etas)])

    def largest_magnitudes(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return the largest magnitudes of all parts' features."""
        found = (
            linear.largest_magnitudes(low[part.index], high[part.index], part.frame_of(frame))
            for part, linear in self._pairs()
        )
        return np.concatenate([[1.0], *(features[1:] for features in found)])

    def typical_magnitudes(self, scan: Scan, frame: Frame) -> Float:
        """Return the typical magnitudes of all parts' features."""
        found = (
            linear.typical_magnitudes(scan.columns(part.index), part.frame_of(frame)) for part, linear in self._pairs()
        )
        return np.concatenate([[1.0], *(features[1:] for features in found)])

    def shared_term(self, theta: Theta) -> float:
        """Return the sum of the parts' shared terms."""
        return sum(linear.shared_term(t) for linear, t in zip(self.linears, theta, strict=True))

    def shared_term_size(self, theta: Theta) -> float:
        """Return the sum over the parts."""
        return sum(linear.shared_term_size(t) for linear, t in zip(self.linears, theta, strict=True))

    def _pairs(self) -> Iterable[tuple[Part, Linear[Any]]]:
        return zip(self.parts, self.linears, strict=True)


def _sum_present(terms: Iterable[Float | None]) -> Float | None:
    """Return the sum of the terms that are not None; None if all are None."""
    return np.sum(found, axis=0) if (found := [term for term in terms if term is not None]) else None


def block_slices(sizes: Iterable[int]) -> tuple[slice, ...]:
    """Return the rows of stacked blocks of these sizes; the first block starts at row 1."""
    edges = list(accumulate(sizes, initial=1))
    return tuple(slice(start, stop) for start, stop in pairwise(edges))


def product(blocks: Sequence[tuple[str, Sequence[int], Family[Any]]]) -> Product:
    """Return the product of families, given as (name, columns, family)."""
    return Product(tuple(Part(name, tuple(columns), family) for name, columns, family in blocks))
