"""Groups of rows with the same missing values, and a cache for results of such patterns."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array

PATTERN_CACHE_BYTES = 2**24
"""Memory limit of a cache of patterns, in bytes."""


@dataclass(frozen=True)
class PatternGroups:
    """Rows sorted by pattern, so that rows with the same missing values are together; fewest missing values first.

    Attributes
    ----------
    missing : bool array of shape (p, d)
        The patterns.
    order : int array of shape (n,)
        The indices of the rows, pattern by pattern.
    edges : int array of shape (p + 1,)
        The position of each pattern's first row in `order`; the last entry is n.
    """

    missing: NDArray[np.bool_]
    order: NDArray[np.intp]
    edges: NDArray[np.intp]

    @property
    def sizes(self) -> NDArray[np.intp]:
        """The number of rows of each pattern (p,)."""
        return np.diff(self.edges)

    def rows(self, pattern: int) -> NDArray[np.intp]:
        """Return the indices of the rows of a pattern."""
        return self.order[self.edges[pattern] : self.edges[pattern + 1]]


def group_by_pattern(missing: NDArray[np.bool_]) -> PatternGroups:
    """Group the rows of `missing` (n, d) by their patterns."""
    keys = pattern_keys(missing)
    order = np.argsort(keys, kind="stable")
    found = keys[order]
    first = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]])) if len(keys) else np.empty(0, np.intp)
    sizes = np.diff(np.append(first, len(keys)))
    patterns = missing[order[first]]
    lacking = patterns.sum(axis=1)
    rank = np.argsort(lacking, kind="stable")
    by_lack = np.argsort(np.repeat(_small(lacking), sizes), kind="stable")
    return PatternGroups(patterns[rank], order[by_lack], np.concatenate([[0], np.cumsum(sizes[rank])]))


def pattern_keys(missing: NDArray[np.bool_]) -> Array:
    """Return an integer for each row of `missing` (n, d); two integers are equal if and only if the rows are equal."""
    n, d = missing.shape
    width = next((b for b in (1, 2, 4) if 8 * b >= d), 8 * -(-d // 64))
    padded = np.zeros((n, 8 * width), np.bool_)
    padded[:, :d] = missing
    words = np.packbits(padded.ravel()).reshape(n, width).view(f"u{min(width, 8)}")
    keys = words[:, 0]
    for word in words.T[1:]:
        (_, low), (_, high) = (np.unique(w, return_inverse=True) for w in (keys, word))
        keys = low * n + high  # both are below n, which is at most 2^31
    return keys


def _small(numbers: Array) -> Array:
    """Return the numbers as uint16 if they fit, because these are sorted faster."""
    return numbers.astype(np.uint16) if numbers.max(initial=0) < 2**16 else numbers


class HasBytes(Protocol):
    """An object with a size in bytes."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""


V = TypeVar("V", bound=HasBytes)


@dataclass
class PatternCache(Generic[V]):
    """A cache of the values used last, up to `limit` bytes; safe for threads.

    Attributes
    ----------
    limit : int
        Memory limit, in bytes.
    """

    limit: int = PATTERN_CACHE_BYTES
    nbytes: int = 0
    _held: OrderedDict[bytes, V] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: bytes, make: Callable[[], V]) -> V:
        """Return the value of a key, or make and keep it; two threads may make it at the same time."""
        with self._lock:
            if (held := self._held.get(key)) is not None:
                self._held.move_to_end(key)
                return held
        made = make()
        with self._lock:
            if key not in self._held and made.nbytes <= self.limit:
                self._held[key] = made
                self.nbytes += made.nbytes
                while self.nbytes > self.limit:
                    self.nbytes -= self._held.popitem(last=False)[1].nbytes
        return made
