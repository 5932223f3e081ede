"""What is added to variances so that none falls to 0: a number, or by default a share of each column's own variance.

The same number for every column would mean something else in every unit: pressure in Pa, salinity in kg/kg.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.scan.scanner import Scan

SHARE = 1e-6
"""Of each column's variance, by default."""
CONSTANT = 1e-6
"""Of a column without any variance, by default: it has no unit to go by."""
ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""A deviation that is a smaller share of a column's largest magnitude is the rounding of its mean."""


@dataclass(frozen=True)
class FromData:
    """The default `reg_covar`, as the data tell it; other data tell another.

    Attributes
    ----------
    values : float or array of shape (d,)
        In the columns' units squared; one number for a variance that all columns share.
    """

    values: float | Float


RegCovar: TypeAlias = float | FromData | None
"""A number that the user has set; None for the default, before the data are known; the default."""


def column_reg_covar(reg_covar: RegCovar, scan: Scan) -> RegCovar:
    """Return what is added to the variance of each column.

    Parameters
    ----------
    reg_covar : float, FromData or None
    scan : Scan
        Of the data that are to tell the default: 1e-6 times the column's variance over all rows, and 1e-6 for a column
        that is constant.

    Returns
    -------
    float or FromData
        The number that was set, or the default.
    """
    if not (reg_covar is None or isinstance(reg_covar, FromData)):
        return reg_covar
    variances, constant = _variances(scan)
    return FromData(np.where(constant, CONSTANT, SHARE * variances))


def shared_reg_covar(reg_covar: RegCovar, scan: Scan, widest: int = 0) -> RegCovar:
    """Return what is added to a variance that all columns share: by default 1e-6 times the mean of their variances.

    Parameters
    ----------
    reg_covar, scan
        See `column_reg_covar`.
    widest : int
        So many columns of largest variance are left out of the mean, unless the others are constant.
    """
    if not (reg_covar is None or isinstance(reg_covar, FromData)):
        return reg_covar
    variances, constant = _variances(scan)
    if constant.all():
        return FromData(CONSTANT)
    ascending = np.sort(np.where(constant, 0.0, variances))
    narrow = ascending[: len(ascending) - widest]
    return FromData(SHARE * float(narrow.mean() if narrow.any() else ascending.mean()))


def reg_covar_values(reg_covar: RegCovar) -> float | Float:
    """Return what is added to variances: one number, or (d,).

    Raises
    ------
    ValueError
        If the data are to tell, and are not known.
    """
    if reg_covar is None:
        raise ValueError("the family is not bound to data, which tell its reg_covar: call bind(scan, frame) first")
    return reg_covar.values if isinstance(reg_covar, FromData) else reg_covar


def _variances(scan: Scan) -> tuple[Float, NDArray[np.bool_]]:
    """Return the variances (d,) of the columns, and which of them are constant."""
    variances = scan.moments.variances
    magnitude = np.maximum(np.abs(scan.low), np.abs(scan.high))
    return variances, np.sqrt(variances) <= ROUNDING * magnitude
