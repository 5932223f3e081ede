"""A fit repeated after a month of rows was added: from last month's model, beside a fit from nothing."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import zarr

import dem
from benchmarks.common import Row, mixture_data, send
from dem.results.compare_labels import compare_labels

MONTHS, MONTH_ROWS, COLUMNS, COMPONENTS = 12, 200_000, 8, 6
SPREADS = {"apart": 3.0, "overlapping": 1.5}
"""The spread of the means around 0, in standard deviations of the components."""
KEPT_BAR, SAVED_BAR = 0.999, 1.0
MODELS = {
    "full": lambda: dem.GaussianMixture(COMPONENTS),
    "diag": lambda: dem.GaussianMixture(COMPONENTS, covariance_type="diag"),
    "K-means": lambda: dem.KMeans(COMPONENTS),
}


def stores(folder: Path, spread: float) -> tuple[str, str]:
    """Write the rows of all months but the last, and those of all months, of one distribution; return the paths."""
    x, _ = mixture_data(MONTHS * MONTH_ROWS, COLUMNS, COMPONENTS, seed=1, spread=spread)
    paths = []
    for name, months in (("before", MONTHS - 1), ("after", MONTHS)):
        paths.append(str(folder / f"refit-{name}.zarr"))
        rows = x[: months * MONTH_ROWS].astype(np.float32)
        zarr.create_array(paths[-1], data=rows, chunks=(50_000, COLUMNS), overwrite=True)
    return paths[0], paths[1]


def timed_fit(model: Any, store: str, start: Any = None) -> tuple[Any, float]:
    """Return a fitted model, and the seconds that the fit took."""
    begun = time.perf_counter()
    return model.fit(store, start=start), time.perf_counter() - begun


def case(name: str, spread: str, folder: Path) -> list[Row]:
    """Return the rows of one model on one kind of data."""
    before, after = stores(folder, SPREADS[spread])
    last = MODELS[name]().fit(before)
    cold, cold_seconds = timed_fit(MODELS[name](), after)
    warm, warm_seconds = timed_fit(MODELS[name](), after, last)
    cold = cold.reordered(cold.match(last).order)
    labels = {}
    for what, model, store in (("last", last, before), ("cold", cold, after), ("warm", warm, after)):
        labels[what] = str(folder / f"refit-{what}.zarr")
        model.write(store, labels[what], "label", overwrite=True)
    kept = {}
    for what in ("cold", "warm"):
        found = compare_labels(labels["last"], labels[what])
        kept[what] = 1 - found.changed / found.compared
    title = f"{name}, clusters {spread}: month {MONTHS} added, {MONTHS * MONTH_ROWS / 1e6:g}M x {COLUMNS}"
    passes = f"{warm.n_passes_} and {cold.n_passes_} passes, {warm_seconds:.2f} and {cold_seconds:.2f} s"
    score = f"score {warm.lower_bound_ - cold.lower_bound_:+.2g} beside a fit from nothing"
    shares = f"{kept['warm']:.5f} from last month's model, {kept['cold']:.5f} with keep-labels alone"
    print(f"{title}: {shares}; {passes}; {score}", file=sys.stderr)
    return [
        Row(f"{title}: rows that keep their label", "the labels before", kept["warm"], KEPT_BAR, True, shares),
        Row(f"{title}: passes saved", "a fit from nothing", cold.n_passes_ - warm.n_passes_, SAVED_BAR, True, passes),
    ]


def main() -> None:
    """Measure, in this process."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    send([row for spread in SPREADS for name in MODELS for row in case(name, spread, folder)])


if __name__ == "__main__":
    main()
