"""Data that are awkward rather than wrong, and what must not depend on how they come."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import zarr
from sklearn.base import clone

import dem
from crosses import cross
from dem import PPCA, Engine, GaussianMixture


@pytest.fixture
def two(rng):
    """Two clear clusters."""
    return np.r_[rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) + 8]


@pytest.mark.parametrize(("width", "gap"), [(1e-2, 400), (1e-3, 100), (1e-4, 100), (1e-5, 20)])
def test_a_thin_tied_covariance_is_reported_exactly(rng, width, gap):
    """The quadratic term, shared by all components, loses digits as the others do: the bound covers it."""
    a = rng.normal(size=2000) + gap * (rng.random(2000) < 0.5)
    x = np.c_[a, a + width * rng.normal(size=2000)]
    model = GaussianMixture(2, covariance_type="tied", reg_covar=0).fit(x)
    assert model.lower_bound_ == pytest.approx(model.score(x), rel=1e-9)
    assert model.stop_reason_ == "converged"


@cross(
    "kind, weight, dtype", ["full", "tied", "diag", "spherical"], [1e-200, 1e-30, 1e-17, 1e12], ["float64", "float32"]
)
def test_a_common_factor_of_the_weights_changes_nothing(two, kind, weight, dtype):
    settings = {"covariance_type": kind, "reg_covar": 0}
    plain = GaussianMixture(2, n_init=2, **settings).fit(two.astype(dtype))
    scaled = GaussianMixture(2, n_init=2, **settings).fit(two.astype(dtype), sample_weight=np.full(len(two), weight))
    assert scaled.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-9)
    order, plainly = scaled.means_[:, 0].argsort(), plain.means_[:, 0].argsort()
    np.testing.assert_allclose(scaled.means_[order], plain.means_[plainly], atol=1e-6)
    np.testing.assert_allclose(scaled.weights_[order], plain.weights_[plainly], atol=1e-9)


@pytest.mark.parametrize("model", [GaussianMixture(2), PPCA(1)])
@pytest.mark.parametrize("size", [1e160, 1e200])
def test_values_too_large_to_square_are_refused(two, model, size):
    with pytest.raises(ValueError, match="too large to square in columns 0, 1: rescale"):
        clone(model).fit(two * size)


def test_masked_values_are_missing_and_not_data(two):
    mask = np.zeros(two.shape, bool)
    mask[:50, 1] = True
    with pytest.raises(ValueError, match=r"50 missing values \(NaN\), in column 1;"):
        GaussianMixture(2, missing="error").fit(np.ma.MaskedArray(two, mask))


def test_rows_of_weight_zero_are_not_sampled(rng):
    """Few of many rows count: a sample that did not know would hold hardly any of them."""
    x = np.r_[rng.normal(size=(40_000, 3)) + 50, rng.normal(size=(300, 3)) * [3, 1, 1]]
    weight = np.r_[np.zeros(40_000), np.ones(300)]
    some = GaussianMixture(1, sample_size=200).fit(x, sample_weight=weight)
    np.testing.assert_allclose(some.means_[0], x[40_000:].mean(axis=0), rtol=1e-10)


def test_all_directions_have_as_many_parameters_as_all_but_one(rng):
    """With q = d - 1 the covariance is free already."""
    x = rng.normal(size=(100, 4)) @ rng.normal(size=(4, 4))
    assert PPCA(3).fit(x).n_parameters_ == PPCA(4).fit(x).n_parameters_ == 4 + 4 * 5 // 2
    assert PPCA(3).fit(x).bic(x) == pytest.approx(PPCA(4).fit(x).bic(x), rel=1e-12)


def test_scores_need_a_positive_weight(two):
    model = GaussianMixture(2, n_init=2).fit(two)
    with pytest.raises(ValueError, match="weights are all zero"):
        model.score(two, sample_weight=np.zeros(len(two)))


def test_warm_starts_know_the_covariance_type(rng):
    """With as many components as columns, tied and diagonal covariances have the same shape."""
    x = rng.normal(size=(400, 2)) @ [[1.0, -0.9], [0.0, 0.3]]
    model = GaussianMixture(2, n_init=2, covariance_type="tied", warm_start=True).fit(x)
    anew = model.set_params(covariance_type="diag").fit(x)
    assert anew.lower_bound_ == GaussianMixture(2, n_init=2, covariance_type="diag").fit(x).lower_bound_


def test_estimators_with_progress_can_be_cloned(two):
    class Telling:
        stream = sys.stderr

        def begin(self, what, rows, nbytes): ...
        def advance(self, done, total): ...
        def detail(self, text): ...
        def expect(self, left): ...
        def end(self, state): ...

    model = clone(GaussianMixture(2, engine=Engine(progress=Telling())))
    assert model.fit(two).engine.progress is not None


@pytest.mark.parametrize("engine", ["1GB", 3, Engine(memory=[1]), Engine(memory="much"), Engine(workers=0)])
def test_wrong_engines_are_refused(two, engine):
    with pytest.raises(ValueError, match=r"engine must be|memory must be|workers must be"):
        GaussianMixture(2, engine=engine).fit(two)


FIT = """
    import sys
    import numpy as np
    import dem
    from dem.engine.sweep.process_memory import PeakMemory, process_bytes

    x = np.load(sys.argv[1]) if sys.argv[1].endswith("npy") else sys.argv[1]
    dem.GaussianMixture(2, n_init=1).fit(np.random.default_rng(0).normal(size=(50, 2)))  # imports all there is
    limit = process_bytes() + int(sys.argv[2])
    with PeakMemory(0.01) as memory:
        dem.GaussianMixture(8, n_init=2, covariance_type="diag", engine=dem.Engine(memory=limit, workers=2)).fit(x)
    assert memory.peak <= limit, (memory.peak, limit)
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["store", "memory"])
def test_a_fit_keeps_to_its_memory(rng, tmp_path, where):
    """The sample and the starts on it are the largest part here."""
    x = (6 * rng.normal(size=(8, 200))[rng.integers(8, size=30_000)] + rng.normal(size=(30_000, 200))).astype("f4")
    path = tmp_path / ("x.npy" if where == "memory" else "x.zarr")
    if where == "memory":
        np.save(path, x)
    else:
        zarr.create_array(path, data=x, chunks=(4000, 200))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIT), str(path), str(400 * 10**6)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-600:]


FILL = 9.96921e36


@cross(
    "model, dtype",
    {
        type(model).__name__: model
        for model in (
            dem.FactorAnalysis(1),
            dem.PPCA(1),
            dem.BayesianPCA(1),
            dem.GaussianMixture(2, n_init=2),
            dem.BayesianGaussianMixture(2, n_init=2),
            dem.MixturePPCA(2, n_init=2),
            dem.KMeans(2),
        )
    },
    ["float32", "float64"],
)
def test_fill_values_in_rows_of_weight_zero(model, dtype):
    rng = np.random.default_rng(1)
    x = (rng.normal(size=(500, 3)) * [1, 2, 3] + 8 * (rng.random((500, 1)) < 0.5)).astype(dtype)
    y, weight = np.vstack([x, np.full((5, 3), FILL, dtype)]), np.r_[np.ones(500), np.zeros(5)]
    with_fill = clone(model).fit(y, sample_weight=weight)
    without = clone(model).fit(x, sample_weight=np.ones(500))
    reached = "inertia_" if hasattr(without, "inertia_") else "lower_bound_"
    assert getattr(with_fill, reached) == pytest.approx(getattr(without, reached), rel=1e-6)
