"""Weights of the rows (in memory, in a Zarr array or in a Dask array), split into the blocks of the data."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np
import zarr

from dem.core.block import Float
from dem.core.rows import Box
from dem.core.warn import warn
from dem.source.checks import check_weight_array, check_weight_values
from dem.source.containers import check_container, is_xarray
from dem.source.decode import Decoding, decoding_of_array
from dem.source.members import arrays_in
from dem.source.reader import Reader, absent_error, unit_index, unit_text
from dem.source.stores import ZarrNode, open_array, open_node, store_name
from dem.source.variable import Variable


@dataclass(frozen=True)
class StoredWeights:
    """Weights in a Zarr array with the sample dimensions. This handle is small, because it is sent to the tasks.

    Attributes
    ----------
    array : zarr.Array
    require_chunks : bool
        Missing chunks are an error. If false, they are read as the fill value.
    axes : tuple of int
        The axis of each sample dimension.
    decoding : Decoding or None
        How entries are decoded; None if they are not.
    """

    array: zarr.Array[Any]
    require_chunks: bool = False
    axes: tuple[int, ...] = (0,)
    decoding: Decoding | None = None

    @classmethod
    def of(cls, array: zarr.Array[Any], require_chunks: bool, axes: tuple[int, ...] = (0,)) -> StoredWeights:
        """Return the weights in an array, decoded by its CF attributes; missing weights are refused as NaN are."""
        decoding = decoding_of_array(array)
        if decoding is not None and decoding.offset == 0:  # zero is a weight, also where it marks missing values
            decoding = replace(decoding, missing=tuple((key, entry) for key, entry in decoding.missing if entry != 0))
        return cls(array, require_chunks, axes, decoding)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the weights that are read."""
        return np.dtype(np.float64)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def __getitem__(self, rows: slice | tuple[slice]) -> Float:
        """Return the checked weights of a slice of rows. Dask calls this."""
        (span,) = rows if isinstance(rows, tuple) else (rows,)
        first, last, _ = span.indices(self.shape[0])
        return self.read(first, last, warn_absent=True)

    @property
    def chunk(self) -> int:
        """Rows of a shard if the array is sharded, else of a chunk."""
        return int((self.array.shards or self.array.chunks)[0])

    def of_boxes(self, boxes: Sequence[Box]) -> Iterator[tuple[Float, tuple[int, ...]]]:
        """Yield the weights of boxes, in order, and the numbers of the absent chunks among those just read."""
        if self.axes == (0,):
            yield from self.split([(box.start[0], box.stop[0]) for box in boxes])
            return
        variable = Variable(self.array, store_name(self.array), self.decoding, self.axes)
        reader = variable.reader()
        for box in boxes:
            values, absent = reader.read(variable.index(box))
            weight = variable.as_rows(values)[:, 0].astype(np.float64, copy=False)
            check_weight_values(weight, variable.name)
            yield weight, absent
        reader.finish()

    def at(self, box: Box) -> Float:
        """Return the weights of the rows of a box."""
        if self.axes == (0,):
            return self.read(box.start[0], box.stop[0])
        return next(self.of_boxes([box]))[0]

    def split(self, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[Float, tuple[int, ...]]]:
        """Yield the weights of successive row ranges, and the numbers of the absent chunks among those just read.

        Each chunk is read once. The chunks of the weights may differ from those of the data: weights that were read
        beyond the current range are kept for the next ranges.
        """
        reader = Reader(self.array, store_name(self.array), self.decoding)
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
        reader.finish()

    def read_bytes(self, rows: int) -> int:
        """Return the largest number of bytes in memory while `split` yields ranges of so many rows.

        A read ends at the end of a chunk of the weights. Its values exist in the stored dtype, as float64, and again
        joined with the rest of the previous read.
        """
        held = min(rows + self.chunk, self.array.size) if self.axes == (0,) else rows
        return held * (2 * 8 + max(8, self.array.dtype.itemsize))

    def read(self, first: int, last: int, *, warn_absent: bool = False) -> Float:
        """Return the checked weights of rows `first` to `last` (exclusive). `warn_absent` warns if chunks are missing.

        Raises
        ------
        OSError
            A chunk cannot be read, or is missing although `require_chunks` is true. The message names the chunk.
        """
        name = store_name(self.array)
        weight, absent = _checked(Reader(self.array, name, self.decoding), first, last)
        if absent and self.require_chunks:
            first_absent = unit_text(self.array, name, unit_index(self.array, min(absent)))
            raise absent_error(first_absent, len(absent), first, last)
        if absent and warn_absent:
            warn(f"some chunks of the weights {name} are not in the store, and read as the fill value")
        return weight

    def lazy(self) -> da.Array:
        """Return the weights as a Dask array with the chunks of the store."""
        lazy: da.Array = da.from_array(self, chunks=(self.chunk,), name=False, asarray=False)
        return lazy


def _checked(reader: Reader, first: int, last: int) -> tuple[Float, tuple[int, ...]]:
    values, absent = reader.read((slice(first, last),))
    weight = values.astype(np.float64, copy=False)
    check_weight_values(weight, reader.name, first)
    return weight, absent


Weights = Float | StoredWeights | da.Array


def as_weights(weights: Any, n_rows: int | None, *, require_chunks: bool = False) -> Weights | None:
    """Return weights: a float64 array with checked values, or a lazy array whose values are checked when read.

    Parameters
    ----------
    weights : array-like of shape (n_rows,), path, URL, zarr.Array, dask.array.Array or None
        A single number is the weight of every row; then the number of rows must be known.
    n_rows : int or None
        The number of rows of the data; None if unknown.
    require_chunks : bool
        Missing chunks of a Zarr array are an error.

    Raises
    ------
    TypeError
        A container of a lazy array.
    ValueError
        Wrong number of dimensions or length, not real numbers, negative, NaN or infinite.
    """
    if weights is None:
        return None
    if is_xarray(weights):
        weights = weights.data
    if isinstance(weights, da.Array):
        check_weight_array(weights.shape, weights.dtype, n_rows, "the Dask array of weights")
        return weights
    if isinstance(weights, str | os.PathLike | zarr.Array | zarr.Group):
        stored = open_weights(weights)
        check_weight_array(stored.shape, np.dtype(stored.dtype), n_rows, store_name(stored))
        return StoredWeights.of(stored, require_chunks)
    check_container(weights, "sample_weight")
    array = np.asarray(weights)
    if array.ndim == 0:
        if n_rows is None:
            raise ValueError(
                "sample_weight is a single number, but the number of rows is unknown: pass an array with a weight for "
                "each row."
            )
        array = np.full(n_rows, array)
    check_weight_array(array.shape, array.dtype, n_rows, "the array of weights")
    array = array.astype(np.float64, copy=False)
    check_weight_values(array, "the array of weights", 0)
    return array


def open_weights(weights: str | os.PathLike[str] | ZarrNode) -> zarr.Array[Any]:
    """Return the array of stored weights.

    Raises
    ------
    FileNotFoundError, ValueError
        See `open_array`.
    """
    node = weights if isinstance(weights, zarr.Array | zarr.Group) else open_node(weights)
    if isinstance(node, zarr.Group) and (inside := list(arrays_in(node, store_name(node), depth=1))):
        name = store_name(node) if node is weights else str(weights)
        raise ValueError(
            f"The weights are one array, and {name} is a Zarr group with the arrays {', '.join(inside)}: give one of "
            f"them, as in {name}/{inside[0]}."
        )
    return open_array(weights)


def weights_at(weights: Weights | None, boxes: Sequence[Box]) -> Float | None:
    """Return the weights of some rows, (n,), given a box for each; None if there are no weights."""
    if weights is None:
        return None
    parts = (
        weights.at(box) if isinstance(weights, StoredWeights) else np.asarray(weights[box.slices]) for box in boxes
    )
    return np.array([float(part.reshape(-1)[0]) for part in parts])


def in_memory(weights: Weights) -> Float:
    """Return the weights as an array in memory, for data in memory."""
    if isinstance(weights, StoredWeights):
        return weights.read(0, weights.array.shape[0], warn_absent=True)
    if isinstance(weights, da.Array):
        array: Float = np.asarray(weights.compute(), np.float64)
        check_weight_values(array, "the Dask array of weights", 0)
        return array
    return weights


def as_dask(weights: Weights, row_chunks: tuple[int, ...]) -> da.Array:
    """Return the weights as a Dask array with these chunks. All chunk sizes must be known."""
    if isinstance(weights, np.ndarray):
        lazy = da.from_array(weights, chunks=(row_chunks,), name=False)
    else:
        lazy = weights.lazy() if isinstance(weights, StoredWeights) else weights
    if math.isnan(lazy.shape[0]):
        raise ValueError("The weights have unknown chunk sizes: call compute_chunk_sizes() on the weights first.")
    aligned: da.Array = lazy.rechunk((row_chunks,))
    return aligned
