"""How many rows have another label than before: two arrays of labels, compared a few chunks at a time."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import zarr

from dem.core import human
from dem.source.reader import Reader
from dem.source.stores import ZarrNode, open_array, store_name

COMPARED_BYTES = 2**26
"""About the most bytes of each array that are read at a time."""


@dataclass(frozen=True)
class LabelChanges:
    """The difference of two arrays of labels.

    Attributes
    ----------
    compared : int
        Rows that are in both arrays.
    changed : int
        Those of them with another label; also if they have a label in one of the arrays only.
    added, removed : int
        Rows that only the new array has, and that only the old one has.
    """

    compared: int
    changed: int
    added: int
    removed: int

    def __str__(self) -> str:
        """Return "12 (0.1 %) of the 10,000 rows in both arrays have another label; 500 rows new"."""
        words = f"{human.share(self.changed, self.compared)} of the {human.plural(self.compared, 'row')}"
        words += " in both arrays have another label"
        more = {"new": self.added, "gone": self.removed}
        return "; ".join([words, *(f"{human.plural(n, 'row')} {what}" for what, n in more.items() if n)])

    def record(self) -> dict[str, int]:
        """Return the numbers in the form of JSON."""
        return asdict(self)


def compare_labels(old: str | os.PathLike[str] | ZarrNode, new: str | os.PathLike[str] | ZarrNode) -> LabelChanges:
    """Return how many rows have another label than before.

    Rows belong together by their places in the arrays. The new array may be longer along its first dimension, as after
    rows were appended, or shorter.

    Parameters
    ----------
    old, new : str, Path or zarr.Array
        Arrays of integers, such as `dem predict` writes.

    Raises
    ------
    ValueError
        They do not hold integers, or differ in their other dimensions.
    OSError
        A chunk cannot be read; the message names it.
    """
    arrays = [open_array(labels) for labels in (old, new)]
    for array in arrays:
        if array.dtype.kind not in "iu" or not array.ndim:
            raise ValueError(f"{store_name(array)} has the dtype {array.dtype}: give an array of labels, of integers")
    before, after = arrays
    if before.shape[1:] != after.shape[1:]:
        raise ValueError(
            f"{store_name(before)} has the shape {before.shape} and {store_name(after)} {after.shape}: only the first "
            "dimension may differ"
        )
    readers = [Reader(array, store_name(array)) for array in arrays]
    common = min(before.shape[0], after.shape[0])
    others = int(np.prod(before.shape[1:], dtype=np.int64))
    changed, step = 0, _rows_at_a_time(before, after)
    for first in range(0, common, step):
        part = slice(first, min(first + step, common)), *(slice(0, n) for n in before.shape[1:])
        changed += int((readers[0].read(part)[0] != readers[1].read(part)[0]).sum())
    return LabelChanges(
        common * others, changed, (after.shape[0] - common) * others, (before.shape[0] - common) * others
    )


def _rows_at_a_time(*arrays: zarr.Array[Any]) -> int:
    """Return how many entries along the first dimension are read at a time: whole chunks of the larger chunks."""
    chunk = max(1, *(array.chunks[0] for array in arrays))
    wide = max(1, *(array.nbytes // max(1, array.shape[0]) for array in arrays))
    return chunk * max(1, COMPARED_BYTES // (wide * chunk))
