"""How a source is read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReadOptions:
    """How a source is read; see `dem.open_source`."""

    partition_bytes: int | None = None
    require_chunks: bool = False
    missing_value: float | None = None

    def partition_size(self, usual: int) -> int:
        """Return the target size of a partition in bytes; `usual` if the user gives none."""
        return self.partition_bytes or usual


DEFAULTS = ReadOptions()
