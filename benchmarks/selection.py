"""K = 1 to 20 in common passes: reads, processor time and time beside a loop of fits, and how often K is right."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import zarr
from sklearn.mixture import GaussianMixture as Sklearn
from zarr.storage import LocalStore, WrapperStore

import dem
from benchmarks.common import Row, send

ROWS, COLUMNS, TRUE_K, MOST_K, STARTS = 12_000_000, 16, 8, 20, 5
CHUNK = 250_000
READS_BAR, CPU_BAR, TIME_BAR = 12, 0.5, 0.25
BYTES_A_SECOND, WORKERS = 100e6, os.cpu_count() or 1
SETS, RIGHT_BAR = 30, 28


def anisotropic(seed: int, n: int, d: int, k: int, apart: float = 4.0) -> np.ndarray:
    """Return n rows of k Gaussians of random shapes.

    The eigenvalues of a covariance are log-uniform in 0.1 to 1.9, and means are redrawn until every two are `apart` in
    the metric of the mean of their covariances (Mahalanobis): at 4, two components overlap by about 5 % (2 Phi(-2)).
    """
    rng = np.random.default_rng(seed)
    turns = [np.linalg.qr(rng.normal(size=(d, d)))[0] for _ in range(k)]
    shapes = [turn * np.exp(rng.uniform(np.log(0.1), np.log(1.9), d)) ** 0.5 for turn in turns]
    covariances = [shape @ shape.T for shape in shapes]
    means: list[np.ndarray] = []
    scale = 1.0
    while len(means) < k:
        mean = rng.normal(size=d) * scale
        between = [
            (mean - other) @ np.linalg.solve((covariances[len(means)] + c) / 2, mean - other)
            for other, c in zip(means, covariances, strict=False)
        ]
        if all(square >= apart**2 for square in between):
            means.append(mean)
        scale *= 1.02  # until there is room
    weights = rng.dirichlet(np.full(k, 5.0))
    labels = rng.choice(k, size=n, p=weights)
    x = rng.standard_normal((n, d))
    for j in range(k):
        x[labels == j] = x[labels == j] @ shapes[j].T + means[j]
    return x


class Throttled(WrapperStore):
    """A store that gives `BYTES_A_SECOND`, of which each worker process gets its share."""

    free_at = 0.0

    async def get(self, key, prototype, byte_range=None):
        """Return the bytes under a key, at their time."""
        found = await self._store.get(key, prototype, byte_range)
        if key.startswith("c/") and found is not None:
            kind = type(self)
            share = BYTES_A_SECOND / WORKERS
            kind.free_at = max(kind.free_at, time.monotonic()) + len(found) / share
            await asyncio.sleep(kind.free_at - time.monotonic())
        return found


def written(folder: Path, n: int) -> Path:
    """Return the store of n rows, written if it is not there; chunk by chunk, from one mixture."""
    path = folder / f"selection-{n}.zarr"
    if not (path / "done").exists():
        array = zarr.create_array(
            path, shape=(n, COLUMNS), chunks=(min(n, CHUNK), COLUMNS), dtype="float32", overwrite=True, compressors=None
        )
        seed = anisotropic(7, 200_000, COLUMNS, TRUE_K)
        model = dem.GaussianMixture(TRUE_K, n_init=STARTS).fit(seed)
        rng = np.random.default_rng(0)
        factors = np.linalg.cholesky(model.covariances_)
        for start in range(0, n, CHUNK):
            rows = min(CHUNK, n - start)
            labels = rng.choice(TRUE_K, size=rows, p=model.weights_)
            x = np.einsum("nij,nj->ni", factors[labels], rng.standard_normal((rows, COLUMNS))) + model.means_[labels]
            array[start : start + rows] = x.astype("float32")
        (path / "done").touch()
    return path


def command(*words: object) -> tuple[float, float, dict]:
    """Run dem; return its processor time, its time, and its result."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "dem", *map(str, words), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, seconds, json.loads(done.stdout.splitlines()[-1])


def beside_the_loop(folder: Path, n: int) -> list[Row]:
    """Return the rows of the reads and of the processor time."""
    store = written(folder, n)
    cpu, seconds, found = command(
        "select", "gmm", store, "-k", f"1:{MOST_K}", "--n-init", STARTS, "-o", folder / "best.zarr", "--overwrite"
    )
    print(
        f"select: {cpu:.0f} s of processor, {seconds:.0f} s, {found['passes']} passes, {found['best']}", file=sys.stderr
    )
    loop_cpu = loop_seconds = loop_passes = 0.0
    for k in range(1, MOST_K + 1):
        one = command("fit", "gmm", store, "-k", k, "--n-init", STARTS, "-o", folder / "one.zarr", "--overwrite")
        loop_cpu, loop_seconds, loop_passes = loop_cpu + one[0], loop_seconds + one[1], loop_passes + one[2]["passes"]
    print(f"loop: {loop_cpu:.0f} s of processor, {loop_seconds:.0f} s, {loop_passes:.0f} passes", file=sys.stderr)
    case, right = f"K = 1 to {MOST_K}, {n / 1e6:g}M x {COLUMNS} float32", f"{found['best']}, true: {TRUE_K}"
    beside = f"{loop_passes:.0f} passes of {MOST_K} fits"
    return [
        Row(f"{case}: reads", beside, float(found["passes"]), READS_BAR, False, right),
        Row(
            f"{case}: processor time",
            f"{MOST_K} times dem fit",
            cpu / loop_cpu,
            CPU_BAR,
            False,
            f"{cpu:.0f} s beside {loop_cpu:.0f} s",
        ),
        Row(
            f"{case}: time",
            f"{MOST_K} times dem fit",
            seconds / loop_seconds,
            1.0,
            False,
            f"{seconds:.0f} s beside {loop_seconds:.0f} s",
        ),
    ]


def slow_store(folder: Path, n: int) -> Row:
    """Return the row of the time on a store that gives 100 MB a second."""
    array = zarr.open_array(Throttled(LocalStore(written(folder, n), read_only=True)), mode="r")
    engine = dem.Engine(workers=WORKERS)
    times = []
    for run in (
        lambda: dem.select(array, dem.GaussianMixture(n_init=STARTS, engine=engine), n_components=range(1, MOST_K + 1)),
        lambda: [dem.GaussianMixture(k, n_init=STARTS, engine=engine).fit(array) for k in range(1, MOST_K + 1)],
    ):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    case = f"K = 1 to {MOST_K}, {n / 1e6:g}M x {COLUMNS}, a store of 100 MB/s: time"
    note = f"{times[0]:.0f} s beside {times[1]:.0f} s"
    return Row(case, f"{MOST_K} fits", times[0] / times[1], TIME_BAR, False, note)


def right_numbers() -> list[Row]:
    """Return how often BIC finds K, of dem.select and of a loop over scikit-learn with 5 starts."""
    right, peers = 0, 0
    for seed in range(SETS):
        rng = np.random.default_rng([seed, 1])
        k, d = int(rng.integers(1, 9)), int(rng.integers(4, 17))
        x = anisotropic(seed + 100, 6000, d, k)
        found = dem.select(x, dem.GaussianMixture(n_init=STARTS), n_components=range(1, 11))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bics = [Sklearn(j, n_init=STARTS, random_state=seed).fit(x).bic(x) for j in range(1, 11)]
        peer = 1 + int(np.argmin(bics))
        right, peers = right + (found.best.settings["n_components"] == k), peers + (peer == k)
        print(f"{seed}: K={k}, d={d}: {found.best.name}, scikit-learn {peer}", file=sys.stderr)
    case = f"K right by BIC, {SETS} anisotropic sets"
    return [
        Row(case, "of them", float(right), RIGHT_BAR, True, "K 1 to 8, 4 to 16 columns, 6,000 rows, overlap 5 %"),
        Row(case, "scikit-learn with 5 starts", right / max(1, peers), 1.0, True, f"{right} beside {peers}"),
    ]


if __name__ == "__main__":
    scratch = Path(sys.argv[1] if len(sys.argv) > 1 else "scratch")
    n = int(sys.argv[2]) if len(sys.argv) > 2 else ROWS
    scratch.mkdir(parents=True, exist_ok=True)
    send([*right_numbers(), *beside_the_loop(scratch, n), slow_store(scratch, n)])
