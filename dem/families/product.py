"""Products of families: blocks of columns that are independent given the component, each of a kind of its own.

    log p(x | k) = sum over the parts of log p_part(x_columns | k)

The features of the parts stand one below another, so a product of linear families is linear: still two matrix products.
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
from dem.families.family import CACHE_BYTES, Family, Filling, Linear, filling
from dem.families.feature_map import FeatureMap, side_by_side
from dem.families.feature_writer import index_of
from dem.families.features import Features, Stacked
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
    def at(self) -> slice | list[int]:
        """The columns as an index: a slice, which copies nothing, where they stand side by side."""
        return index_of(self.columns)

    def frame_of(self, frame: Frame) -> Frame:
        """Return the frame of these columns."""
        return Frame(frame.shift[..., self.at], frame.scale[self.at])


@dataclass(frozen=True)
class Product:
    """A product of families.

    Attributes
    ----------
    parts : tuple of Part
        Each column stands in one of them. `theta` is a tuple of the parts' parameters.
    """

    parts: tuple[Part, ...]
    tile_bytes: ClassVar[int] = CACHE_BYTES

    @property
    def members(self) -> tuple[Family[Any], ...]:
        """The parts' families."""
        return tuple(member for part in self.parts for member in part.family.members)

    @property
    def linear(self) -> LinearProduct | None:
        """The fast path, if all parts have one."""
        linears = [part.family.linear for part in self.parts]
        known = tuple(linear for linear in linears if linear is not None)
        return LinearProduct(self.parts, known) if len(known) == len(linears) else None

    @property
    def settable(self) -> None:
        """None: what users set are means and precisions."""
        return

    @property
    def filling(self) -> Filling[Theta] | None:
        """The product itself, if all parts fill in their columns."""
        return None if any(part.family.filling is None for part in self.parts) else self

    @property
    def by_pattern(self) -> None:
        """None: rows are taken one by one."""
        return

    @property
    def needs_scatter(self) -> bool:
        """Whether a part does."""
        return any(part.family.needs_scatter for part in self.parts)

    @property
    def wants(self) -> str:
        """What the parts take."""
        return "; ".join(f"{part.family.wants} in {part.name}" for part in self.parts)

    def wants_in(self, column: int) -> str:
        """Return what the column's part takes."""
        return next(p.family.wants_in(p.columns.index(column)) for p in self.parts if column in p.columns)

    def squared(self, variances: Float) -> Float:
        """Return what each part squares."""
        out = np.array(variances)
        for part in self.parts:
            out[part.at] = part.family.squared(variances[part.at])
        return out

    def check_columns(self, d: int) -> None:
        """Refuse data in which not each column has one part.

        Raises
        ------
        ValueError
        """
        named = [column for part in self.parts for column in part.columns]
        for column in sorted({*named, *range(d)}):
            if column >= d:
                raise ValueError(f"family names column {column}, but the data have {d} columns, counted from 0")
            if named.count(column) != 1:
                how = "no family" if column not in named else "several families"
                raise ValueError(f"column {column} has {how}: give each of the {d} columns one family")
        for part in self.parts:
            part.family.check_columns(len(part.columns))

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return what each part does not take of its columns."""
        masks = [(part.at, part.family.outside(x[part.at])) for part in self.parts]
        if all(mask is None for _, mask in masks):
            return None
        out = np.zeros(x.shape, dtype=bool)
        for at, mask in masks:
            out[at] = False if mask is None else mask
        return out

    def doubts(self, low: Float, high: Float) -> dict[int, str]:
        """Return what each part tells of its columns."""
        told = ((part.columns, part.family.doubts(low[part.at], high[part.at])) for part in self.parts)
        return {columns[j]: words for columns, of_part in told for j, words in of_part.items()}

    def log_base(self, x: Float) -> Float | None:
        """Return the sum of the parts' log h."""
        return _sum(part.family.log_base(x[part.at]) for part in self.parts)

    def observed_log_base(self, x: Float) -> Float | None:
        """Return the sum of the parts' log h of what is observed."""
        return _sum(part.family.observed_log_base(x[part.at]) for part in self.parts)

    def with_missing(self) -> Product | None:
        """Return the product of the parts' families of rows with missing values; None if a part has none."""
        found = [(part, part.family.with_missing()) for part in self.parts]
        parts = tuple(replace(part, family=family) for part, family in found if family is not None)
        return Product(parts) if len(parts) == len(found) else None

    def fill(self, theta: Theta, x: Float, reuse: list[Any], resp: Float) -> tuple[Float, Float]:
        """Return what the parts fill in."""
        mean, variance = np.empty(x.shape), np.empty(x.shape)
        for part, t, again in zip(self.parts, theta, reuse, strict=True):
            mean[part.at], variance[part.at] = filling(part.family).fill(t, x[part.at], again, resp)
        return mean, variance

    def frame(self, x: Float) -> Frame:
        """Return the parts' frames side by side."""
        shift, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
        for part in self.parts:
            frame = part.family.frame(x[:, part.at])
            shift[part.at], scale[part.at] = frame.shift, frame.scale
        return Frame(shift, scale)

    def bind(self, scan: Scan, frame: Frame) -> Product:
        """Return the product of the parts, bound to their columns."""
        bound = (part.family.bind(scan.columns(part.at), part.frame_of(frame)) for part in self.parts)
        return Product(tuple(replace(part, family=family) for part, family in zip(self.parts, bound, strict=True)))

    def coordinates(self, x: Float) -> Float:
        """Return the parts' points side by side."""
        return np.hstack([part.family.coordinates(x[:, part.at]) for part in self.parts])

    def pseudo_rows(self, x: Float) -> Float:
        """Return the parts' rows side by side."""
        out = np.array(x)
        for part in self.parts:
            out[:, part.at] = part.family.pseudo_rows(x[:, part.at])
        return out

    def n_centred(self, d: int) -> int:
        """Return 1 and the exact path's sums of all parts."""
        return int(self._exact_places[-1].stop)

    def work(self, x: Array, k: int) -> float:
        """Return those of all parts."""
        return sum(part.family.work(x[:, part.at], k) for part in self.parts)

    def log_density(self, theta: Theta, x: Float, out: Float) -> list[Any]:
        """Write the sum of the parts' log-densities; return what each part can use again."""
        term, reuse = np.empty_like(out), []
        out[...] = 0
        for part, t in zip(self.parts, theta, strict=True):
            reuse.append(part.family.log_density(t, x[part.at], term))
            out += term
        return reuse

    def sums(self, theta: Theta, x: Float, reuse: list[Any], resp: Float, out: Float) -> None:
        """Add the parts' sums one below another."""
        out[0] += resp.sum(axis=1)
        for part, at, t, again in zip(self.parts, self._exact_places, theta, reuse, strict=True):
            sums = np.zeros((1 + at.stop - at.start, out.shape[1]))
            part.family.sums(t, x[part.at], again, resp, sums)
            out[at] += sums[1:]

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return the parts' first parameters."""
        return tuple(part.family.initial(x[part.at], resp) for part in self.parts)

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
            out[:, part.at] = centres
        return out

    def expected(self, theta: Theta, sums: Float, frame: Frame, previous: Theta) -> float:
        """Return the sum of the parts'."""
        return sum(
            part.family.expected(t, np.concatenate([sums[:1], sums[at]]), part.frame_of(frame), old)
            for part, at, t, old in zip(self.parts, self._places(frame), theta, previous, strict=True)
        )

    def draw(self, theta: Theta, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return the parts' draws side by side."""
        x = np.empty((n, sum(len(part.columns) for part in self.parts)))
        for part, t in zip(self.parts, theta, strict=True):
            x[:, part.at] = part.family.draw(t, component, n, rng)
        return x

    def named(self, theta: Theta) -> dict[str, Any]:
        """Return each part's parameters under its name."""
        return {part.name: part.family.named(t) for part, t in zip(self.parts, theta, strict=True)}

    def tile_width(self, k: int, d: int) -> int:
        """Return x, and what the parts hold at a time: they keep what they can use again."""
        return d + k + sum(part.family.tile_width(k, len(part.columns)) for part in self.parts)

    def factor_size(self, k: int, d: int) -> int:
        """Return the sum of the parts'."""
        return sum(part.family.factor_size(k, len(part.columns)) for part in self.parts)

    def n_parameters(self, k: int, d: int) -> int:
        """Return the sum of the parts'."""
        return sum(part.family.n_parameters(k, len(part.columns)) for part in self.parts)

    @cached_property
    def _exact_places(self) -> tuple[slice, ...]:
        """Where each part's sums of the exact path stand among all."""
        return one_below_another(part.family.n_centred(len(part.columns)) - 1 for part in self.parts)

    def _places(self, frame: Frame) -> tuple[slice, ...]:
        """Return the rows of each part in sums taken in a frame: one origin is the fast path's."""
        linear = self.linear
        return self._exact_places if linear is None or frame.shift.ndim == 2 else linear.places


@dataclass(frozen=True)
class LinearProduct:
    """The fast path of a product: the parts' features stand one below another.

    Attributes
    ----------
    parts : tuple of Part
    linears : tuple of Linear
        The parts' fast paths.
    """

    parts: tuple[Part, ...]
    linears: tuple[Linear[Any], ...]

    @property
    def complete(self) -> bool:
        """Whether all parts are."""
        return all(linear.complete for linear in self.linears)

    @property
    def places(self) -> tuple[slice, ...]:
        """The rows of each part among all features."""
        sizes = (linear.n_features(len(part.columns)) - 1 for part, linear in self._both())
        return one_below_another(sizes)

    def n_features(self, d: int) -> int:
        """Return 1 and the features of all parts."""
        return int(self.places[-1].stop)

    def features(self, d: int, frame: Frame) -> Features:
        """Return the parts' features one below another: one `FeatureMap`, if each part has one."""
        found = [(part, linear.features(len(part.columns), part.frame_of(frame))) for part, linear in self._both()]
        maps = [(part.columns, features) for part, features in found if isinstance(features, FeatureMap)]
        if len(maps) == len(found):
            return side_by_side(maps)
        return Stacked(tuple((part.at, features) for part, features in found))

    def natural(self, theta: Theta, frame: Frame) -> Float:
        """Return the parts' eta side by side, the log-normalisers added."""
        both = zip(self._both(), theta, strict=True)
        etas = [linear.natural(t, part.frame_of(frame)) for (part, linear), t in both]
        return np.hstack([sum(eta[:, :1] for eta in etas), *(eta[:, 1:] for eta in etas)])

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Return those of the parts."""
        found = (linear.largest(low[part.at], high[part.at], part.frame_of(frame)) for part, linear in self._both())
        return np.concatenate([[1.0], *(features[1:] for features in found)])

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Return those of the parts."""
        found = (linear.typical(scan.columns(part.at), part.frame_of(frame)) for part, linear in self._both())
        return np.concatenate([[1.0], *(features[1:] for features in found)])

    def shared(self, theta: Theta) -> float:
        """Return the sum of the parts'."""
        return sum(linear.shared(t) for linear, t in zip(self.linears, theta, strict=True))

    def shared_size(self, theta: Theta) -> float:
        """Return the sum of the parts'."""
        return sum(linear.shared_size(t) for linear, t in zip(self.linears, theta, strict=True))

    def _both(self) -> Iterable[tuple[Part, Linear[Any]]]:
        return zip(self.parts, self.linears, strict=True)


def _sum(terms: Iterable[Float | None]) -> Float | None:
    """Return the sum of the terms that are not None, or None."""
    return np.sum(known, axis=0) if (known := [term for term in terms if term is not None]) else None


def one_below_another(sizes: Iterable[int]) -> tuple[slice, ...]:
    """Return the rows that blocks of these sizes have, one below another, from row 1 on."""
    edges = list(accumulate(sizes, initial=1))
    return tuple(slice(start, stop) for start, stop in pairwise(edges))


def product(blocks: Sequence[tuple[str, Sequence[int], Family[Any]]]) -> Product:
    """Return the product of families, each given with a name and its columns."""
    return Product(tuple(Part(name, tuple(columns), family) for name, columns, family in blocks))
