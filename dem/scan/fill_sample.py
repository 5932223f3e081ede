"""Fill the missing values of the sample before EM begins, and adjust the moments of the scan to match.

First parameters are chosen from complete rows, and there may be none. So each missing entry of the sample gets the
value of a donor: the nearest of the first rows of the sample that have a value in this column (k-nearest-neighbour
imputation with k = 1, Troyanskaya et al. 2001). A filled value is always a value of the column, so counts stay counts
and codes stay codes. Filled rows are used only for starts, frames and priors: EM itself works on the incomplete rows.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.linalg import power_of_two
from dem.scan.moments import ColumnMoments, Moments
from dem.scan.sample import Sample
from dem.scan.scanner import Scan

DONORS = 512
"""Number of sample rows from which values are taken."""
CHUNK_ROWS = 1024
"""Number of rows whose distances to the donors are in memory at one time."""
LACKED = 2.0
"""Squared distance added for a column that is missing in the donor: the mean of two random rows, in variances."""
TIE = 1e-6
"""Size of the random term added to distances. It breaks ties, so that rows without a near donor get different ones."""


def completed_scan(scan: Scan, sample: Sample | None = None) -> Scan:
    """Return the scan to which models are bound: its sample has no missing values, and its moments include all rows.

    The moments have the mean and variance of each column's observed values. A full scatter matrix gets the
    correlations of the filled sample. The counts of missing entries are kept.

    Parameters
    ----------
    scan : Scan
        Each column must have at least one value.
    sample : Sample, optional
        The filled sample, if it was already computed.
    """
    if not scan.lacking.any():
        return scan
    columns, sample = scan.observed, filled_sample(scan) if sample is None else sample
    scatter = columns.rows * columns.variances
    if scan.moments.scatter.ndim == 2:
        root = np.sqrt(scatter)
        scatter = _correlations(np.asarray(sample.x, dtype=np.float64), sample.weight) * np.outer(root, root)
    moments = Moments(columns.rows, columns.centre, scatter)
    return replace(scan, moments=moments, incomplete=ColumnMoments.none(scan.n_columns), sample=sample)


def filled_sample(scan: Scan) -> Sample:
    """Return the sample of the scan with all missing values filled."""
    sample = scan.sample
    return replace(sample, x=filled_rows(sample.x, scan.low, scan.high, sample.weight))


def filled_rows(x: Array, low: Float, high: Float, weight: Float | None = None) -> Array:
    """Return the rows x (n, d) with missing values filled from the nearest donors. Columns are standardised first.

    The result depends only on these rows, not on moments of the whole data, whose last bits depend on the chunking.
    If a column has no value in x, its entries are alternately the lowest and the highest value of the data.

    Parameters
    ----------
    x : array of shape (n, d)
    low, high : array of shape (d,)
        Lowest and highest values of the data from which the rows were drawn.
    weight : array of shape (n,) or None
        The weights of the rows.
    """
    out, missing = np.array(x), np.isnan(x)
    rng = np.random.default_rng(0)
    rows = np.asarray(x, dtype=np.float64)
    largest = np.fmax.reduce(np.abs(rows), axis=0, initial=0.0)
    rows = rows / power_of_two(np.where(largest > 0, largest, 1.0))  # squares must not overflow, whatever the units
    own = ColumnMoments.of(rows.T, ~missing.T, weight)
    deviation = np.sqrt(own.variances)
    z = (rows - own.centre.astype(np.float64)) / np.where(deviation > 0, deviation, np.inf)
    donors, has = _donors(missing)
    for j in np.flatnonzero(~has.any(axis=0)):
        out[::2, j], out[1::2, j] = low[j], high[j]
    wanted = np.flatnonzero(missing.any(axis=1))
    for start in range(0, len(wanted), CHUNK_ROWS):
        chunk = wanted[start : start + CHUNK_ROWS]
        distance = squared_distances(z[chunk], z[donors])
        distance += TIE * rng.random(distance.shape)
        for j in np.flatnonzero(missing[chunk].any(axis=0) & has.any(axis=0)):
            lacking = missing[chunk, j]
            givers = np.flatnonzero(has[:, j])
            nearest = givers[distance[np.ix_(lacking, givers)].argmin(axis=1)]
            out[chunk[lacking], j] = x[donors[nearest], j]
    return out


def squared_distances(a: Float, b: Float) -> Float:
    """Return the squared distances (n, m) between rows a (n, d) and rows b (m, d), over the observed columns of each a.

    A column that is missing in b adds `LACKED`. scikit-learn's ``nan_euclidean_distances`` instead scales up the
    distance over the common columns: then a donor with one common column that agrees by chance would be the nearest.
    """
    has_a, has_b = ~np.isnan(a), ~np.isnan(b)
    a, b = np.where(has_a, a, 0.0), np.where(has_b, b, 0.0)
    both = (a * a) @ has_b.T + has_a @ (b * b).T - 2 * (a @ b.T)
    return np.asarray(both + LACKED * (has_a @ (~has_b).T.astype(np.float64)))


def _donors(missing: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the numbers of the donor rows (m,), and a mask (m, d) of their observed columns.

    Donors are the first rows, and for columns that are missing in all of these, the first rows that have them.
    """
    first = np.arange(min(DONORS, len(missing)))
    lacking = np.flatnonzero(missing[first].all(axis=0) & ~missing.all(axis=0))
    more = [np.flatnonzero(~missing[:, j])[:8] for j in lacking]
    donors = np.unique(np.concatenate([first, *more]))
    return donors, ~missing[donors]


def _correlations(x: Float, weight: Float) -> Float:
    """Return the correlations (d, d) of the columns of x (n, d); 0 for constant columns."""
    centred = x - weight @ x / weight.sum()
    deviation = np.sqrt(weight @ centred**2)
    centred /= np.where(deviation > 0, deviation, 1.0)
    found = (centred * weight[:, None]).T @ centred
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
