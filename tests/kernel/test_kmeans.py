"""K-means by the native kernel, against NumPy's and against long double."""

import math
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crosses import cross
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.core.rows import RowKeys
from dem.em.row_output import RowOutput
from dem.kernel.pieces import RowPieces
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.kmeans.native_kernel import native_centers, native_rows
from dem.models.mixture.precision import Precision
from kernel.clusters import TOLERANCE, Clusters, assert_e_step, clear_rows, clusters
from kernel.e_steps import LONG, NATIVE, NEEDS_LIBRARY
from kernel.test_fuzz import PROBLEMS
from laws import bind, rows_of

pytestmark = NEEDS_LIBRARY
ARITHMETICS = {precision.name.lower(): precision for precision in Precision}
ANY = pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
SHAPES = {  # columns, clusters, rows: all remainders by the widths of vectors and the sizes of register blocks
    "1-column": (1, 3, 250),
    "1-cluster": (3, 1, 250),
    "2-columns": (2, 7, 100),
    "whole-blocks": (8, 16, 192),
    "9-columns": (9, 8, 97),
    "more-clusters-than-rows": (4, 30, 25),
    "many-clusters": (5, 131, 250),
    "many-columns": (141, 5, 70),
}


def assert_like(stats, other):
    """Compare the statistics of the same rows by two kernels, or in two orders."""
    assert (stats.rows, stats.weight) == (other.rows, pytest.approx(other.weight, rel=1e-14))
    np.testing.assert_allclose(stats.counts, other.counts, rtol=TOLERANCE)
    np.testing.assert_allclose(stats.inertia, other.inertia, rtol=TOLERANCE)
    size = np.sqrt(other.counts * other.inertia)[:, None]  # not less than the sum of |x - c|
    assert (np.abs(stats.sums - other.sums) <= TOLERANCE * size).all()
    np.testing.assert_array_equal(stats.farthest.key, other.farthest.key)
    np.testing.assert_allclose(stats.farthest.square, other.farthest.square, rtol=1e-13)


@cross("precision, shape, weighted", ARITHMETICS, SHAPES, {"plain": False, "weighted": True})
def test_kernels_agree_with_each_other_and_with_long_double(precision, shape, weighted, rng):
    d, k, n = shape
    of = clear_rows(clusters(d, k, precision, rng, n=n, weighted=weighted))
    assert len(of.x) > 0.95 * n
    native, labels = assert_e_step(of, of.native())
    by_numpy, same = assert_e_step(of, of.numpy())
    np.testing.assert_array_equal(labels, same)
    assert_like(native, by_numpy)
    assert native.kernel == NATIVE


@pytest.mark.slow
@ANY
def test_two_thousand_columns(precision, rng):
    of = clusters(2000, 9, precision, rng, n=40)
    assert_e_step(of, of.native())


@given(problem=PROBLEMS, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_rows_of_any_dtype_and_layout_in_any_chunking(problem, cuts):
    """The kernel computes with float32 rows in float32 products, whatever the rows' own dtype."""
    rng = np.random.default_rng(problem.seed)
    of = clusters(problem.d, problem.k, problem.precision, rng, n=max(problem.n, 2), spread=problem.spread)
    x, weight = problem.laid_out(of.x[: problem.n]), problem.weights_of(rng)
    kernel = of.native()
    dtype = problem.precision.dtype
    same = of.on(x.astype(dtype), weight)
    stats, _ = assert_e_step(same, kernel)
    if problem.precision != Precision.SINGLE:
        assert_e_step(same, of.numpy())
        assert_like(kernel(Block(x, weight)), stats)
    edges = [0, *sorted(min(cut, problem.n) for cut in cuts), problem.n]
    parts = [kernel(Block(x, weight).part(start, stop)) for start, stop in pairwise(edges)]
    assert_like(reduce(add, parts), kernel(Block(x, weight)))


@ANY
@pytest.mark.parametrize("n", [0, 1, 7, 95, 96, 97])
def test_small_blocks(precision, n, rng):
    of = clusters(3, 4, precision, rng, n=100)
    stats, _ = assert_e_step(of.on(of.x[:n]), of.native())
    assert stats.counts.sum() == n
    assert len(stats.farthest.key) == min(n, 4)


@ANY
def test_of_equally_near_centres_the_lowest_is_taken(precision):
    """Also where they are in different register blocks. All numbers here are exact in every arithmetic."""
    k = 40
    x = np.arange(-8.0, 8.0, 0.5)[:, None].repeat(3, axis=1)
    centers = np.arange(k)[:, None] % 7 * 2.0 - 6 + np.zeros(3)
    of = Clusters(centers, precision, Frame.at(np.zeros(3)), x)
    labels = np.abs(x[:, :1] - centers[:, 0]).argmin(axis=1)
    np.testing.assert_array_equal(of.stats().counts, np.bincount(labels, minlength=k))
    np.testing.assert_array_equal(of.stats().counts[7:], 0)
    if precision != Precision.SINGLE:
        found = native_rows(centers, of.frame, precision, RowOutput("label", "", np.dtype("i1")), x, NATIVE)
        np.testing.assert_array_equal(found, labels)


@ANY
@pytest.mark.parametrize("junk", [np.inf, -np.inf, np.nan, 1e300])
def test_rows_of_weight_zero_are_left_out_whatever_they_hold(precision, junk, rng):
    of = clusters(5, 3, precision, rng, n=300)
    kept = rng.random(300) < 0.6
    kept[200:] = False
    x = of.x.astype(np.float64)
    x[~kept] = junk
    kernel, weight = of.native(), kept * rng.exponential(size=300)
    for dtype in (of.x.dtype, of.x.dtype.newbyteorder(">")):
        with np.errstate(over="ignore"):
            rows = x.astype(dtype)
        stats, expected = kernel(Block(rows, weight)), kernel(Block(rows[kept], weight[kept]))
        assert_like(replace(stats, rows=expected.rows, farthest=expected.farthest), expected)
        np.testing.assert_array_equal(stats.farthest.key, np.flatnonzero(kept)[expected.farthest.key])
    none = kernel(Block(rows[200:], weight[200:]))
    assert not none.counts.any()
    assert not none.sums.any()
    assert not len(none.farthest.key)


def test_tiny_and_huge_weights_keep_their_value_in_float32(rng):
    of = clusters(4, 3, Precision.SINGLE, rng, n=100)
    for size in (1e-60, 1e60):
        assert_e_step(of.on(of.x, rng.exponential(size=100) * size), of.native())


@ANY
def test_clusters_without_rows(precision, rng):
    of = clusters(4, 5, precision, rng, n=200)
    centers = np.insert(of.centers, [0, 3, 5], 1e3, axis=0)
    of = replace(of, centers=centers)
    stats, _ = assert_e_step(of, of.native())
    np.testing.assert_array_equal(np.flatnonzero(stats.counts == 0), [0, 4, 7])
    assert stats.relocated().counts.all()


@ANY
def test_rows_on_their_centres_are_not_among_the_farthest(precision, rng):
    of = clusters(3, 6, precision, rng, n=60)
    x = of.centers[rng.integers(6, size=60)].astype(of.x.dtype)
    x[[7, 40]] += 0.25
    of = replace(of, centers=of.centers.astype(of.x.dtype).astype(np.float64))
    np.testing.assert_array_equal(np.sort(of.on(x).stats().farthest.key), [7, 40])


@pytest.mark.parametrize("order", ["rising", "falling", "equal"])
def test_the_farthest_rows_in_any_order(order):
    """Of equally far rows those with the lowest keys."""
    far = {"rising": np.arange(1.0, 301), "falling": np.arange(300.0, 0, -1), "equal": np.ones(300)}[order]
    of = Clusters(np.arange(20.0)[:, None] * 1e4, Precision.CENTRED, Frame.at(np.zeros(1)), far[:, None])
    found = of.native()(Block(of.x, None, RowKeys.from_first(1000))).farthest
    np.testing.assert_array_equal(found.key, 1000 + np.lexsort((np.arange(300), -far))[:20])


@pytest.mark.parametrize(("offset", "spread"), [(0.0, 3.0), (1e8, 3.0), (-1e4, 1e3), (1e8, 1e6), (0.0, 1e9)])
@pytest.mark.parametrize("kernel", ["native", "numpy"])
def test_data_far_from_zero_and_wide_ones(kernel, offset, spread, rng):
    """The arithmetic is the one that the model chooses."""
    x = offset + spread * rng.normal(size=(4, 3))[rng.integers(4, size=500)] + rng.normal(size=(500, 3))
    params = KMeansParams.at(x[[0, 0, 1, 2]] + [[0.0], [1.0], [0.0], [0.0]])  # two centres in one cluster
    model = bind(KMeansModel(4), x)
    of = Clusters(params.centers, model.precision(params), model.frame, x)
    assert_e_step(of, getattr(of, kernel)())


def test_long_sums_do_not_drift():
    """One running sum of so many equal terms loses four digits."""
    n, square = 300_000, 0.1 * 0.1
    of = Clusters(np.zeros((1, 1)), Precision.DOUBLE, Frame.at(np.zeros(1)), np.full((n, 1), 0.1))
    exact = math.fsum([square] * n)
    assert of.stats().inertia[0] == pytest.approx(exact, rel=TOLERANCE)
    assert np.full(n, square).cumsum()[-1] != pytest.approx(exact, rel=TOLERANCE)


LABELS = {"i1": 5, "i2": 200, "i4": 33_000}


@pytest.mark.parametrize("dtype", LABELS)
def test_labels_are_written_in_their_dtype(dtype, rng):
    k = LABELS[dtype]
    centers = rng.permutation(k)[:, None].astype(np.float64)
    x = rng.integers(k, size=(500, 1)) + rng.uniform(-0.4, 0.4, (500, 1))
    model, params = KMeansModel(k).with_kernel(NATIVE), KMeansParams.at(centers)
    found = rows_of(model, params, "label")(Block(x))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, np.argsort(centers[:, 0])[np.rint(x[:, 0]).astype(int)])
    wide = native_rows(
        centers, Frame.at(np.zeros(1)), Precision.DOUBLE, RowOutput("label", "", np.dtype("i8")), x, NATIVE
    )
    np.testing.assert_array_equal(wide, found)


@pytest.mark.parametrize(("word", "columns"), {"label": None, "score": None, "distance": 3}.items())
def test_rows_converted_in_pieces_have_their_places_in_the_block(word, columns, rng):
    of = clusters(2, 3, Precision.DOUBLE, rng, n=40_000)
    x, dtype = of.x.astype(np.float32), np.dtype("i1" if word == "label" else "f8")
    assert len(list(RowPieces(np.dtype(np.float64))(x, None))) > 2
    output = RowOutput(word, "", dtype, columns)
    found, whole = (
        native_rows(of.centers, of.frame, of.precision, output, rows, NATIVE) for rows in (x, x.astype(np.float64))
    )
    np.testing.assert_array_equal(found, whole)
    far, far_whole = (of.on(rows).stats().farthest for rows in (x, x.astype(np.float64)))
    np.testing.assert_array_equal(far.key, far_whole.key)


@pytest.mark.parametrize(("word", "columns"), {"score": None, "distance": 4}.items())
def test_outputs_are_written_in_float32(word, columns, rng):
    of = clusters(3, 4, Precision.DOUBLE, rng)
    narrow, wide = (
        native_rows(of.centers, of.frame, of.precision, RowOutput(word, "", np.dtype(dtype), columns), of.x, NATIVE)
        for dtype in ("f4", "f8")
    )
    assert narrow.dtype == np.float32
    np.testing.assert_array_equal(narrow, wide.astype(np.float32))


@cross("word, shape, dtype", ["label", "score", "distance"], SHAPES, ["<f8", "<f4", ">f8", "f2", "<i4"])
def test_outputs_of_rows_are_numpys_and_those_of_long_double(word, shape, dtype, rng):
    d, k, n = shape
    of = clusters(d, k, Precision.DOUBLE, rng, n=2 * n)
    x, params = (4 * of.x).astype(dtype)[::2], KMeansParams.at(4 * of.centers)
    by_numpy = KMeansModel(k)
    found, expected = (rows_of(model, params, word)(Block(x)) for model in (by_numpy.with_kernel(NATIVE), by_numpy))
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    squares = ((x.astype(LONG)[:, None] - params.centers) ** 2).sum(axis=2)
    if word == "label":
        np.testing.assert_array_equal(found, squares.argmin(axis=1))
        np.testing.assert_array_equal(found, expected)
    else:
        exact = np.sqrt(squares) if word == "distance" else -squares.min(axis=1)
        np.testing.assert_allclose(found, exact.astype(np.float64), rtol=1e-13)
        np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize("word", ["label", "score", "distance", "filled"])
def test_outputs_of_no_rows_and_of_rows_with_missing_values(word, rng):
    of = clusters(4, 3, Precision.DOUBLE, rng)
    params, model = KMeansParams.at(of.centers), KMeansModel(3)
    native, by_numpy = (rows_of(one, params, word) for one in (model.with_kernel(NATIVE), model))
    x = np.where(rng.random(of.x.shape) < 0.1, np.nan, of.x)
    for rows in (x, of.x[:0]):
        np.testing.assert_array_equal(native(Block(rows)), by_numpy(Block(rows)))


def test_outputs_of_centres_that_are_close_use_differences(rng):
    """Products would not tell these centres apart."""
    centers = 1e6 + np.array([[0.0, 0, 0], [1e-6, 0, 0]])
    x = centers[rng.integers(2, size=200)] + rng.normal(size=(200, 3)) * [1e-7, 100, 100]
    params = KMeansParams.at(centers)
    found = rows_of(KMeansModel(2).with_kernel(NATIVE), params, "label")(Block(x))
    squares = ((x.astype(LONG)[:, None] - centers) ** 2).sum(axis=2)
    clear = np.abs(np.diff(squares, axis=1))[:, 0] > 1e-11 * squares.min(axis=1)
    np.testing.assert_array_equal(found[clear], squares.argmin(axis=1)[clear])


def test_the_memory_of_a_task_counts_the_native_kernel(rng):
    for d, k in ((2, 1), (40, 3000)):
        plain = KMeansModel(k)
        native = plain.with_kernel(NATIVE)
        of = clusters(d, k, Precision.DOUBLE, rng, n=10)
        e_step = of.native()._e_step
        held = len(e_step._runner._workspace)
        read = native_centers(of.centers, of.frame, of.precision)
        held += sum(a.nbytes for a in (read.eta, read.centers)) + e_step(of.x, None).sums.nbytes
        for bytes_of in (native.workspace_bytes, native.rows_bytes):
            assert bytes_of(d) >= held
        assert native.workspace_bytes(d) >= plain.workspace_bytes(d)
