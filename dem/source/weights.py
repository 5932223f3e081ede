"""The rows' weights, in whatever form they come, cut to the blocks of the data."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import zarr

from dem.core.block import Float
from dem.core.warn import warn
from dem.source.checks import check_weight_values, check_weights
from dem.source.containers import check_container
from dem.source.reader import Reader, absent_error, unit_index, unit_text
from dem.source.stores import open_array, store_name


@dataclass(frozen=True)
class StoredWeights:
    """Weights in a Zarr array of shape (n,); a small handle that travels to the tasks.

    Attributes
    ----------
    array : zarr.Array
    whole : bool
        Chunks that the store does not hold are an error; else they have the fill value.
    """

    array: zarr.Array[Any]
    whole: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of what is read."""
        return np.dtype(np.float64)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return 1

    def __getitem__(self, rows: slice | tuple[slice]) -> Float:
        """Return the weights of some rows, checked: Dask asks like this."""
        (span,) = rows if isinstance(rows, tuple) else (rows,)
        first, last, _ = span.indices(self.shape[0])
        return self.read(first, last, told=True)

    @property
    def chunk(self) -> int:
        """Rows of what the store holds under one key: a shard, or a chunk."""
        return int((self.array.shards or self.array.chunks)[0])

    def cut(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[Float, tuple[int, ...]]]:
        """Yield the weights of successive row ranges, reading each chunk once, and the absent ones of what was read.

        The weights' chunks need not be those of the data: what a read brought beyond the present
        range is kept for the next ones.
        """
        reader = Reader(self.array, store_name(self.array))
        begin, held = 0, np.empty(0)
        for first, last in spans:
            absent: tuple[int, ...] = ()
            if last > begin + len(held):
                kept = held[max(0, first - begin) :]
                begin, after = first, first + len(kept)
                end = min(-(-last // self.chunk) * self.chunk, self.array.shape[0])
                more, absent = _checked(reader, after, end)
                held = np.concatenate([kept, more])
            yield held[first - begin : last - begin], absent
        reader.end()

    def read_bytes(self, rows: int) -> int:
        """Return the bytes held at most while `cut` gives ranges of so many rows.

        A read reaches to the end of a chunk of the weights' own, and what it brings is held as it came, as
        float64, and behind what was left of the one before.
        """
        held = min(rows + self.chunk, self.array.shape[0])
        return held * (2 * 8 + max(8, self.array.dtype.itemsize))

    def read(self, first: int, last: int, *, told: bool = False) -> Float:
        """Return the weights of rows `first` to `last` (exclusive), checked; where `told`, warn of absent chunks.

        Raises
        ------
        OSError
            A chunk cannot be read, or is absent where it must not be; the message names it.
        """
        name = store_name(self.array)
        weight, absent = _checked(Reader(self.array, name), first, last)
        if absent and self.whole:
            first_absent = unit_text(self.array, name, unit_index(self.array, min(absent)))
            raise absent_error(first_absent, len(absent), first, last)
        if absent and told:
            warn(f"chunks of the weights {name} are not in the store, read as the fill value")
        return weight

    def lazy(self) -> da.Array:
        """Return the weights as a Dask array with the store's own chunks."""
        lazy: da.Array = da.from_array(self, chunks=(self.chunk,), name=False, asarray=False)
        return lazy


def _checked(reader: Reader, first: int, last: int) -> tuple[Float, tuple[int, ...]]:
    values, absent = reader.read(first, last)
    weight = values.astype(np.float64, copy=False)
    check_weight_values(weight, first, reader.name)
    return weight, absent


Weights = Float | StoredWeights | da.Array


def as_weights(weights: Any, n_rows: int | None, *, whole: bool = False) -> Weights | None:
    """Return checked weights: a float64 array whose values are checked, or a lazy form.

    Parameters
    ----------
    weights : array-like of shape (n_rows,), path, URL, zarr.Array, dask.array.Array or None
        A number stands for that weight in every row, where the number of rows is known.
    n_rows : int or None
        The number of rows of the data; None if unknown.
    whole : bool
        A stored array must hold all its chunks.

    Raises
    ------
    TypeError
        A container of a lazy array.
    ValueError
        Wrong number of dimensions or length, not real numbers, negative, NaN or infinite.
    """
    if weights is None:
        return None
    if isinstance(weights, da.Array):
        check_weights(weights.shape, weights.dtype, n_rows, "the Dask array of weights")
        return weights
    if isinstance(weights, str | os.PathLike | zarr.Array | zarr.Group):
        stored = open_array(weights)
        check_weights(stored.shape, np.dtype(stored.dtype), n_rows, store_name(stored))
        return StoredWeights(stored, whole)
    check_container(weights, "sample_weight")
    array = np.asarray(weights)
    if array.ndim == 0:
        if n_rows is None:
            raise ValueError(
                "sample_weight must be one-dimensional, with an entry for each row, where the number of rows is "
                "unknown: got a single number."
            )
        array = np.full(n_rows, array)
    check_weights(array.shape, array.dtype, n_rows, "the array of weights")
    array = array.astype(np.float64, copy=False)
    check_weight_values(array, 0, "the array of weights")
    return array


def in_memory(weights: Weights) -> Float:
    """Return the weights as an array in memory, for data that are there too."""
    if isinstance(weights, StoredWeights):
        return weights.read(0, weights.array.shape[0], told=True)
    if isinstance(weights, da.Array):
        array: Float = np.asarray(weights.compute(), np.float64)
        check_weight_values(array, 0, "the Dask array of weights")
        return array
    return weights


def as_dask(weights: Weights, row_chunks: tuple[int, ...]) -> da.Array:
    """Return the weights as a Dask array with these chunks, whose sizes are all known."""
    if isinstance(weights, np.ndarray):
        lazy = da.from_array(weights, chunks=(row_chunks,), name=False)
    else:
        lazy = weights.lazy() if isinstance(weights, StoredWeights) else weights
    if math.isnan(lazy.shape[0]):
        raise ValueError("The weights have unknown chunk sizes: call their compute_chunk_sizes() first.")
    aligned: da.Array = lazy.rechunk((row_chunks,))
    return aligned
