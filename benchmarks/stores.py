"""Passes over Zarr stores on worker processes, beside what they are made of."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import zarr

from benchmarks.alone import D, K, Repeated, RepeatedSource, read_only
from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from dem.cli.commands.demo import rows_in_store, store_path, true_mixture, write_store_once
from dem.core.block import Block
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.process_memory import process_bytes
from dem.families import FullGaussian
from dem.kernel.choice import chosen_kernel
from dem.models.mixture.mixture import MixtureModel
from dem.run.latent import fit_closed_form
from dem.scan.scanner import Scanner
from dem.source import open_source

ROWS = 8_000_000
"""512 MB of float32: several partitions for each of two workers."""


def write_store(path: Path, n: int, d: int, chunk_rows: int, dtype: str = "f4") -> Path:
    """Write n rows (n, d) of a mixture, compressed with zstd, unless they are there."""
    if not (path / "zarr.json").exists():
        zstd = zarr.codecs.ZstdCodec(level=0)
        part = zarr.create_array(path, shape=(n, d), chunks=(chunk_rows, d), dtype=dtype, compressors=zstd)
        step = max(chunk_rows, 2**20 // chunk_rows * chunk_rows)
        for i, start in enumerate(range(0, n, step)):
            rows = min(step, n - start)
            # Values on a grid, as instruments give them, so that there is something to compress.
            part[start : start + rows] = np.round(mixture_data(rows, d, K, seed=i)[0], 2).astype(dtype)
    return path


def mixture_kernel(path: Path):
    """Return the maker of a mixture's kernel in float64, at the true number of components."""
    x = np.asarray(zarr.open_array(path, mode="r")[:30_000])
    scan = Scanner(D, False, len(x), 0, None)()(Block(x))
    model = MixtureModel(K, FullGaussian(1e-6)).with_kernel(chosen_kernel()).bind(scan)
    params = model.exact(model.start(Block(x), np.random.default_rng(0)))
    return partial(model.kernel, params)


def pass_rows(scratch: Path) -> list[Row]:
    """Return the rows about passes of a mixture on one and two workers."""
    big = write_store(scratch / "bench-64MB.zarr", ROWS, D, 2**20)
    small = write_store(scratch / "bench-2000.zarr", ROWS, D, 2000)
    make = mixture_kernel(big)
    source, fine = open_source(big), open_source(small)
    blocks = tuple(Repeated(int(rows), 2**18) for rows in source.row_chunks)
    alone = RepeatedSource("rows in memory", ROWS, D, np.dtype("f4"), blocks)
    with local_cluster(2) as two:
        sweep = DaskSweep(source, two)
        runs = [
            timed(lambda: sweep(make)),
            timed(lambda: sweep(read_only)),
            timed(lambda: DaskSweep(alone, two)(make)),
            timed(lambda: DaskSweep(fine, two)(make)),
            timed(lambda: DaskSweep(fine, two)(read_only)),
        ]
        both, reading, kernel, both_fine, reading_fine = side_by_side(runs)
        with local_cluster(1) as one:
            single, double = side_by_side([timed(lambda: DaskSweep(source, one)(make)), timed(lambda: sweep(make))])
    chunks = ROWS / 2000
    cost = (reading_fine - reading) * 2 / chunks * 1e3
    return [
        Row("a pass over a zstd store, 2 workers", "decoding + kernel", both / (reading + kernel), 1.15, False,
            f"{both:.2f} s; decoding {reading:.2f}, kernel {kernel:.2f}"),
        Row("2 workers, one pass", "1 worker", single / double, 1.7, True, f"{single:.2f} s / {double:.2f} s"),
        Row("chunks of 2,000 rows", "64 MB chunks", both_fine / both, 2, False,
            f"zarr's own cost: {cost:.2f} ms a chunk on one worker"),
    ]  # fmt: skip


def ppca_rows(scratch: Path) -> list[Row]:
    """Return the rows of PPCA in one pass."""
    return [ppca_row(scratch, dtype) for dtype in ("float64", "float32")]


def ppca_row(scratch: Path, dtype: str) -> Row:
    """Return the row of one dtype."""
    path = write_store(scratch / f"bench-ppca-{dtype}.zarr", 2_000_000, 64, 2**16, dtype)
    source = open_source(path)
    scanner = Scanner(64, True, 30_000, 0, source.n_rows, None, chosen_kernel())
    with local_cluster(2) as client:
        sweep = DaskSweep(source, client)
        fit, reading = side_by_side(
            [timed(lambda: fit_closed_form(sweep(scanner), 8)), timed(lambda: sweep(read_only))]
        )
    note = f"{fit:.2f} s / {reading:.2f} s"
    name = f"PPCA 2M x 64, q=8, {dtype}, from Zarr"
    return Row(name, "reading the store alone", fit / reading, 1.4, False, note)


FIT = """
import json, sys, dem
from dem.engine.sweep.process_memory import PeakMemory
with PeakMemory() as memory:
    dem.GaussianMixture(16, max_iter=2, engine=dem.Engine(memory="1GB")).fit(sys.argv[1])
print(json.dumps(memory.peak))
"""


def memory_rows(scratch: Path) -> list[Row]:
    """Return the row of the peak memory of a process tree under a limit, on a 4 GB store."""
    n = rows_in_store(4 * 10**9)
    path = store_path(scratch, n)
    write_store_once(true_mixture(), n, path)  # the demo's
    done = subprocess.run([sys.executable, "-c", FIT, str(path)], stdout=subprocess.PIPE, text=True, check=True)
    with local_cluster(1) as client:
        idle = next(iter(client.run(process_bytes).values()))
    peak, limit = json.loads(done.stdout), 10**9 + idle
    note = f"{peak / 1e6:.0f} MB; an idle worker takes {idle / 1e6:.0f} MB"
    return [Row("peak memory, 4 GB store, 1 GB limit", "1 GB and an idle worker", peak / limit, 1, False, note)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    folder = parser.parse_args().scratch
    folder.mkdir(parents=True, exist_ok=True)
    send(pass_rows(folder) + ppca_rows(folder) + memory_rows(folder))
