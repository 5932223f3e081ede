"""The check that chunks do not disappear during a fit.

An absent chunk alone is not an error, since writers leave out chunks that hold only the fill value. But a chunk that
disappears between two passes would silently read as the fill value.
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
    """A chunk is absent that the first scan has read; the argument is its number in `Block.absent`."""


@dataclass(frozen=True)
class UnchangedChunks:
    """A sweep that raises an error if a chunk is absent that the first scan has read.

    Attributes
    ----------
    sweep : Sweep
    absent : int64 array
        Numbers of the chunks that were absent in the first scan, in ascending order.
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
            A chunk has disappeared; the message names it.
        """
        try:
            return self.sweep(partial(_checking, make_kernel, self.absent))
        except ChunkGoneError as error:
            raise OSError(
                f"{self.source.locate_chunk(error.args[0])} has disappeared since the first scan: the data must not "
                "change during a fit; restore the chunk and run the fit again"
            ) from None


def _checking(make_kernel: MakeKernel[S], absent: NDArray[np.int64]) -> Callable[[Block], S]:
    """Return the kernel that first checks that no chunk of a block has disappeared."""
    kernel = make_kernel()

    def checking(block: Block) -> S:
        if gone := _new(block.absent, absent):
            raise ChunkGoneError(gone[0])
        return kernel(block)

    return checking


def _new(numbers: tuple[int, ...], known: NDArray[np.int64]) -> list[int]:
    """Return the numbers that are not in `known`, which is in ascending order."""
    found = np.asarray(numbers, dtype=np.int64)
    at = np.searchsorted(known, found)
    there = at < len(known)
    there[there] = known[at[there]] == found[there]
    return [int(number) for number in found[~there]]
