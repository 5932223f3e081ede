"""xarray objects as a source: in memory, in a Zarr store, or lazy in any other way (Dask, NetCDF).

Arrays of a Zarr store are read from the store itself, so that workers do not need xarray.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask.array as da
import numpy as np

from dem.core.block import Array
from dem.core.columns import Columns
from dem.core.rows import Rows
from dem.source.containers import is_dataset, is_xarray
from dem.source.coordinates import XarrayCoordinates
from dem.source.dask_array import DaskSource
from dem.source.dask_boxes import boxes_of_dask
from dem.source.dimensions import NamedArray, SampleDims, columns_of, common_dtype, find_sample_dims, in_words
from dem.source.in_memory import MemorySource, open_memory
from dem.source.read_options import ReadOptions
from dem.source.source import Source
from dem.source.variable import stored_variables
from dem.source.variables import choose_variables
from dem.source.weights import StoredWeights
from dem.source.weights_of_rows import check_labels, weights_of_rows
from dem.source.xarray_values import only_valid, stored_array
from dem.source.zarr import zarr_source
from dem.source.zarr_rows import ZarrRows

LAZY_BYTES = 16 * 2**20
"""Bytes of a variable that are read at a time, where the data have no chunks."""
IMPORT_BYTES = 113 * 2**20
"""Memory that a worker needs to import xarray, in bytes."""


def variables_in(data: Any, names: Any = None) -> dict[str, Any]:
    """Return the variables of a Dataset (see `choose_variables`), or a DataArray, by name.

    Raises
    ------
    ValueError
        There is no such variable, or no variable at all.
    """
    if not is_dataset(data):
        return {str(data.name or "value"): data}
    unnamed = [name for name in (*data.variables, *data.dims) if not isinstance(name, str)]
    if unnamed:
        raise ValueError(f"The Dataset has the name {unnamed[0]!r}, which is not text: rename it by .rename().")
    attributes = {name: array.attrs for name, array in data.data_vars.items()}
    return {name: data[name] for name in choose_variables(names, attributes, data.coords, "the Dataset")}


@dataclass(frozen=True)
class Labels:
    """The names of rows and columns.

    Attributes
    ----------
    name : str
        The name of the data in messages.
    rows : Rows
    columns : Columns
    coordinates : XarrayCoordinates
    """

    name: str
    rows: Rows
    columns: Columns
    coordinates: XarrayCoordinates


def xarray_source(data: Any, weights: Any, sample_dims: SampleDims, variables: Any, options: ReadOptions) -> Source:
    """Return the source of a Dataset or DataArray; see `dem.open_source`."""
    if hasattr(data, "children"):
        raise TypeError("a DataTree has several Datasets: pass one of them, as in tree['group'].to_dataset()")
    arrays = variables_in(data, variables)
    about = [described(name, array) for name, array in arrays.items()]
    name = "the Dataset" if is_dataset(data) else f"the DataArray {next(iter(arrays))!r}"
    dims = find_sample_dims(about, sample_dims, name)
    along = {str(dim): data[dim].values for dim in data.dims if dim in data.coords}
    check_labels(weights, along)
    labels = Labels(
        name,
        Rows(tuple(about[0].size(dim) for dim in dims), dims),
        columns_along(data, about, dims),
        XarrayCoordinates(_coordinates(data, dims)),
    )
    stored = [stored_array(array, options.missing_value) for array in arrays.values()]
    if None not in stored:
        variables = stored_variables([a for a in stored if a is not None], about, dims, options)
        own = stored_weights(weights, labels.rows, require_chunks=options.require_chunks)
        w = weights_of_rows(weights, labels.rows) if own is None else own
        whole = variables[0].name if len(variables) == 1 else name
        return zarr_source(ZarrRows(variables, labels.rows, whole), w, labels.columns, labels.coordinates, options)
    ordered = [array.transpose(*dims, *(d for d in array.dims if d not in dims)) for array in arrays.values()]
    in_memory = all(_in_memory(array) for array in ordered)
    if not in_memory:
        ordered = [array if array.chunks is not None else array.chunk(_lazy_chunks(array, dims)) for array in ordered]
    if options.missing_value is None:
        ordered = [only_valid(array) for array in ordered]
    if in_memory:
        return _memory_source([array.values for array in ordered], weights, labels, options)
    return _dask_source([array.data for array in ordered], weights, labels, options)


def _memory_source(arrays: Sequence[Array], weights: Any, labels: Labels, options: ReadOptions) -> MemorySource:
    """Return the source of arrays in memory, whose first dimensions are the sample dimensions."""
    flat = [array.reshape(labels.rows.size, -1) for array in arrays]
    x = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1, dtype=common_dtype([a.dtype for a in flat]))
    w = weights_of_rows(weights, labels.rows)
    flat_weights = None if w is None else w.reshape(-1)
    return replace(
        open_memory(x, flat_weights, options),
        name=labels.name,
        given_rows=labels.rows,
        given_columns=labels.columns,
        coordinates=labels.coordinates,
    )


def _dask_source(arrays: Sequence[da.Array], weights: Any, labels: Labels, options: ReadOptions) -> DaskSource:
    """Return the source of Dask arrays, whose first dimensions are the sample dimensions."""
    w = weights_of_rows(weights, labels.rows)
    return replace(
        boxes_of_dask(arrays, labels.rows, w, options),
        name=labels.name,
        given_columns=labels.columns,
        coordinates=labels.coordinates,
        import_bytes=IMPORT_BYTES,
    )


def columns_along(data: Any, about: Sequence[NamedArray], dims: Sequence[str]) -> Columns:
    """Return the columns of variables of an xarray object, given their descriptions and the sample dimensions."""
    others = dict.fromkeys(dim for array in about for dim in array.dims if dim not in dims)
    return columns_of(about, dims, {dim: _labels(data[dim].values) for dim in others if dim in data.coords})


def described(name: str, array: Any) -> NamedArray:
    """Return the description of a DataArray."""
    if not isinstance(array.dtype, np.dtype):  # one of pandas
        raise ValueError(f"Expected real numbers, but {name!r} has dtype {array.dtype}: convert it to a float dtype.")
    return NamedArray(name, tuple(map(str, array.dims)), tuple(array.shape), np.dtype(array.dtype), array.attrs)


def _coordinates(data: Any, dims: tuple[str, ...]) -> Any:
    """Return a Dataset of the coordinates that have only sample dimensions."""
    kept = [name for name, coordinate in data.coords.items() if coordinate.dims and set(coordinate.dims) <= set(dims)]
    dataset = data if is_dataset(data) else data.to_dataset(name="_values")
    return dataset[[]].reset_coords(drop=True).assign_coords({name: data.coords[name] for name in kept})


def _labels(values: Array) -> list[Any]:
    """Return the values of a coordinate; those of a stacked dimension, which are tuples, as text."""
    if values.dtype != object or not isinstance(values[0], tuple):  # no dimension has length 0
        return list(values)
    return [f"({', '.join(map(in_words, value))})" for value in values]


def _in_memory(array: Any) -> bool:
    return bool(array.variable._in_memory)


def _lazy_chunks(array: Any, dims: tuple[str, ...]) -> Mapping[str, int]:
    """Return the chunks in which an array is read: those of the file, or along the first dimension `LAZY_BYTES`."""
    preferred = array.encoding.get("preferred_chunks") or {}
    sides = {dim: int(preferred.get(dim, array.sizes[dim])) for dim in array.dims}
    first = dims[0]
    others = math.prod(n for dim, n in sides.items() if dim != first) * array.dtype.itemsize
    step = sides[first] if first in preferred else 1
    sides[first] = min(array.sizes[first], max(1, LAZY_BYTES // max(1, step * others)) * step)
    return sides


def stored_weights(weights: Any, rows: Rows, *, require_chunks: bool = False) -> StoredWeights | None:
    """Return weights that are in a Zarr store and have all sample dimensions; None for all others."""
    dims = rows.dims or ()
    if not is_xarray(weights) or set(weights.dims) != set(dims) or weights.transpose(*dims).shape != rows.shape:
        return None
    stored = stored_array(weights)
    if stored is None:
        return None
    return StoredWeights.of(stored, require_chunks, tuple(weights.dims.index(dim) for dim in dims))
