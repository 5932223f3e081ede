"""Variables of a Zarr group as a source: several arrays with named dimensions, as xarray writes them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zarr

from dem.core.rows import Rows
from dem.source.cf_times import decoded_times
from dem.source.checks import check_dtype
from dem.source.containers import is_xarray
from dem.source.coordinates import StoredCoordinates
from dem.source.decode import decoding_of_array
from dem.source.dimensions import NamedArray, SampleDims, columns_of, find_sample_dims
from dem.source.members import arrays_in
from dem.source.read_options import ReadOptions
from dem.source.stores import ZarrNode, address, check_data_group, check_whole, dimension_names, open_node, store_name
from dem.source.variable import stored_variables
from dem.source.variables import choose_variables
from dem.source.weights import StoredWeights, Weights, open_weights
from dem.source.weights_of_rows import check_labels, weights_of_rows
from dem.source.zarr import ZarrSource, zarr_source
from dem.source.zarr_rows import ZarrRows

Arrays = Mapping[str, zarr.Array[Any]]


@dataclass(frozen=True)
class OpenedGroup:
    """Variables of a Zarr group.

    Attributes
    ----------
    name : str
        The name of the data in messages.
    variables : mapping of str to zarr.Array
        The chosen arrays.
    coordinates : mapping of str to zarr.Array
        The coordinates in the group.
    axes : tuple of str, or None
        The names of the axes of all variables, if the group gives them, as OME-Zarr does.
    """

    name: str
    variables: Arrays
    coordinates: Arrays
    axes: tuple[str, ...] | None = None


def open_variables(data: str | os.PathLike[str] | ZarrNode, variables: str | Sequence[str] | None) -> OpenedGroup:
    """Open variables of a Zarr group.

    Parameters
    ----------
    data : path, URL, zarr.Group or zarr.Array
        An array is a variable of the group that contains it.
    variables : str, sequence of str, or None
        Names of arrays in the group. None: all that are not coordinates (see `choose_variables`).

    Raises
    ------
    FileNotFoundError, ValueError
        Nothing is there, or there is no such variable.
    """
    node = data if isinstance(data, zarr.Array | zarr.Group) else open_node(data)
    if isinstance(node, zarr.Array):
        check_whole(node)
        parent, own = _parent(data if isinstance(data, str | os.PathLike) else node)
        around = _direct(parent, store_name(node))
        return OpenedGroup(store_name(node), {own: node}, _coordinates(parent, around, [own]), ome_axes(parent))
    name = store_name(node)
    check_data_group(node, name)
    inside = _direct(node, name)
    coordinates = coordinate_names(node, inside)
    attributes = {key: array.attrs for key, array in inside.items() if key not in coordinates}
    names = choose_variables(variables, attributes, inside, name)
    for wanted in names:
        check_whole(inside[wanted])
    return OpenedGroup(name, {key: inside[key] for key in names}, _coordinates(node, inside, names), ome_axes(node))


def _parent(data: str | os.PathLike[str] | zarr.Array[Any]) -> tuple[zarr.Group | None, str]:
    """Return the group that contains an array, or None, and the name of the array in it."""
    store: Any = None
    if isinstance(data, zarr.Array):
        store, (folder, _, own) = data.store, data.path.rpartition("/")
    else:
        folder, _, own = address(data).rstrip("/").rpartition("/")
    try:
        if store is None:
            return zarr.open_group(folder, mode="r", use_consolidated=False), own
        return (zarr.open_group(store, path=folder, mode="r", use_consolidated=False) if own else None), own or "value"
    except Exception:  # stores raise many kinds of errors; without a group there are no coordinates
        return None, own.removesuffix(".zarr")


def _direct(group: zarr.Group | None, name: str) -> dict[str, zarr.Array[Any]]:
    return {} if group is None else arrays_in(group, name, depth=1)


def _coordinates(group: zarr.Group | None, inside: Arrays, variables: Sequence[str]) -> Arrays:
    """Return the coordinates in a group, without the chosen variables."""
    names = set() if group is None else coordinate_names(group, inside)
    return {key: array for key, array in inside.items() if key in names and key not in variables}


def coordinate_names(group: zarr.Group, arrays: Arrays) -> set[str]:
    """Return which arrays are coordinates: those named like their dimension, or in a `coordinates` attribute (CF 5)."""
    found = {name for name, array in arrays.items() if dimension_names(array) == (name,)}
    for attributes in (group.attrs, *(array.attrs for array in arrays.values())):
        listed = attributes.get("coordinates")
        if isinstance(listed, str):
            found.update(listed.split())
    return found


def ome_axes(group: zarr.Group | None) -> tuple[str, ...] | None:
    """Return the names of the axes of the images in an OME-Zarr group (versions 0.4 and 0.5); None for other groups."""
    attributes = {} if group is None else group.attrs
    of_version = attributes.get("ome", attributes)
    images = of_version.get("multiscales") if isinstance(of_version, Mapping) else None
    axes = images[0].get("axes") if isinstance(images, list) and images and isinstance(images[0], Mapping) else None
    if not isinstance(axes, list) or not axes:
        return None
    return tuple(str(axis.get("name") if isinstance(axis, Mapping) else axis) for axis in axes)


def axis_names(array: zarr.Array[Any], axes: tuple[str, ...] | None = None) -> tuple[str | None, ...]:
    """Return the names of the axes of an array in a group; `axes` are used if the array has no names of its own."""
    own = dimension_names(array)
    return axes if None in own and axes is not None and len(axes) == array.ndim else own


def stored_axis_names(data: str | os.PathLike[str] | zarr.Array[Any], array: zarr.Array[Any]) -> tuple[str | None, ...]:
    """Return the names of the axes of the array at a path (or given open), its own or those of its OME-Zarr group."""
    own = dimension_names(array)
    return axis_names(array, ome_axes(_parent(data)[0])) if None in own else own


def is_stored(data: Any) -> bool:
    """Whether the data are a path, a URL, or an open Zarr array or group."""
    return isinstance(data, str | os.PathLike | zarr.Array | zarr.Group)


def stored_choice(
    data: str | os.PathLike[str] | ZarrNode, sample_dims: Sequence[str], variables: Sequence[str] | None
) -> dict[str, Any]:
    """Return which of these arguments of `dem.open_source` apply to stored data: an array has no variables."""
    node = data if isinstance(data, zarr.Array | zarr.Group) else open_node(data)
    if isinstance(node, zarr.Group):
        return {"sample_dims": sample_dims, "variables": variables}
    names = stored_axis_names(data if isinstance(data, str | os.PathLike) else node, node)
    return {"sample_dims": sample_dims} if set(sample_dims) <= set(names) else {}


def described(name: str, array: zarr.Array[Any], axes: tuple[str, ...] | None = None) -> NamedArray:
    """Return the description of an array in a group; `axes` are used if the array has no names of its own.

    Raises
    ------
    ValueError
        Its dimensions have no names.
    """
    dims = axis_names(array, axes)
    if None in dims:
        raise ValueError(
            f"{store_name(array)} has no dimension names, so sample_dims cannot be applied: write it with xarray, or "
            "pass a two-dimensional array without sample_dims."
        )
    return NamedArray(name, tuple(str(dim) for dim in dims), array.shape, np.dtype(array.dtype), dict(array.attrs))


def group_source(
    group: OpenedGroup,
    sample_dims: SampleDims,
    weights: Any,
    options: ReadOptions,
) -> ZarrSource:
    """Return the source of variables of a Zarr group.

    Parameters
    ----------
    group : OpenedGroup
    sample_dims : str, sequence of str, or None
        See `dem.source.dimensions.find_sample_dims`.
    weights
        The weights of the rows; text is the path of an array.
    options : ReadOptions
    """
    arrays, others, name = group.variables, group.coordinates, group.name
    described_arrays = [described(key, array, group.axes) for key, array in arrays.items()]
    dims = find_sample_dims(described_arrays, sample_dims, name)
    rows = Rows(tuple(described_arrays[0].size(dim) for dim in dims), dims)
    if is_xarray(weights):
        along = {dim: np.asarray(_values(others[dim])) for dim in dims if dim in others and others[dim].ndim == 1}
        check_labels(weights, {dim: values for dim, values in along.items() if values.dtype.kind in "biufM"})
    other_dims = {dim for about in described_arrays for dim in about.dims} - set(dims)
    labels = {dim: _values(others[dim]) for dim in other_dims if dim in others and others[dim].ndim == 1}
    coordinates = {key: array for key, array in others.items() if _lies_along(array, dims, rows)}
    return zarr_source(
        ZarrRows(stored_variables(list(arrays.values()), described_arrays, dims, options), rows, name),
        _weights(weights, rows, options.require_chunks),
        columns_of(described_arrays, dims, labels),
        StoredCoordinates(coordinates),
        options,
    )


def _weights(weights: Any, rows: Rows, require_chunks: bool) -> Weights | None:
    """Return the weights of the rows. A Zarr array has all sample dimensions, in any order."""
    if not isinstance(weights, str | os.PathLike | zarr.Array | zarr.Group):
        return weights_of_rows(weights, rows)
    array = open_weights(weights)
    dims, names = rows.dims or (), dimension_names(array)
    axes = tuple(names.index(dim) for dim in dims) if set(names) == set(dims) else tuple(range(array.ndim))
    shape = tuple(array.shape[axis] for axis in axes)
    check_dtype(np.dtype(array.dtype), store_name(array))
    if shape != rows.shape:
        raise ValueError(
            f"The weights {store_name(array)} have shape {array.shape}, but the rows have shape {rows.shape} along "
            f"{', '.join(dims)}: give one weight for each row."
        )
    return StoredWeights.of(array, require_chunks, axes)


def _values(array: zarr.Array[Any]) -> list[Any]:
    """Return the decoded values of a coordinate."""
    values = np.asarray(array[...])
    decoding = decoding_of_array(array) if values.dtype.kind in "biuf" else None
    values = values if decoding is None else decoding(values)
    times = decoded_times(values, array.attrs)
    return list(values if times is None else times)


def _lies_along(array: zarr.Array[Any], dims: Sequence[str], rows: Rows) -> bool:
    """Whether an array is a coordinate of the rows: it has only sample dimensions, with their extents."""
    extent = dict(zip(dims, rows.shape, strict=True))
    names = dimension_names(array)
    return array.ndim > 0 and all(extent.get(str(dim)) == n for dim, n in zip(names, array.shape, strict=True))
