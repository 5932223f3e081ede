"""The Zarr array or group of an output, fitted to its place.

A group that xarray opens has results and the coordinates of their axes. Inside a Zarr group the results get the format
of this group, and axis names that are free there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal, Protocol

import zarr
from numcodecs import Zstd

from dem.core.block import Array
from dem.core.rows import Box
from dem.results.axes import Axis, axis_names
from dem.results.axis_labels import write_labels
from dem.results.output_attributes import MISSING_LABEL, array_name, missing_result
from dem.results.output_plan import ArrayPlan, OutputPlan
from dem.source.coordinates import NO_COORDINATES, Coordinates, auxiliary_names
from dem.storage.hierarchy import consolidate, dimension_sizes, enclosing_nodes

ZarrFormat = Literal[2, 3]
CODECS = [{"name": "zstd", "configuration": {"level": 0, "checksum": False}}, {"name": "crc32c"}]
"""Zarr's default codec, and a checksum that detects damaged chunks."""
V2_COMPRESSOR = Zstd(level=0, checksum=True)
"""The same for Zarr format 2."""
MEMBERS = "dem_members"
"""The attribute of a group of results that lists its arrays. A group with other members is not overwritten."""
PROVENANCE = ("what", "model", "source")
"""The attributes of a group of results that its arrays have too."""
WRITE_EMPTY: Any = {"write_empty_chunks": True}
"""Chunks of zeros are written too, so that a missing chunk is always one that was not written."""


@dataclass(frozen=True)
class Target:
    """An array that is written, and the columns of the results that it has (None: all, or there are none)."""

    array: zarr.Array[Any]
    columns: slice | None = None

    def values(self, results: Array, box: Box) -> Array:
        """Return what is written to the rows of a box, given their results."""
        own = results if self.columns is None else results[:, self.columns]
        return own.reshape(box.shape + self.array.shape[len(box.shape) :])


class NodeLayout(Protocol):
    """The layout of an output in its place."""

    def begin(self, where: Any, attributes: Mapping[str, Any], marks: Mapping[str, Any], *, resume: bool) -> Any:
        """Return the array or group; `resume`: there is an unfinished one, which is completed.

        Parameters
        ----------
        where : str or Path
        attributes : mapping
            Those of the output.
        marks : mapping
            Attributes of every array and group of the output.
        resume : bool
        """

    def targets(self, node: Any) -> tuple[Target, ...]:
        """Return the arrays of results."""

    def finish(self, where: Any) -> None:
        """Complete the metadata, after all rows are written."""


@dataclass(frozen=True)
class ArrayLayout:
    """An array of results.

    Attributes
    ----------
    name : str
        In a group of results.
    settings : mapping
        As `zarr.create_array` takes them.
    attributes : mapping
    columns : slice or None
        See `Target`.
    """

    name: str
    settings: Mapping[str, Any]
    attributes: Mapping[str, Any]
    columns: slice | None = None

    def begin(
        self, where: Any, attributes: Mapping[str, Any], marks: Mapping[str, Any], *, resume: bool
    ) -> zarr.Array[Any]:
        """Return the array."""
        attributes = {**self.attributes, **attributes, **marks}
        if resume:
            array = open_to_write(where)
            array.update_attributes(attributes)
            return array
        return zarr.create_array(where, **self.settings, attributes=attributes, overwrite=True, config=WRITE_EMPTY)

    def targets(self, node: zarr.Array[Any]) -> tuple[Target, ...]:
        """Return the array itself."""
        return (Target(node, self.columns),)

    def finish(self, where: Any) -> None:
        """Nothing is left to do."""


@dataclass(frozen=True)
class GroupLayout:
    """A group that xarray opens: arrays of results, and the coordinates of their axes.

    Attributes
    ----------
    arrays : tuple of ArrayLayout
    zarr_format : {2, 3}
    coordinates : Coordinates
        Those of the rows.
    labels : mapping of str to tuple
        Those of other axes, by the name of the axis.
    """

    arrays: tuple[ArrayLayout, ...]
    zarr_format: ZarrFormat
    coordinates: Coordinates
    labels: Mapping[str, tuple[Any, ...]]

    def begin(self, where: Any, attributes: Mapping[str, Any], marks: Mapping[str, Any], *, resume: bool) -> zarr.Group:
        """Return the group with its coordinates and arrays."""
        members = [*self.coordinates.names, *self.labels, *(array.name for array in self.arrays)]
        own = {**attributes, **marks, MEMBERS: members}
        of_arrays = {**{name: attributes[name] for name in PROVENANCE if name in attributes}, **marks}
        if resume:
            group = open_to_write(where)
            group.update_attributes(own)
        else:
            group = zarr.create_group(where, zarr_format=self.zarr_format, attributes=own, overwrite=True)
        self.coordinates.write_to(group)
        for name, labels in self.labels.items():
            write_labels(group, name, labels)
        for array in self.arrays:
            if array.name in group:
                group[array.name].update_attributes({**array.attributes, **of_arrays})
            else:
                settings = {name: value for name, value in array.settings.items() if name != "zarr_format"}
                group.create_array(
                    array.name, **settings, attributes={**array.attributes, **of_arrays}, config=WRITE_EMPTY
                )
        return open_to_write(where)

    def targets(self, node: zarr.Group) -> tuple[Target, ...]:
        """Return the arrays of results."""
        with zarr.config.set({"array.write_empty_chunks": True}):
            return tuple(Target(_array(node, array.name), array.columns) for array in self.arrays)

    def finish(self, where: Any) -> None:
        """Write consolidated metadata."""
        consolidate(str(where), self.zarr_format)


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def open_to_write(where: Any) -> Any:
    """Return the array or group at a place."""
    with zarr.config.set({"array.write_empty_chunks": True}):  # for later writes to an array
        return zarr.open(where, mode="r+", use_consolidated=False)


def layout_at(where: str, plan: OutputPlan) -> ArrayLayout | GroupLayout:
    """Return the layout of an output at an address, fitted to the Zarr group around it."""
    above = enclosing_nodes(where)
    taken: dict[str, list[int | Axis]] = {name: [*sizes] for name, sizes in dimension_sizes(above, where).items()}
    own = PurePosixPath(where).name
    if not plan.labelled or (above and len(plan.arrays) == 1):
        (array,) = plan.arrays
        names = axis_names(own, array.axes, taken) if above else None
        return _array_layout(array, own, names, above[0].zarr_format if above else 3, plan)
    zarr_format = above[0].zarr_format if above else plan.coordinates.zarr_format or 3
    reserved, labels, arrays, same_rows = set(plan.coordinates.names), {}, [], True
    for array in plan.arrays:
        name = array_name(array.name, reserved | {axis.name for axis in array.axes})
        names = axis_names(name, array.axes, taken, own.removesuffix(".zarr"))
        for found, axis in zip(names, array.axes, strict=True):
            taken.setdefault(found, []).append(axis)
            same_rows = same_rows and (axis.kind != "row" or found == axis.name)
            if axis.labels is not None and found not in reserved:
                labels[found] = axis.labels
        arrays.append(_array_layout(array, name, names, zarr_format, plan))
    coordinates = plan.coordinates
    if not same_rows or coordinates.zarr_format not in (None, zarr_format):
        coordinates = NO_COORDINATES
    return GroupLayout(tuple(arrays), zarr_format, coordinates, labels)


def _array_layout(
    array: ArrayPlan, name: str, names: list[str] | None, zarr_format: ZarrFormat, plan: OutputPlan
) -> ArrayLayout:
    """Return the layout of an array of a plan in a Zarr format; `names` are those of its axes."""
    settings: dict[str, Any] = {"shape": array.shape, "chunks": array.chunks, "dtype": array.dtype}
    settings |= {"fill_value": missing_result(array.dtype), "zarr_format": zarr_format}
    attributes = dict(array.attributes)
    if plan.labelled and (auxiliary := auxiliary_names(plan.coordinates)):
        attributes["coordinates"] = " ".join(auxiliary)
    if zarr_format == 2:
        # Readers take entries equal to the fill value as missing.
        if settings["fill_value"] == 0:
            settings["fill_value"] = None
        more = {} if names is None else {"_ARRAY_DIMENSIONS": names}
        return ArrayLayout(name, {**settings, "compressors": V2_COMPRESSOR}, {**attributes, **more}, array.columns)
    if array.has_labels and plan.labelled:
        attributes["_FillValue"] = MISSING_LABEL
    settings |= {"compressors": CODECS} | ({} if names is None else {"dimension_names": names})
    return ArrayLayout(name, settings, attributes, array.columns)
