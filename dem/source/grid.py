"""Assign rows to partitions. This depends only on the chunk grid of the data, never on the number of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dem.core.rows import Box
from dem.core.stats import ARITY

MAX_PARTITIONS = 2000
"""Dask takes milliseconds per task, so a very large store gets larger partitions instead of more partitions."""


def partition_rows(
    n_rows: int, unit_rows: int, row_bytes: int, target_bytes: int, limit: int | None = MAX_PARTITIONS
) -> list[tuple[int, int]]:
    """Return the (start, stop) rows of each partition.

    A partition consists of successive whole units (chunks, or shards), with at most about `target_bytes`. If there
    are enough units, the number of partitions is a multiple of the arity of the tree, so 2, 4 or 8 workers get equal
    numbers. Data smaller than a quarter of the target are one partition.

    Parameters
    ----------
    n_rows, unit_rows : int
        Number of all rows, and rows of one unit. Only the last unit may be shorter.
    row_bytes : int
        Decoded bytes of one row.
    target_bytes : int
        Largest decoded size of a partition, unless a single unit is larger.
    limit : int or None
        Largest number of partitions.
    """
    n_units = -(-n_rows // unit_rows)
    n = partition_count(n_rows * row_bytes, n_units, target_bytes, limit)
    edges = [min(n_rows, i * n_units // n * unit_rows) for i in range(n)]
    return list(zip(edges, [*edges[1:], n_rows], strict=True))


def partition_boxes(
    whole: Box,
    unit_rows: int,
    inner_boxes: Sequence[tuple[tuple[int, int], ...]],
    slab_bytes: int,
    target_bytes: int,
    limit: int | None = MAX_PARTITIONS,
) -> list[tuple[Box, ...]]:
    """Return the boxes of each partition.

    Along the first dimension, rows are divided as by `partition_rows`. If the whole extent of that dimension is
    one range and there is a limit, a partition has several boxes.

    Parameters
    ----------
    whole : Box
        All rows.
    unit_rows : int
        The extent of one unit (chunk, or shard) along the first dimension.
    inner_boxes : sequence of tuples of (start, stop)
        The grid along the other dimensions. A matrix has no other dimensions, so it has one entry: ().
    slab_bytes : int
        Decoded bytes of the rows of such a box at one index of the first dimension.
    target_bytes : int
        Largest decoded size of a partition, unless a single unit is larger.
    limit : int or None
        Largest number of partitions; None: any number, and each partition is one box.
    """
    n, n_inner = whole.stop[0], len(inner_boxes)
    each = None if limit is None else max(1, limit // n_inner)
    ranges = partition_rows(n, unit_rows, slab_bytes, target_bytes, each)
    strips = [
        Box((a, *(start for start, _ in inner)), (b, *(stop for _, stop in inner)))
        for inner in inner_boxes
        for a, b in ranges
    ]
    fitting = max(1, target_bytes // (n * slab_bytes))
    together = 1 if limit is None or len(ranges) > 1 else max(fitting, -(-n_inner // limit))
    return [tuple(strips[i : i + together]) for i in range(0, len(strips), together)]


def partition_count(total: int, n_units: int, target_bytes: int, limit: int | None) -> int:
    """Return the number of partitions of some units with `total` decoded bytes; see `partition_rows`."""
    n = 1 if total <= target_bytes // 4 else ARITY * -(-total // (ARITY * target_bytes))
    return min(n, n_units, n_units if limit is None else limit)


def bytes_for_results(source_row_bytes: int, row_bytes: int, target_bytes: int, partition_bytes: int) -> int:
    """Return the target size of a partition, in bytes, so that neither its rows nor its results exceed `target_bytes`.

    Parameters
    ----------
    source_row_bytes, row_bytes : int
        Bytes of a row of the data, and of the results of a row.
    target_bytes : int
        Target size of the rows or the results of a partition, whichever is larger.
    partition_bytes : int
        Largest size of a partition of the data.
    """
    target = min(target_bytes, partition_bytes)
    return max(1, target * source_row_bytes // max(source_row_bytes, row_bytes))


def block_rows(start: int, stop: int, unit_rows: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the (first, last + 1) rows of the blocks of one partition.

    A block of `step` rows is either part of one unit or consists of whole units. So a read of a shard never includes
    part of another shard.
    """
    stride = max(step, unit_rows)
    for outer in range(start, stop, stride):
        end = min(outer + stride, stop)
        for first in range(outer, end, step):
            yield first, min(first + step, end)
