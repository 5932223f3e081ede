"""xarray objects as a source: in memory, in a Zarr store, or lazy in any other way (Dask, NetCDF).

Arrays of a Zarr store are read from the store itself, so that workers do not need xarray.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import zarr

from dem.core.block import Array
from dem.core.columns import Columns
from dem.core.rows import Rows
from dem.source.containers import is_xarray
from dem.source.coordinates import XarrayCoordinates
from dem.source.dask_array import DaskSource
from dem.source.dask_boxes import boxes_of_dask
from dem.source.decode import decoding_of_array
from dem.source.dimensions import NamedArray, SampleDims, columns_of, common_dtype, find_sample_dims, in_words
from dem.source.group import RESULT_MARK
from dem.source.in_memory import MemorySource, open_memory
from dem.source.read_options import ReadOptions
from dem.source.source import Source
from dem.source.stores import store_name
from dem.source.variable import Variable
from dem.source.weights import StoredWeights
from dem.source.weights_of_rows import check_labels, weights_of_rows
from dem.source.zarr import PARTITION_BYTES, ZarrSource
from dem.source.zarr_rows import ZarrRows

LAZY_BYTES = 16 * 2**20
"""Bytes of a variable that are read at a time, where the data have no chunks."""
IMPORT_BYTES = 113 * 2**20
"""Memory that a worker needs to import xarray, in bytes."""


def variables_in(data: Any, names: Any = None) -> dict[str, Any]:
    """Return the variables of a Dataset (all but dem's results, or those with these names), or a DataArray, by name.

    Raises
    ------
    ValueError
        There is no such variable, or no variable at all.
    """
    if not hasattr(data, "data_vars"):
        return {str(data.name or "value"): data}
    unnamed = [name for name in (*data.variables, *data.dims) if not isinstance(name, str)]
    if unnamed:
        raise ValueError(f"The Dataset has the name {unnamed[0]!r}, which is not text: rename it by .rename().")
    given = [name for name, array in data.data_vars.items() if RESULT_MARK not in array.attrs]
    wanted = given if names is None else [names] if isinstance(names, str) else list(names)
    lacking = [name for name in wanted if name not in data.variables]
    if lacking or not wanted:
        raise ValueError(
            f"The Dataset has no {f'variable {lacking[0]!r}' if lacking else 'variables'}: it has "
            f"{', '.join(map(str, data.data_vars)) or 'none'}."
        )
    return {str(name): data[name] for name in wanted}


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
    about = [_described(name, array) for name, array in arrays.items()]
    name = "the Dataset" if hasattr(data, "data_vars") else f"the DataArray {next(iter(arrays))!r}"
    dims = find_sample_dims(about, sample_dims, name)
    along = {str(dim): data[dim].values for dim in data.dims if dim in data.coords}
    check_labels(weights, along)
    labels = Labels(
        name,
        Rows(tuple(about[0].size(dim) for dim in dims), dims),
        columns_of(about, dims, {dim: _labels(values) for dim, values in along.items() if dim not in dims}),
        XarrayCoordinates(_coordinates(data, dims)),
    )
    stored = [stored_array(array, options.missing_value) for array in arrays.values()]
    if None not in stored:
        axes = [array.axes(dims) for array in about]
        return _stored_source([a for a in stored if a is not None], axes, weights, labels, options)
    ordered = [array.transpose(*dims, *(d for d in array.dims if d not in dims)) for array in arrays.values()]
    if all(_in_memory(array) for array in ordered):
        return _memory_source([array.values for array in ordered], weights, labels, options)
    return _dask_source(ordered, weights, labels, options)


def _stored_source(
    arrays: Sequence[zarr.Array[Any]],
    axes: Sequence[tuple[int, ...]],
    weights: Any,
    labels: Labels,
    options: ReadOptions,
) -> ZarrSource:
    """Return the source of arrays in a Zarr store, with the axes of the sample dimensions of each."""
    variables = tuple(
        Variable(array, store_name(array), decoding_of_array(array, options.missing_value), of)
        for array, of in zip(arrays, axes, strict=True)
    )
    own = stored_weights(weights, labels.rows, require_chunks=options.require_chunks)
    return ZarrSource(
        ZarrRows(variables, labels.rows, variables[0].name if len(variables) == 1 else labels.name),
        weights_of_rows(weights, labels.rows) if own is None else own,
        options.partition_bytes or PARTITION_BYTES,
        require_chunks=options.require_chunks,
        given_columns=labels.columns,
        coordinates=labels.coordinates,
    )


def _memory_source(arrays: Sequence[Array], weights: Any, labels: Labels, options: ReadOptions) -> MemorySource:
    """Return the source of arrays in memory, whose first dimensions are the sample dimensions."""
    flat = [array.reshape(labels.rows.size, -1) for array in arrays]
    x = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1, dtype=common_dtype([a.dtype for a in flat]))
    w = weights_of_rows(weights, labels.rows)
    flat_weights = None if w is None else w.reshape(-1)
    source = open_memory(x, flat_weights, options.partition_bytes, missing_value=options.missing_value)
    return replace(
        source,
        name=labels.name,
        given_rows=labels.rows,
        given_columns=labels.columns,
        coordinates=labels.coordinates,
    )


def _dask_source(arrays: Sequence[Any], weights: Any, labels: Labels, options: ReadOptions) -> DaskSource:
    """Return the source of lazy DataArrays, whose first dimensions are the sample dimensions."""
    dims = labels.rows.dims or ()
    lazy = [array if array.chunks is not None else array.chunk(_lazy_chunks(array, dims)) for array in arrays]
    w = weights_of_rows(weights, labels.rows)
    source = boxes_of_dask([array.data for array in lazy], labels.rows, w, missing_value=options.missing_value)
    return replace(
        source,
        name=labels.name,
        given_columns=labels.columns,
        coordinates=labels.coordinates,
        import_bytes=IMPORT_BYTES,
    )


def _described(name: str, array: Any) -> NamedArray:
    if not isinstance(array.dtype, np.dtype):  # one of pandas
        raise ValueError(f"Expected real numbers, but {name!r} has dtype {array.dtype}: convert it to a float dtype.")
    return NamedArray(name, tuple(map(str, array.dims)), tuple(array.shape), np.dtype(array.dtype), array.attrs)


def _coordinates(data: Any, dims: tuple[str, ...]) -> Any:
    """Return a Dataset of the coordinates that have only sample dimensions."""
    kept = [name for name, coordinate in data.coords.items() if coordinate.dims and set(coordinate.dims) <= set(dims)]
    dataset = data.to_dataset(name="_values") if not hasattr(data, "data_vars") else data
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


def stored_array(array: Any, missing_value: float | None = None) -> zarr.Array[Any] | None:
    """Return the Zarr array that a DataArray reads, whole and as it is stored or decoded by CF; None for all others.

    It looks at xarray's private lazy arrays; where they are different from what is expected, the array is read through
    xarray.
    """
    data, decoded = array.variable._data, False
    for _ in range(20):
        kind = type(data).__name__
        if kind == "ZarrArrayWrapper":
            found = getattr(data, "_array", None)
            return (
                found if isinstance(found, zarr.Array) and _same_entries(found, array, decoded, missing_value) else None
            )
        if kind == "LazilyIndexedArray":
            key = getattr(getattr(data, "key", None), "tuple", (None,))
            if any(part != slice(None) for part in key):
                return None
        elif kind == "_ElementwiseFunctionArray":
            decoded = True
        elif kind not in ("MemoryCachedArray", "CopyOnWriteArray"):
            return None
        data = getattr(data, "array", None)
    return None


def _same_entries(found: zarr.Array[Any], array: Any, decoded: bool, missing_value: float | None) -> bool:
    """Whether dem decodes the entries as xarray does: a valid range is used by dem alone, `missing_value` too."""
    if found.shape != array.shape or missing_value is not None:
        return False
    decoding = decoding_of_array(found)
    if decoding is None or not decoded:
        return decoding is None and not decoded
    return decoding.low is None and decoding.high is None and decoding.scale == 1 and decoding.offset == 0


def stored_weights(weights: Any, rows: Rows, *, require_chunks: bool = False) -> StoredWeights | None:
    """Return weights that are in a Zarr store and have all sample dimensions; None for all others."""
    dims = rows.dims or ()
    if not is_xarray(weights) or set(weights.dims) != set(dims) or weights.transpose(*dims).shape != rows.shape:
        return None
    stored = stored_array(weights)
    if stored is None or decoding_of_array(stored) is not None:
        return None
    return StoredWeights(stored, require_chunks, tuple(weights.dims.index(dim) for dim in dims))
