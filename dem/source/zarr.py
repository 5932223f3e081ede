"""Zarr arrays as a source. Partitions consist of whole chunks (or shards)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self, TypeVar

import dask.array as da
import numpy as np
import zarr
from dask.delayed import Delayed

from dem.core.block import Array, Float
from dem.core.columns import Columns
from dem.core.rows import Box, Rows
from dem.source.checks import check_dtype, check_shape
from dem.source.coordinates import NO_COORDINATES, Coordinates
from dem.source.decode import Decoding, decoding_of_array
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.digest import array_fingerprint, decoding_fingerprint, weights_fingerprint
from dem.source.grid import MAX_PARTITIONS, bytes_for_results, partition_boxes
from dem.source.listing import listed_sha256
from dem.source.read_options import DEFAULTS, ReadOptions
from dem.source.stores import array_location, dimension_names, store_name
from dem.source.variable import Variable
from dem.source.weights import StoredWeights, Weights, as_dask, weights_at
from dem.source.zarr_partition import ZarrPartition, in_turn, locate_unit
from dem.source.zarr_rows import ZarrRows

PARTITION_BYTES = 128 * 2**20
REMOTE_READS, AHEAD_BYTES = 4, 256 * 2**20
"""A task reads at most so many blocks of a remote store at the same time, in at most about so many bytes of memory."""


@dataclass(frozen=True)
class ZarrSource:
    """One or several Zarr arrays.

    Attributes
    ----------
    handle : ZarrRows
    weights : float64 array, StoredWeights, dask.array.Array or None
        Arrays have the shape of the sample dimensions. A Dask array is possible for a matrix only.
    partition_bytes : int
        Target size of a partition, decoded. Together with the chunk grid it determines the partitions.
    max_partitions : int or None
        Largest number of partitions. If None, each partition is one box, and the boxes are a regular grid.
    require_chunks : bool
        Missing chunks are an error. If false, they are read as the fill value and listed in `Block.absent`.
    most_ahead : int or None
        Read at most so many blocks while one is processed; None: as many as are useful.
    given_columns : Columns or None
        The columns, if the data name them.
    coordinates : Coordinates
        The coordinates of the sample dimensions; none for a matrix.
    """

    handle: ZarrRows
    weights: Weights | None = None
    partition_bytes: int = PARTITION_BYTES
    max_partitions: int | None = MAX_PARTITIONS
    require_chunks: bool = False
    most_ahead: int | None = None
    given_columns: Columns | None = None
    coordinates: Coordinates = NO_COORDINATES

    in_memory = False
    lazy = True

    @property
    def decoding(self) -> Decoding | None:
        """How entries are decoded; None if they are not."""
        return next((v.decoding for v in self.handle.variables if v.decoding is not None), None)

    @property
    def compact(self) -> bool:
        """Whether partitions are small. With weights in memory or in a Dask array they are not."""
        return self.weights is None or isinstance(self.weights, StoredWeights)

    @property
    def stored_at(self) -> tuple[str, ...]:
        """The locations of the arrays and of their stored weights."""
        own = [place for variable in self.handle.variables for place in array_location(variable.array)]
        weights = array_location(self.weights.array) if isinstance(self.weights, StoredWeights) else ()
        return (*own, *weights)

    @property
    def name(self) -> str:
        """The name of the data in messages."""
        return self.handle.name

    @property
    def rows(self) -> Rows:
        """The sample dimensions."""
        return self.handle.rows

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return self.handle.rows.size

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return self.handle.n_columns

    @property
    def columns(self) -> Columns:
        """The columns: their names, variables and units."""
        return Columns.numbered(self.n_columns) if self.given_columns is None else self.given_columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return self.handle.dtype

    @property
    def chunk_rows(self) -> int:
        """Indices along the first dimension of a chunk of the data (of an inner chunk if sharded)."""
        return self.handle.chunk_rows

    @property
    def chunk_sides(self) -> tuple[int, ...]:
        """The extents of a box along the sample dimensions after the first."""
        return tuple(min(n, unit) for n, unit in zip(self.rows.shape[1:], self.handle.unit[1:], strict=True))

    @cached_property
    def boxes(self) -> list[tuple[Box, ...]]:
        """The boxes of each partition."""
        handle = self.handle
        return partition_boxes(
            handle.rows.whole,
            handle.unit[0],
            handle.inner_boxes,
            handle.slab_bytes,
            self.partition_bytes,
            self.max_partitions,
        )

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple(sum(box.size for box in boxes) for boxes in self.boxes)

    @cached_property
    def partitions(self) -> list[ZarrPartition] | list[Delayed]:
        """Partitions of whole chunks (or shards); Delayed objects if the weights are a Dask array."""
        w = self.weights
        part = partial(ZarrPartition, self.handle, require_chunks=self.require_chunks, read_ahead=self.read_ahead)
        if isinstance(w, da.Array):
            return delayed_partitions(_weighed, [w], [(part(boxes),) for boxes in self.boxes])
        if isinstance(w, np.ndarray):
            return [part(boxes, _weights_of(w, boxes)) for boxes in self.boxes]
        return [part(boxes, w) for boxes in self.boxes]

    @property
    def _read_size(self) -> int:
        """The rows of the largest block: those of one read."""
        return min(self.handle.read_rows, self.rows.shape[0]) * self.handle.slab_rows

    @property
    def block_bytes(self) -> int:
        """Decoded bytes of the largest block: the rows of one read, with all columns."""
        return self._read_size * self.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes in memory while a block is read: the block, its decompressed and compressed chunks, and stored weights.

        If entries are decoded (missing values, packing) or assembled from several arrays, add the decoded block.
        """
        rows = self._read_size
        weights = self.weights.read_bytes(rows) if isinstance(self.weights, StoredWeights) else 0
        decoded = self.block_bytes * ((self.decoding is not None) + self.handle.is_assembled)
        return 3 * rows * self.handle.row_bytes + decoded + weights

    @property
    def read_ahead(self) -> int:
        """The number of blocks that are read while one is processed.

        One hides the time of a read behind the processing. From a remote store, where a read mostly waits, several
        reads at the same time take about as long as one. Weights that are read from a store are read in turn.
        """
        several = self.handle.is_remote and not in_turn(self.weights)
        useful = max(1, min(REMOTE_READS, AHEAD_BYTES // self.read_bytes)) if several else 1
        most = useful if self.most_ahead is None else min(useful, self.most_ahead)
        blocks = -(-max(self.row_chunks) // (self.handle.read_rows * self.handle.slab_rows))
        return min(most, blocks) if blocks > 1 else 0

    @property
    def read_ahead_bytes(self) -> int:
        """Additional bytes for reading one block ahead: the current block and its weights."""
        weights = self.weights.read_bytes(self._read_size) if isinstance(self.weights, StoredWeights) else 0
        return self.block_bytes + weights

    def reading_ahead(self, n: int) -> Self:
        """Return the same source, whose tasks read at most n blocks ahead."""
        return replace(self, most_ahead=n)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The metadata of the data as JSON values. No rows are read."""
        more = {"partition_bytes": self.partition_bytes}
        weights = {"weights": weights_fingerprint(self.weights)}
        found = [{**array_fingerprint(v.array), **decoding_fingerprint(v.decoding)} for v in self.handle.variables]
        if not self.handle.is_assembled:
            return {"kind": "zarr", **found[0], **more, **weights}
        axes = [list(variable.sample_axes) for variable in self.handle.variables]
        return {"kind": "zarr", "variables": found, "sample_axes": axes, **more, **weights}

    def rows_at(self, keys: Sequence[int]) -> Array:
        """Return the rows with these keys, (n, d), decoded."""
        reader = self.handle.reader()
        return np.concatenate([reader.read(self.rows.box_of(key))[0] for key in keys])

    def weights_at(self, keys: Sequence[int]) -> Float | None:
        """Return the weights of the rows with these keys, (n,); None if the rows have no weights."""
        return weights_at(self.weights, [self.rows.box_of(key) for key in keys])

    def identity(self) -> list[Any] | None:
        """Return what identifies the rows, valid in JSON; None for a store without a place, as in memory."""
        if not self.stored_at:
            return None
        listed = [listed_sha256(variable.array) for variable in self.handle.variables]
        return [*self.stored_at, self.fingerprint, *listed]

    def for_results(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions, of any number, that are small enough for the results."""
        nbytes = bytes_for_results(self.handle.row_bytes, row_bytes, target_bytes, self.partition_bytes)
        return _aligned(replace(self, partition_bytes=nbytes, max_partitions=None))

    def for_writing(self) -> Self:
        """Return the source itself."""
        return self

    def locate(self, row: int, column: int = 0) -> str:
        """Return text for the chunk of a value, for messages."""
        return self.handle.locate(row, column)

    def locate_chunk(self, number: int) -> str:
        """Return text for a chunk, given its number in `Block.absent`, for messages."""
        return locate_unit(self.handle, self.weights, number)


Z = TypeVar("Z", bound=ZarrSource)


def _weights_of(weights: Any, boxes: tuple[Box, ...]) -> Any:
    """Return the weights of the rows of boxes, in order, (n,)."""
    parts = [weights[box.slices].reshape(-1) for box in boxes]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _weighed(weight: Any, partition: ZarrPartition) -> ZarrPartition:
    return replace(partition, weight=block_weight(weight, partition.rows, partition.boxes[0].start[0]))


def _aligned(source: Z) -> Z:
    """Return the source; weights in a Dask array are rechunked to its partitions."""
    if isinstance(source.weights, da.Array):
        return replace(source, weights=as_dask(source.weights, source.row_chunks))
    return source


def zarr_source(
    rows: ZarrRows, weights: Weights | None, columns: Columns | None, coordinates: Coordinates, options: ReadOptions
) -> ZarrSource:
    """Return the source of Zarr arrays."""
    return ZarrSource(
        rows,
        weights,
        options.partition_size(PARTITION_BYTES),
        require_chunks=options.require_chunks,
        given_columns=columns,
        coordinates=coordinates,
    )


def open_zarr(array: zarr.Array[Any], weights: Weights | None = None, options: ReadOptions = DEFAULTS) -> ZarrSource:
    """Return the source of a Zarr array whose first axis are the rows, and whose second axis are the columns.

    Raises
    ------
    ValueError
        Wrong number of dimensions, no rows, no columns, a dtype that is not real, or invalid CF attributes.
    """
    name = store_name(array)
    check_shape(array.shape, name)
    check_dtype(np.dtype(array.dtype), name)
    variable = Variable(array, name, decoding_of_array(array, options.missing_value))
    dim = dimension_names(array)[0]
    rows = ZarrRows((variable,), Rows((int(array.shape[0]),), None if dim is None else (dim,)), name)
    return _aligned(zarr_source(rows, weights, None, NO_COORDINATES, options))
