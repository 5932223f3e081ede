"""Sweeps over a part of their source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, Self, cast

from dem.model import Sweep
from dem.source import Source
from dem.source.subset import subset


class Divisible(Sweep, Protocol):
    """A sweep that can leave out partitions."""

    def only(self, indices: Sequence[int]) -> Divisible:
        """Return the sweep over the partitions with these indices alone."""


class OfSource:
    """The base of sweeps, frozen dataclasses, that make their passes over `source`."""

    source: Source

    def only(self, indices: Sequence[int]) -> Self:
        """Return the sweep over the partitions with these indices alone."""
        return cast(Self, replace(cast(Any, self), source=subset(self.source, indices)))
