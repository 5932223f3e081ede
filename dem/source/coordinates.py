"""The coordinates of the rows: labels along the sample dimensions, such as time, latitude and station names."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.common import concurrent_map
from zarr.core.sync import sync

from dem.source.stores import dimension_names

COPIES = 16
"""The number of chunks that are copied at the same time."""
DECODED_BY = frozenset({"units", "calendar", "dtype", "_FillValue", "missing_value", "scale_factor", "add_offset"})
"""The encodings of xarray that say how values are read, not how they are compressed."""


class Coordinates(Protocol):
    """The coordinates of the sample dimensions. They are not sent to workers.

    Attributes
    ----------
    names : tuple of str
    zarr_format : {2, 3} or None
        The format of the groups that they can be written to; None: both.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def zarr_format(self) -> Literal[2, 3] | None: ...  # noqa: D102

    def dims(self, name: str) -> tuple[str | None, ...]:
        """Return the dimensions of a coordinate."""

    def write_to(self, group: zarr.Group) -> None:
        """Write the coordinates to a group, which may have some of them already."""


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

    @property
    def zarr_format(self) -> Literal[2, 3] | None:
        """The format of the arrays: their chunks are copied as they are."""
        return next((array.metadata.zarr_format for array in self.arrays.values()), None)

    def dims(self, name: str) -> tuple[str | None, ...]:
        """Return the dimensions of a coordinate."""
        return dimension_names(self.arrays[name])

    def write_to(self, group: zarr.Group) -> None:
        """Copy the metadata and the encoded chunks of the arrays."""
        for name, array in self.arrays.items():
            _copy(array, group, name)


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

    zarr_format = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the coordinates."""
        return tuple(str(name) for name in self._plain.coords)

    @cached_property
    def _plain(self) -> Any:
        """The dataset with the levels of stacked dimensions as coordinates: Zarr has no other form for them."""
        indexes = self.dataset.xindexes.items()
        stacked = {index.dim for _, index in indexes if type(index).__name__ == "PandasMultiIndex"}
        return self.dataset.reset_index(list(stacked))

    def dims(self, name: str) -> tuple[str | None, ...]:
        """Return the dimensions of a coordinate."""
        return tuple(map(str, self._plain[name].dims))

    def write_to(self, group: zarr.Group) -> None:
        """Write the coordinates by xarray."""
        dataset = self._plain.compute()  # uneven chunks of Dask cannot be written
        dataset.attrs = group.attrs.asdict()
        for variable in dataset.variables.values():
            variable.encoding = {key: value for key, value in variable.encoding.items() if key in DECODED_BY}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about texts, which version 3 of the specification does not define yet
            dataset.to_zarr(group.store, group=group.path or None, mode="a", consolidated=False)


def auxiliary_names(coordinates: Coordinates) -> list[str]:
    """Return the names of the coordinates that xarray does not recognise by their dimension, such as lat(y, x)."""
    return [name for name in coordinates.names if coordinates.dims(name) != (name,) and " " not in name]


def _copy(array: zarr.Array[Any], group: zarr.Group, name: str) -> None:
    """Copy the metadata and the encoded chunks of an array to a group of the same Zarr format."""
    source, target = array.store_path, group.store_path / name
    prototype = default_buffer_prototype()
    sides = zip(array.shape, array.shards or array.chunks, strict=True)
    grid = itertools.product(*(range(-(-n // side)) for n, side in sides))

    documents = ["zarr.json"] if array.metadata.zarr_format == 3 else [".zarray", ".zattrs"]
    keys = [(key,) for key in (*documents, *map(array.metadata.encode_chunk_key, grid))]

    async def copy(key: str) -> None:
        value = await (source / key).get(prototype)
        if value is not None:
            await (target / key).set(value)

    async def copy_all() -> None:
        await concurrent_map(keys, copy, COPIES)

    sync(copy_all())
