"""Which dimensions of named arrays make rows (the sample dimensions); the others make columns."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np

from dem.core.columns import Column, Columns
from dem.core.dtypes import float_dtype
from dem.source.checks import check_dtype
from dem.source.frames import is_frame, is_lazy_frame

SampleDims = str | Sequence[str] | None


@dataclass(frozen=True)
class NamedArray:
    """What is known about an array with named dimensions, without its entries.

    Attributes
    ----------
    name : str
    dims : tuple of str
    shape : tuple of int
    dtype : numpy.dtype
    attributes : mapping
        `units` and `long_name` describe its columns.
    """

    name: str
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def axes(self, dims: Sequence[str]) -> tuple[int, ...]:
        """Return the axis of each of these dimensions."""
        return tuple(self.dims.index(dim) for dim in dims)

    def size(self, dim: str) -> int:
        """Return the extent along a dimension."""
        return self.shape[self.dims.index(dim)]


def find_sample_dims(arrays: Sequence[NamedArray], sample_dims: SampleDims, name: str) -> tuple[str, ...]:
    """Return the sample dimensions, after checks that all arrays have them, with the same extents.

    Parameters
    ----------
    arrays : sequence of NamedArray
    sample_dims : str, sequence of str, or None
        If None, the arrays must have one dimension only.
    name : str
        The name of the data in messages.

    Raises
    ------
    ValueError
        It is not clear which dimensions make rows, or an array does not have them, or is empty.
    TypeError
        `sample_dims` are not names.
    """
    sizes = {dim: array.size(dim) for array in arrays for dim in array.dims}
    dims = _named_dims(sizes, sample_dims, name)
    for array in arrays:
        if len(set(array.dims)) < len(array.dims):
            raise ValueError(
                f"{array.name!r} in {name} has the same dimension twice ({', '.join(array.dims)}): rename one."
            )
        for dim in dims:
            if dim not in array.dims:
                raise ValueError(
                    f"{array.name!r} in {name} has no dimension {dim!r}: it has {', '.join(array.dims) or 'none'}. "
                    "All variables need the sample dimensions: choose variables without this one (variables=, "
                    "--variables), or broadcast it."
                )
            if array.size(dim) != sizes[dim]:
                raise ValueError(f"{dim!r} has different lengths in {name}: {array.size(dim):,} and {sizes[dim]:,}.")
        check_dtype(array.dtype, f"{array.name!r} in {name}")
    for dim, size in sizes.items():
        if size == 0:
            raise ValueError(f"{name} is empty: its dimension {dim!r} has length 0.")
    return dims


def _named_dims(sizes: Mapping[str, int], sample_dims: SampleDims, name: str) -> tuple[str, ...]:
    """Return the sample dimensions, given the length of all dimensions; see `find_sample_dims`."""
    if not sizes:
        raise ValueError(f"{name} has no dimensions: a model needs rows.")
    listed = ", ".join(f"{dim} ({size:,})" for dim, size in sizes.items())
    if sample_dims is None:
        if len(sizes) == 1:
            return tuple(sizes)
        raise ValueError(
            f"{name} has the dimensions {listed}: say which of them make rows, as in "
            f"sample_dims={next(iter(sizes))!r} (--sample-dims); the others make columns."
        )
    single = isinstance(sample_dims, str) or not isinstance(sample_dims, Iterable)
    dims: tuple[Any, ...] = (sample_dims,) if single else tuple(sample_dims)
    if not dims or not all(isinstance(dim, str) for dim in dims) or len(set(dims)) < len(dims):
        raise TypeError(f"sample_dims must be the name of a dimension, or several different names, got {sample_dims!r}")
    for dim in dims:
        if dim not in sizes:
            near = get_close_matches(dim, sizes, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name} has no dimension {dim!r}: it has {listed}.{hint}")
    return tuple(map(str, dims))  # not NumPy's


def check_unnamed(data: Any, sample_dims: SampleDims = None, variables: Any = None) -> None:
    """Raise TypeError if dimensions or variables are chosen by name for data that have no names."""
    if sample_dims is None and variables is None:
        return
    if isinstance(data, str | os.PathLike) or is_frame(data) or is_lazy_frame(data):
        raise TypeError(
            "sample_dims and variables are for xarray objects and Zarr groups. A table has rows and columns: leave "
            "them out, and choose columns by columns=[...] (--columns)."
        )
    raise TypeError(
        f"sample_dims and variables choose dimensions and arrays by name, but data of the type {type(data).__name__} "
        "have no names: pass an xarray object, or the path of a Zarr group."
    )


def columns_of(
    arrays: Sequence[NamedArray], sample_dims: Sequence[str], labels: Mapping[str, Sequence[Any]]
) -> Columns:
    """Return the columns: those of each array in turn, in C order over its other dimensions.

    Parameters
    ----------
    arrays : sequence of NamedArray
    sample_dims : sequence of str
    labels : mapping
        The coordinate values along dimensions; the others are numbered.
    """
    found = []
    for array in arrays:
        others = [dim for dim in array.dims if dim not in sample_dims]
        values = [labels.get(dim, range(array.size(dim))) for dim in others]
        units, long_name = (array.attributes.get(key) for key in ("units", "long_name"))
        for at in itertools.product(*values):
            places = tuple(zip(others, at, strict=True))
            inside = ", ".join(f"{dim}={in_words(value)}" for dim, value in places)
            name = f"{array.name}({inside})" if inside else array.name
            found.append(Column(name, array.name, places, _text(units), _text(long_name)))
    return Columns(tuple(found))


def in_words(value: Any) -> str:
    """Return a coordinate value as text: "10", "2020-01-31", "winter". Different values have different texts."""
    if isinstance(value, float | np.floating):
        short = f"{float(value):g}"
        return short if type(value)(short) == value or np.isnan(value) else str(value).removesuffix(".0")
    if isinstance(value, np.datetime64):
        whole = value.astype("datetime64[s]")
        return str(whole).removesuffix("T00:00:00") if whole == value or np.isnat(value) else str(value).rstrip("0")
    return str(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def common_dtype(dtypes: Sequence[np.dtype[Any]]) -> np.dtype[Any]:
    """Return the dtype of rows of columns with these dtypes; that of one dtype is itself."""
    if len(set(dtypes)) == 1:
        return dtypes[0]
    if any(dtype.kind == "f" for dtype in dtypes):
        dtypes = [float_dtype(dtype) for dtype in dtypes]
    return np.result_type(*dtypes)
