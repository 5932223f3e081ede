"""What is written for an output: its arrays, their axes and attributes, before their place is known.

Rows are labelled if the data name their dimensions and variables, as xarray does (see `is_labelled`). Results for
labelled rows are named arrays with attributes by the CF conventions. Results for other rows, such as those of a matrix,
are one array.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dem.core.column_grid import column_grids
from dem.em.row_output import RowOutput
from dem.results.axes import Axis
from dem.results.output_attributes import output_attributes, variable_attributes
from dem.source import Source
from dem.source.coordinates import NO_COORDINATES, Coordinates
from dem.source.stores import dimension_names
from dem.source.zarr import ZarrSource


@dataclass(frozen=True)
class ArrayPlan:
    """An array of results.

    Attributes
    ----------
    name : str
        Its name in a group of results.
    axes : tuple of Axis
    chunks : tuple of int
    dtype : str
    columns : slice or None
        The columns of the results that it has; None: all of them, or the results have no columns.
    attributes : mapping
    has_labels : bool
        The results are labels.
    """

    name: str
    axes: tuple[Axis, ...]
    chunks: tuple[int, ...]
    dtype: str
    columns: slice | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    has_labels: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The extent along each axis."""
        return tuple(axis.size for axis in self.axes)


@dataclass(frozen=True)
class OutputPlan:
    """The arrays of an output.

    Attributes
    ----------
    arrays : tuple of ArrayPlan
        One, or one for each variable of the data.
    labelled : bool
        The rows are labelled.
    coordinates : Coordinates
        The coordinates of the rows.
    """

    arrays: tuple[ArrayPlan, ...]
    labelled: bool = False
    coordinates: Coordinates = NO_COORDINATES

    @property
    def identity(self) -> list[Any]:
        """What determines the arrays besides the results, valid in JSON."""
        arrays = [[array.name, array.shape, array.chunks, array.dtype] for array in self.arrays]
        return [self.labelled, arrays]


def is_labelled(source: Source) -> bool:
    """Whether the data name the dimensions of the rows, and there are several of them or the data name the columns.

    A matrix is not labelled: names of its two axes alone say nothing about its columns.
    """
    rows = source.rows
    return rows is not None and rows.dims is not None and (len(rows.dims) > 1 or source.columns.named)


def output_plan(source: Source, output: RowOutput, row_chunks: tuple[int, ...]) -> OutputPlan:
    """Return what is written for an output of the rows of a source.

    Parameters
    ----------
    source : Source
        Its number of rows is known.
    output : RowOutput
    row_chunks : tuple of int
        The extents of a chunk along the sample dimensions.
    """
    assert source.rows is not None
    names = source.rows.dims or (None,) * len(source.rows.shape)
    rows = tuple(Axis(size, "row", name) for size, name in zip(source.rows.shape, names, strict=True))
    if not is_labelled(source):
        inner = () if output.columns is None else (Axis(output.columns, "column", _column_dim(source, output)),)
        return OutputPlan((_array(output, output.name, rows + inner, row_chunks),))
    of_data = output.axis == "column" and output.columns == source.n_columns
    arrays = _of_variables(source, output, rows, row_chunks) if of_data else (_labelled(output, rows, row_chunks),)
    return OutputPlan(arrays, True, source.coordinates)


def _array(output: RowOutput, name: str, axes: tuple[Axis, ...], row_chunks: tuple[int, ...], **more: Any) -> ArrayPlan:
    """Return the array; it has one chunk along the axes after the sample dimensions."""
    chunks = (*row_chunks, *(axis.size for axis in axes[len(row_chunks) :]))
    return ArrayPlan(name, axes, chunks, output.dtype.str, has_labels=output.n_labels is not None, **more)


def _labelled(output: RowOutput, rows: tuple[Axis, ...], row_chunks: tuple[int, ...]) -> ArrayPlan:
    """Return the array of results that have no columns of the data."""
    inner: tuple[Axis, ...] = ()
    if output.columns is not None:
        labels = tuple(range(output.columns)) if output.axis == "component" else None
        inner = (Axis(output.columns, output.axis, output.axis, labels),)
    return _array(output, output.name, rows + inner, row_chunks, attributes=output_attributes(output))


def _of_variables(
    source: Source, output: RowOutput, rows: tuple[Axis, ...], row_chunks: tuple[int, ...]
) -> tuple[ArrayPlan, ...]:
    """Return the arrays of results that have the columns of the data: one for each variable."""
    grids, arrays = column_grids(source.columns), []
    for grid in grids:
        name = output.name if len(grids) == 1 else grid.variable
        labels = grid.labels if source.columns.named else (None,) * len(grid.dims)
        inner = tuple(Axis(n, dim, dim, of) for n, dim, of in zip(grid.shape, grid.dims, labels, strict=True))
        attributes = variable_attributes(output, grid)
        arrays.append(_array(output, name, rows + inner, row_chunks, columns=grid.columns, attributes=attributes))
    return tuple(arrays)


def _column_dim(source: Source, output: RowOutput) -> str | None:
    """Return the name of the second axis of a matrix in a Zarr store, if the results have its columns."""
    if output.axis != "column" or output.columns != source.n_columns or not isinstance(source, ZarrSource):
        return None
    variable = source.handle.variables[0]
    return dimension_names(variable.array)[1] if variable.is_matrix else None
