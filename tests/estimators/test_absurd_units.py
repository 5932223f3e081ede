"""Data times 1e-160 to 1e160: the same fit in another unit, or one sentence, for every kind of model."""

import numpy as np
import pytest

import dem
from crosses import cross, mostly_slow
from dem.families import Gaussian, StudentT
from kernel.e_steps import NEEDS_LIBRARY

N, D = 60, 3
COVARIANCES = ("full", "tied", "diag", "spherical")


def gaussian(kind):
    return lambda: dem.GaussianMixture(2, covariance_type=kind, reg_covar=0.0, n_init=1)


def bayesian(kind):
    return lambda: dem.BayesianGaussianMixture(2, covariance_type=kind, reg_covar=0.0, n_init=1, max_iter=10)


def family(name):
    return lambda: dem.Mixture(2, family=name, n_init=1)


SQUARES = {
    **{f"gaussian-{kind}": gaussian(kind) for kind in COVARIANCES},
    **{f"bayesian-{kind}": bayesian(kind) for kind in COVARIANCES},
    "studentt": lambda: dem.Mixture(2, family=StudentT(reg_covar=0.0), n_init=1),
    "ppca": lambda: dem.MixturePPCA(2, reg_covar=0.0, n_init=1),
    "factors": lambda: dem.MixtureFactorAnalysis(2, reg_covar=0.0, n_init=1),
    "kmeans": lambda: dem.KMeans(2, n_init=1),
}
WITHOUT = {name: family(name) for name in ("exponential", "gamma", "lognormal")}
SHARES = {"whole": 0.0, "holes": 0.1}
HOLES = pytest.mark.parametrize("share", SHARES.values(), ids=SHARES.keys())


def rows(share):
    """Return positive rows of two groups, some values missing."""
    rng = np.random.default_rng(0)
    x = rng.gamma(4.0, size=(N, D))
    x[: N // 2] += 30
    x[rng.random(x.shape) < share] = np.nan
    return x


@cross("kind, unit, share", [*SQUARES, *WITHOUT], [1e-135, 1e145], SHARES, one_in=3)
def test_the_fit_is_the_same_in_another_unit(kind, unit, share):
    x, make = rows(share), (SQUARES | WITHOUT)[kind]
    unit = 2.0 ** np.round(np.log2(unit))
    one, other = make().fit(x), make().fit(x * unit)
    np.testing.assert_array_equal(one.predict(x), other.predict(x * unit))
    if kind == "kmeans":
        assert other.inertia_ / unit / unit == pytest.approx(one.inertia_, rel=1e-12)
    else:
        jacobian = (~np.isnan(x)).sum() / N * np.log(unit)
        assert other.score(x * unit) == pytest.approx(one.score(x) - jacobian, abs=1e-8)


@HOLES
@pytest.mark.parametrize(("unit", "size"), [(1e-160, "small"), (1e153, "large"), (1e160, "large")])
@pytest.mark.parametrize("kind", SQUARES)
def test_values_that_cannot_be_squared_get_a_sentence(kind, unit, size, share):
    with pytest.raises(ValueError, match=f"has values too {size} to square in columns 0, 1, 2: rescale these columns"):
        SQUARES[kind]().fit(rows(share) * unit)


@HOLES
@pytest.mark.parametrize("unit", [1e-160, 1e153, 1e160])
@pytest.mark.parametrize("kind", WITHOUT)
def test_what_is_not_squared_may_have_any_size(kind, unit, share):
    if kind == "exponential" and unit < 1:
        with pytest.raises(ValueError, match="values in columns 0, 1, 2 are too small for exponential rates"):
            WITHOUT[kind]().fit(rows(share) * unit)
    else:
        test_the_fit_is_the_same_in_another_unit(kind, unit, share)


@pytest.mark.parametrize("kernel", ["numpy", pytest.param("native", marks=NEEDS_LIBRARY)])
@mostly_slow("unit", {str(power): 2.0**power for power in (-140, -100, 100, 120)}, quick={"-140", "120"})
@pytest.mark.parametrize("kind", ["exponential", "gamma", "bayesian-full"])
def test_float32_data_of_any_unit(kind, unit, kernel, monkeypatch):
    """Their parameters, the scales of their frames and their sums may be more than float32 holds."""
    monkeypatch.setenv("DEM_KERNEL", kernel)
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.gamma(2.0, size=(600, D)), rng.gamma(9.0, 3.0, size=(600, D))])
    x = np.ceil(2**9 * x) / 2**9  # exact in every unit
    make = (SQUARES | WITHOUT)[kind]
    expected, model = make().fit(x), make().fit((x * unit).astype(np.float32))
    assert model.score(x * unit) == pytest.approx(expected.score(x) - D * np.log(unit), abs=1e-5)
    np.testing.assert_allclose(model.weights_, expected.weights_, atol=1e-3)


@pytest.mark.parametrize("kernel", ["numpy", pytest.param("native", marks=NEEDS_LIBRARY)])
def test_float32_column_of_zeros(kernel, monkeypatch):
    """The exponential rate of such a column is 1e150."""
    monkeypatch.setenv("DEM_KERNEL", kernel)
    x = np.column_stack([rows(0.0), np.zeros(N)])
    expected, model = WITHOUT["exponential"]().fit(x), WITHOUT["exponential"]().fit(x.astype(np.float32))
    assert model.score(x) == pytest.approx(expected.score(x), abs=1e-5)


@pytest.mark.parametrize("kind", ["gaussian-spherical", "ppca", "kmeans"])
def test_one_variance_for_all_columns_bears_a_tiny_one(kind):
    x = rows(0.0)
    with_tiny = np.column_stack([x, 1e-170 * x[:, 0]])
    assert np.isfinite(SQUARES[kind]().fit(with_tiny).score(with_tiny))
    with pytest.raises(ValueError, match="too small to square in column 3: rescale"):
        SQUARES["gaussian-diag"]().fit(with_tiny)


def test_a_product_asks_each_part():
    x = rows(0.0)
    x[:, 0] *= 1e155
    mixed = {0: "exponential", (1, 2): Gaussian("diag", reg_covar=0.0)}
    model = dem.Mixture(2, family=mixed, n_init=1).fit(x)
    assert np.isfinite(model.score(x))
    x[:, 2] *= 1e155
    with pytest.raises(ValueError, match="too large to square in column 2: rescale"):
        dem.Mixture(2, family=mixed, n_init=1).fit(x)
    with pytest.raises(ValueError, match="in column 2, too large to square"):
        model.predict(x)
