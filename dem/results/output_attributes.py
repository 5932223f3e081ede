"""The attributes of row outputs, by the CF conventions: xarray and others read units and the meaning of labels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from dem.core.column_grid import ColumnGrid
from dem.em.row_output import RowOutput

MISSING_LABEL = -1
"""The label of rows without any value, also used as the fill value on disk."""


def missing_result(dtype: DTypeLike) -> float:
    """Return the value of a missing result, also used as the fill value on disk: NaN for floats, -1 for labels."""
    return {"f": np.nan, "i": MISSING_LABEL}.get(np.dtype(dtype).kind, 0)


def array_name(name: str, taken: Iterable[str | None]) -> str:
    """Return the name of an array of results, given the names of its axes and of the coordinates of the rows.

    xarray would take an array with the name of an axis as the coordinates of this axis.
    """
    return f"{name}_output" if name in taken else name


def output_attributes(output: RowOutput) -> dict[str, Any]:
    """Return the attributes of an output, valid in JSON: `long_name`, `units`, and for labels the meaning of each."""
    found: dict[str, Any] = {"long_name": output.meaning}
    if output.units is not None:
        found["units"] = output.units
    if output.n_labels is not None:
        found["flag_values"] = list(range(output.n_labels))
        found["flag_meanings"] = " ".join(f"component_{k}" for k in range(output.n_labels))
    return found


def variable_attributes(output: RowOutput, grid: ColumnGrid) -> dict[str, Any]:
    """Return the attributes of the part of an output that has the shape of a variable of the data."""
    long_name = grid.long_name if output.name == "filled" else None  # deviations are another quantity
    of_variable = {"long_name": long_name, "units": grid.units}
    return {**output_attributes(output), **{name: text for name, text in of_variable.items() if text is not None}}
