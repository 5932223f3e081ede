"""The speed test of `dem doctor`: an E-step, beside NumPy's product of two matrices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from dem.core.blas import single_threaded_blas
from dem.core.block import Block
from dem.engine.sweep.serial import SerialSweep
from dem.families import COVARIANCE_TYPES
from dem.kernel.choice import chosen_kernel
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from dem.source import open_source

ROWS, COLUMNS, COMPONENTS = 100_000, 16, 16
SAMPLE = 2000
FEATURES = 1 + COLUMNS + COLUMNS * (COLUMNS + 1) // 2
SIDE = 1024
"""The product is of two square matrices with this many rows."""
SECONDS = 0.8


def measure_speed() -> dict[str, Any]:
    """Measure an E-step of a mixture of full Gaussians and a product of matrices, both in float64 on one thread.

    Returns
    -------
    dict
        The case; rows a second; operations a second of both, in units of 1e9; and the share of the product's speed
        that the E-step has. Of the E-step only the operations of its two products are counted.
    """
    rng = np.random.default_rng(0)
    matrix = rng.normal(size=(SIDE, SIDE))
    e_step, arithmetic = _e_step(rng)
    with single_threaded_blas():
        t_step, t_product = _best_seconds([e_step, lambda: matrix @ matrix], SECONDS)
    gflops = ROWS * 4 * FEATURES * COMPONENTS / t_step / 1e9
    product_gflops = 2 * SIDE**3 / t_product / 1e9
    return {
        "rows": ROWS,
        "columns": COLUMNS,
        "components": COMPONENTS,
        "dtype": "float64",
        "arithmetic": arithmetic,
        "threads": 1,
        "rows_per_second": ROWS / t_step,
        "gflops": gflops,
        "product_gflops": product_gflops,
        "share_of_product": gflops / product_gflops,
    }


def _e_step(rng: np.random.Generator) -> tuple[Callable[[], object], str]:
    """Return an E-step on random rows, and the arithmetic that it takes."""
    means = rng.normal(scale=2, size=(COMPONENTS, COLUMNS))
    x = rng.normal(size=(ROWS, COLUMNS)) + means[rng.integers(COMPONENTS, size=ROWS)]
    sweep = SerialSweep(open_source(x))
    unbound = MixtureModel(COMPONENTS, COVARIANCE_TYPES["full"](1e-6)).with_kernel(chosen_kernel())
    model = unbound.bind(sweep(Scanner(COLUMNS, unbound.needs_scatter, SAMPLE, 0, ROWS)))
    params = model.start(Block(x[:SAMPLE]), rng)
    return partial(sweep, partial(model.kernel, params)), model.precision(params).name.lower()


def _best_seconds(works: Sequence[Callable[[], object]], seconds: float) -> list[float]:
    """Return the best time of each work. They take turns until the time is over, so that noise meets all alike."""
    for work in works:  # the first time also allocates memory
        work()
    best = [float("inf")] * len(works)
    end = time.perf_counter() + seconds
    while min(best) == float("inf") or time.perf_counter() < end:
        for i, work in enumerate(works):
            begun = time.perf_counter()
            work()
            best[i] = min(best[i], time.perf_counter() - begun)
    return best
