"""PPCA, factor analysis and Bayesian PCA of rows with missing values."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import scipy.optimize
from scipy.stats import multivariate_normal

from dem.core.block import Block
from dem.families import NOISE, FactorAnalysers
from dem.models.latent.algebra import covariance
from dem.models.latent.bayesian_pca import BayesianPCAModel, ObservedBayesianPCAModel
from dem.models.latent.closed_form import PPCAParams, principal_rotation
from dem.models.latent.factor_analysis import (
    NOISE_FLOOR,
    FactorModel,
    FactorParams,
    MomentsFactorModel,
    ObservedFactorModel,
)
from dem.models.latent.ppca import MomentsPPCAModel, ObservedPPCAModel, PPCAModel
from dem.models.latent.rows import analyser
from dem.models.mixture.factors import FactorMixtureModel
from dem.models.mixture.kernel import MixtureParams
from dem.models.row_checks import NotFiniteError
from dem.scan.scanner import Scanner
from laws import bind, bound_lies_between, objective_never_falls, rows_of, run, scan, total
from shared import CSV

D, Q, N = 5, 2, 200
MODELS = {"ppca": PPCAModel(Q), "fa": FactorModel(Q), "bpca": BayesianPCAModel(Q)}
ANY = pytest.mark.parametrize("name", MODELS)


def rows(rng, n=N, d=D):
    z = rng.normal(size=(n, Q))
    return 3.0 + z @ rng.normal(size=(Q, d)) * np.linspace(2, 1, d) + rng.normal(size=(n, d)) * np.linspace(0.6, 1, d)


def holed(x, share, rng):
    return np.where(rng.random(x.shape) < share, np.nan, x)


def start(model, x, weight=None):
    """Return the model bound to rows with holes, and first parameters from the completed sample."""
    found = scan(model, x, weight)
    bound = model.bind(found)
    return bound, bound.start(Block(found.sample.x, found.sample.weight), np.random.default_rng(0))


def marginal(params, row):
    """Return the observed columns, and mean and covariance of what is observed."""
    o = ~np.isnan(row)
    return o, params.mean[o], covariance(params)[np.ix_(o, o)]


def log_likelihood(params, x, weight=None):
    """Return the mean log-likelihood, row by row."""
    each = []
    for row in x:
        o, mean, c = marginal(params, row)
        each.append(multivariate_normal(mean, c).logpdf(row[o]) if o.any() else 0.0)
    return np.average(each, weights=weight)


@ANY
@pytest.mark.parametrize("share", [0.05, 0.4, 0.7])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_objective_never_falls_and_bounds_lie_between(name, share, weighted, rng):
    x = holed(rows(rng), share, rng)
    x[:4] = np.nan
    weight = rng.integers(0, 5, N) / 2 if weighted else None
    model, params = start(MODELS[name], x, weight)
    state = objective_never_falls(model, params, x, weight)
    bound_lies_between(state)
    assert state.history[-1].log_likelihood == pytest.approx(log_likelihood(state.params, x, weight), abs=1e-11)


@pytest.mark.parametrize(("name", "noise"), [("ppca", "isotropic"), ("fa", "diagonal")])
def test_without_holes_a_step_is_that_of_one_complete_factor_analyser(name, noise, rng):
    """The mean included; and about the mean of the rows it is the model's own step."""
    x = rows(rng)
    incomplete, complete = MODELS[name].with_missing(), bind(MODELS[name], x)
    params = complete.start(Block(x), rng)
    params = replace(params, noise_variance=params.noise_variance * np.float64(1.5))
    off = replace(params, mean=params.mean + rng.normal(size=D))
    mixture = bind(FactorMixtureModel(1, NOISE[noise](Q)), x)
    both = MixtureParams(np.ones(1), analyser(off))
    theirs = mixture.m_step(both, total(mixture, both, x)).params.theta
    ours = analyser(incomplete.m_step(off, total(incomplete, off, x)).params)
    assert isinstance(theirs, FactorAnalysers)
    np.testing.assert_allclose(ours.means, theirs.means, rtol=1e-12)
    np.testing.assert_allclose(ours.noise_variances, theirs.noise_variances, rtol=1e-12)
    np.testing.assert_allclose(covariance_of(ours), covariance_of(theirs), rtol=0, atol=1e-12)
    step = [model.m_step(params, total(model, params, x)).params for model in (complete, incomplete)]
    np.testing.assert_allclose(step[1].mean, step[0].mean, rtol=1e-12)
    np.testing.assert_allclose(covariance(step[1]), covariance(step[0]), rtol=0, atol=1e-12)


def covariance_of(theta):
    return theta.loadings @ theta.loadings.swapaxes(1, 2) + theta.noise_variances[..., None] * np.eye(D)


def test_without_holes_a_step_of_bayesian_pca_is_the_complete_models(rng):
    x = rows(rng)
    complete = bind(MODELS["bpca"], x)
    incomplete, params = complete.with_missing(), complete.start(Block(x), rng)
    one, two = (model.m_step(params, total(model, params, x)).params for model in (complete, incomplete))
    np.testing.assert_allclose(two.mean, one.mean, rtol=1e-12)
    np.testing.assert_allclose(two.loadings, one.loadings, rtol=0, atol=1e-12)
    np.testing.assert_allclose(two.alpha, one.alpha, rtol=1e-11)
    assert two.noise_variance == pytest.approx(one.noise_variance, rel=1e-12)
    stats = [total(model, params, x) for model in (complete, incomplete)]
    assert incomplete.objective(params, stats[1]) == pytest.approx(complete.objective(params, stats[0]), abs=1e-12)


@ANY
def test_gradient_is_zero_where_the_fit_ends(name, rng):
    """The derivative of the dense observed-data likelihood, with the prior's log density, in every parameter."""
    x = holed(rows(rng, n=60, d=4), 0.25, rng)
    model, params = start(replace(MODELS[name], n_components=1), x)
    best = run(model, params, x, n_iter=1500).params
    m = np.size(best.noise_variance)

    def loss(flat):
        noise = np.exp(flat[8:]) if m > 1 else float(np.exp(flat[8]))
        here = replace(best, mean=flat[:4], loadings=flat[4:8, None], noise_variance=noise)
        prior = model.log_prior(here) / len(x) if name == "bpca" else 0.0
        return -log_likelihood(here, x) - prior

    flat = np.concatenate([best.mean, best.loadings[:, 0], np.log(np.reshape(best.noise_variance, m))])
    step = 1e-4 * np.eye(len(flat))
    gradient = np.array([loss(flat + s) - loss(flat - s) for s in step]) / 2e-4
    assert np.abs(gradient).max() < 1e-5


@pytest.mark.slow
def test_no_better_parameters_of_ppca_are_found_directly(rng):
    x = holed(rows(rng, n=30, d=4), 0.3, rng)
    model, params = start(PPCAModel(1), x)
    found = run(model, params, x, n_iter=2000)

    def loss(flat):
        return -log_likelihood(PPCAParams(flat[:4], flat[4:8, None], float(np.exp(flat[8]))), x)

    first = np.append(3 + rng.normal(size=4), rng.normal(size=5))
    end = scipy.optimize.minimize(loss, first, method="BFGS", options={"gtol": 1e-4}).fun
    assert found.objective == pytest.approx(-end, abs=1e-6)


@ANY
def test_rows_are_the_dense_conditional_moments(name, rng):
    """Latents, scores, filled rows and deviations; of a model of complete rows too   (PRML 2.81, 2.82)."""
    x = rows(rng)
    model = bind(MODELS[name], x)
    params = run(model, model.start(Block(x), rng), x, n_iter=5).params
    y = holed(x, 0.4, rng).astype(np.float32)
    y[0], y[1] = np.nan, x[1]
    told = {
        what: rows_of(model, params, what)(Block(y))
        for what in ("latent", "score", "filled:float32", "filled:float64", "deviation:float64")
    }
    c, w = covariance(params), params.loadings
    for i, row in enumerate(y.astype(float)):
        o, mean, inner = marginal(params, row)
        solved = np.linalg.solve(inner, np.column_stack([row[o] - mean, c[o], w[o]]))
        score = multivariate_normal(mean, inner).logpdf(row[o]) if o.any() else 0.0
        assert told["score"][i] == pytest.approx(score, abs=1e-11)
        np.testing.assert_allclose(told["latent"][i], w[o].T @ solved[:, 0], atol=1e-11)
        expected = params.mean + c[:, o] @ solved[:, 0]
        deviation = np.sqrt(np.diag(c - c[:, o] @ solved[:, 1 : 1 + D]).clip(0))
        np.testing.assert_allclose(told["filled:float64"][i][~o], expected[~o], atol=1e-11)
        np.testing.assert_allclose(told["deviation:float64"][i][~o], deviation[~o], atol=1e-11)
    observed = ~np.isnan(y)
    assert told["filled:float32"].dtype == np.float32
    assert told["filled:float32"][observed].tobytes() == y[observed].tobytes()
    assert (told["deviation:float64"][observed] == 0).all()


@ANY
def test_complete_blocks_keep_their_bits(name, rng):
    x = rows(rng)
    model = bind(MODELS[name], x)
    params = model.start(Block(x), rng)
    np.testing.assert_array_equal(rows_of(model, params, "filled:float32")(Block(x)), x.astype(np.float32))
    assert not rows_of(model, params, "deviation:float32")(Block(x)).any()
    for what in ("latent", "score"):
        one = rows_of(model, params, what)(Block(x))
        assert one.tobytes() == rows_of(model.with_missing(), params, what)(Block(x)).tobytes()
        y = np.vstack([x, np.full((1, D), np.nan)])  # the other path, to rounding
        np.testing.assert_allclose(rows_of(model, params, what)(Block(y))[:-1], one, atol=1e-12)


@ANY
def test_binding_chooses_by_what_the_scan_has_found(name, rng):
    x = rows(rng)
    model, kinds = MODELS[name], (ObservedPPCAModel, ObservedFactorModel, ObservedBayesianPCAModel)
    assert not isinstance(bind(model, x), kinds)
    incomplete = bind(model, holed(x, 0.1, rng))
    assert isinstance(incomplete, kinds)
    assert incomplete.mean is None
    again = bind(incomplete, x)  # a sample of it may have no holes
    assert isinstance(again, kinds)
    assert again.mean is None
    assert incomplete.workspace_bytes(1000) > model.workspace_bytes(1000)


@pytest.mark.parametrize("model", [MomentsPPCAModel(1), MomentsFactorModel(1)])
def test_moments_are_refused(model, rng):
    with pytest.raises(ValueError, match="with missing values moments are not sufficient: use EM"):
        model.bind(Scanner(D, True, N, 0, None)()(Block(holed(rows(rng), 0.1, rng))))


def test_models_without_noise_and_infinities_are_refused(rng):
    params = PPCAParams(np.zeros(2), np.eye(2), 0.0)
    model = PPCAModel(2)
    assert np.isfinite(rows_of(model, params, "score")(Block(np.ones((1, 2)))))
    with pytest.raises(ValueError, match="the noise variance is 0, so rows with missing values"):
        rows_of(model, params, "score")(Block(np.array([[1.0, np.nan]])))
    with pytest.raises(NotFiniteError, match="row 0 holds inf in column 1"):
        rows_of(model, params, "latent")(Block(np.array([[np.nan, np.inf]])))


def test_floor_and_constant_columns_of_factor_analysis(rng):
    """Columns that factors explain wholly end at the floor; a constant one has no noise and no part in the density."""
    x = rows(rng, d=4)
    x = np.column_stack([x, x[:, 0] + x[:, 1], np.full(N, 7.3)])
    y = holed(x, 0.2, rng)
    model, params = start(FactorModel(2), y)
    state = objective_never_falls(model, params, y)
    bound_lies_between(state)
    found = state.params
    assert isinstance(found, FactorParams)
    variances = np.nanvar(y, axis=0)
    assert found.noise_variance[5] == 0
    assert found.mean[5] == pytest.approx(7.3, rel=1e-14)
    assert np.abs(found.loadings[5]).max() < 1e-15
    assert (found.noise_variance[:5] >= 0.999 * NOISE_FLOOR * variances[:5]).all()
    five, four = rows_of(model, found, "score")(Block(y)), log_likelihood(drop_last(found), y[:, :5])
    assert five.mean() == pytest.approx(four, abs=1e-9)
    filled = rows_of(model, found, "filled:float64")(Block(y))
    np.testing.assert_allclose(filled[:, 5], 7.3, rtol=1e-14)


def drop_last(params):
    return replace(
        params, mean=params.mean[:-1], loadings=params.loadings[:-1], noise_variance=params.noise_variance[:-1]
    )


def test_bayesian_pca_does_without_directions_that_are_not_there(rng):
    n, d = 3000, 8
    x = rng.normal(size=(n, 2)) @ (3 * rng.normal(size=(2, d))) + rng.normal(size=(n, d))
    y = holed(x, 0.2, rng)
    model, params = start(BayesianPCAModel(5), y)
    state = objective_never_falls(model, params, y)
    kept, components = model.canonical(run(model, state.params, y, n_iter=300).params)
    assert len(components) == 2
    assert kept.noise_variance == pytest.approx(1.0, abs=0.03)


@pytest.mark.slow
def test_recovers_what_is_missing_at_random(rng):
    """Column 0 says which rows lack the others: the fit's mean is not drawn aside, as that of what is observed is."""
    n = 30_000
    x = rows(rng, n=n)
    lost = rng.random((n, D)) < 1 / (1 + np.exp(-(x[:, :1] - 3.0)))
    lost[:, 0] = False
    y = np.where(lost, np.nan, x)
    model, params = start(FactorModel(Q), y)
    found = run(model, params, y, n_iter=150).params
    error = x.std(axis=0) * np.sqrt(2 / n)
    assert (np.abs(np.nanmean(y, axis=0) - 3.0) > 10 * error).any()
    assert (np.abs(found.mean - 3.0) < 6 * error).all()
    np.testing.assert_allclose(covariance(found), np.cov(x.T), atol=0.15)


@pytest.mark.skipif(not (CSV / "tobamovirus.csv").exists(), reason="the shared data are not there")
def test_tobamovirus_positions_are_near_those_of_the_complete_data():
    """Tipping and Bishop (1999), figure 1: 38 viruses, 18 counts of amino acids, about 20 % removed."""
    x, y = (read(name) for name in ("tobamovirus.csv", "tobamovirus_nan20.csv"))
    assert x.shape == y.shape == (38, 18)
    share = np.isnan(y).mean()
    assert 0.1 < share < 0.3
    here, first = start(PPCAModel(2), x)
    whole = principal_rotation(run(here, first, x, n_iter=500).params)[0]
    model, params = start(PPCAModel(2), y)
    state = objective_never_falls(model, params, y)
    part = principal_rotation(run(model, state.params, y, n_iter=1000).params)[0]
    z, z_part = (rows_of(model, p, "latent")(Block(data)) for p, data in ((whole, x), (part, y)))
    turn, _ = scipy.linalg.orthogonal_procrustes(z_part, z)
    assert np.corrcoef((z_part @ turn).ravel(), z.ravel())[0, 1] > 0.95
    filled = rows_of(model, part, "filled:float64")(Block(y))
    missing = np.isnan(y)
    error = np.sqrt(np.mean((filled - x)[missing] ** 2))
    by_mean = np.sqrt(np.mean((np.nanmean(y, axis=0) - x)[missing] ** 2))
    assert error < 0.75 * by_mean


def read(name):
    lines = (CSV / name).read_text().splitlines()
    table = np.genfromtxt(lines, delimiter=",", dtype=float)
    table = table[~np.isnan(table).all(axis=1)]
    return table[:, ~np.isnan(table).all(axis=0)]


@pytest.mark.parametrize("d", [3, 60, 2000])
def test_a_pass_keeps_within_its_workspace(d, rng):
    x = holed(rng.normal(size=(4000, d)), 0.1, rng)
    params = PPCAParams(np.zeros(d), rng.normal(size=(d, 4)), 1.0)
    model = ObservedPPCAModel(4)
    tracemalloc.start()
    try:
        model.kernel(params)(Block(x))
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert used < model.workspace_bytes(d)
