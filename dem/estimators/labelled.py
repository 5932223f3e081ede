"""Row-wise outputs of xarray objects as xarray objects: with the dimensions, coordinates and attributes of the data.

xarray is imported when it is needed, by functions that get or return its objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dem.core.columns import Columns
from dem.em.row_output import RowOutput
from dem.results.output_attributes import MISSING_LABEL, array_name, output_attributes
from dem.source.containers import is_dataset
from dem.source.variables import RESULT_MARK
from dem.source.xarray_data import columns_along, described


def label_rows(values: Any, output: RowOutput, X: Any, sample_dims: Sequence[str], columns: Columns) -> Any:
    """Return an output of the rows of an xarray object as an xarray object.

    Parameters
    ----------
    values : NumPy or Dask array of shape (*sample_shape,) or (*sample_shape, columns)
    output : RowOutput
    X : xarray.Dataset or xarray.DataArray
        The data.
    sample_dims : sequence of str
        The dimensions along which rows lie, in the order of the axes of `values`.
    columns : Columns
        The columns of the rows: all or some of those of X.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Outputs with the columns of the data have the form of the data; all other outputs are DataArrays. They are lazy
        if `values` is a Dask array.
    """
    if output.axis == "column" and output.columns is not None:
        return _like_data(values, output, X, tuple(sample_dims), columns)
    return _of_rows(values, output, X, tuple(sample_dims))


def _of_rows(values: Any, output: RowOutput, X: Any, sample_dims: tuple[str, ...]) -> Any:
    """Return a DataArray with the sample dimensions, their coordinates, and a dimension for the columns."""
    import xarray

    other = [name for name, coordinate in X.coords.items() if not set(coordinate.dims) <= set(sample_dims)]
    coordinates = X.coords.to_dataset().drop_vars(other)
    taken = {*sample_dims, *map(str, coordinates.coords)}
    dims = sample_dims
    if output.columns is not None:
        axis = output.axis if output.axis not in taken else f"{output.name}_{output.axis}"
        dims = (*sample_dims, axis)
        if output.axis == "component":
            coordinates = coordinates.assign_coords({axis: np.arange(output.columns)})
    name = array_name(output.name, {*taken, *dims})
    attributes = {RESULT_MARK: output.word, **output_attributes(output)}
    found = xarray.DataArray(values, dims=dims, coords=coordinates.coords, name=name, attrs=attributes)
    if output.n_labels is not None:
        found.encoding["_FillValue"] = MISSING_LABEL
    return found


def _like_data(values: Any, output: RowOutput, X: Any, sample_dims: tuple[str, ...], columns: Columns) -> Any:
    """Return the values in the form of the data: each variable with its own dimensions, coordinates and attributes.

    Variables of a Dataset that are not among the data stay as they are in filled-in data, and are left out of
    deviations. So do columns that are not among them; their deviations are NaN.
    """
    if not is_dataset(X):
        (name,) = columns.variables
        return _like_variable(values, output, name, X, sample_dims, columns)
    found = {name: _like_variable(values, output, name, X[name], sample_dims, columns) for name in columns.variables}
    return (X if output.name == "filled" else X[list(found)]).assign(found).drop_encoding()


def _like_variable(
    values: Any, output: RowOutput, name: str, variable: Any, sample_dims: tuple[str, ...], columns: Columns
) -> Any:
    """Return the DataArray of a variable with the values (*sample_shape, columns) that belong to it."""
    others = [dim for dim in variable.dims if dim not in sample_dims]
    order = [*sample_dims, *others]
    numbers = {column.at: j for j, column in enumerate(columns) if column.variable == name}
    every = [numbers.get(column.at) for column in columns_along(variable, [described(name, variable)], sample_dims)]
    if None in every:
        own = variable.transpose(*order).data.reshape(*values.shape[:-1], -1)
        rest = own if output.name == "filled" else own * np.nan
        parts = [rest[..., i] if j is None else values[..., j] for i, j in enumerate(every)]
        entries = np.stack(parts, axis=-1)  # lazy if a part is
    else:
        entries = values[..., _as_slice(every)]
    entries = entries.reshape(values.shape[:-1] + tuple(variable.sizes[dim] for dim in others))
    found = variable.copy(data=entries.transpose([order.index(dim) for dim in variable.dims])).drop_encoding()
    if output.name != "filled":
        units = {"units": variable.attrs["units"]} if "units" in variable.attrs else {}
        found.attrs = {**output_attributes(output), **units}
    return found


def _as_slice(numbers: list[Any]) -> Any:
    """Return the numbers of columns, as a slice if they follow each other: it copies nothing."""
    first = numbers[0]
    return slice(first, first + len(numbers)) if numbers == list(range(first, first + len(numbers))) else numbers
