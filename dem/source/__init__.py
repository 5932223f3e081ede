"""Sources of rows: arrays in memory, Zarr arrays and Dask arrays, read as partitions of blocks."""

from __future__ import annotations

from dask.delayed import Delayed

from dem.source.opening import evaluate, is_lazy, is_source, open_source
from dem.source.source import Partition, Source

__all__ = ["Delayed", "Partition", "Source", "evaluate", "is_lazy", "is_source", "open_source"]
