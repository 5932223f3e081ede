"""The native kernel against NumPy's on random problems, with rows of any dtype and layout, in any chunking."""

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dem.core.block import Block
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.precision import ROUNDINGS, Precision
from kernel.e_steps import NEEDS_LIBRARY, TOLERANCES, assert_like, assert_sums, in_long_double, mixture_e_step

pytestmark = NEEDS_LIBRARY


@dataclass(frozen=True)
class Problem:
    """What a random E-step is made from."""

    seed: int
    kind: str
    precision: Precision
    d: int
    k: int
    n: int
    spread: float
    dtype: str
    order: str
    strides: tuple[int, int]
    weights: str | None
    zeros: float

    def e_step(self):
        rng = np.random.default_rng(self.seed)
        step = mixture_e_step(self.kind, self.d, self.k, self.precision, rng, n=max(self.n, 2), spread=self.spread)
        return step.on(self.laid_out(step.x[: self.n]), self.weights_of(rng))

    def laid_out(self, x):
        """Return the rows in this dtype and layout."""
        apart, across = (abs(stride) for stride in self.strides)
        memory = np.zeros((1 + apart * self.n, across * self.d), self.dtype, order=self.order)
        rows = memory[1::apart, ::across][:: np.sign(self.strides[0]), :: np.sign(self.strides[1])]
        rows[...] = np.abs(x) if rows.dtype.kind == "u" else x
        return rows

    def weights_of(self, rng):
        """Return the weights of the rows: a share of them is 0."""
        if self.weights is None:
            return None
        return (rng.exponential(2.0, self.n) * (rng.random(self.n) >= self.zeros)).astype(self.weights)


PROBLEMS = st.builds(
    Problem,
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(sorted(COVARIANCE_TYPES)),
    precision=st.sampled_from(Precision),
    d=st.integers(1, 40),
    k=st.integers(1, 20),
    n=st.integers(0, 400),
    spread=st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.0]),
    dtype=st.sampled_from(["<f8", ">f8", "<f4", ">f4", "f2", "i1", "<i4", ">i8", "u2"]),
    order=st.sampled_from("CF"),
    strides=st.sampled_from([(1, 1), (2, 1), (1, 3), (2, -3), (-1, 1)]),
    weights=st.sampled_from([None, "<f8", ">f8", "<f4", "i4"]),
    zeros=st.sampled_from([0.0, 0.5, 0.9]),
)


@given(problem=PROBLEMS, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_the_kernels_and_long_double_agree_in_any_chunking(problem, cuts):
    """NumPy's kernel is compared in float64 alone: in float32 its BLAS may round more often than `ROUNDINGS`."""
    step = problem.e_step()
    expected, tolerance = in_long_double(step), TOLERANCES[step.precision]
    rounding = ROUNDINGS * np.finfo(step.precision.dtype).eps
    kernel = step.native()
    whole = step.stats(kernel)
    assert_sums(whole, expected, tolerance, rounding)
    if step.precision != Precision.SINGLE:
        assert_like(whole, step.stats(step.numpy()), expected, tolerance, rounding)
    edges = [0, *sorted(min(cut, problem.n) for cut in cuts), problem.n]
    block = Block(step.x, step.weight)
    parts = [kernel(block.part(start, stop)) for start, stop in pairwise(edges)]
    assert_like(whole, reduce(add, parts), expected, tolerance, rounding)
