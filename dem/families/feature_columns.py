"""The columns of a `FeatureMap`: each is computed from one column of the data."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from dem.core.coordinate_frame import Frame

NO_MASK = -1
"""The entry of `FeatureMap.masks` for a feature without a mask."""


class Op(Enum):
    """The function that gives a column, before its shift and scale."""

    ONE = "one"
    """The constant 1: always the first column."""
    X = "x"
    """x / argument."""
    LOG = "log"
    """log(x / argument); x / argument is raised to the smallest normal number, so that it is finite at 0."""
    COS = "cos"
    SIN = "sin"
    EQUALS = "equals"
    """1 if x equals the argument, a code; otherwise 0."""
    OBSERVED = "observed"
    """1 if there is a value, 0 if it is missing (NaN)."""
    SUM_OF_SQUARES = "sum of squares"
    """The sum of squares of `argument` columns of this map; the first is the column `source`."""


class Column(NamedTuple):
    """A column of a `FeatureMap`: (op(x) - shift) * scale.

    Attributes
    ----------
    op : Op
    source : int
        The column of the data; for `SUM_OF_SQUARES` the first column of this map.
    shift, scale : float
    argument : float
        See the op.
    """

    op: Op
    source: int = 0
    shift: float = 0.0
    scale: float = 1.0
    argument: float = 1.0


ONE = Column(Op.ONE)


def in_frame(frame: Frame, op: Op = Op.X) -> tuple[Column, ...]:
    """Return one column for each column of the data, with the shift and scale of the frame."""
    shifts, scales = frame.shift.tolist(), frame.scale.tolist()
    return tuple(Column(op, j, shift, scale) for j, (shift, scale) in enumerate(zip(shifts, scales, strict=True)))
