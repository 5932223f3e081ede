"""A store far away, a store that counts, and a kernel of a given cost; a module of its own, for workers to import."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from zarr.storage import WrapperStore

from dem.core.block import Block
from dem.core.stats import Additive


class SlowStore(WrapperStore):
    """A store whose every read takes some seconds more."""

    def __init__(self, store, seconds: float = 0.0) -> None:
        super().__init__(store)
        self.seconds = seconds

    def _with_store(self, store) -> SlowStore:
        return type(self)(store, self.seconds)

    async def get(self, key, prototype, byte_range=None):
        """Return the bytes under a key, late."""
        await asyncio.sleep(self.seconds)
        return await self._store.get(key, prototype, byte_range)


class CountingStore(WrapperStore):
    """A store that counts the bytes of the chunks that it returns."""

    def __init__(self, store) -> None:
        super().__init__(store)
        self.chunk_bytes = 0

    async def get(self, key, prototype, byte_range=None):
        """Return the bytes under a key, and count them."""
        found = await self._store.get(key, prototype, byte_range)
        if key.startswith("c/") and found is not None:
            self.chunk_bytes += len(found)
        return found


@dataclass(frozen=True)
class Busy:
    """Makes the kernel that works for some seconds on each block."""

    seconds: float

    def __call__(self) -> Callable[[Block], Additive]:
        """Return the kernel."""
        a = np.random.default_rng(0).normal(size=(64, 64))
        out = np.empty_like(a)

        def kernel(block: Block) -> Additive:
            end = time.perf_counter() + self.seconds
            while time.perf_counter() < end:
                np.matmul(a, a, out=out)
            return Additive(len(block.x))

        return kernel
