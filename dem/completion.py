"""What models are told of data with missing values before EM begins: a sample without holes, and moments to match.

A start needs whole rows, and there may be none. So each missing entry of the sample is given the value of a donor: of
the first rows of the sample that have the column, the one nearest in the columns that both have (k-nearest-neighbour
imputation with k = 1, Troyanskaya et al. 2001). It is a value that the column does take, so that counts stay counts,
and codes codes. This serves starts, frames and priors alone: EM itself meets the rows with their holes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import nan_euclidean_distances

from dem.linalg import power_of_two
from dem.model import Array, Float
from dem.moments import Columns, Moments
from dem.scan import Scan

DONORS = 512
"""Rows of the sample that give values."""
CHUNK_ROWS = 1024
"""Rows whose distances to the donors are held at a time."""
FAR = 1e300
"""Donors that have no column in common with a row are taken at random, after all others."""


def completed(scan: Scan) -> Scan:
    """Return the scan as models are bound to it: without holes in its sample, and with moments of all rows.

    The moments have each column's mean and variance over its own values; where the whole scatter was asked for, its
    correlations are the sample's. How many entries are missing is kept.

    Parameters
    ----------
    scan : Scan
        Each column has some value.
    """
    if not scan.missing.any():
        return scan
    columns = scan.observed
    x = filled(scan.sample.x, columns, scan.low, scan.high)
    some = ~np.isnan(scan.sample.x).all(axis=1)
    keep = some if some.any() else ~some
    sample = replace(scan.sample, keys=scan.sample.keys[keep], x=x[keep], weight=scan.sample.weight[keep])
    scatter = columns.rows * columns.variances
    if scan.moments.scatter.ndim == 2:
        root = np.sqrt(scatter)
        scatter = _correlations(np.asarray(sample.x, dtype=np.float64), sample.weight) * np.outer(root, root)
    moments = Moments(columns.rows, columns.centre, scatter)
    return replace(scan, moments=moments, incomplete=Columns.none(scan.n_columns), sample=sample)


def filled(x: Array, columns: Columns, low: Float, high: Float) -> Array:
    """Return the rows x (n, d) with a value in every entry: that of the nearest donor.

    A column of which no row of x has a value takes its lowest and its highest, as often as makes its mean.

    Parameters
    ----------
    x : array of shape (n, d)
    columns : Columns
        Of the data from which the rows were drawn.
    low, high : array of shape (d,)
        Their ranges.
    """
    out, missing = np.array(x), np.isnan(x)
    rng = np.random.default_rng(0)
    mean, deviation = columns.centre.astype(np.float64), np.sqrt(columns.variances)
    with np.errstate(divide="ignore"):
        scale = np.where(deviation > 0, power_of_two(1 / np.where(deviation > 0, deviation, 1.0)), 0.0)
    z = (np.asarray(x, dtype=np.float64) - mean) * scale
    donors, has = _donors(missing)
    for j in np.flatnonzero(~has.any(axis=0)):
        share = (mean[j] - low[j]) / (high[j] - low[j]) if high[j] > low[j] else 0.0
        out[missing[:, j], j] = np.where(rng.random(missing[:, j].sum()) < share, high[j], low[j])
    wanted = np.flatnonzero(missing.any(axis=1))
    for start in range(0, len(wanted), CHUNK_ROWS):
        rows = wanted[start : start + CHUNK_ROWS]
        distance = nan_euclidean_distances(z[rows], z[donors])
        lost = np.isnan(distance)
        distance[lost] = FAR * (1 + rng.random(lost.sum()))
        for j in np.flatnonzero(missing[rows].any(axis=0) & has.any(axis=0)):
            lacking = missing[rows, j]
            givers = np.flatnonzero(has[:, j])
            nearest = givers[distance[np.ix_(lacking, givers)].argmin(axis=1)]
            out[rows[lacking], j] = x[donors[nearest], j]
    return out


def _donors(missing: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the rows that give values, and which columns they have (m, d).

    The first ones; and for columns that none of these has, the first that do.
    """
    first = np.arange(min(DONORS, len(missing)))
    lacking = np.flatnonzero(missing[first].all(axis=0) & ~missing.all(axis=0))
    more = np.unique([np.flatnonzero(~missing[:, j])[:8] for j in lacking] if len(lacking) else [])
    donors = np.concatenate([first, more.astype(np.intp)])
    return donors, ~missing[donors]


def _correlations(x: Float, weight: Float) -> Float:
    """Return the correlations of the columns of x (n, d); 0 with columns that are constant."""
    centred = x - weight @ x / weight.sum()
    deviation = np.sqrt(weight @ centred**2)
    centred /= np.where(deviation > 0, deviation, 1.0)
    found = (centred * weight[:, None]).T @ centred
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
