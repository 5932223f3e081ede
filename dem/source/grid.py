"""Which rows belong to which partition: a function of the data's own grid, never of the workers."""

from __future__ import annotations

from collections.abc import Iterator

from dem.core.stats import ARITY

MAX_PARTITIONS = 2000
"""Dask costs milliseconds a task, so a large store gets larger partitions rather than more of them."""


def partition_rows(
    n_rows: int, unit_rows: int, row_bytes: int, target_bytes: int, limit: int | None = MAX_PARTITIONS
) -> list[tuple[int, int]]:
    """Return the (start, stop) rows of each partition.

    A partition is a run of whole units (chunks, or shards) of about `target_bytes` at most; their
    number is a multiple of the tree's arity where there are units enough, so that they share out
    evenly among 2, 4 or 8 workers. Data below a quarter of the target are one partition.

    Parameters
    ----------
    n_rows, unit_rows : int
        Rows in all, and rows of one unit; only the last unit may be shorter.
    row_bytes : int
        Decoded bytes of one row.
    target_bytes : int
        Decoded bytes a partition should have at most, unless a single unit has more.
    limit : int or None
        The most partitions there may be.
    """
    n_units = -(-n_rows // unit_rows)
    total = n_rows * row_bytes
    n = 1 if total <= target_bytes // 4 else ARITY * -(-total // (ARITY * target_bytes))
    n = min(n, n_units, n_units if limit is None else limit)
    edges = [min(n_rows, i * n_units // n * unit_rows) for i in range(n)]
    return list(zip(edges, [*edges[1:], n_rows], strict=True))


def cut_bytes(source_row_bytes: int, row_bytes: int, target_bytes: int, partition_bytes: int) -> int:
    """Return the bytes to aim at for a partition, where neither it nor its results should have more than a target.

    Parameters
    ----------
    source_row_bytes, row_bytes : int
        Bytes of a row, and of its results.
    target_bytes : int
        Bytes to aim at for the larger of both.
    partition_bytes : int
        What the partition should have at most in any case.
    """
    target = min(target_bytes, partition_bytes)
    return max(1, target * source_row_bytes // max(source_row_bytes, row_bytes))


def block_rows(start: int, stop: int, unit_rows: int, step: int) -> Iterator[tuple[int, int]]:
    """Yield the (first, last + 1) rows of the blocks of one partition.

    A block of `step` rows never straddles two units unless it covers whole ones: a shard is then
    read either whole or by parts of its own.
    """
    stride = max(step, unit_rows)
    for outer in range(start, stop, stride):
        end = min(outer + stride, stop)
        for first in range(outer, end, step):
            yield first, min(first + step, end)
