"""Filling in ocean profiles: a tenth of the observed values hidden, and told again, by dem and by others.

    python -m benchmarks.argo PATH        a store like argo_profiles.zarr: temperature and salinity, (profiles, levels)

Two ways of hiding: single values at random; and all that lies below a random level, of a fifth of the profiles. Errors
are root mean squares over the hidden values, in degrees and in units of practical salinity.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer

import dem

HIDDEN, CUT_PROFILES = 0.1, 0.2
BAND, SEASON = 10.0, 91.3
"""Of the climatology by region and season: degrees of latitude, and days."""
Impute = Callable[[np.ndarray], np.ndarray]


def profiles(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Return temperature and salinity side by side (n, 2 levels), and each profile's region and season (n,)."""
    group = zarr.open_group(path, mode="r")
    x = np.hstack([np.asarray(group[name][:], dtype=np.float64) for name in ("temperature", "salinity")])
    latitude, days = np.asarray(group["latitude"][:]), np.asarray(group["time"][:])
    band = np.nan_to_num(np.floor(latitude / BAND), nan=-99).astype(int)
    season = (days % 365.25 // SEASON).astype(int)
    return x, 10 * band + season


def hidden(x: np.ndarray, how: str, rng: np.random.Generator) -> np.ndarray:
    """Return which values to hide (n, d)."""
    seen = ~np.isnan(x)
    if how == "values":
        return seen & (rng.random(x.shape) < HIDDEN)
    n, levels = len(x), x.shape[1] // 2
    first = np.where(rng.random(n) < CUT_PROFILES, rng.integers(1, levels, n), levels)
    below = np.arange(levels) >= first[:, None]
    return seen & np.hstack([below, below])


def column_means(x: np.ndarray) -> np.ndarray:
    """Return the rows, each hole filled with the mean at its level."""
    return np.where(np.isnan(x), np.nanmean(x, axis=0), x)


def climatology(groups: np.ndarray) -> Impute:
    """Return what fills each hole with the mean at its level of the same region and season, where there is one."""

    def impute(x: np.ndarray) -> np.ndarray:
        out = column_means(x)
        for group in np.unique(groups):
            rows = groups == group
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # levels that no profile of the group has
                mean = np.nanmean(x[rows], axis=0)
            out[rows] = np.where(np.isnan(x[rows]) & ~np.isnan(mean), mean, out[rows])
        return out

    return impute


def chained(x: np.ndarray) -> np.ndarray:
    """Return the rows as scikit-learn's IterativeImputer fills them in, with its defaults."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return np.asarray(IterativeImputer(random_state=0).fit_transform(x))


def by_model(model: dem.PPCA | dem.GaussianMixture | dem.MixturePPCA) -> Impute:
    """Return what fills holes in by a model of the columns in units of their standard deviations."""

    def impute(x: np.ndarray) -> np.ndarray:
        mean, deviation = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
        return np.asarray(model.fit((x - mean) / deviation).impute((x - mean) / deviation)) * deviation + mean

    return impute


def methods(groups: np.ndarray) -> dict[str, Impute]:
    """Return the ways to fill in, by name."""
    return {
        "mean at the level": column_means,
        "mean at the level, region and season": climatology(groups),
        "scikit-learn's IterativeImputer": chained,
        "dem.PPCA(10)": by_model(dem.PPCA(10)),
        "dem.PPCA(20)": by_model(dem.PPCA(20)),
        "dem.MixturePPCA(2, n_factors=20)": by_model(dem.MixturePPCA(2, n_factors=20, n_init=3)),
        "dem.MixturePPCA(3, n_factors=15)": by_model(dem.MixturePPCA(3, n_factors=15, n_init=3)),
        "dem.GaussianMixture(1)": by_model(dem.GaussianMixture(1, n_init=1, reg_covar=1e-4)),
    }


def main(path: str) -> None:
    """Hide, fill in, and print the table."""
    x, groups = profiles(path)
    levels = x.shape[1] // 2
    cases = {how: hidden(x, how, np.random.default_rng(0)) for how in ("values", "cut profiles")}
    print("| | " + " | ".join(f"{how}: temperature | salinity" for how in cases) + " |\n|---|---:|---:|---:|---:|")
    for name, impute in methods(groups).items():
        cells = []
        for gone in cases.values():
            error = np.where(gone, impute(np.where(gone, np.nan, x)) - x, np.nan)
            temperature, salinity = (np.sqrt(np.nanmean(e**2)) for e in np.split(error, [levels], axis=1))
            cells += [f"{temperature:.3f}", f"{salinity:.4f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
