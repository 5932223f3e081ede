"""Passes for row outputs from a Zarr store, beside one EM pass of the same arithmetic."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from dem.core.block import Block
from dem.engine.sweep.serial import SerialSweep
from dem.families import FullGaussian
from dem.kernel.choice import chosen_kernel
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.precision import Precision
from dem.results.row_outputs import collect
from dem.scan.scanner import Scanner
from dem.source import open_source

N, D, K, CHUNK = 1_000_000, 16, 16, 50_000
ROUNDS = 15
BARS = {"label": 0.8, "score": 0.8, "proba": 1.2}


def passes(source: Any, x: np.ndarray, means: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return an EM pass in float64, and a pass for each output."""
    model = MixtureModel(K, FullGaussian(1e-6)).with_kernel(chosen_kernel())
    bound = model.bind(Scanner(D, False, 30_000, 0, None)()(Block(x[:100_000])))
    theta = bound.family.from_covariances(means, np.repeat(np.eye(D)[None], K, 0))
    params = replace(MixtureParams(np.full(K, 1 / K), theta), floor=Precision.DOUBLE)
    sweep, outputs = SerialSweep(source), bound.row_outputs(params)
    found: dict[str, Callable[[], object]] = {"EM": lambda: sweep(partial(bound.kernel, params))}
    return found | {name: partial(collect, source, partial(bound.rows, params, outputs[name])) for name in BARS}


def main() -> None:
    """Measure with one thread, in this process."""
    x, means = mixture_data(N, D, K, seed=0, spread=1.0)
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        path = Path(folder) / "x"
        zarr.create_array(path, data=x, chunks=(CHUNK, D), compressors=None)
        runs = passes(open_source(str(path)), x, means)
        seconds = dict(zip(runs, side_by_side([timed(run) for run in runs.values()], ROUNDS), strict=True))
    rows = []
    for name, bar in BARS.items():
        note = f"{N / seconds[name] / 1e6:.2f} M rows/s"
        print(f"{name}: {note}, {seconds[name] / seconds['EM']:.2f}", file=sys.stderr)
        case = f"{name}, full {N / 1e6:g}M x {D}, K={K}, from a store"
        rows.append(Row(case, "an EM pass", seconds[name] / seconds["EM"], bar, False, note))
    send(rows)


if __name__ == "__main__":
    main()
