"""One EM iteration in memory, beside scikit-learn's and oneDAL's on as many threads."""

from __future__ import annotations

import argparse
import sys
import warnings
from functools import partial

import daal4py
import numpy as np
from sklearn.mixture import GaussianMixture as Sklearn
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.scan.scanner import Scanner
from dem.source import open_source

CASES = [("full", 1_000_000, 16, 16), ("full", 200_000, 64, 32), ("diag", 1_000_000, 32, 64), ("full", 5_000_000, 2, 8)]
BARS = {
    (1, "scikit-learn"): (7, 3, 6.5, 25),
    (1, "oneDAL"): (1.6, 1.4, 2.5, 1.8),
    (2, "scikit-learn"): (8, 3, 5, 18),
    (2, "oneDAL"): (1.4, 1.2, 2, 1.5),
}
SINGLE_BARS = {"scikit-learn": 10, "oneDAL": 1.3}
ONEDAL_ITERATIONS = 4


def case_rows(kind: str, n: int, d: int, k: int, threads: int, dtype: str, bars: dict[str, float]) -> list[Row]:
    """Return the rows of one case."""
    x, means = mixture_data(n, d, k, seed=0)
    x = np.ascontiguousarray(x.astype(dtype))
    weights = np.full(k, 1 / k)
    ours, arithmetic = dem_iteration(x, means, weights, kind, threads)
    theirs = sklearn_iteration(x, means, weights, kind)
    short, long = (onedal(x, means, weights, kind, iterations) for iterations in (1, 1 + ONEDAL_ITERATIONS))
    with threadpool_limits(threads):
        t, t_sklearn, t_short, t_long = side_by_side([timed(f) for f in (ours, theirs, short, long)])
    t_onedal = (t_long - t_short) / ONEDAL_ITERATIONS
    name = f"{kind} {n / 1e6:g}M x {d}, K={k}, {dtype}, {threads} thread{'s' if threads > 1 else ''}"
    note = f"{n / t / 1e6:.2f} M rows/s, {arithmetic.lower()}"
    print(f"{name}: {note}, scikit-learn {n / t_sklearn / 1e6:.2f}, oneDAL {n / t_onedal / 1e6:.2f}", file=sys.stderr)
    return [
        Row(name, "scikit-learn", t_sklearn / t, bars["scikit-learn"], True, note),
        Row(name, "oneDAL", t_onedal / t, bars["oneDAL"], True, note),
    ]


def dem_iteration(x: np.ndarray, means: np.ndarray, weights: np.ndarray, kind: str, threads: int):
    """Return one E-step and M-step of dem's, and the arithmetic that it takes."""
    source = open_source(x)
    model = MixtureModel(len(means), COVARIANCE_TYPES[kind](1e-6))
    bound = model.bind(SerialSweep(source)(Scanner(x.shape[1], False, 30_000, 0, len(x))))
    params = MixtureParams(weights, bound.family.from_covariances(means, unit_covariances(kind, *means.shape)))
    sweep = SerialSweep(source) if threads == 1 else ThreadSweep(source, threads)

    def iterate() -> None:
        bound.m_step(params, sweep(partial(bound.kernel, params)))

    return iterate, bound.precision(params).name


def sklearn_iteration(x: np.ndarray, means: np.ndarray, weights: np.ndarray, kind: str):
    """Return one E-step and M-step of scikit-learn's."""
    k = len(means)
    precisions = unit_covariances(kind, *means.shape)
    model = Sklearn(k, covariance_type=kind, max_iter=1, weights_init=weights, means_init=means,
                    precisions_init=precisions, init_params="random_from_data", random_state=0)  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x[: 50 * k])

    def iterate() -> None:
        _, log_resp = model._e_step(x)
        model._m_step(x, log_resp)

    return iterate


def onedal(x: np.ndarray, means: np.ndarray, weights: np.ndarray, kind: str, iterations: int):
    """Return so many iterations of oneDAL's; two numbers of them tell one without the overhead."""
    k, d = means.shape
    storage = "full" if kind == "full" else "diagonal"
    covariances = [np.eye(d) if kind == "full" else np.ones((1, d)) for _ in range(k)]
    settings = {"nComponents": k, "maxIterations": iterations, "accuracyThreshold": 1e-30, "covarianceStorage": storage}
    if x.dtype == np.float32:
        settings["fptype"] = "float"
    return lambda: daal4py.em_gmm(**settings).compute(x, weights[None], means, covariances)


def unit_covariances(kind: str, k: int, d: int) -> np.ndarray:
    """Return unit covariances of this kind."""
    return np.repeat(np.eye(d)[None], k, 0) if kind == "full" else np.ones((k, d))


def main() -> None:
    """Measure with one number of threads, in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("threads", type=int)
    threads = parser.parse_args().threads
    daal4py.daalinit(threads)
    rows = []
    for i, case in enumerate(CASES):
        bars = {peer: BARS[threads, peer][i] for peer in ("scikit-learn", "oneDAL")}
        rows += case_rows(*case, threads, "float64", bars)
    if threads == 1:
        rows += case_rows(*CASES[0], threads, "float32", SINGLE_BARS)
    send(rows)


if __name__ == "__main__":
    main()
