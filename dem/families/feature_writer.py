"""A `FeatureMap` computed with NumPy: a few operations on whole arrays for each tile.

Consecutive columns of one op are computed together and written directly to their place among the features. Products of
consecutive columns are one multiplication of slices. So full Gaussians need one multiplication for each row of the
triangle, and diagonal Gaussians need one in all.
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
    """A tile of rows, and the arrays to fill.

    Attributes
    ----------
    x : array of shape (d, n)
        The rows, of any real dtype.
    out : array of shape (m, n)
        The features, and below them the columns that are not features.
    missing : bool array of shape (o, n)
        True where an OBSERVED column is 0; in the order of these columns.
    """

    x: Array
    out: Array
    missing: NDArray[np.bool_]


class WriteStep(Protocol):
    """One of the writer's operations."""

    def __call__(self, tile: Tile) -> None:
        """Fill rows of the arrays of the tile."""


class Writer:
    """Writes the features of tiles; it is made once for each kernel."""

    def __init__(self, columns: tuple[Column, ...], pairs: Ints, masks: Ints) -> None:
        places = places_of(len(columns), pairs)
        self.n_rows = max(len(pairs) - 1, int(places.max()) + 1)
        self.n_observed = sum(column.op is Op.OBSERVED for column in columns)
        runs = runs_of(columns, places.tolist(), missing_of(columns, pairs, masks))
        self.steps: tuple[WriteStep, ...] = (
            *value_steps(runs),
            *derived_steps(runs, places),
            products_of(pairs, places),
        )

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
    """Return the row of each column in `Tile.out`: that of a feature, or one below all features; -1 for column 0.

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
        raise ValueError("two features of a FeatureMap are the same column: each column can be a feature only once")
    others = 1 + np.flatnonzero(places[1:] < 0)
    places[others] = len(pairs) - 1 + np.arange(len(others))
    return places


def missing_of(columns: tuple[Column, ...], pairs: Ints, masks: Ints) -> list[int]:
    """Return for each column the number of its mask among the OBSERVED columns, or -1.

    Raises
    ------
    ValueError
        If a mask is not an OBSERVED column of the same source.
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
            raise ValueError(
                f"column {m} of a FeatureMap cannot mask {column}: it must be an OBSERVED column of the same source"
            )
    return [number[m] for m in found]


@dataclass(frozen=True, eq=False)
class Run:
    """Consecutive columns of one op, in consecutive rows of `Tile.out`.

    Attributes
    ----------
    op : Op
    sources : int, slice or list of int
        Their columns of the data: one column for EQUALS, because its codes have the same source.
    rows : slice
        Their rows in `Tile.out`.
    frame : Frame
        Their shifts and scales.
    argument : array of shape (m, 1)
    missing : slice or None
        Their rows in `Tile.missing`.
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
        apply_frame(out, self.frame)


def divided(x: Array, by: Float, out: Array) -> Array:
    """Write x / by into `out`, in its precision; return it."""
    np.divide(x, by.astype(out.dtype), out=out, dtype=out.dtype, casting="unsafe")
    return out


def apply_frame(out: Array, frame: Frame) -> None:
    """Subtract the shifts from `out` (m, n), and multiply by the scales."""
    if frame.shift.any():
        out -= frame.shift.astype(out.dtype)[:, None]
    if (frame.scale != 1).any():
        out *= frame.scale.astype(out.dtype)[:, None]


@dataclass(frozen=True)
class XAndLog:
    """X and LOG of the same numbers, which are read and divided only once."""

    x: Run
    log: Run

    def __call__(self, tile: Tile) -> None:
        """Write both."""
        x, log = tile.out[self.x.rows], tile.out[self.log.rows]
        divided(tile.x[self.x.sources], self.x.argument, x)
        np.maximum(x, np.finfo(x.dtype).tiny, out=log)
        np.log(log, out=log)
        apply_frame(x, self.x.frame)
        apply_frame(log, self.log.frame)


@dataclass(frozen=True)
class CosAndSin:
    """COS and SIN of the same angles, by one function t = tan(x / 2): 2 / (1 + t^2) - 1 and 2 t / (1 + t^2)."""

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
        apply_frame(cosine, self.cos.frame)
        apply_frame(sine, self.sin.frame)


@dataclass(frozen=True)
class ZeroMissing:
    """Replaces missing values by 0.

    Attributes
    ----------
    rows : slice
    missing : slice
    finds_missing : bool
        Whether this step fills `Tile.missing`, from the NaN of its rows; otherwise an earlier step did.
    """

    rows: slice
    missing: slice
    finds_missing: bool

    def __call__(self, tile: Tile) -> None:
        """Find the missing values if no step did so before, and replace them by 0."""
        values, missing = tile.out[self.rows], tile.missing[self.missing]
        if self.finds_missing:
            np.isnan(values, out=missing)
        if missing.any():
            np.copyto(values, 0, where=missing)


@dataclass(frozen=True)
class Indicators:
    """Writes OBSERVED columns.

    Attributes
    ----------
    run : Run
    missing_is_known : bool
        Whether another step has filled `Tile.missing`.
    """

    run: Run
    missing_is_known: bool

    def __call__(self, tile: Tile) -> None:
        """Write 1 where there is a value, and 0 where it is missing."""
        missing = tile.missing[self.run.missing]
        if not self.missing_is_known:
            np.isnan(tile.x[self.run.sources], out=missing)
        out = tile.out[self.run.rows]
        np.logical_not(missing, out=out)
        apply_frame(out, self.run.frame)


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
        apply_frame(out, self.run.frame)


@dataclass(frozen=True)
class ProductStep:
    """Writes products of rows. Each item has the slices of both factors (one may be a single row) and of the result."""

    rows: tuple[tuple[slice, slice, slice], ...]

    def __call__(self, tile: Tile) -> None:
        """Write the products."""
        out = tile.out
        for one, other, to in self.rows:
            np.multiply(out[one], out[other], out=out[to])


def runs_of(columns: tuple[Column, ...], places: list[int], missing: list[int]) -> list[Run]:
    """Return the columns without ONE as runs.

    Parameters
    ----------
    columns : tuple of Column
    places, missing : list of int
        The results of `places_of` and `missing_of`.
    """

    def follows(c: int) -> bool:
        """Whether column c belongs to the run of column c - 1."""
        one, other = columns[c - 1], columns[c]
        if other.op is not one.op or other.op is Op.SUM_OF_SQUARES or places[c] != places[c - 1] + 1:
            return False
        if other.op is Op.EQUALS:
            return other.source == one.source
        next_mask = missing[c] == (missing[c - 1] + 1 if missing[c - 1] >= 0 else NO_MASK)
        return next_mask and (one.argument == 1) == (other.argument == 1)

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
        None
        if missing < 0 or op is Op.EQUALS
        else slice(missing, missing + m),  # NaN equals no code, so it needs no mask
    )


def index_of(columns: Sequence[int]) -> slice | list[int]:
    """Return columns as an index: a slice if they are consecutive, because a slice copies nothing."""
    first, last = columns[0], columns[-1]
    return slice(first, last + 1) if tuple(columns) == tuple(range(first, last + 1)) else list(columns)


PAIRED_OPS: dict[Op, tuple[Op, Callable[[Run, Run], WriteStep]]] = {
    Op.X: (Op.LOG, XAndLog),
    Op.COS: (Op.SIN, CosAndSin),
}
"""Ops that are cheaper together with another of the same numbers."""


def value_steps(runs: list[Run]) -> Iterator[WriteStep]:
    """Yield the steps that compute columns from the data, with 0 for missing values."""
    found: set[int] = set()
    done: list[Run] = []
    for run in runs:
        if run.op in (Op.OBSERVED, Op.SUM_OF_SQUARES) or run in done:
            continue
        op, both = PAIRED_OPS.get(run.op, (None, None))
        twin = next((other for other in runs if other.op is op and same_input(run, other)), None)
        yield run if twin is None or both is None else both(run, twin)
        written = [run] if twin is None else [run, twin]
        done += written
        for each in written:
            if each.missing is not None:
                yield ZeroMissing(each.rows, each.missing, finds_missing=not found.issuperset(rows_in(each.missing)))
                found.update(rows_in(each.missing))


def same_input(one: Run, other: Run) -> bool:
    """Whether two runs have the same columns of the data, divided by the same numbers."""
    return one.sources == other.sources and np.array_equal(one.argument, other.argument)


def derived_steps(runs: list[Run], places: Ints) -> Iterator[WriteStep]:
    """Yield the steps that compute columns from other columns."""
    found = {row for run in runs if run.missing and run.op is not Op.OBSERVED for row in rows_in(run.missing)}
    for run in runs:
        if run.op is Op.OBSERVED and run.missing is not None:
            yield Indicators(run, missing_is_known=found.issuperset(rows_in(run.missing)))
        elif run.op is Op.SUM_OF_SQUARES and isinstance(run.sources, int):
            of = places[run.sources : run.sources + int(run.argument[0, 0])]
            yield SumOfSquares(index_of(of.tolist()), run)


def rows_in(rows: slice) -> range:
    """Return the numbers of a slice."""
    return range(rows.start, rows.stop)


def products_of(pairs: Ints, places: Ints) -> ProductStep:
    """Return the features that are products, in as few multiplications of consecutive rows as possible."""
    first, second = pairs[1:].T
    which = np.flatnonzero((first > 0) & (second > 0))
    at = (places[first[which]], places[second[which]], which)
    one, other, to = (rows[1:] - rows[:-1] for rows in at)
    steady = (to == 1) & ((one | other) >= 0) & ((one | other) <= 1)  # each factor stays at its row, or moves on by one
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
    return ProductStep(tuple(zip(*sides, strict=True)))
