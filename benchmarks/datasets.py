"""Passes over a Dataset of two variables in a Zarr group: time, memory, and how often chunks are read.

`DEM_BENCH_SIZE`, in bytes, sets the size of the large Dataset.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import xarray as xr
import zarr
from zarr.storage import LocalStore, WrapperStore

from benchmarks.alone import read_only
from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from benchmarks.stores import mixture_kernel, write_store
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.process_memory import process_bytes
from dem.engine.sweep.serial import SerialSweep
from dem.source import open_source

DIMS = ("time", "lat", "lon")
VARIABLES = ("temperature", "salinity")
LAT, LON, LEVELS = 64, 128, 8
"""A time has 8,192 rows; two variables with 8 levels each make 16 columns."""
TIMES = 512
STEP = 32
"""Times of a chunk: 2**18 rows, 8 MiB of each variable."""
SIZE = int(float(os.environ.get("DEM_BENCH_SIZE", 4e9)))
LIMIT = 10**9

FIT = f"""
import json, sys, dem, xarray
from dem.engine.sweep.process_memory import PeakMemory
ds = xarray.open_zarr(sys.argv[1], chunks=None, consolidated=False)
with PeakMemory() as memory:
    engine = dem.Engine(memory={LIMIT})
    dem.GaussianMixture(16, max_iter=2, tol=0, random_state=0, engine=engine).fit(ds, sample_dims={DIMS})
print(json.dumps(memory.peak))
"""


class CountingChunks(WrapperStore):
    """A store that counts how often each chunk is read."""

    def __init__(self, store) -> None:
        super().__init__(store)
        self.reads: Counter[str] = Counter()

    async def get(self, key, prototype, byte_range=None):
        """Return the bytes under a key, and count chunks."""
        if "/c/" in key:
            self.reads[key] += 1
        return await self._store.get(key, prototype, byte_range)


def write_dataset(path: Path, times: int, step: int) -> Path:
    """Write the two variables with chunks of some times, unless they are there."""
    if not zarr.open_group(path, mode="a").attrs.get("finished"):
        group = zarr.open_group(path, mode="w")
        shape, chunks = (times, LAT, LON, LEVELS), (step, LAT, LON, LEVELS)
        names = (*DIMS, "level")
        arrays = [
            group.create_array(
                name, shape=shape, chunks=chunks, dtype="f4", dimension_names=names, compressors=zarr.codecs.ZstdCodec()
            )
            for name in VARIABLES
        ]
        for i, start in enumerate(range(0, times, step)):
            n = min(step, times - start)
            x = np.round(mixture_data(n * LAT * LON, 2 * LEVELS, 16, seed=i)[0], 2).astype("f4")
            for array, part in zip(arrays, np.split(x, 2, axis=1), strict=True):
                array[start : start + n] = part.reshape(n, LAT, LON, LEVELS)
        group.attrs["finished"] = True
    return path


def pass_rows(scratch: Path) -> list[Row]:
    """Return the rows of a pass over a Dataset, reading alone and EM, beside one over the same numbers in one array."""
    named = write_dataset(scratch / "bench-dataset.zarr", TIMES, STEP)
    plain = write_store(scratch / "bench-matrix.zarr", TIMES * LAT * LON, 2 * LEVELS, STEP * LAT * LON)
    sources = open_source(named, sample_dims=DIMS, variables=VARIABLES), open_source(plain)
    what = {"reading": read_only, "an EM pass over": mixture_kernel(plain)}
    rows = []
    with local_cluster(2) as client:
        sweeps = [DaskSweep(source, client) for source in sources]
        for words, make in what.items():
            dataset, matrix = side_by_side([timed(lambda s=s, make=make: s(make)) for s in sweeps], rounds=5)
            name = f"{words} a Dataset of two variables, 16 float32 columns, 2 workers"
            rows.append(Row(name, "one array", dataset / matrix, 1.2, False, f"{dataset:.2f} s / {matrix:.2f} s"))
    return rows


def memory_row(scratch: Path) -> Row:
    """Return the row of the peak memory of a process tree that fits a lazy Dataset under a limit."""
    times = max(STEP, SIZE // (LAT * LON * 2 * LEVELS * 4))
    path = write_dataset(scratch / f"bench-dataset-{times}.zarr", times, STEP)
    done = subprocess.run([sys.executable, "-c", FIT, str(path)], stdout=subprocess.PIPE, text=True, check=True)
    with local_cluster(1) as client:
        idle = next(iter(client.run(process_bytes).values()))
    peak = json.loads(done.stdout.splitlines()[-1])
    note = f"{peak / 1e6:.0f} MB; an idle worker takes {idle / 1e6:.0f} MB"
    name = f"peak memory, a Dataset of {SIZE / 1e9:g} GB, {LIMIT / 1e9:g} GB limit"
    return Row(name, "the limit", peak / LIMIT, 1, False, note)


def reads_row(scratch: Path) -> Row:
    """Return the row of the most reads of a chunk in a pass; chunks are cut along all sample dimensions."""
    path = scratch / "bench-dataset-cut.zarr"
    x = np.random.default_rng(0).normal(size=(48, 30, 50, 2)).astype("f4")
    ds = xr.Dataset({"a": ((*DIMS, "level"), x), "b": (("lon", "time", "lat"), x[..., 0].transpose(2, 0, 1))})
    chunks = {"a": {"chunks": (8, 10, 20, 1)}, "b": {"chunks": (10, 16, 20)}}
    ds.to_zarr(path, mode="w", zarr_format=3, consolidated=False, encoding=chunks)
    store = CountingChunks(LocalStore(path, read_only=True))
    group = zarr.open_group(store, mode="r")
    source = open_source(group, sample_dims=DIMS, variables=("a", "b"), partition_bytes=10**5)
    counts = reads_of_pass(source)
    name = "reads of a chunk in a pass, two variables with other chunks along time, lat, lon"
    note = f"{len(counts)} chunks, {len(source.partitions)} partitions"
    return Row(name, "once", max(counts.values()), 1, False, note)


def reads_of_pass(source) -> Counter[str]:
    """Return how often each chunk is read in one pass in this process."""
    stores = {id(v.array.store): v.array.store for v in source.handle.variables}
    SerialSweep(source)(read_only)
    return sum((store.reads for store in stores.values()), Counter())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    folder = parser.parse_args().scratch
    folder.mkdir(parents=True, exist_ok=True)
    send([*pass_rows(folder), memory_row(folder), reads_row(folder)])
