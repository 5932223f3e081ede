"""A `FeatureMap` computed with NumPy: a few operations on whole arrays for each tile.

Consecutive columns of one op are computed together, where they stand among the features; products of consecutive
columns are one multiplication of slices. So the features of full Gaussians are one multiplication for each row of the
triangle, those of diagonal ones a single one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.feature_columns import NO_MASK, Column, Op

Ints = NDArray[np.int32]


class Tile(NamedTuple):
    """A tile of rows, and the arrays that are filled.

    Attributes
    ----------
    x : array of shape (d, n)
        The rows, of any real dtype.
    out : array of shape (m, n)
        The features, and below them the columns that are no features.
    missing : bool array of shape (o, n)
        Where the OBSERVED columns are 0, in their order.
    """

    x: Array
    out: Array
    missing: NDArray[np.bool_]


class Step(Protocol):
    """One of the writer's operations."""

    def __call__(self, tile: Tile) -> None:
        """Fill rows of the tile's arrays."""


class Writer:
    """Writes the features of tiles: made once for a kernel."""

    def __init__(self, columns: tuple[Column, ...], pairs: Ints, masks: Ints) -> None:
        places = places_of(len(columns), pairs)
        self.n_rows = max(len(pairs) - 1, int(places.max()) + 1)
        self.n_observed = sum(column.op is Op.OBSERVED for column in columns)
        runs = runs_of(columns, places.tolist(), missing_of(columns, pairs, masks))
        self.steps: tuple[Step, ...] = (*value_steps(runs), *steps_after(runs, places), products_of(pairs, places))

    def __call__(self, rows: Array, out: Array) -> None:
        """Write the features of rows (n, d) into `out` (F - 1, n), in its precision."""
        n = len(rows)
        every = out if self.n_rows == len(out) else np.empty((self.n_rows, n), out.dtype)
        tile = Tile(rows.T, every, np.empty((self.n_observed, n), np.bool_))
        for step in self.steps:
            step(tile)
        if every is not out:
            out[...] = every[: len(out)]


def places_of(n_columns: int, pairs: Ints) -> Ints:
    """Return each column's row of `Tile.out`: that of the feature which it is itself, or one below; -1 of column 0.

    Raises
    ------
    ValueError
        If two features are the same column.
    """
    first, second = np.minimum(*pairs.T), np.maximum(*pairs.T)
    own = 1 + np.flatnonzero(first[1:] == 0)
    places = np.full(n_columns, -1, np.int32)
    places[second[own]] = own - 1
    if places[0] >= 0 or np.count_nonzero(places >= 0) < len(own):
        raise ValueError("two features of a FeatureMap are the same column: each can be a feature once")
    others = 1 + np.flatnonzero(places[1:] < 0)
    places[others] = len(pairs) - 1 + np.arange(len(others))
    return places


def missing_of(columns: tuple[Column, ...], pairs: Ints, masks: Ints) -> list[int]:
    """Return for each column the number, among the OBSERVED ones, of the column that masks it, or -1.

    Raises
    ------
    ValueError
        If a mask is no OBSERVED column of the same source.
    """
    masked = np.flatnonzero(masks >= 0)
    mask = np.full(len(columns), NO_MASK)
    for side in (0, 1):
        mask[pairs[masked, side]] = masks[masked]
    mask[0] = NO_MASK
    observed = [c for c, column in enumerate(columns) if column.op is Op.OBSERVED]
    mask[observed] = observed
    number = dict(zip(observed, range(len(observed)), strict=True)) | {NO_MASK: NO_MASK}
    found = mask.tolist()
    for column, m in zip(columns, found, strict=True):
        if m not in number or (m >= 0 and columns[m].source != column.source):
            raise ValueError(f"column {m} of a FeatureMap cannot mask {column}: it must be OBSERVED, of that source")
    return [number[m] for m in found]


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive columns of one op, which stand one below another.

    Attributes
    ----------
    op : Op
    sources : int, slice or list of int
        Their columns of the data: one code after another are of one column.
    rows : slice
        Where they stand in `Tile.out`.
    frame : Frame
        Their shifts and scales.
    argument : array of shape (m, 1)
    missing : slice or None
        The rows of `Tile.missing` that belong to them.
    """

    op: Op
    sources: int | slice | list[int]
    rows: slice
    frame: Frame
    argument: Float
    missing: slice | None

    def __call__(self, tile: Tile) -> None:
        """Write (op(x) - shift) * scale."""
        x, out = tile.x[self.sources], tile.out[self.rows]
        divides = self.argument[0, 0] != 1
        if self.op is Op.X and not divides:
            self.frame.tile(x.T, out)
            return
        if self.op is Op.EQUALS:
            np.equal(x, self.argument, out=out)
        elif self.op is Op.LOG:
            if divides:
                x = divided(x, self.argument, out)
            np.maximum(x, np.finfo(out.dtype).tiny, out=out, dtype=out.dtype, casting="unsafe")
            np.log(out, out=out)
        elif self.op is Op.X:
            divided(x, self.argument, out)
        else:
            function = np.cos if self.op is Op.COS else np.sin
            function(x, out=out, dtype=out.dtype, casting="unsafe")
        move(out, self.frame)


def divided(x: Array, by: Float, out: Array) -> Array:
    """Write x / by into `out`, in its precision; return it."""
    np.divide(x, by.astype(out.dtype), out=out, dtype=out.dtype, casting="unsafe")
    return out


def move(out: Array, frame: Frame) -> None:
    """Take the shifts off `out` (m, n), and multiply by the scales."""
    if frame.shift.any():
        out -= frame.shift.astype(out.dtype)[:, None]
    if (frame.scale != 1).any():
        out *= frame.scale.astype(out.dtype)[:, None]


@dataclass(frozen=True)
class XAndLog:
    """Both of the same numbers: they are read, and divided, once."""

    x: Run
    log: Run

    def __call__(self, tile: Tile) -> None:
        """Write both."""
        x, log = tile.out[self.x.rows], tile.out[self.log.rows]
        divided(tile.x[self.x.sources], self.x.argument, x)
        np.maximum(x, np.finfo(x.dtype).tiny, out=log)
        np.log(log, out=log)
        move(x, self.x.frame)
        move(log, self.log.frame)


@dataclass(frozen=True)
class CosAndSin:
    """Both of the same angles, by t = tan(x / 2): 2 / (1 + t^2) - 1 and 2 t / (1 + t^2). One vectorised function."""

    cos: Run
    sin: Run

    def __call__(self, tile: Tile) -> None:
        """Write both."""
        cosine, sine = tile.out[self.cos.rows], tile.out[self.sin.rows]
        np.copyto(sine, tile.x[self.cos.sources], casting="unsafe")
        sine *= 0.5
        np.tan(sine, out=sine)
        np.multiply(sine, sine, out=cosine)
        cosine += 1
        np.divide(2, cosine, out=cosine)
        sine *= cosine
        cosine -= 1
        move(cosine, self.cos.frame)
        move(sine, self.sin.frame)


@dataclass(frozen=True)
class Zeros:
    """Puts 0 for missing values.

    Attributes
    ----------
    rows : slice
    missing : slice
    first : bool
        What is missing is not known yet: it is NaN here.
    """

    rows: slice
    missing: slice
    first: bool

    def __call__(self, tile: Tile) -> None:
        """Find what is missing, if it is not known, and put 0 there."""
        values, missing = tile.out[self.rows], tile.missing[self.missing]
        if self.first:
            np.isnan(values, out=missing)
        if missing.any():
            np.copyto(values, 0, where=missing)


@dataclass(frozen=True)
class Indicators:
    """Writes OBSERVED columns.

    Attributes
    ----------
    run : Run
    known : bool
        What is missing has been found with other columns.
    """

    run: Run
    known: bool

    def __call__(self, tile: Tile) -> None:
        """Write 1 where there is a value."""
        missing = tile.missing[self.run.missing]
        if not self.known:
            np.isnan(tile.x[self.run.sources], out=missing)
        out = tile.out[self.run.rows]
        np.logical_not(missing, out=out)
        move(out, self.run.frame)


@dataclass(frozen=True)
class SumOfSquares:
    """Writes |x|^2.

    Attributes
    ----------
    of : slice or list of int
        The rows of x in `Tile.out`.
    run : Run
        One column.
    """

    of: slice | list[int]
    run: Run

    def __call__(self, tile: Tile) -> None:
        """Write the sum."""
        x, out = tile.out[self.of], tile.out[self.run.rows]
        np.einsum("ij,ij->j", x, x, out=out[0])
        move(out, self.run.frame)


@dataclass(frozen=True)
class Products:
    """Writes products of rows: for each item one row times many, or many times as many, and where they are written."""

    rows: tuple[tuple[slice, slice, slice], ...]

    def __call__(self, tile: Tile) -> None:
        """Write the products."""
        out = tile.out
        for one, other, to in self.rows:
            np.multiply(out[one], out[other], out=out[to])


def runs_of(columns: tuple[Column, ...], places: list[int], missing: list[int]) -> list[Run]:
    """Return the columns beside ONE as runs.

    Parameters
    ----------
    columns : tuple of Column
    places, missing : list of int
        What `places_of` and `missing_of` return.
    """

    def follows(c: int) -> bool:
        """Whether column c belongs to the run of column c - 1."""
        one, other = columns[c - 1], columns[c]
        if other.op is not one.op or other.op is Op.SUM_OF_SQUARES or places[c] != places[c - 1] + 1:
            return False
        if other.op is Op.EQUALS:
            return other.source == one.source
        side_by_side = missing[c] == (missing[c - 1] + 1 if missing[c - 1] >= 0 else NO_MASK)
        return side_by_side and (one.argument == 1) == (other.argument == 1)

    starts = [c for c in range(1, len(columns)) if c == 1 or not follows(c)]
    return [
        run_of(columns[start:stop], places[start], missing[start]) for start, stop in pairwise([*starts, len(columns)])
    ]


def run_of(columns: tuple[Column, ...], place: int, missing: int) -> Run:
    """Return the run of columns whose rows start at `place`, and at `missing` in `Tile.missing` if that is not -1."""
    (op, *_), sources, shifts, scales, arguments = zip(*columns, strict=True)
    m = len(columns)
    return Run(
        op,
        sources[0] if op in (Op.EQUALS, Op.SUM_OF_SQUARES) else index_of(sources),
        slice(place, place + m),
        Frame(np.array(shifts), np.array(scales)),
        np.array(arguments)[:, None],
        None if missing < 0 or op is Op.EQUALS else slice(missing, missing + m),  # a missing value equals no code
    )


def index_of(columns: Sequence[int]) -> slice | list[int]:
    """Return columns as an index: a slice, which copies nothing, where they stand side by side."""
    first, last = columns[0], columns[-1]
    return slice(first, last + 1) if tuple(columns) == tuple(range(first, last + 1)) else list(columns)


TOGETHER: dict[Op, tuple[Op, Callable[[Run, Run], Step]]] = {Op.X: (Op.LOG, XAndLog), Op.COS: (Op.SIN, CosAndSin)}
"""Ops that are cheaper together with another of the same numbers."""


def value_steps(runs: list[Run]) -> Iterator[Step]:
    """Yield the steps that make columns from the data, with 0 for missing values."""
    found: set[int] = set()
    done: list[Run] = []
    for run in runs:
        if run.op in (Op.OBSERVED, Op.SUM_OF_SQUARES) or run in done:
            continue
        op, both = TOGETHER.get(run.op, (None, None))
        twin = next((other for other in runs if other.op is op and of_the_same(run, other)), None)
        yield run if twin is None or both is None else both(run, twin)
        written = [run] if twin is None else [run, twin]
        done += written
        for each in written:
            if each.missing is not None:
                yield Zeros(each.rows, each.missing, first=not found.issuperset(rows_in(each.missing)))
                found.update(rows_in(each.missing))


def of_the_same(one: Run, other: Run) -> bool:
    """Whether two runs are of the same columns of the data, divided by the same numbers."""
    return one.sources == other.sources and np.array_equal(one.argument, other.argument)


def steps_after(runs: list[Run], places: Ints) -> Iterator[Step]:
    """Yield the steps that make columns from other columns."""
    found = {row for run in runs if run.missing and run.op is not Op.OBSERVED for row in rows_in(run.missing)}
    for run in runs:
        if run.op is Op.OBSERVED and run.missing is not None:
            yield Indicators(run, known=found.issuperset(rows_in(run.missing)))
        elif run.op is Op.SUM_OF_SQUARES and isinstance(run.sources, int):
            of = places[run.sources : run.sources + int(run.argument[0, 0])]
            yield SumOfSquares(index_of(of.tolist()), run)


def rows_in(rows: slice) -> range:
    """Return the numbers of a slice."""
    return range(rows.start, rows.stop)


def products_of(pairs: Ints, places: Ints) -> Products:
    """Return the features that are products: as few operations as possible, each of features side by side."""
    first, second = pairs[1:].T
    which = np.flatnonzero((first > 0) & (second > 0))
    at = (places[first[which]], places[second[which]], which)
    one, other, to = (rows[1:] - rows[:-1] for rows in at)
    steady = (to == 1) & ((one | other) >= 0) & ((one | other) <= 1)  # each stays, or goes on by one row
    kinds = np.where(steady, 2 * one + other, -1)
    ends = [*(1 + np.flatnonzero(kinds[1:] != kinds[:-1])).tolist(), len(kinds)]
    firsts: list[int] = []
    lasts: list[int] = []
    end = 0
    while (start := lasts[-1] + 1 if lasts else 0) < len(which):
        while end < len(ends) - 1 and ends[end] <= start:
            end += 1
        firsts.append(start)
        lasts.append(ends[end] if start < len(kinds) and steady[start] else start)
    sides = [map(slice, rows[firsts].tolist(), (1 + rows[lasts]).tolist()) for rows in at]
    return Products(tuple(zip(*sides, strict=True)))
