"""Compare the bits that two checkouts of dem compute: `python -m benchmarks.same_bits CHECKOUT OTHER`.

Fits, models x arithmetic x missing values x sources, run in each checkout by this interpreter. The SHA-256 of
every attribute that a fit has in both is compared, and those that only one has are named. Nothing is stored, since bits
differ from machine to machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROWS, COLUMNS = 3000, 4


def data() -> dict[str, Any]:
    """Return rows of two clusters: plain, in single precision, with holes, far from zero, and of mixed kinds."""
    rng = np.random.default_rng(5)
    labels = rng.random(ROWS) < 0.4
    x = rng.normal(size=(ROWS, COLUMNS)) @ rng.normal(size=(COLUMNS, COLUMNS)) + 4.0 * labels[:, None]
    holes = np.where(rng.random(x.shape) < 0.15, np.nan, x)
    holes[:, 0] = x[:, 0]
    mixed = np.column_stack([x[:, :2], rng.gamma(2, 1, ROWS), rng.integers(0, 3, ROWS)])
    return {"plain": x, "single": x.astype("f4"), "holes": holes, "far": x + 1e6, "mixed": mixed}


def fits(folder: Path) -> dict[str, Any]:
    """Return the fitted models by name."""
    import dask.array as da
    import zarr

    import dem
    from dem.families import Categorical, Gamma, Gaussian

    arrays = data()
    for name, array in arrays.items():
        zarr.create_array(folder / name, data=array, chunks=(500, COLUMNS))
    weight = np.random.default_rng(6).integers(0, 3, ROWS).astype(float)
    stores = {name: str(folder / name) for name in arrays}
    lazy = da.from_array(arrays["plain"], chunks=(700, 3))
    some: dict[str, Any] = {"n_init": 2, "max_iter": 6, "tol": 0, "sample_size": 1000}
    product = {(0, 1): Gaussian(), 2: Gamma(), 3: Categorical(3)}
    return {
        "full, store": dem.GaussianMixture(2, **some).fit(stores["plain"]),
        "full, float32 store": dem.GaussianMixture(2, **some).fit(stores["single"]),
        "full, far from zero": dem.GaussianMixture(2, **some).fit(arrays["far"]),
        "full, holes": dem.GaussianMixture(2, **some).fit(stores["holes"]),
        "full, weighted Dask array": dem.GaussianMixture(2, **some).fit(lazy, sample_weight=weight),
        "tied, holes": dem.GaussianMixture(2, covariance_type="tied", **some).fit(arrays["holes"]),
        "tied, store": dem.GaussianMixture(2, covariance_type="tied", **some).fit(stores["plain"]),
        "diag, float32": dem.GaussianMixture(3, covariance_type="diag", **some).fit(arrays["single"]),
        "diag, holes": dem.GaussianMixture(3, covariance_type="diag", **some).fit(stores["holes"]),
        "spherical, Dask array": dem.GaussianMixture(2, covariance_type="spherical", **some).fit(lazy),
        "full, MAP": dem.GaussianMixture(2, prior="weak", reg_covar=0, **some).fit(arrays["plain"]),
        "variational": dem.BayesianGaussianMixture(4, **some).fit(stores["plain"]),
        "product of families": dem.Mixture(2, family=product, **some).fit(stores["mixed"]),
        "von Mises": dem.Mixture(2, family="vonmises", **some).fit(arrays["plain"] % 6),
        "Student's t, holes": dem.Mixture(2, family="studentt", **some).fit(arrays["holes"]),
        "K-means, weighted store": dem.KMeans(3, max_iter=6).fit(stores["plain"], sample_weight=weight),
        "K-means, holes": dem.KMeans(3, max_iter=6).fit(arrays["holes"]),
        "mixture of PPCA": dem.MixturePPCA(2, n_factors=1, **some).fit(stores["plain"]),
        "PPCA, store": dem.PPCA(2).fit(stores["plain"]),
        "PPCA, holes": dem.PPCA(2, max_iter=6, tol=0).fit(arrays["holes"]),
        "factor analysis, float32": dem.FactorAnalysis(1).fit(stores["single"]),
    }


def digest(model: Any) -> dict[str, str]:
    """Return the SHA-256 of all that a fit has found, by name: arrays to the last bit, numbers, and the history."""
    public = {name: value for name, value in vars(model).items() if name.endswith("_") and name != "source_"}
    found = {**public, **model._arrays()}
    return {
        name: hashlib.sha256(
            np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
        ).hexdigest()
        for name, value in sorted(found.items())
    }


def digests(checkout: str) -> dict[str, dict[str, str]]:
    """Return the digests of all fits as a checkout makes them, in a process of its own."""
    here = str(Path(__file__).resolve())
    path = os.pathsep.join([str(Path(checkout).resolve()), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-P", here, "--child", str(Path(checkout).resolve())]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True
    )
    told: dict[str, dict[str, str]] = json.loads(done.stdout)
    return told


def child(checkout: str) -> None:
    """Print the digests of this process's dem, which must be the checkout's."""
    import dem

    if Path(dem.__file__).resolve().parents[1] != Path(checkout):
        raise SystemExit(f"dem was loaded from {dem.__file__}, not from {checkout}")
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps({name: digest(model) for name, model in fits(Path(folder)).items()}))


def main(checkouts: list[str]) -> int:
    """Print a line for each fit; return how many differ."""
    one, other = (digests(checkout) for checkout in checkouts)
    differing = 0
    for fit in one:
        here, there = one[fit], other[fit]
        unlike = [name for name in here.keys() & there.keys() if here[name] != there[name]]
        differing += bool(unlike)
        words = [f"DIFFERENT: {', '.join(sorted(unlike))}" if unlike else "same bits"]
        if alone := here.keys() ^ there.keys():
            words.append(f"in one alone: {', '.join(sorted(alone))}")
        print(f"{fit}: {'; '.join(words)}")
    return differing


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2])
    elif len(sys.argv) == 3:
        sys.exit(main(sys.argv[1:]))
    else:
        sys.exit("Give two checkouts: python -m benchmarks.same_bits CHECKOUT OTHER")
