"""Rows by what they lack, and what is remembered of patterns."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.families.patterns import PatternCache, group_by_pattern, pattern_keys


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 16, 17, 31, 33, 64, 65, 130, 200])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_rows_with_the_same_pattern_stand_together(d, n):
    rng = np.random.default_rng(d)
    missing = rng.random((n, d)) < rng.choice([0.0, 0.02, 0.5, 1.0], (n, 1))
    missing[n // 2 :] = missing[: n - n // 2]
    groups = group_by_pattern(missing)
    distinct = np.unique(missing, axis=0) if n else missing
    assert len(groups.missing) == len(distinct)
    assert {p.tobytes() for p in groups.missing} == {p.tobytes() for p in distinct}
    np.testing.assert_array_equal(np.sort(groups.order), np.arange(n))
    assert (np.diff(groups.missing.sum(axis=1)) >= 0).all()
    for i, pattern in enumerate(groups.missing):
        rows = groups.rows(i)
        assert len(rows) == groups.sizes[i] > 0
        assert (missing[rows] == pattern).all()
        assert (np.diff(rows) > 0).all()


@given(d=st.integers(1, 150), n=st.integers(1, 40), p=st.floats(0, 1), seed=st.integers(0, 99))
def test_keys_are_equal_where_the_patterns_are(d, n, p, seed):
    missing = np.random.default_rng(seed).random((n, d)) < p
    keys = pattern_keys(missing)
    same = (missing[:, None] == missing[None]).all(axis=2)
    np.testing.assert_array_equal(keys[:, None] == keys[None], same)


@dataclass(frozen=True)
class Item:
    name: bytes
    nbytes: int


def test_the_least_recently_used_goes_first():
    made = []

    def ask(memory, name, size=40):
        return memory.get(name, lambda: made.append(name) or Item(name, size))

    memory = PatternCache(100)
    first = ask(memory, b"a")
    ask(memory, b"b")
    assert ask(memory, b"a") is first
    ask(memory, b"c")  # b has to go
    assert ask(memory, b"a") is first
    assert made == [b"a", b"b", b"c"]
    ask(memory, b"b")
    assert made == [b"a", b"b", b"c", b"b"]
    assert ask(memory, b"huge", 101).nbytes == 101
    assert memory.nbytes == 80


def test_threads_share_a_memory():
    memory = PatternCache(1000)
    rng = np.random.default_rng(0)
    names = [bytes([i]) for i in rng.integers(60, size=4000)]

    def ask(name):
        item = memory.get(name, lambda: Item(name, 10 + name[0]))
        assert item.name == name
        return memory.nbytes

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, names))
    held = memory._held
    assert memory.nbytes == sum(item.nbytes for item in held.values()) <= 1000
    assert all(item.name == name for name, item in held.items())
