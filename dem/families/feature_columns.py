"""The columns of a `FeatureMap`: numbers made of one column of the data each."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from dem.core.coordinate_frame import Frame

NO_MASK = -1
"""The number of the column that masks a column which nothing masks."""


class Op(Enum):
    """What a column is before its shift and scale."""

    ONE = "one"
    """1: always the first column."""
    X = "x"
    """x / argument."""
    LOG = "log"
    """log(x / argument), finite at 0: x / argument is at least the smallest normal number of the precision."""
    COS = "cos"
    SIN = "sin"
    EQUALS = "equals"
    """1 where x equals the argument, a code; else 0."""
    OBSERVED = "observed"
    """1 where there is a value, 0 where it is missing (NaN)."""
    SUM_OF_SQUARES = "sum of squares"
    """The sum of the squares of `argument` columns of this map, from the column `source` on."""


class Column(NamedTuple):
    """A column of a `FeatureMap`: (op(x) - shift) * scale.

    Attributes
    ----------
    op : Op
    source : int
        The column of the data; of `SUM_OF_SQUARES` the first column of this map.
    shift, scale : float
    argument : float
        What the op says.
    """

    op: Op
    source: int = 0
    shift: float = 0.0
    scale: float = 1.0
    argument: float = 1.0


ONE = Column(Op.ONE)


def in_frame(frame: Frame, op: Op = Op.X) -> tuple[Column, ...]:
    """Return a column for each column of the data, in the frame."""
    shifts, scales = frame.shift.tolist(), frame.scale.tolist()
    return tuple(Column(op, j, shift, scale) for j, (shift, scale) in enumerate(zip(shifts, scales, strict=True)))
