"""Scaling of the columns: (x - shift) / scale, computed from the first scan, and what follows from it for the scan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.dtypes import float_dtype
from dem.scan.moments import ColumnMoments, Moments
from dem.scan.scanner import Scan
from dem.scan.support import Measured

PIECE = 2**14
"""Entries that are scaled in one step: they stay in the second-level cache of a core."""
BITS = 40
"""Bits of the scales; shifts are rounded to the same share of the scales, 1e-12."""
NORMAL_IQR = 1.3489795003921634
"""The interquartile range of the standard normal distribution."""


@dataclass(frozen=True)
class Scaling:
    """The map x -> (x - shift) / scale of rows, and its inverse.

    Attributes
    ----------
    shift, scale : array of shape (d,)
        Finite; the scales are positive.
    """

    shift: Float
    scale: Float

    def __call__(self, x: Array) -> Array:
        """Return the scaled rows of x (n, d), in the floating dtype of the rows. Missing values (NaN) stay missing.

        Each entry is computed in float64 and rounded once. It works on pieces that stay in the cache of a core.
        """
        out = np.empty(x.shape, float_dtype(x.dtype))
        step = min(len(x), max(1, PIECE // max(1, x[:1].size)))
        shift, scale = (np.tile(numbers, (step, 1)) for numbers in (self.shift, self.scale))  # rows may be short
        buffer = np.empty(shift.shape, np.result_type(x.dtype, np.float64))
        with np.errstate(over="ignore", invalid="ignore"):  # values out of range become infinite, which models refuse
            for start in range(0, len(x), max(1, step)):
                part = x[start : start + step]
                n = len(part)
                np.subtract(part, shift[:n], out=buffer[:n])
                np.divide(buffer[:n], scale[:n], out=out[start : start + n], casting="same_kind")
        return out

    def back(self, z: Array) -> Array:
        """Return rows in the data's units (n, d), given scaled rows, also of lazy arrays."""
        return z * self.scale + self.shift

    @property
    def log_volume(self) -> Float:
        """The logs of the scales, (d,): a density in the data's units has the log of the scaled one minus their sum."""
        return np.asarray(np.log(self.scale))

    def of_scan(self, scan: Scan) -> Scan:
        """Return the scan of the scaled rows, given that of the rows: no pass is needed.

        Its log base measure has minus the sum of the log scales of each row's observed values, so that densities are in
        the data's units.
        """
        dtype = float_dtype(scan.sample.x.dtype)
        low, high = (self(ends[None])[0].astype(dtype).astype(np.float64) for ends in (scan.low, scan.high))
        scaled = replace(
            scan,
            moments=self._of_moments(scan.moments),
            incomplete=self._of_columns(scan.incomplete),
            low=low,
            high=high,
            sample=replace(scan.sample, x=self(scan.sample.x)),
        )
        return self.with_log_base(scaled)

    def with_log_base(self, scan: Scan) -> Scan:
        """Return a scan of scaled rows with a log base measure that has minus the log scales of their observed values.

        So densities are in the data's units.
        """
        base = scan.measured.base - float(scan.observed.weight @ self.log_volume)
        return replace(scan, measured=Measured(base, scan.measured.outside))

    def _centre(self, centre: NDArray[np.longdouble]) -> NDArray[np.longdouble]:
        return np.asarray((centre - self.shift) / self.scale)

    def _of_moments(self, moments: Moments) -> Moments:
        two = moments.scatter.ndim == 2
        scatter = moments.scatter / self.scale[:, None] / self.scale if two else moments.scatter / self.scale**2
        return Moments(moments.weight, self._centre(moments.centre), scatter)

    def _of_columns(self, columns: ColumnMoments) -> ColumnMoments:
        centre = np.where(columns.weight > 0, self._centre(columns.centre), 0)
        return ColumnMoments(columns.rows, columns.weight, centre, columns.scatter / self.scale**2)


def _means(scan: Scan) -> Float:
    """Return the mean of each column, (d,)."""
    return scan.observed.centre.astype(np.float64)


def _variances(scan: Scan) -> Float:
    """Return the variance of each column, (d,); 0 for columns without spread."""
    return np.where(scan.constant, 0.0, scan.observed.variances)


def _standard(scan: Scan, variables: Sequence[str]) -> tuple[Float, Float]:
    """Return the means, and the standard deviations."""
    return _means(scan), np.sqrt(_variances(scan))


def _robust(scan: Scan, variables: Sequence[str]) -> tuple[Float, Float]:
    """Return the medians, and the interquartile ranges / 1.349, of the sample.

    Where the quartiles are equal, as in columns that are mostly 0, it is the standard deviation.
    """
    middle, spread = _standard(scan, variables)
    for j, column in enumerate(np.asarray(scan.sample.x, dtype=np.float64).T):
        seen = ~np.isnan(column)
        if seen.any():
            low, middle[j], high = quantiles(column[seen], scan.sample.weight[seen], (0.25, 0.5, 0.75))
            spread[j] = (high - low) / NORMAL_IQR if high > low else spread[j]
    return middle, spread


def _variable(scan: Scan, variables: Sequence[str]) -> tuple[Float, Float]:
    """Return the means, and for each variable the root of the mean variance of its columns."""
    _, number = np.unique(variables, return_inverse=True)
    mean = np.bincount(number, _variances(scan)) / np.bincount(number)
    return _means(scan), np.sqrt(mean)[number]


SCALINGS: Mapping[str, Callable[[Scan, Sequence[str]], tuple[Float, Float]]] = {
    "standard": _standard,
    "robust": _robust,
    "variable": _variable,
}
"""How shift and scale are computed, by the values of the setting `scale`."""


def scaling_of(kind: str, scan: Scan, variables: Sequence[str]) -> Scaling:
    """Return the scaling of the rows of a scan.

    Columns without spread are not shifted; they get the scale 1, or that of their variable. The numbers are rounded to
    `BITS` bits: the last bits of moments depend on the chunking, and a start on the scaled sample must not.

    Parameters
    ----------
    kind : str
        A name in `SCALINGS`.
    scan : Scan
        Each column must have at least one value.
    variables : sequence of str
        The variable of each column.
    """
    shift, scale = SCALINGS[kind](scan, variables)
    shift = np.where(scan.constant, 0.0, shift)
    mantissa, exponent = np.frexp(np.where(scale > 0, scale, 1.0))
    scale = np.ldexp(np.rint(np.ldexp(mantissa, BITS)), exponent - BITS)
    unit = np.ldexp(1.0, exponent - BITS)
    return Scaling(np.rint(shift / unit) * unit, scale)


def quantiles(values: Float, weight: Float, shares: Sequence[float]) -> Float:
    """Return weighted quantiles: the smallest value up to which the weights reach each share of their sum.

    A row of weight 2 counts as two rows. Without weights this is NumPy's method "inverted_cdf".

    Parameters
    ----------
    values, weight : array of shape (n,)
    shares : sequence of float
        Between 0 and 1.
    """
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weight[order])
    at = np.searchsorted(reached, np.asarray(shares) * reached[-1])
    return np.asarray(values[order[np.minimum(at, len(order) - 1)]])
