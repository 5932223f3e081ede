"""Several kernels in one pass."""

import pickle
from functools import partial

import numpy as np

from dem.core.block import Block
from dem.core.stats import tree_sum
from dem.core.together import together
from dem.scan.scanner import Scanner


def test_each_kernel_sums_as_alone():
    x = np.random.default_rng(0).normal(size=(900, 3))
    parts = [Block(x[i : i + 100]) for i in range(0, 900, 100)]
    makers = {"all": Scanner(3, True, 50, 0, None), "diagonal": Scanner(3, False, 50, 0, None)}
    kernel = pickle.loads(pickle.dumps(together(makers)))()
    total = tree_sum([kernel(part) for part in parts])
    assert total.rows == 900
    for name, make in makers.items():
        alone = tree_sum([one(part) for one in [make()] for part in parts])
        np.testing.assert_array_equal(total.of[name].moments.scatter, alone.moments.scatter)


def test_kernels_are_made_once_in_each_task():
    made = []

    def make(name):
        made.append(name)
        return lambda block: Scanner(1, False, 5, 0, None)()(block)

    kernel = together({name: partial(make, name) for name in "ab"})()
    for _ in range(3):
        kernel(Block(np.ones((4, 1))))
    assert made == ["a", "b"]
