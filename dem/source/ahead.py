"""Reading ahead: the next block comes while this one is worked on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items in order, while a thread makes the next one.

    Besides the item that was yielded there is one more at most, made or in the making. An error is raised when
    its item is due. Where the caller stops early, the thread ends with the item that it has begun.
    """
    end = object()
    with ThreadPoolExecutor(1, "dem-ahead") as reader:
        coming = reader.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = reader.submit(next, items, end)
            yield item  # type: ignore[misc]
            del item  # before the next but one is begun
