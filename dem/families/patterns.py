"""Rows by which of their values are missing, and a bounded memory of what was computed for a pattern."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array

CACHE_BYTES = 2**24
"""What a memory of patterns may hold."""


@dataclass(frozen=True)
class PatternGroups:
    """Rows with the same values missing, side by side: those that lack least come first.

    Attributes
    ----------
    missing : bool array of shape (p, d)
        The patterns.
    order : int array of shape (n,)
        The rows, pattern by pattern.
    edges : int array of shape (p + 1,)
        Where each pattern begins in `order`, and where the last one ends.
    """

    missing: NDArray[np.bool_]
    order: NDArray[np.intp]
    edges: NDArray[np.intp]

    @property
    def sizes(self) -> NDArray[np.intp]:
        """The number of rows of each pattern (p,)."""
        return np.diff(self.edges)

    def rows(self, pattern: int) -> NDArray[np.intp]:
        """Return the rows of a pattern."""
        return self.order[self.edges[pattern] : self.edges[pattern + 1]]


def group_by_pattern(missing: NDArray[np.bool_]) -> PatternGroups:
    """Return the rows of `missing` (n, d) by their patterns."""
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
    """Return a number for each row of `missing` (n, d): equal where the rows are equal, and only there."""
    n, d = missing.shape
    width = next((b for b in (1, 2, 4) if 8 * b >= d), 8 * -(-d // 64))
    padded = np.zeros((n, 8 * width), np.bool_)
    padded[:, :d] = missing
    words = np.packbits(padded.ravel()).reshape(n, width).view(f"u{min(width, 8)}")
    keys = words[:, 0]
    for word in words.T[1:]:
        (_, low), (_, high) = (np.unique(w, return_inverse=True) for w in (keys, word))
        keys = low * n + high  # both are below n, which is no more than 2^31
    return keys


def _small(numbers: Array) -> Array:
    """Return small numbers in a type that is sorted fast."""
    return numbers.astype(np.uint16) if numbers.max(initial=0) < 2**16 else numbers


class HasBytes(Protocol):
    """What tells how many bytes it holds."""

    @property
    def nbytes(self) -> int:
        """Bytes."""


V = TypeVar("V", bound=HasBytes)


@dataclass
class PatternCache(Generic[V]):
    """What was asked for last, as much of it as `limit` bytes hold; several threads may ask.

    Attributes
    ----------
    limit : int
        Bytes.
    """

    limit: int = CACHE_BYTES
    nbytes: int = 0
    _held: OrderedDict[bytes, V] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)

    def get(self, key: bytes, make: Callable[[], V]) -> V:
        """Return what is held under a key, else what `make` returns; two threads may make it at the same time."""
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
