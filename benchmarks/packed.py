"""The parts of a pass over a store of packed integers: reading, decoding, the E-step; `--table` for the docs.

Beside these, what decoding in the pieces of the native kernel would save; dem does not do this (docs/architecture.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from time import process_time

import numpy as np
import zarr

from benchmarks.alone import D, K
from benchmarks.codecs import BARRED, CODECS
from benchmarks.common import Row, mixture_data, send
from dem.core.block import Block
from dem.families import COVARIANCE_TYPES
from dem.kernel.choice import chosen_kernel
from dem.kernel.pieces import Piece, piece_rows
from dem.kernel.runner import NativeEStep
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from dem.source.decode import Decoding, decoding_of_array

ROWS, CHUNK_ROWS = 2**21, 2**18
"""64 MB of int16, in chunks of 8 MiB."""
PACKING = {"scale_factor": 0.01, "add_offset": 0.5, "_FillValue": -32768}
PARTS = ("reading", "decoding", "E-step")
"""A fourth measurement is the E-step that decodes in pieces."""
MOST = {"full": 0.15, "diag": 0.25}
"""The largest share of a pass that decoding should take."""
ROUNDS = 5


@dataclass(frozen=True)
class DecodedPieces:
    """Pieces of stored rows, decoded one at a time: they stay in the cache."""

    decoding: Decoding

    def __call__(self, x: np.ndarray, weight: None) -> Iterator[Piece]:
        """Yield the rows."""
        n, d = x.shape
        step = piece_rows(self.decoding.dtype, d)
        for start in range(0, n, step):
            part = x[start : start + step]
            yield Piece(self.decoding(part), weight, len(part), d, 1)


@dataclass(frozen=True)
class Packed:
    """A store of packed integers without missing values."""

    scratch: Path
    codec: str

    @cached_property
    def array(self) -> zarr.Array:
        """The array; it is written unless it is there."""
        path = self.scratch / f"bench-packed-{self.codec}.zarr"
        if not (path / "zarr.json").exists():
            x = zarr.create_array(
                path,
                shape=(ROWS, D),
                chunks=(CHUNK_ROWS, D),
                dtype="i2",
                compressors=CODECS[self.codec],
                attributes=PACKING,
            )
            for i, start in enumerate(range(0, ROWS, CHUNK_ROWS)):
                x[start : start + CHUNK_ROWS] = np.round(100 * mixture_data(CHUNK_ROWS, D, K, seed=i)[0]).astype("i2")
        return zarr.open_array(path, mode="r")

    @property
    def decoding(self) -> Decoding:
        """How its values are decoded."""
        found = decoding_of_array(self.array)
        assert found is not None
        return found

    def kernel(self, kind: str):
        """Return a mixture's kernel in the arithmetic of first passes."""
        x = self.decoding(self.array[:30_000])
        scan = Scanner(D, False, len(x), 0, None)()(Block(x))
        model = MixtureModel(K, COVARIANCE_TYPES[kind](1e-6)).with_kernel(chosen_kernel()).bind(scan)
        return model.kernel(model.start(Block(x), np.random.default_rng(0)))

    def seconds(self, kind: str) -> np.ndarray:
        """Return the processor time (4,) of the parts of a pass, in seconds; the least of some passes."""
        decoding, kernel = self.decoding, self.kernel(kind)
        in_pieces = NativeEStep(kernel.e_step.step, kernel.kernel_id, DecodedPieces(decoding))
        sums = np.zeros(kernel.e_step.step.shape[:2])
        passes = np.zeros((ROUNDS, len(PARTS) + 1))
        for parts in passes:
            for start in range(0, ROWS, CHUNK_ROWS):
                times = [process_time()]
                stored = self.array[start : start + CHUNK_ROWS]
                times.append(process_time())
                x = decoding(stored)
                times.append(process_time())
                kernel(Block(x))
                times.append(process_time())
                in_pieces(stored, None, sums)
                parts += np.diff([*times, process_time()])
        return passes.min(axis=0)


def table(scratch: Path) -> str:
    """Return the table of the docs: milliseconds of processor time for a million rows."""
    lines = [f"| codec | Gaussians | {' | '.join(PARTS)} | decoding's share | saved in pieces |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for codec in BARRED:
        for kind in MOST:
            *parts, in_pieces = Packed(scratch, codec).seconds(kind)
            cells = " | ".join(f"{1e9 * part / ROWS:.0f} ms" for part in parts)
            saved = (parts[1] + parts[2] - in_pieces) / sum(parts)
            lines.append(f"| {codec} | {kind} | {cells} | {parts[1] / sum(parts):.0%} | {saved:.0%} |")
    return "\n".join(lines)


def rows(scratch: Path) -> list[Row]:
    """Return the rows of the benchmark."""
    found = []
    for codec in BARRED:
        for kind in MOST:
            *parts, _ = Packed(scratch, codec).seconds(kind)
            name = f"decoding int16, a pass, D={D}, K={K}, {codec}, {kind}"
            note = ", ".join(f"{part} {second:.2f} s" for part, second in zip(PARTS, parts, strict=True))
            found.append(Row(name, "reading + decoding + E-step", parts[1] / sum(parts), MOST[kind], False, note))
    return found


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
