"""What models are told of data with missing values before EM begins: a sample without holes, and moments to match.

A start needs whole rows, and there may be none. So each missing entry of the sample is given the value of a donor: of
the first rows of the sample that have the column, the nearest one (k-nearest-neighbour imputation with k = 1,
Troyanskaya et al. 2001). It is a value that the column does take, so that counts stay counts, and codes codes. This
serves starts, frames and priors alone: EM itself meets the rows with their holes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.linalg import power_of_two
from dem.scan.moments import Columns, Moments
from dem.scan.sample import Sample
from dem.scan.scanner import Scan

DONORS = 512
"""Rows of the sample that give values."""
CHUNK_ROWS = 1024
"""Rows whose distances to the donors are held at a time."""
LACKED = 2.0
"""Squared distance in a column that the donor lacks: that of two rows drawn at random, in standard deviations."""
TIE = 1e-6
"""Of donors as near as this any one may be taken: rows that have nothing in common with any must not all get one."""


def completed(scan: Scan, sample: Sample | None = None) -> Scan:
    """Return the scan as models are bound to it: without holes in its sample, and with moments of all rows.

    The moments have each column's mean and variance over its own values; where the whole scatter was asked for, its
    correlations are the sample's. How many entries are missing is kept.

    Parameters
    ----------
    scan : Scan
        Each column has some value.
    sample : Sample, optional
        The completed sample, where it is known.
    """
    if not scan.lacking.any():
        return scan
    columns, sample = scan.observed, without_holes(scan) if sample is None else sample
    scatter = columns.rows * columns.variances
    if scan.moments.scatter.ndim == 2:
        root = np.sqrt(scatter)
        scatter = _correlations(np.asarray(sample.x, dtype=np.float64), sample.weight) * np.outer(root, root)
    moments = Moments(columns.rows, columns.centre, scatter)
    return replace(scan, moments=moments, incomplete=Columns.none(scan.n_columns), sample=sample)


def without_holes(scan: Scan) -> Sample:
    """Return the scan's sample with a value in every entry."""
    sample = scan.sample
    return replace(sample, x=filled(sample.x, scan.low, scan.high, sample.weight))


def filled(x: Array, low: Float, high: Float, weight: Float | None = None) -> Array:
    """Return the rows x (n, d) with a value in every entry: that of the nearest donor, each column in its own units.

    It depends on these rows alone, and not on moments of the whole data, whose last bits depend on the chunking. A
    column of which no row of x has a value takes the lowest and the highest in turn.

    Parameters
    ----------
    x : array of shape (n, d)
    low, high : array of shape (d,)
        Ranges of the data from which the rows were drawn.
    weight : array of shape (n,) or None
        The rows' weights.
    """
    out, missing = np.array(x), np.isnan(x)
    rng = np.random.default_rng(0)
    rows = np.asarray(x, dtype=np.float64)
    largest = np.fmax.reduce(np.abs(rows), axis=0, initial=0.0)
    rows = rows / power_of_two(np.where(largest > 0, largest, 1.0))  # squares that float64 can hold, in any unit
    own = Columns.of(rows.T, ~missing.T, weight)
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
    """Return the squared distances (n, m) of rows a (n, d) from rows b (m, d) in the columns that a row of a has.

    scikit-learn's ``nan_euclidean_distances`` scales up those in the columns that both have instead: a donor with one
    column in common, and near there by chance, would be the nearest.
    """
    has_a, has_b = ~np.isnan(a), ~np.isnan(b)
    a, b = np.where(has_a, a, 0.0), np.where(has_b, b, 0.0)
    both = (a * a) @ has_b.T + has_a @ (b * b).T - 2 * (a @ b.T)
    return np.asarray(both + LACKED * (has_a @ (~has_b).T.astype(np.float64)))


def _donors(missing: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the rows that give values, and which columns they have (m, d).

    The first ones; and for columns that none of these has, the first that do.
    """
    first = np.arange(min(DONORS, len(missing)))
    lacking = np.flatnonzero(missing[first].all(axis=0) & ~missing.all(axis=0))
    more = [np.flatnonzero(~missing[:, j])[:8] for j in lacking]
    donors = np.unique(np.concatenate([first, *more]))
    return donors, ~missing[donors]


def _correlations(x: Float, weight: Float) -> Float:
    """Return the correlations of the columns of x (n, d); 0 with columns that are constant."""
    centred = x - weight @ x / weight.sum()
    deviation = np.sqrt(weight @ centred**2)
    centred /= np.where(deviation > 0, deviation, 1.0)
    found = (centred * weight[:, None]).T @ centred
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)
