"""How near default fits come to the best optimum that is known, in how many passes, and beside scikit-learn.

    python -m benchmarks.optima              measure the sets of `benchmarks.mixture_sets`; three seeds each
    python -m benchmarks.optima find [SET]   search for the best objectives anew, and keep them in `optima.json`

The search makes 50 fits by scikit-learn, to 10,000 rows of a set, from k-means++, from K-means and from random rows;
and 50 by dem, of two starts each, with another sample each. Each is continued by EM on all rows, and the three best to
the end.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.mixture import GaussianMixture as Sklearn

import dem
from benchmarks.common import Row, send
from benchmarks.mixture_sets import FOLDER, SETS, MixtureSet

KEPT = Path(__file__).with_name("optima.json")
FITS, SEARCH_ROWS, LAST = 50, 10_000, 3
"""Fits of each kind, rows of scikit-learn's ones, and how many of all are continued to the end."""
INITS = ("k-means++", "kmeans", "random_from_data")
REG = 1e-6
SEEDS = (0, 1, 2)
BARS = {1e-3: 1e-3, 1e-5: 1e-4}
"""From `tol` to the most that a fit may be below the best known, in nats a row."""
MEDIAN_PASSES, WORST_PASSES, TIMES = 4, 6, 10


def scaled(found: MixtureSet, folder: Path) -> np.ndarray:
    """Return the rows of a set, each column with mean 0 and variance 1."""
    x = found.rows(folder)
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def continued(x: np.ndarray, start: Sklearn | dem.GaussianMixture, **settings: float) -> dem.GaussianMixture:
    """Return the end of EM on all rows, from the parameters of another fit."""
    first = {f"{name}_init": getattr(start, f"{name}_") for name in ("weights", "means", "precisions")}
    return dem.GaussianMixture(len(start.weights_), reg_covar=REG, **first, **settings).fit(x)


def found_by_sklearn(x: np.ndarray, k: int) -> Iterator[Sklearn]:
    """Yield fits of scikit-learn's mixture."""
    for seed in range(FITS):
        rows = np.random.default_rng(seed).choice(len(x), min(len(x), SEARCH_ROWS), replace=False)
        settings = {"init_params": INITS[seed % len(INITS)], "random_state": seed, "reg_covar": REG}
        yield Sklearn(k, tol=1e-4, max_iter=60, **settings).fit(x[rows])


def found_by_dem(x: np.ndarray, k: int) -> Iterator[dem.GaussianMixture]:
    """Yield fits of dem's mixture."""
    for seed in range(FITS):
        inits = INITS[seed % len(INITS)]
        yield dem.GaussianMixture(k, n_init=2, init_params=inits, random_state=seed, reg_covar=REG, max_iter=5).fit(x)


def find(name: str, folder: Path) -> dict[str, object]:
    """Return the record of the best objective of a set."""
    x, k = scaled(SETS[name], folder), SETS[name].k
    ends = []
    for kind, fits in (("scikit-learn", found_by_sklearn(x, k)), ("dem", found_by_dem(x, k))):
        for fit in fits:
            try:
                model = continued(x, fit, max_iter=10, tol=1e-5)
            except ValueError:  # it collapses
                continue
            ends.append((model.lower_bound_, kind, model))
    ends.sort(key=lambda end: -end[0])
    last = [(continued(x, model, max_iter=1000, tol=1e-8).lower_bound_, kind) for _, kind, model in ends[:LAST]]
    best, by = max(last)
    near = {kind: sum(end[0] > best - 1e-3 and end[1] == kind for end in ends) for kind in ("scikit-learn", "dem")}
    return {"objective": best, "by": by, "fits_within_1e-3": near, "rows": len(x), "columns": x.shape[1], "k": k}


def search(names: list[str], folder: Path) -> None:
    """Search, and keep what is better than what is known."""
    for name in names:
        known = json.loads(KEPT.read_text()) if KEPT.exists() else {}
        begun = time.process_time()
        record = find(name, folder)
        print(f"{name}: {record}, {time.process_time() - begun:.0f} s", file=sys.stderr)
        same = name in known and all(known[name][key] == record[key] for key in ("rows", "columns", "k"))
        if not same or record["objective"] > known[name]["objective"]:
            KEPT.write_text(json.dumps({**known, name: record}, indent=2) + "\n")


def sklearn_seconds(x: np.ndarray, k: int) -> tuple[float, float]:
    """Return the CPU time of five fits by scikit-learn in memory, and the best objective."""
    begun = time.process_time()
    fitted = Sklearn(k, n_init=5, tol=1e-5, max_iter=200, reg_covar=REG, random_state=0).fit(x)
    return time.process_time() - begun, float(fitted.score(x))


def described(model: dem.GaussianMixture, best: float) -> str:
    """Return the numbers of a fit in one line."""
    left, moves = model.remaining_gain_, sum(record["moves"] for record in model.starts_)
    left_text = "unknown" if left is None else f"{left:.0e}"
    return f"{best - model.lower_bound_:+.1e} below, {model.n_passes_} passes, {left_text} left, {moves} moves"


def measure(names: list[str], folder: Path, *, peer: bool) -> list[Row]:
    """Return the rows of the table."""
    below: dict[float, list[float]] = {tol: [] for tol in BARS}
    passes, times, measured, known = [], [], [], json.loads(KEPT.read_text())
    for name in names:
        if name not in known:
            print(f"{name}: no best objective is known; run `find {name}`", file=sys.stderr)
            continue
        try:
            x, k, best = scaled(SETS[name], folder), SETS[name].k, known[name]["objective"]
        except FileNotFoundError:
            print(f"{name}: its store is not in {folder}", file=sys.stderr)
            continue
        measured.append(name)
        seconds = []
        for tol in BARS:
            for seed in SEEDS:
                begun = time.process_time()
                model = dem.GaussianMixture(k, tol=tol, random_state=seed, reg_covar=REG).fit(x)
                used = time.process_time() - begun
                below[tol].append(best - model.lower_bound_)
                if tol == max(BARS):
                    passes.append(model.n_passes_)
                    seconds.append(used)
                about = described(model, best)
                print(f"{name}, tol {tol:g}, seed {seed}: {about}, {used:.1f} s", file=sys.stderr, flush=True)
        if peer:
            own, (theirs, reached) = statistics.median(seconds), sklearn_seconds(x, k)
            times.append(theirs / own)
            print(f"{name}: scikit-learn {theirs:.1f} s, {best - reached:+.1e} below", file=sys.stderr, flush=True)
    if not measured:
        sys.exit("there is nothing to measure")
    sets = f"{len(measured)} sets"
    fits, rows = f"{sets}, {len(SEEDS)} seeds", []
    for tol, bar in BARS.items():
        note = f"{sum(b <= bar for b in below[tol])} of {len(below[tol])} fits within {bar:g}"
        rows.append(
            Row(f"nats a row below the best known, tol={tol:g}, worst", sets, max(below[tol]), bar, False, note)
        )
    rows += [
        Row("passes at the default tol, median", fits, statistics.median(passes), MEDIAN_PASSES, False),
        Row("passes at the default tol, worst", fits, max(passes), WORST_PASSES, False),
    ]
    if times:
        note = ", ".join(f"{name} {t:.0f}" for name, t in zip(measured, times, strict=True))
        rows.append(
            Row(
                "CPU of a default fit, median",
                "scikit-learn's best of five",
                statistics.median(times),
                TIMES,
                True,
                note,
            )
        )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["measure", "find"], default="measure")
    parser.add_argument("sets", nargs="*", help="which sets (all of them)")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where flights.zarr and argo_profiles.zarr are")
    parser.add_argument("--alone", action="store_true", help="without scikit-learn")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    chosen = options.sets or list(SETS)
    if options.what == "find":
        search(chosen, options.folder)
    else:
        send(measure(chosen, options.folder, peer=not options.alone))
