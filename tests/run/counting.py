"""A store that records which chunks are read."""

from typing import ClassVar

from zarr.storage import WrapperStore


class Counting(WrapperStore):
    """A store that records which chunks are read."""

    reads: ClassVar = []

    async def get(self, key, *args, **kwargs):
        if key.startswith("c/"):
            self.reads.append(key)
        return await super().get(key, *args, **kwargs)
