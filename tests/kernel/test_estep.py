"""The native kernel against NumPy's and against long double."""

import numpy as np
import pytest

from crosses import cross
from dem.core.block import Block
from dem.families import COVARIANCE_TYPES
from dem.kernel import library
from dem.models.mixture.precision import Precision
from kernel.e_steps import NEEDS_LIBRARY, TOLERANCES, assert_like, assert_sums, in_long_double, mixture_e_step

ARITHMETICS = {precision.name.lower(): precision for precision in Precision}
# Columns, components, spread and rows. Each takes another way through the kernel: few components or padded ones;
# features kept, computed twice or not at all; responsibilities that matter in all rows or in few.
SHAPES = {
    "1-column": (1, 3, 2.0, 250),
    "1-component": (3, 1, 2.0, 250),
    "few-components": (4, 6, 1.0, 250),
    "padded-components": (5, 19, 1.0, 250),
    "8-columns": (8, 9, 0.5, 250),
    "9-columns": (9, 8, 0.5, 250),
    "features-twice": (23, 5, 0.5, 250),
    "all-matter": (26, 9, 0.8, 250),
    "few-matter": (25, 6, 4.0, 250),
    "many-columns": (140, 3, 0.5, 70),
}
KINDS = {kind: kind for kind in COVARIANCE_TYPES}
ANY = pytest.mark.parametrize("kind", KINDS)


def test_a_library_that_is_built_is_used():
    """Otherwise every other test here would be skipped, and no one would know."""
    features = library.cpu_features()
    runs = [width.file for width in library.WIDTHS.values() if width.needs <= features]
    if any((library.FOLDER / file).exists() for file in runs):
        assert library.reason() == ""


@NEEDS_LIBRARY
@cross("kind, precision, shape, weighted", KINDS, ARITHMETICS, SHAPES, {"plain": False, "weighted": True})
def test_kernels_agree_with_each_other_and_with_long_double(kind, precision, shape, weighted, rng):
    d, k, spread, n = shape
    step = mixture_e_step(kind, d, k, precision, rng, n=n, spread=spread, weighted=weighted)
    expected, tolerance = in_long_double(step), TOLERANCES[precision]
    native, by_numpy = step.stats(), step.stats(step.numpy())
    assert_sums(native, expected, tolerance)
    assert_sums(by_numpy, expected, tolerance)
    assert_like(native, by_numpy, expected, tolerance)
    assert native.frame.same(by_numpy.frame)
    assert native.precision == by_numpy.precision == precision


@NEEDS_LIBRARY
@pytest.mark.slow
@ANY
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
def test_two_thousand_columns(kind, precision, rng):
    step = mixture_e_step(kind, 2000, 2, precision, rng, n=7, spread=0.1)
    assert_sums(step.stats(), in_long_double(step), TOLERANCES[precision])


@NEEDS_LIBRARY
@ANY
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
@pytest.mark.parametrize("n", [0, 1, 7, 96, 97])
def test_small_blocks(kind, precision, n, rng):
    step = mixture_e_step(kind, 3, 4, precision, rng, n=100)
    step = step.on(step.x[:n])
    stats = step.stats()
    assert (stats.rows, stats.weight) == (n, n)
    if n == 0:
        assert not stats.sums.any()
        assert stats.log_likelihood == 0
    else:
        assert_sums(stats, in_long_double(step), TOLERANCES[precision])


@NEEDS_LIBRARY
@pytest.mark.parametrize("precision", [Precision.SINGLE, Precision.DOUBLE])
@pytest.mark.parametrize("d", [24, 31, 40])
def test_responsibilities_that_do_not_matter_are_left_out(precision, d, rng):
    """Far components: most responsibilities are below 1e-18. The sums stay good; without rows they are exactly 0."""
    step = mixture_e_step("full", d, 14, precision, rng, n=400, spread=8.0)
    assert_sums(step.stats(), in_long_double(step), TOLERANCES[precision])
    of_one = np.abs(step.x - step.params.theta.means[0]).max(axis=1) < 6
    step = step.on(step.x[of_one])
    stats, expected = step.stats(), in_long_double(step)
    assert_sums(stats, expected, TOLERANCES[precision])
    assert (expected.sums[0] > 0).all()
    assert not stats.sums[:, 1:].any()


@NEEDS_LIBRARY
@cross("kind, precision, shape", KINDS, ARITHMETICS, SHAPES)
def test_not_a_number_is_never_lost(kind, precision, shape, rng):
    """In whatever row and column, unless the row has weight 0."""
    d, k, spread, _ = shape
    step = mixture_e_step(kind, d, k, precision, rng, n=101, spread=spread)
    kernel = step.native()
    for row, column in [(0, 0), (95, d - 1), (96, d // 2), (100, 0)]:
        x, weight = step.x.copy(), np.ones(len(step.x))
        x[row, column] = np.nan
        assert np.isnan(kernel(Block(x)).log_likelihood)
        weight[row] = 0
        assert np.isfinite(kernel(Block(x, weight)).log_likelihood)


@NEEDS_LIBRARY
@ANY
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e38])
def test_rows_of_weight_0_have_no_influence(kind, precision, value, rng):
    """The same bits as without them, even where all rows but some are of weight 0."""
    step = mixture_e_step(kind, 3, 4, precision, rng, n=200)
    keep = rng.random(200) < 0.3
    x = np.where(keep[:, None], step.x, step.x.dtype.type(value))
    alone = step.on(x[keep], np.ones(keep.sum())).stats()
    stats = step.on(x, keep.astype(np.float64)).stats()
    np.testing.assert_array_equal(stats.sums, alone.sums)
    assert stats.log_likelihood == alone.log_likelihood
    assert not step.on(x, np.zeros(200)).stats().sums.any()


@NEEDS_LIBRARY
@ANY
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
def test_empty_components(kind, precision, rng):
    """A weight of 0 counts as the smallest normal number."""
    step = mixture_e_step(kind, 3, 4, precision, rng)
    step.params.weights[:] = [0.5, 0, 0.5, 0]
    stats, expected = step.stats(), in_long_double(step)
    assert_sums(stats, expected, TOLERANCES[precision])
    assert (stats.sums[0, [1, 3]] < 1e-20).all()


@NEEDS_LIBRARY
@ANY
@pytest.mark.parametrize("precision", [Precision.DOUBLE, Precision.CENTRED])
def test_denormal_numbers(kind, precision, rng):
    """In the rows and in their weights."""
    step = mixture_e_step(kind, 4, 3, precision, rng, n=120, weighted=True)
    x, weight = step.x.copy(), step.weight.copy()
    x[::3] = rng.choice([0.0, 5e-324, -1e-310, 2e-308], size=x[::3].shape)
    weight[1::4] = 5e-324
    step = step.on(x, weight)
    assert_sums(step.stats(), in_long_double(step), TOLERANCES[precision])


LAYOUTS = {
    "columns first": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every second column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "not aligned": lambda x: np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape),
    "integers": lambda x: x.astype(np.int16),
    "float16": lambda x: x.astype(np.float16),
}


@NEEDS_LIBRARY
@ANY
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_layout_and_dtype(kind, precision, layout, rng):
    """The same bits as of a contiguous block; read-only rows and weights stay as they are."""
    step = mixture_e_step(kind, 5, 3, precision, rng, n=150, weighted=True)
    x = layout(np.round(step.x))
    before = x.copy()
    x.flags.writeable = step.weight.flags.writeable = False
    plain = step.on(np.ascontiguousarray(x, dtype=step.x.dtype), step.weight).stats()
    for weight in (step.weight, np.repeat(step.weight, 2)[::2]):
        stats = step.on(x, weight).stats()
        np.testing.assert_array_equal(stats.sums, plain.sums)
        assert stats.log_likelihood == plain.log_likelihood
    np.testing.assert_array_equal(x, before)


@NEEDS_LIBRARY
@ANY
def test_rows_that_are_converted_in_pieces(kind, rng):
    step = mixture_e_step(kind, 40, 3, Precision.DOUBLE, rng, n=2000, spread=0.5, weighted=True)
    expected = in_long_double(step)
    assert_sums(step.stats(), expected, 1e-12)
    assert_sums(step.on(np.asfortranarray(step.x), step.weight).stats(), expected, 1e-12)


@NEEDS_LIBRARY
@ANY
def test_a_kernel_keeps_nothing_of_the_blocks_before(kind, rng):
    step = mixture_e_step(kind, 30, 6, Precision.DOUBLE, rng, spread=4.0)
    kernel = step.native()
    first = step.stats(kernel)
    step.on(100 * step.x[:50]).stats(kernel)
    np.testing.assert_array_equal(step.stats(kernel).sums, first.sums)
