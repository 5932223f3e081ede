"""reg_covar, the number added to variances so that none becomes 0; by default a share of each column's variance.

The same number for all columns would not fit their units, such as pressure in Pa and salinity in kg/kg.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dem.core.block import Float
from dem.scan.scanner import Scan

SHARE = 1e-6
"""The default, as a share of each column's variance."""
CONSTANT = 1e-6
"""The default for a column without variance."""


@dataclass(frozen=True)
class FromData:
    """The default `reg_covar`, computed from the data.

    Attributes
    ----------
    values : float or array of shape (d,)
        In squared units of the columns; one number if all columns share a variance.
    """

    values: float | Float


RegCovar: TypeAlias = float | FromData | None
"""A number set by the user; or None: the default, not computed yet; or `FromData`: the default, computed."""


def check_given_reg_covar(reg_covar: RegCovar) -> None:
    """Check a `reg_covar` that a user gave.

    Raises
    ------
    ValueError
        If it is a negative or infinite number.
    """
    if isinstance(reg_covar, int | float) and not 0 <= reg_covar < np.inf:
        raise ValueError(f"reg_covar must be None or a finite number >= 0, got {reg_covar!r}")


def column_reg_covar(reg_covar: RegCovar, scan: Scan) -> RegCovar:
    """Return `reg_covar` with a default computed from the data: one number for each column.

    Parameters
    ----------
    reg_covar : float, FromData or None
    scan : Scan
        The data. The default is 1e-6 times the column's variance over all rows, and 1e-6 for a constant column.

    Returns
    -------
    float or FromData
        The number set by the user, or the default.
    """
    if not (reg_covar is None or isinstance(reg_covar, FromData)):
        return reg_covar
    variances, constant = scan.moments.variances, scan.constant
    return FromData(np.where(constant, CONSTANT, SHARE * variances))


def shared_reg_covar(reg_covar: RegCovar, scan: Scan, widest: int = 0) -> RegCovar:
    """Return `reg_covar` for a variance shared by all columns: by default 1e-6 times the mean of their variances.

    Parameters
    ----------
    reg_covar, scan
        See `column_reg_covar`.
    widest : int
        This number of columns, those of largest variance, do not count in the mean, unless the others are constant.
    """
    if not (reg_covar is None or isinstance(reg_covar, FromData)):
        return reg_covar
    variances, constant = scan.moments.variances, scan.constant
    if constant.all():
        return FromData(CONSTANT)
    ascending = np.sort(np.where(constant, 0.0, variances))
    narrow = ascending[: len(ascending) - widest]
    return FromData(SHARE * float(narrow.mean() if narrow.any() else ascending.mean()))


def reg_covar_values(reg_covar: RegCovar) -> float | Float:
    """Return the numbers to add to the variances: one number, or (d,).

    Raises
    ------
    ValueError
        If the default is used and is not computed yet.
    """
    if reg_covar is None:
        raise ValueError(
            "reg_covar is not known, because it depends on the data: call bind(scan, frame) of the family first"
        )
    return reg_covar.values if isinstance(reg_covar, FromData) else reg_covar
