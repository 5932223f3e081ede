"""Row-wise outputs of xarray objects as xarray objects: with the dimensions, coordinates and attributes of the data.

xarray is imported only here, in functions that get or return its objects.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dem.em.row_output import RowOutput
from dem.results.output_attributes import MISSING_LABEL, array_name, output_attributes


def label_rows(values: Any, output: RowOutput, X: Any, sample_dims: Sequence[str], variables: Sequence[str]) -> Any:
    """Return an output of the rows of an xarray object as an xarray object.

    Parameters
    ----------
    values : NumPy or Dask array of shape (*sample_shape,) or (*sample_shape, columns)
    output : RowOutput
    X : xarray.Dataset or xarray.DataArray
        The data.
    sample_dims : sequence of str
        The dimensions along which rows lie, in the order of the axes of `values`.
    variables : sequence of str
        The variables of a Dataset whose columns are the data, in order.

    Returns
    -------
    xarray.DataArray or xarray.Dataset
        Outputs with the columns of the data have the form of the data; all other outputs are DataArrays. They are lazy
        if `values` is a Dask array.
    """
    if output.axis == "column" and output.columns is not None:
        return _like_data(values, output, X, tuple(sample_dims), variables)
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
    found = xarray.DataArray(values, dims=dims, coords=coordinates.coords, name=name, attrs=output_attributes(output))
    if output.n_labels is not None:
        found.encoding["_FillValue"] = MISSING_LABEL
    return found


def _like_data(values: Any, output: RowOutput, X: Any, sample_dims: tuple[str, ...], variables: Sequence[str]) -> Any:
    """Return the values in the form of the data: each variable with its own dimensions, coordinates and attributes.

    Variables of a Dataset that are not among the data stay as they are in filled-in data, and are left out of
    deviations.
    """
    if not hasattr(X, "data_vars"):
        return _like_variable(values, output, X, sample_dims)
    found, start = {}, 0
    for name in variables:
        n = math.prod(size for dim, size in X[name].sizes.items() if dim not in sample_dims)
        found[name] = _like_variable(values[..., start : start + n], output, X[name], sample_dims)
        start += n
    return (X if output.name == "filled" else X[list(variables)]).assign(found).drop_encoding()


def _like_variable(values: Any, output: RowOutput, variable: Any, sample_dims: tuple[str, ...]) -> Any:
    """Return the DataArray with these values (*sample_shape, columns), where it had other values."""
    others = [dim for dim in variable.dims if dim not in sample_dims]
    order = [*sample_dims, *others]
    entries = values.reshape(values.shape[: len(sample_dims)] + tuple(variable.sizes[dim] for dim in others))
    found = variable.copy(data=entries.transpose([order.index(dim) for dim in variable.dims])).drop_encoding()
    if output.name != "filled":
        units = {"units": variable.attrs["units"]} if "units" in variable.attrs else {}
        found.attrs = {**output_attributes(output), **units}
    return found
