"""Mixtures against long double, where float64 has a hard time."""

import numpy as np
import pytest

import reference
from dem import GaussianMixture
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.precision import Precision
from laws import bind, total
from models.problems import HARDSHIPS, D, K, problem

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
HARD = pytest.mark.parametrize("hard", HARDSHIPS.values(), ids=HARDSHIPS)


def e_step(p, x):
    return reference.e_step(x, p.weights, p.means, reference.dense(p.covariances, p.kind, K, D))


@TYPES
@HARD
def test_row_log_likelihoods(kind, hard, rng):
    """Each row within 1e-9, relative; rows in the middle of nowhere too."""
    p = problem(kind, hard, rng)
    x = np.concatenate([p.x, p.between])
    model = GaussianMixture.from_parameters(p.weights, p.means, p.covariances, kind)
    assert reference.relative_error(model.score_samples(x), e_step(p, x)[0]) < 1e-9


@TYPES
@HARD
def test_summed_log_likelihood(kind, hard, rng):
    p = problem(kind, hard, rng)
    model = bind(p.model, p.x)
    objective = model.objective(p.params, total(model, p.params, p.x))
    assert reference.relative_error(objective, e_step(p, p.x)[0].mean()) < 1e-9


@TYPES
@HARD
@pytest.mark.parametrize("weighted", [False, True])
def test_m_step(kind, hard, weighted, rng):
    """Means and covariances within 1e-9 of their components' own spread."""
    p = problem(kind, hard, rng)
    weight = rng.exponential(size=len(p.x)) if weighted else None
    model = bind(p.model, p.x, weight)
    new = model.m_step(p.params, total(model, p.params, p.x, weight)).params
    weights, means, covariances = reference.m_step(p.x, e_step(p, p.x)[1], kind, weight)
    assert reference.relative_error(new.weights, weights) < 1e-9
    dense = reference.dense(covariances, kind, K, D)
    found = reference.dense(new.theta.covariances, kind, K, D)
    deviations = np.sqrt(np.einsum("kii->ki", dense))
    rounding = np.spacing(np.abs(new.theta.means))
    assert (np.abs(new.theta.means - means) < 1e-9 * deviations + rounding).all()
    error = np.abs(found - dense) / (deviations[:, :, None] * deviations[:, None, :])
    assert float(error.max()) < 1e-9


@TYPES
@HARD
def test_responsibilities_and_labels(kind, hard, rng):
    p = problem(kind, hard, rng)
    model = GaussianMixture.from_parameters(p.weights, p.means, p.covariances, kind)
    expected = e_step(p, p.x)[1]
    proba = model.predict_proba(p.x)
    # A relative error of 1e-9 of log-densities up to their size is what responsibilities may show.
    np.testing.assert_allclose(proba, expected.T.astype(float), atol=1e-8)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-14)
    sure = np.sort(expected, axis=0)[-2] < 0.499
    np.testing.assert_array_equal(model.predict(p.x)[sure], expected.argmax(axis=0)[sure])


@TYPES
def test_the_far_spread_cases_do_take_the_centred_path(kind, rng):
    """So that the tests above hold both paths."""
    chosen = {}
    for name in ("plain", "spread-1e7"):
        p = problem(kind, HARDSHIPS[name], rng)
        chosen[name] = bind(p.model, p.x).precision(p.params)
    assert chosen == {"plain": Precision.DOUBLE, "spread-1e7": Precision.CENTRED}


def single_precision_rows(dtype, rng):
    """Return rows of mean 1e4 (float16: 100) and deviation 1, and the settings of a fit to the very optimum."""
    offset = 1e4 if dtype == np.float32 else 1e2
    centres = offset + np.array([[0.0, 0, 0], [3, 1, 2], [-2, 4, 1]])
    x = (centres[rng.integers(3, size=2000)] + rng.normal(size=(2000, 3))).astype(dtype)
    return x, {"weights_init": np.full(3, 1 / 3), "means_init": centres, "tol": 1e-13, "max_iter": 2000}


PRECISIONS = {"full": [np.eye(3)] * 3, "tied": np.eye(3), "diag": np.ones((3, 3)), "spherical": np.ones(3)}


@TYPES
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_single_precision_far_from_zero(kind, dtype, rng):
    """Mean 1e4 and deviation 1: the fit is that of the same values in float64, and so are all scores.

    A stop by the objective tells parameters to the root of `tol`. EM goes r = 0.3 of the way to the optimum in a pass
    here (0.31 with full covariances, more with others), since what rows tell along its slowest direction is r of what
    they would if the components were known (Dempster, Laird and Rubin 1977). Where that is h nats, EM gains
    h r (1 - (1 - r)^2) e^2 / 2 from a distance e; so where it gains less than tol, each fit is as near to the optimum.
    Three like components of deviation 1 tell h = 4.5 of a weight, 1/3 of a mean and 1/6 of a variance: with tol = 1e-12
    two fits may differ by 3.4e-6, 1.3e-5 and 1.8e-5. A smaller tol would be less than the rounding of the objective so
    far from zero (some 6e-13 was seen), and a fall by that much ends a fit as well.
    """
    x, settings = single_precision_rows(dtype, rng)
    settings["tol"] = 1e-12
    gain = 0.3 * (1 - 0.7**2) / 2
    near_weights, near_means, near_variances = (2 * np.sqrt(settings["tol"] / (h * gain)) for h in (4.5, 1 / 3, 1 / 6))
    settings |= {"covariance_type": kind, "precisions_init": PRECISIONS[kind]}
    low = GaussianMixture(3, **settings).fit(x)
    high = GaussianMixture(3, **settings).fit(x.astype(np.float64))
    assert low.means_.dtype == low.covariances_.dtype == np.float64
    np.testing.assert_allclose(low.weights_, high.weights_, rtol=0, atol=near_weights)
    np.testing.assert_allclose(low.means_, high.means_, rtol=0, atol=near_means)
    np.testing.assert_allclose(low.covariances_, high.covariances_, rtol=0, atol=near_variances)
    assert low.stop_reason_ == high.stop_reason_ == "converged"
    assert low.lower_bound_ == pytest.approx(high.lower_bound_, rel=1e-9)
    np.testing.assert_allclose(low.score_samples(x), low.score_samples(x.astype(np.float64)), rtol=1e-12)
    assert low.lower_bound_ == pytest.approx(low.score(x), rel=1e-9)


@TYPES
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_reported_parameters_of_single_precision_rows_come_from_an_exact_pass(kind, dtype, rng):
    """The last M-step is that of long double, and the last pass scores it."""
    x, settings = single_precision_rows(dtype, rng)
    states = []
    model = GaussianMixture(3, covariance_type=kind, precisions_init=PRECISIONS[kind], **settings, reg_covar=0).fit(
        x, callback=states.append
    )
    before = states[-3].params
    dense = reference.dense(before.theta.covariances, kind, 3, 3)
    resp = reference.e_step(x, before.weights, before.theta.means, dense)[1]
    weights, means, covariances = reference.m_step(x, resp, kind)
    assert reference.relative_error(model.weights_, weights) < 1e-9
    assert reference.relative_error(model.means_, means) < 1e-9
    assert reference.relative_error(model.covariances_, covariances) < 1e-9
    dense = reference.dense(model.covariances_, kind, 3, 3)
    expected = reference.e_step(x, model.weights_, model.means_, dense)[0].mean()
    assert reference.relative_error(model.lower_bound_, expected) < 1e-9


@TYPES
@pytest.mark.parametrize("weights", [[0.5, 0.5, 0.0], [1 - 1e-12, 5e-13, 5e-13], [1.0, 0.0, 0.0]])
def test_components_of_little_or_no_weight(kind, weights, rng):
    p = problem(kind, HARDSHIPS["plain"], rng)
    model = GaussianMixture.from_parameters(weights, p.means, p.covariances, kind)
    dense = reference.dense(p.covariances, kind, K, D)
    score, resp = reference.e_step(p.x, model.weights_, p.means, dense)
    # A weight of 0 counts as the smallest normal number, about exp(-708).
    near = score > -300
    assert near.sum() > 50
    assert reference.relative_error(model.score_samples(p.x)[near], score[near]) < 1e-9
    np.testing.assert_allclose(model.predict_proba(p.x)[near], resp.T[near].astype(float), atol=1e-9)
