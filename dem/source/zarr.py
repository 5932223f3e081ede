"""A Zarr array as a source: partitions are whole chunks (or shards)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Self, TypeVar

import dask.array as da
import numpy as np
import zarr
from dask.delayed import Delayed

from dem.source.checks import check_dtype, check_shape
from dem.source.decode import Decoding, stored
from dem.source.delayed import block_weight, delayed_partitions
from dem.source.digest import array_fingerprint, decoding_fingerprint, weights_fingerprint
from dem.source.grid import MAX_PARTITIONS, cut_bytes, partition_rows
from dem.source.stores import place_of, store_name
from dem.source.weights import StoredWeights, Weights, as_dask
from dem.source.zarr_rows import Rows, ZarrPartition, locate_unit

PARTITION_BYTES = 128 * 2**20


@dataclass(frozen=True)
class ZarrSource:
    """A two-dimensional Zarr array.

    Attributes
    ----------
    handle : Rows
    weights : float64 array of shape (n,), StoredWeights, dask.array.Array or None
    partition_bytes : int
        Decoded bytes to aim at for a partition. With the array's grid it determines the partitions.
    max_partitions : int or None
        Their largest number.
    whole : bool
        Chunks that the store does not hold are an error; else they have the fill value, and blocks tell of them.
    ahead : bool
        Read the next block while one is worked on.
    """

    handle: Rows
    weights: Weights | None = None
    partition_bytes: int = PARTITION_BYTES
    max_partitions: int | None = MAX_PARTITIONS
    whole: bool = False
    ahead: bool = True

    in_memory = False
    lazy = True
    columns = None

    @property
    def decoding(self) -> Decoding | None:
        """What the entries stand for; None where they stand for themselves."""
        return self.handle.decoding

    @property
    def compact(self) -> bool:
        """Whether partitions are small handles (with weights in memory, or in a Dask array, they are not)."""
        return self.weights is None or isinstance(self.weights, StoredWeights)

    @property
    def stored_at(self) -> tuple[str, ...]:
        """Where the array is stored, and its weights."""
        weights = place_of(self.weights.array) if isinstance(self.weights, StoredWeights) else ()
        return place_of(self.handle.array) + weights

    @property
    def name(self) -> str:
        """What to call the array in messages."""
        return self.handle.name

    @property
    def n_rows(self) -> int:
        """The number of rows."""
        return int(self.handle.array.shape[0])

    @property
    def n_columns(self) -> int:
        """The number of columns."""
        return int(self.handle.array.shape[1])

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the rows."""
        return self.handle.dtype

    @property
    def chunk_rows(self) -> int:
        """Rows of the store's own chunk (of the inner chunk if sharded)."""
        return self.handle.chunk_rows

    @property
    def _ranges(self) -> list[tuple[int, int]]:
        unit, row_bytes = self.handle.unit[0], self.handle.row_bytes
        return partition_rows(self.n_rows, unit, row_bytes, self.partition_bytes, self.max_partitions)

    @property
    def row_chunks(self) -> tuple[int, ...]:
        """The number of rows of each partition."""
        return tuple(stop - start for start, stop in self._ranges)

    @cached_property
    def partitions(self) -> list[ZarrPartition] | list[Delayed]:
        """Runs of whole chunks (or shards); Delayed where the weights are a Dask array."""
        w = self.weights
        part = partial(ZarrPartition, self.handle, whole=self.whole, ahead=self.ahead)
        if isinstance(w, da.Array):
            return delayed_partitions(_weighed, [w], [(part(a, b),) for a, b in self._ranges])
        if isinstance(w, np.ndarray):
            return [part(a, b, w[a:b]) for a, b in self._ranges]
        return [part(a, b, w) for a, b in self._ranges]

    @property
    def block_bytes(self) -> int:
        """Decoded bytes of the largest block: the row band of all its column chunks."""
        return min(self.handle.read_rows, self.n_rows) * self.n_columns * self.dtype.itemsize

    @property
    def read_bytes(self) -> int:
        """Bytes held while a block is read: the block, its chunks being decoded, and encoded; and stored weights.

        Where entries stand for others, the decoded block comes on top, with a flag for each entry that is missing.
        """
        rows = min(self.handle.read_rows, self.n_rows)
        weights = self.weights.read_bytes(rows) if isinstance(self.weights, StoredWeights) else 0
        decoded = 0 if self.decoding is None else self.block_bytes + 2 * rows * self.n_columns
        return 3 * rows * self.handle.row_bytes + decoded + weights

    @property
    def ahead_bytes(self) -> int:
        """Bytes held besides where the next block is read meanwhile; 0 where it is not, or there is but one."""
        if not self.ahead or self.handle.read_rows >= max(self.row_chunks):
            return 0
        weights = self.weights.read_bytes(self.handle.read_rows) if isinstance(self.weights, StoredWeights) else 0
        return self.block_bytes + weights

    def without_ahead(self) -> Self:
        """Return the same rows, read only when they are due."""
        return replace(self, ahead=False)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What the metadata tell of the data, as JSON has it; nothing is read."""
        own = {"kind": "zarr", **array_fingerprint(self.handle.array), "partition_bytes": self.partition_bytes}
        return {**own, **decoding_fingerprint(self.decoding), "weights": weights_fingerprint(self.weights)}

    def cut(self, row_bytes: int, target_bytes: int) -> Self:
        """Return the same rows in partitions for results of `row_bytes` a row, as many as it takes."""
        nbytes = cut_bytes(self.handle.row_bytes, row_bytes, target_bytes, self.partition_bytes)
        return _aligned(replace(self, partition_bytes=nbytes, max_partitions=None))

    def locate(self, row: int, column: int = 0) -> str:
        """Say which chunk holds a value, for messages."""
        return self.handle.locate(row, column)

    def locate_chunk(self, number: int) -> str:
        """Say which chunk has this number in `Block.absent`, for messages."""
        return locate_unit(self.handle, self.weights, number)


Z = TypeVar("Z", bound=ZarrSource)


def _weighed(weight: Any, partition: ZarrPartition) -> ZarrPartition:
    return replace(partition, weight=block_weight(weight, partition.rows, partition.start))


def _aligned(source: Z) -> Z:
    """Return the source with lazy weights in its own partitions."""
    if isinstance(source.weights, da.Array):
        return replace(source, weights=as_dask(source.weights, source.row_chunks))
    return source


def open_zarr(
    array: zarr.Array[Any],
    weights: Weights | None = None,
    partition_bytes: int | None = None,
    *,
    whole: bool = False,
    missing_value: float | None = None,
) -> ZarrSource:
    """Return the source of a Zarr array.

    Raises
    ------
    ValueError
        Wrong number of dimensions, no rows, no columns, a dtype that is not real, or attributes that make no sense.
    """
    name = store_name(array)
    check_shape(array.shape, name)
    check_dtype(np.dtype(array.dtype), name)
    rows = Rows(array, name, stored(array, missing_value))
    return _aligned(ZarrSource(rows, weights, partition_bytes or PARTITION_BYTES, whole=whole))
