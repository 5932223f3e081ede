"""Linear latent models of columns in any units: held against long double, and the same fit in other units."""

import warnings

import numpy as np
import pytest

import long_double
from crosses import cross
from dem import PPCA, BayesianPCA, FactorAnalysis, load
from dem.estimators.ppca import SubspaceWarning
from shared import ENDS_AT_MAX_ITER, UNLIKE_SPREADS

pytestmark = [ENDS_AT_MAX_ITER, UNLIKE_SPREADS]


def planted(seed, rows=150):
    """Return rows of 5 columns about two directions, and scales for the columns."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2)) @ rng.normal(size=(2, 5)) + 0.5 * rng.normal(size=(rows, 5)) + rng.normal(size=5)
    return x, 10.0 ** rng.uniform(-8, 8, 5)


def with_holes(x, seed):
    x = np.where(np.random.default_rng(seed).random(x.shape) < 0.1, np.nan, x)
    return x[~np.isnan(x).all(axis=1)]


def log_densities(model, x):
    params = model._fitted()[1]
    return long_double.log_densities(x, params.mean, params.loadings, params.noise_variance)


@pytest.mark.parametrize("model", [PPCA(2), PPCA(2, solver="em"), BayesianPCA(), FactorAnalysis(2)], ids=str)
@pytest.mark.parametrize("seed", range(6))
def test_the_bound_is_that_of_the_parameters_in_long_double(model, seed):
    x, scale = planted(seed)
    model.fit(x * scale)
    expected = log_densities(model, x * scale)
    assert model.lower_bound_ == pytest.approx(float(expected.mean()), abs=1e-9)
    np.testing.assert_allclose(model.score_samples(x * scale), expected.astype(float), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("seed", range(6))
def test_the_closed_form_is_that_of_long_double(seed):
    x, scale = planted(seed)
    y = (x * scale).astype(np.longdouble)
    y -= y.mean(axis=0)
    values = long_double.eigenvalues(y.T @ y / len(y)).astype(float)
    model = PPCA(2).fit(x * scale)
    np.testing.assert_allclose(model.explained_variance_, values[:2], rtol=1e-11)
    assert model.noise_variance_ == pytest.approx(values[2:].mean(), rel=1e-11)
    assert PPCA().fit(x * scale).n_components_ == 5


@pytest.mark.slow
def test_one_wide_column_of_holes_keeps_the_bound():
    x, _ = planted(0)
    for unit in (1e6, 1e8):
        y = with_holes(x * np.array([1, 1, 1, unit, 1]), 1)
        for model in (PPCA(2).fit(y), BayesianPCA(3, max_iter=20).fit(y), FactorAnalysis(2, max_iter=5).fit(y)):
            expected = log_densities(model, y)
            assert model.lower_bound_ == pytest.approx(float(expected.mean()), abs=1e-9)
            np.testing.assert_allclose(model.score_samples(y), expected.astype(float), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("solver", ["ecm", "em"])
@pytest.mark.parametrize("seed", range(4))
def test_factor_analysis_is_the_same_fit_in_any_units(seed, solver):
    x, scale = planted(seed)
    plain = FactorAnalysis(2, solver=solver, max_iter=60).fit(x)
    scaled = FactorAnalysis(2, solver=solver, max_iter=60).fit(x * scale)
    assert scaled.n_iter_ == plain.n_iter_
    assert scaled.lower_bound_ + np.log(scale).sum() == pytest.approx(plain.lower_bound_, abs=1e-10)
    np.testing.assert_allclose(scaled.noise_variance_ / scale**2, plain.noise_variance_, rtol=1e-8)
    np.testing.assert_allclose(np.abs(scaled.components_ / scale), np.abs(plain.components_), rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize(
    ("model", "holes"),
    [
        (PPCA(2), False),
        (PPCA(2, solver="em"), False),
        (PPCA(2), True),
        (BayesianPCA(), False),
        pytest.param(BayesianPCA(2), True, marks=pytest.mark.slow),
        (FactorAnalysis(2), False),
        pytest.param(FactorAnalysis(2, max_iter=20), True, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_one_scale_for_all_columns_changes_nothing_else(model, holes):
    x = with_holes(planted(3)[0], 3) if holes else planted(3)[0]
    model.fit(x)
    bound, noise, columns = model.lower_bound_, model.noise_variance_, np.isfinite(x).mean(axis=0).sum()
    # With holes, runs on the sample are accelerated: the last bits of the objective, which has units, decide on steps.
    tolerance = 1e-6 if holes else 1e-8
    for power in (-450, 265, 490):  # of two: exact; 1e-135, 1e80 and 1e147
        unit = 2.0**power
        model.fit(x * unit)
        assert model.lower_bound_ + columns * power * np.log(2) == pytest.approx(bound, abs=1e-9)
        np.testing.assert_allclose(model.noise_variance_ / unit / unit, noise, rtol=tolerance)


@pytest.mark.parametrize("model", [PPCA(2), PPCA(2, solver="em"), BayesianPCA(2), FactorAnalysis(2)], ids=str)
def test_what_cannot_be_squared_is_refused(model):
    x = planted(0)[0]
    for y in (x, with_holes(x, 1)):
        with pytest.raises(ValueError, match="too large to square"):
            model.fit(y * 1e160)
        with pytest.raises(ValueError, match="too small to square in columns 0, 1, 2, 3, 4: rescale"):
            model.fit(y * 1e-160)
        with pytest.raises(ValueError, match="too small to square in column 2: rescale"):
            model.fit(y * np.array([1, 1, 1e-170, 1, 1]))


def test_directions_that_matter_in_small_units_are_kept():
    x = planted(5)[0][:, :4]
    wide = 1e7 * np.random.default_rng(0).normal(size=len(x))
    plain, scaled = BayesianPCA().fit(x), BayesianPCA().fit(np.c_[x, wide])
    assert scaled.n_components_ == 1 + plain.n_components_ == 3
    assert scaled.noise_variance_ == pytest.approx(plain.noise_variance_, rel=0.1)


def test_precision_and_projections_in_any_units():
    x, scale = planted(2)
    model = PPCA(2).fit(x * scale)
    deviation = np.sqrt(np.diag(model.get_covariance()))
    standard = model.get_covariance() / deviation[:, None] / deviation
    precision = model.get_precision() * deviation[:, None] * deviation
    np.testing.assert_allclose(precision @ standard, np.eye(5), atol=1e-8)
    whole = PPCA().fit(x * scale)  # no noise: the latents tell all
    back = whole.inverse_transform(whole.transform(x * scale), reconstruct="least_squares")
    np.testing.assert_allclose(back[:, scale.argmax()] / scale.max(), x[:, scale.argmax()], rtol=1e-12)
    np.testing.assert_allclose(whole.transform(x * scale).std(axis=0), 1, rtol=1e-9)


def in_subspace():
    rng = np.random.default_rng(0)
    x, one = rng.normal(size=(200, 3)), np.zeros(200)
    one[3] = 1
    return {
        "sum": (np.c_[x, x.sum(axis=1)], None, 3),
        "sum in other units": (np.c_[x, x.sum(axis=1)] * [1e-8, 1, 1e8, 1], None, 3),
        "constant": (np.c_[x, np.ones(200)], None, 3),
        "few rows": (rng.normal(size=(5, 8)), None, 4),
        "one row": (x, one, 0),
    }


@pytest.mark.parametrize("name", in_subspace())
def test_ppca_says_that_data_lie_in_a_subspace(name, tmp_path):
    x, weight, rank = in_subspace()[name]
    model = PPCA()
    with pytest.warns(SubspaceWarning, match=f"in a subspace of {rank} dimension.*lower_bound_ is NaN") as told:
        model.fit(x, sample_weight=weight)
    assert told[0].filename == __file__
    assert np.isnan(model.lower_bound_)
    assert model.noise_variance_ == 0
    assert model.n_components_ == max(1, rank)
    assert "no density" in model.describe()
    with pytest.raises(ValueError, match="singular"):
        model.score(x)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.isnan(again.lower_bound_)
    np.testing.assert_array_equal(again.transform(x), model.transform(x))
    back = again.inverse_transform(again.transform(x))
    if rank:
        np.testing.assert_allclose(back, x, atol=1e-13 * np.abs(x).max())
        np.testing.assert_allclose(model.explained_variance_ratio_.sum(), 1, rtol=1e-12)
    if rank > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("error", SubspaceWarning)
            fewer = PPCA(rank - 1).fit(x)
        assert fewer.lower_bound_ == pytest.approx(fewer.score(x), rel=1e-9)


@cross(
    "model, seed",
    {"em": PPCA(2, solver="em"), "bayesian": BayesianPCA(3, max_iter=50), "closed-form": PPCA(3)},
    [0, 1, 2],
)
def test_shares_of_the_variance_are_the_models(model, seed):
    x = planted(seed)[0] * np.array([1, 3, 1, 0.1, 1])
    for y in (x, with_holes(x, seed), np.where(np.random.default_rng(seed).random(x.shape) < 0.5, np.nan, x)):
        y = y[~np.isnan(y).all(axis=1)]
        model.fit(y)
        total = np.trace(model.get_covariance())
        np.testing.assert_allclose(model.explained_variance_ratio_, model.explained_variance_ / total, rtol=1e-12)
        assert model.explained_variance_ratio_.sum() <= 1
