"""Rows that a fit leaves out, to score it on them: one tenth, by a hash of the row or of its group."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import zarr
from dask.delayed import Delayed
from numpy.typing import NDArray

from dem.core import human
from dem.core.block import Block, Float
from dem.core.rows import Box
from dem.scan.sample import UInt, hashes
from dem.source.containers import is_xarray
from dem.source.delayed import mapped_partitions
from dem.source.source import Partition, Source
from dem.source.stores import open_array
from dem.source.wrapped import Wrapped

ONE_IN = 10
"""One row in so many is held out."""
MOST_OVER = 1.5
"""Whole groups may have so many times the rows that are wanted."""
SEED = 0x5EED0FF
"""Added to the seed: the sample has the rows with the smallest hashes, and the held-out rows must be others."""


@dataclass(frozen=True)
class HeldOutRows:
    """Which rows are held out.

    Attributes
    ----------
    seed : int
        Of the hash of the row's key.
    bits : uint8 array or None
        One bit for each row, packed: whether its group is held out. None: the hash of the key decides.
    first : int
        The key of the row of the first bit.
    note : str
        What to know about the choice; "" if nothing.
    """

    seed: int
    bits: NDArray[np.uint8] | None = None
    first: int = 0
    note: str = ""

    def __call__(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return a mask of the rows with these keys that are held out."""
        if self.bits is None:
            return np.asarray(hashes(keys.astype(np.uint64), self.seed) < np.uint64(2**64 // ONE_IN))
        at = keys - self.first
        return np.asarray((self.bits[at >> 3] >> (7 - (at & 7)).astype(np.uint8)) & 1, np.bool_)

    def between(self, low: int, high: int) -> HeldOutRows:
        """Return the rule for keys from `low` to `high`, both included, with the bits of these rows alone."""
        if self.bits is None:
            return self
        start = (low - self.first) // 8
        return HeldOutRows(self.seed, self.bits[start : (high - self.first) // 8 + 1], self.first + 8 * start)

    @property
    def fingerprint(self) -> str:
        """A digest of the rule."""
        bits = b"" if self.bits is None else self.bits.tobytes()
        return hashlib.sha256(f"{self.seed} {ONE_IN} ".encode() + bits).hexdigest()


def held_out_rows(groups: Any, source: Source, seed: int) -> HeldOutRows:
    """Return which rows of a source are held out.

    Parameters
    ----------
    groups : array-like, DataArray, Zarr array or path, of shape (n,), or None
        The group of each row, an integer or a string. Whole groups are held out, in the order of the hashes of their
        labels, until they have one tenth of the rows (counted without their weights); groups that are too large for
        that are left out. None: one row in ten.
    source : Source
    seed : int

    Raises
    ------
    ValueError
        The number of rows is unknown, or the groups do not suit them.
    """
    seed += SEED
    if source.n_rows is None:
        raise ValueError(
            f"rows of {source.name} cannot be held out, because their number is unknown: call compute_chunk_sizes() "
            "on the Dask array first"
        )
    if groups is None:
        return HeldOutRows(seed)
    labels = _labels(groups, source)
    names, number, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise ValueError(f"all rows are in one group ({names[0]!r}): give groups of which some can be held out")
    chosen = _chosen(counts, np.argsort(_hashes_of(names, seed), kind="stable"))
    share, note = float(counts[chosen].sum()) / source.n_rows, ""
    if not 0.5 < share * ONE_IN < 2:
        note = f"The groups do not give one tenth of the rows: {human.share(int(counts[chosen].sum()), source.n_rows)} "
        note += f"of {source.n_rows:,} rows are held out."
    return HeldOutRows(seed, np.packbits(chosen[number.reshape(-1)]), note=note)


def _chosen(counts: NDArray[Any], order: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return a mask of the groups held out, given their numbers of rows and their order: about one tenth of all rows.

    Groups that would make the share much too large are passed over; if all would, it is the smallest one.
    """
    wanted, total, left = counts.sum() / ONE_IN, 0, len(counts) - 1  # one group stays
    chosen = np.zeros(len(counts), np.bool_)
    for i, count in zip(order.tolist(), counts[order].tolist(), strict=True):
        if total >= wanted or not left:
            break
        if total + count <= MOST_OVER * wanted:
            chosen[i], total, left = True, total + count, left - 1
    if not chosen.any():
        chosen[np.argmin(counts)] = True
    return chosen


def _labels(groups: Any, source: Source) -> NDArray[Any]:
    """Return the label of each row, in the order of the keys."""
    if isinstance(groups, str | os.PathLike | zarr.Array):
        labels = np.asarray(open_array(groups)[...])
    elif is_xarray(groups) and source.rows is not None and source.rows.dims is not None:
        dims, shape = source.rows.dims, source.rows.shape
        wrong = [dim for dim in groups.dims if groups.sizes[dim] != dict(zip(dims, shape, strict=True)).get(dim)]
        if wrong:
            raise ValueError(f"groups have the dimension {wrong[0]!r}, which the rows do not have or in another length")
        values = groups.transpose(*(dim for dim in dims if dim in groups.dims)).values
        sides = [n if dim in groups.dims else 1 for dim, n in zip(dims, shape, strict=True)]
        labels = np.broadcast_to(values.reshape(sides), shape)
    else:
        labels = np.asarray(groups)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.size != source.n_rows or (labels.ndim != 1 and labels.shape != getattr(source.rows, "shape", None)):
        raise ValueError(
            f"groups have the shape {labels.shape}, but {source.name} has {source.n_rows:,} rows: give one label for "
            "each row"
        )
    if labels.dtype.kind in "Of" and (lacking := sum(map(_is_missing, labels.reshape(-1).tolist()))):
        raise ValueError(
            f"{human.plural(lacking, 'row')} of {source.name} without a group (None or NaN): give every row one"
        )
    if labels.dtype.kind == "O":
        labels = labels.astype(str)
    if labels.dtype.kind not in "biuUS":
        raise ValueError(f"groups must be integers or strings, got {labels.dtype}")
    return np.asarray(labels.reshape(-1))


def _is_missing(label: Any) -> bool:
    """Whether a label is None, NaN, or a missing value of pandas."""
    return label is None or (not isinstance(label, str) and str(label) in ("nan", "<NA>", "NaT"))


def _hashes_of(names: NDArray[Any], seed: int) -> UInt:
    """Return a hash for each label."""
    if names.dtype.kind in "biu":
        return hashes(names.astype(np.int64).astype(np.uint64), seed)
    words = [hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest() for name in names.tolist()]
    return np.frombuffer(b"".join(words), np.uint64)


@dataclass(frozen=True)
class PartlyWeighted:
    """The rows of `whole`; those held out have weight 0, or with `held` all others."""

    whole: Partition
    rule: HeldOutRows
    held: bool

    @property
    def rows(self) -> int:
        """The number of rows."""
        return self.whole.rows

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks in order."""
        for block in self.whole.blocks():
            mask = self.rule(np.asarray(block.keys.of(np.arange(len(block.x)))))
            used = (mask if self.held else ~mask).astype(np.float64)
            yield block._replace(weight=used if block.weight is None else used * block.weight)


@dataclass(frozen=True)
class HeldOutSource(Wrapped):
    """A source whose rows have weight 0 if they are held out, or with `held` if they are not.

    Attributes
    ----------
    rule : HeldOutRows
    held : bool
    """

    rule: HeldOutRows
    held: bool = False

    @cached_property
    def partitions(self) -> Sequence[Partition | Delayed]:
        """The partitions of `whole` with other weights; Delayed objects where those are."""
        found = self.whole.partitions
        if any(isinstance(partition, Delayed) for partition in found):
            return mapped_partitions(PartlyWeighted, cast("Sequence[Delayed]", found), self.rule, self.held)
        each = [self._rule_of(boxes) for boxes in self.whole.boxes] or [self.rule] * len(found)
        return [PartlyWeighted(cast(Partition, p), rule, self.held) for p, rule in zip(found, each, strict=True)]

    def _rule_of(self, boxes: Sequence[Box]) -> HeldOutRows:
        rows = self.whole.rows
        sized = [box for box in boxes if box.size]
        if rows is None or not sized:
            return self.rule
        keys = [rows.keys(box) for box in sized]
        last = max(int(k.of(box.size - 1)) for k, box in zip(keys, sized, strict=True))
        return self.rule.between(min(int(k.of(0)) for k in keys), last)

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read, with its keys, hashes and weights."""
        rows = int(max((n for n in self.whole.row_chunks if n == n), default=0))
        row_bytes = self.whole.n_columns * self.whole.dtype.itemsize
        rows = min(rows, self.whole.block_bytes // row_bytes) if self.whole.block_bytes else rows
        return self.whole.read_bytes + 5 * 8 * rows

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data, and the digest of the rule."""
        return {**self.whole.fingerprint, "held_out": self.rule.fingerprint}

    def identity(self) -> list[Any] | None:
        """Return what identifies the rows and their weights, valid in JSON; None if they cannot be identified."""
        whole = self.whole.identity()
        return None if whole is None else [*whole, self.rule.fingerprint, self.held]

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,)."""
        own, mask = self.whole.weights_at(keys), self.rule(np.asarray(keys, np.int64))
        used = (mask if self.held else ~mask).astype(np.float64)
        return used if own is None else used * own


def without_held_out(source: Source, rule: HeldOutRows) -> Source:
    """Return the source of the rows that are not held out: the others have weight 0."""
    return cast("Source", HeldOutSource(source, rule))


def only_held_out(source: Source, rule: HeldOutRows) -> Source:
    """Return the source of the rows that are held out: the others have weight 0."""
    return cast("Source", HeldOutSource(source, rule, held=True))
