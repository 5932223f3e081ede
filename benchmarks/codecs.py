"""A pass over stores with several codecs and sizes of chunks, beside reading them alone; `--table` for the docs."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks.alone import D, K, read_only
from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from benchmarks.slow import CountingStore
from dem.core.block import Block
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.serial import SerialSweep
from dem.families import COVARIANCE_TYPES
from dem.kernel.choice import chosen_kernel
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from dem.source import open_source

ROWS = 4_000_000
"""256 MB of float32."""
CODECS = {
    "none": None,
    "blosc-lz4": BloscCodec(cname="lz4", clevel=5),
    "blosc-zstd": BloscCodec(cname="zstd", clevel=3),
    "zstd": ZstdCodec(level=0),
}
CHUNK_ROWS = {"1 MiB": 2**14, "16 MiB": 2**18, "64 MiB": 2**20}
BARRED = ("blosc-lz4", "zstd")


@dataclass(frozen=True)
class Stored:
    """A store of rows on a grid of 0.01, as instruments give them, so that there is something to compress."""

    scratch: Path
    codec: str
    chunk: str

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.scratch / f"bench-{self.codec}-{CHUNK_ROWS[self.chunk]}.zarr"

    def written(self) -> Path:
        """Write the store, unless it is there; return its path."""
        if not (self.path / "zarr.json").exists():
            shape, chunks = (ROWS, D), (CHUNK_ROWS[self.chunk], D)
            x = zarr.create_array(self.path, shape=shape, chunks=chunks, dtype="f4", compressors=CODECS[self.codec])
            for i, start in enumerate(range(0, ROWS, 2**20)):
                rows = min(2**20, ROWS - start)
                x[start : start + rows] = np.round(mixture_data(rows, D, K, seed=i)[0], 2).astype("f4")
        return self.path

    @property
    def stored_bytes(self) -> int:
        """The size of its chunks."""
        return sum(file.stat().st_size for file in (self.path / "c").rglob("*") if file.is_file())


def mixture_kernel(path: Path, kind: str):
    """Return the maker of a mixture's kernel in the arithmetic of first passes over float32."""
    x = np.asarray(zarr.open_array(path, mode="r")[:30_000])
    scan = Scanner(D, False, len(x), 0, None)()(Block(x))
    model = MixtureModel(K, COVARIANCE_TYPES[kind](1e-6)).with_kernel(chosen_kernel()).bind(scan)
    return partial(model.kernel, model.start(Block(x), np.random.default_rng(0)))


def pass_seconds(store: Stored, client) -> dict[str, float]:
    """Return the seconds of reading, and of passes of full and diagonal Gaussians."""
    path = store.written()
    sweep = DaskSweep(open_source(path), client)
    kernels = {kind: mixture_kernel(path, kind) for kind in ("full", "diag")}
    works = {"reading": read_only, **kernels}
    return dict(zip(works, side_by_side([timed(partial(sweep, work)) for work in works.values()]), strict=True))


def pass_rows(store: Stored, client) -> list[Row]:
    """Return the rows of passes beside reading."""
    seconds = pass_seconds(store, client)
    reading = seconds.pop("reading")
    name = f"a pass, D={D}, K={K}, float32, {store.codec}, chunks of {store.chunk}, 2 workers"
    return [
        Row(f"{name}, {kind}", "reading alone", passed / reading, 1.3, False, f"{passed:.2f} s / {reading:.2f} s")
        for kind, passed in seconds.items()
    ]


def bytes_row(store: Stored) -> Row:
    """Return the row of the bytes that a pass asks the store for."""
    counted = CountingStore(zarr.storage.LocalStore(store.written(), read_only=True))
    source = open_source(zarr.open_array(counted, mode="r"))
    SerialSweep(source)(read_only)
    asked = source.handle.variables[0].array.store.chunk_bytes
    name = f"bytes read in a pass, {store.codec}, chunks of {store.chunk}"
    return Row(name, "bytes of the store", asked / store.stored_bytes, 1, False, f"{asked / 1e6:.0f} MB")


def table(scratch: Path) -> str:
    """Return the table of the docs: the size, and the MB of values a second of reading alone and of a pass."""
    lines = ["| codec | chunks | share of the values' size | reading | a pass, full | a pass, diagonal |"]
    lines.append("|---|---|---:|---:|---:|---:|")
    values = ROWS * D * 4 / 1e6
    with local_cluster(2) as client:
        for codec in CODECS:
            for chunk in CHUNK_ROWS:
                store = Stored(scratch, codec, chunk)
                seconds = pass_seconds(store, client).values()
                cells = " | ".join(f"{values / each:.0f} MB/s" for each in seconds)
                lines.append(f"| {codec} | {chunk} | {store.stored_bytes / values / 1e6:.2f} | {cells} |")
    return "\n".join(lines)


def rows(scratch: Path) -> list[Row]:
    """Return the rows of the benchmark."""
    found = []
    with local_cluster(2) as client:
        for codec in BARRED:
            found += pass_rows(Stored(scratch, codec, "16 MiB"), client)
    return [*found, *(bytes_row(Stored(scratch, codec, "16 MiB")) for codec in BARRED)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    if options.table:
        print(table(options.scratch))
    else:
        send(rows(options.scratch))
