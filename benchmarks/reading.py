"""Passes over a slow store on one single-threaded worker, beside the larger of what they are made of."""

from __future__ import annotations

import argparse
from pathlib import Path

import zarr

from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from benchmarks.slow import Busy, SlowStore
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.source import open_source

CHUNKS, CHUNK_ROWS, D = 32, 2**16, 16
"""Chunks of 4 MiB of float32, each a block of its own."""
LONG = 2**30
"""Bytes to aim at so that all 32 blocks are one partition: the 128 MiB that partitions of a large store have."""
READS = (0.03, 0.2)
"""Seconds of a read."""
RATIOS = (0.3, 1.0, 3.0)
"""Computing a block, beside fetching it."""


def stored(path: Path) -> Path:
    """Write the rows, unless they are there."""
    if not (path / "zarr.json").exists():
        shape = (CHUNKS * CHUNK_ROWS, D)
        part = zarr.create_array(path, shape=shape, dtype="f4", chunks=(CHUNK_ROWS, D), compressors=None)
        block = mixture_data(CHUNK_ROWS, D, 4, seed=0)[0].astype("f4")
        for start in range(0, shape[0], CHUNK_ROWS):
            part[start : start + CHUNK_ROWS] = block
    return path


def rows(scratch: Path) -> list[Row]:
    """Return the rows of all reads and ratios."""
    path = stored(scratch / "bench-slow.zarr")
    with local_cluster(1) as client:
        long = [row(path, client, seconds, ratio, LONG) for seconds in READS for ratio in RATIOS]
        # A store of 128 MiB is itself cut into 8 partitions of 4 blocks. A partition's first blocks are read while
        # nothing is computed.
        short = row(path, client, READS[0], 1.0, None)
        return [*long, short, *(several_row(path, client, seconds) for seconds in READS)]


def row(path: Path, client, seconds: float, ratio: float, partition_bytes: int | None) -> Row:
    """Return the row of one read and ratio."""
    store = SlowStore(zarr.storage.LocalStore(path, read_only=True), seconds)
    source = open_source(zarr.open_array(store, mode="r"), partition_bytes=partition_bytes)
    rounds = 2 if seconds > 0.1 else 3
    (fetch,) = side_by_side([timed(lambda: DaskSweep(source, client)(Busy(0.0)))], rounds)
    work = Busy(ratio * fetch / CHUNKS)
    whole, plain = side_by_side(
        [
            timed(lambda: DaskSweep(source, client)(work)),
            timed(lambda: DaskSweep(source.reading_ahead(0), client)(work)),
        ],
        rounds,
    )
    compute = work.seconds * CHUNKS
    note = f"fetch {fetch:.2f} s, compute {compute:.2f} s, pass {whole:.2f} s; {plain:.2f} s without reading ahead"
    blocks = CHUNKS // len(source.partitions)
    case = f"reads of {seconds * 1e3:.0f} ms, compute {ratio:g} x fetch, {blocks} blocks a partition"
    return Row(case, "max(fetch, compute)", whole / max(fetch, compute), 1.15, False, note)


def several_row(path: Path, client, seconds: float) -> Row:
    """Return the row of several reads at the same time beside one after the other."""
    store = SlowStore(zarr.storage.LocalStore(path, read_only=True), seconds)
    source = open_source(zarr.open_array(store, mode="r"), partition_bytes=LONG)
    sources = [source, source.reading_ahead(1)]
    several, one = side_by_side([timed(lambda s=s: DaskSweep(s, client)(Busy(0.0))) for s in sources], 2)
    case = f"reads of {seconds * 1e3:.0f} ms, {source.read_ahead} at the same time"
    return Row(case, "one after the other", one / several, 2, True, f"{several:.2f} s / {one:.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    folder = parser.parse_args().scratch
    folder.mkdir(parents=True, exist_ok=True)
    send(rows(folder))
