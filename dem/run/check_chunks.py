"""Data must not change during a fit: a chunk that the first scan has seen must stay.

Writers leave out chunks that hold only the fill value, so that a chunk that is absent is no fault by itself; one that
goes missing between two passes would read as the fill value, and nobody would know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Block, MakeKernel, Sweep
from dem.core.stats import S
from dem.source import Source


class ChunkGoneError(OSError):
    """A chunk that the first scan has seen is absent: its number in `Block.absent`."""


@dataclass(frozen=True)
class UnchangedChunks:
    """A sweep that refuses to go on without chunks that the first scan has seen.

    Attributes
    ----------
    sweep : Sweep
    absent : int64 array
        The chunks that the store did not have in the first scan, in ascending order.
    source : Source
    """

    sweep: Sweep
    absent: NDArray[np.int64]
    source: Source

    def __call__(self, make_kernel: MakeKernel[S]) -> S:
        """Return the sum of the kernel's statistics over all blocks.

        Raises
        ------
        OSError
            A chunk is gone; the message names it.
        """
        try:
            return self.sweep(partial(_checking, make_kernel, self.absent))
        except ChunkGoneError as error:
            raise OSError(
                f"{self.source.locate_chunk(error.args[0])} was there in the first scan and is gone: the data must not "
                "change during a fit; put it back and run the fit again"
            ) from None


def _checking(make_kernel: MakeKernel[S], absent: NDArray[np.int64]) -> Callable[[Block], S]:
    """Return the kernel that first looks whether all chunks of a block are there that were."""
    kernel = make_kernel()

    def checking(block: Block) -> S:
        if gone := _new(block.absent, absent):
            raise ChunkGoneError(gone[0])
        return kernel(block)

    return checking


def _new(numbers: tuple[int, ...], known: NDArray[np.int64]) -> list[int]:
    """Return those of the numbers that are not among the known ones, which ascend."""
    found = np.asarray(numbers, dtype=np.int64)
    at = np.searchsorted(known, found)
    there = at < len(known)
    there[there] = known[at[there]] == found[there]
    return [int(number) for number in found[~there]]
