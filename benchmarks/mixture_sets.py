"""Seven data sets for mixtures of Gaussians, drawn or read anew from a seed: what makes optima hard to find, one each.

    separation    clusters far apart, in 16 columns
    overlap       clusters that overlap
    anisotropy    clusters that are long and thin
    unbalance     the largest cluster has 1000 times as many rows as the smallest
    forty         40 components in 4 columns
    flights       delays, distances and hours of flights
    argo          the leading principal components of ocean profiles

The best objectives that are known are in `optima.json`: see `benchmarks.optima`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from benchmarks.argo import profiles

FOLDER = Path("../shared/data")
"""Where the stores of flights and profiles are, unless another folder is given."""
DIRECTIONS = 4
"""Principal components of the profiles."""


@dataclass(frozen=True)
class MixtureSet:
    """A data set, and the mixture that is fitted to it.

    Attributes
    ----------
    name : str
    k : int
        Components.
    rows : callable
        From the folder of the stores to the rows (n, d).
    """

    name: str
    k: int
    rows: Callable[[Path], np.ndarray]


def clusters(
    n: int, d: int, k: int, *, apart: float, thin: float = 0.0, unequal: float = 1.0, seed: int = 0
) -> np.ndarray:
    """Return n rows (n, d) of k Gaussian clusters.

    Parameters
    ----------
    n, d, k : int
    apart : float
        Standard deviation of the means of the clusters, in each column. The clusters' own deviations are about 1.
    thin : float
        Standard deviation of the logarithms of the lengths of a cluster's axes; 0 for round clusters.
    unequal : float
        The number of rows of the largest cluster over that of the smallest; the others are between, in equal ratios.
    seed : int
    """
    rng = np.random.default_rng([seed, 17])
    weights = np.geomspace(1.0, 1.0 / unequal, k)
    labels = rng.choice(k, size=n, p=weights / weights.sum())
    means = rng.normal(scale=apart, size=(k, d))
    x = np.empty((n, d))
    for j in range(k):
        turn, _ = np.linalg.qr(rng.standard_normal((d, d)))
        factor = turn * np.exp(thin * rng.standard_normal(d))
        chosen = np.flatnonzero(labels == j)
        x[chosen] = means[j] + rng.standard_normal((len(chosen), d)) @ factor.T
    return x


def flights(folder: Path) -> np.ndarray:
    """Return every 30th flight: departure delay, distance and hour.

    Delays and distances are whole numbers, on which components would collapse: they are smeared a little.
    """
    group = zarr.open_group(folder / "flights.zarr", mode="r")
    delay, distance, hour = (
        np.asarray(group[name][:], dtype=np.float64)[::30] for name in ("delay", "distance", "departure_hour")
    )
    rng = np.random.default_rng(6)
    delay = delay + rng.uniform(-0.5, 0.5, len(delay))
    distance = np.log(np.maximum(distance, 20)) + 0.1 * rng.standard_normal(len(distance))
    return np.column_stack([np.arcsinh(delay / 5), distance, hour + rng.uniform(0, 0.1, len(hour))])


def argo(folder: Path) -> np.ndarray:
    """Return the leading principal components of the profiles without missing values, each of unit variance."""
    x, _ = profiles(folder / "argo_profiles.zarr")
    x = x[~np.isnan(x).any(axis=1)]
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    left, _, _ = np.linalg.svd(z, full_matrices=False)
    return np.asarray(left[:, :DIRECTIONS] * len(z) ** 0.5)


SETS = {
    found.name: found
    for found in (
        MixtureSet("separation", 8, lambda folder: clusters(100_000, 16, 8, apart=3.0, seed=1)),
        MixtureSet("overlap", 6, lambda folder: clusters(100_000, 4, 6, apart=1.2, thin=0.5, seed=2)),
        MixtureSet("anisotropy", 8, lambda folder: clusters(100_000, 8, 8, apart=2.0, thin=1.0, seed=3)),
        MixtureSet("unbalance", 8, lambda folder: clusters(200_000, 5, 8, apart=3.0, thin=0.5, unequal=1e3, seed=4)),
        MixtureSet("forty", 40, lambda folder: clusters(100_000, 4, 40, apart=5.0, thin=0.3, seed=5)),
        MixtureSet("flights", 6, flights),
        MixtureSet("argo", 4, argo),
    )
}
