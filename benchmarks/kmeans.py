"""One iteration of K-means, beside scikit-learn's Lloyd in memory and dask-ml's from the same Zarr store."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
from dask_ml.cluster import KMeans as DaskML
from sklearn.cluster._k_means_lloyd import lloyd_iter_chunked_dense
from threadpoolctl import threadpool_limits

from benchmarks.alone import read_only
from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from benchmarks.stores import write_store
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.kernel.choice import chosen_kernel
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.scan.scanner import Scanner
from dem.source import open_source

N, D, K = 2_000_000, 32, 64
THREADS = 2
CHUNK_ROWS = {"1 MB": 2**12, "16 MB": 2**16}
"""dask-ml makes some four tasks of a chunk, so how large chunks are decides."""


def iteration(source, sweep, centers: np.ndarray):
    """Return one E-step and M-step of dem's, by the kernel that a fit would use."""
    scan = SerialSweep(source)(Scanner(D, False, 30_000, 0, source.n_rows))
    model = KMeansModel(K).with_kernel(chosen_kernel()).bind(scan)
    params = KMeansParams.at(centers)
    return lambda: model.m_step(params, sweep(partial(model.kernel, params)))


def memory_row() -> Row:
    """Return the row in memory."""
    x, means = mixture_data(N, D, K, seed=0)
    centers = means + 0.1
    weight, labels, counts, shift = np.ones(N), np.zeros(N, np.int32), np.zeros(K), np.zeros(K)
    new = np.zeros_like(centers)

    def lloyd() -> None:
        lloyd_iter_chunked_dense(x, weight, centers, new, counts, labels, shift, THREADS)

    source = open_source(x)
    ours = iteration(source, ThreadSweep(source, THREADS), centers)
    with threadpool_limits(1, "blas"):  # as scikit-learn has it: threads over the rows
        t, t_sklearn = side_by_side([timed(ours), timed(lloyd)], rounds=5)
    np.testing.assert_allclose(ours().params.centers, new, rtol=1e-9)
    name = f"K-means {N / 1e6:g}M x {D}, K={K}, float64, {THREADS} threads, in memory"
    return Row(name, "scikit-learn's Lloyd (time of dem's)", t / t_sklearn, 1, False,
               f"{t:.2f} s / {t_sklearn:.2f} s an iteration")  # fmt: skip


def store_row(scratch: Path, chunk: str) -> Row:
    """Return the row from a store, which dask-ml reads twice in an iteration.

    Its iteration is timed by the difference of two fits: without its checks, its start and its last labels.
    """
    path = write_store(scratch / f"bench-kmeans-{CHUNK_ROWS[chunk]}.zarr", N, D, CHUNK_ROWS[chunk], "float64")
    source = open_source(path)
    centers = np.asarray(source.handle.variables[0].array[:K])

    def fit(iterations: int) -> None:
        x = da.from_zarr(path)
        DaskML(K, init=centers.copy(), max_iter=iterations, tol=0, init_max_iter=1).fit(x)

    with local_cluster(2) as client:
        sweep = DaskSweep(source, client)
        ours = iteration(source, sweep, centers)
        with client.as_current():
            runs = [timed(work) for work in (ours, lambda: sweep(read_only), lambda: fit(1), lambda: fit(3))]
            t, reading, short, long = side_by_side(runs, rounds=2)
    theirs = (long - short) / 2
    name = f"K-means {N / 1e6:g}M x {D}, K={K}, float64, 2 workers, from Zarr, chunks of {chunk}"
    note = f"{t:.2f} s, of which reading {reading:.2f} s; dask-ml {theirs:.2f} s an iteration"
    print(f"{name}: {note}; its fits of 1 and 3 iterations: {short:.2f} s, {long:.2f} s", file=sys.stderr)
    return Row(name, "dask-ml's KMeans, an iteration", theirs / t, 5, True, note)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    folder = parser.parse_args().scratch
    folder.mkdir(parents=True, exist_ok=True)
    send([memory_row(), *(store_row(folder, chunk) for chunk in CHUNK_ROWS)])
