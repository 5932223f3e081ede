"""The coordinates of the rows: labels along the sample dimensions, such as time, latitude and station names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import zarr


class Coordinates(Protocol):
    """The coordinates of the sample dimensions. They are not sent to workers.

    Attributes
    ----------
    names : tuple of str
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102


@dataclass(frozen=True)
class StoredCoordinates:
    """Coordinates in the Zarr group of the data.

    Attributes
    ----------
    arrays : mapping of str to zarr.Array
        Their axes are sample dimensions.
    """

    arrays: Mapping[str, zarr.Array[Any]] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return tuple(self.arrays)


NO_COORDINATES = StoredCoordinates()


@dataclass(frozen=True)
class XarrayCoordinates:
    """Coordinates of an xarray object.

    Attributes
    ----------
    dataset : xarray.Dataset
        It has only coordinates, whose dimensions are sample dimensions.
    """

    dataset: Any

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return tuple(str(name) for name in self.dataset.coords)
