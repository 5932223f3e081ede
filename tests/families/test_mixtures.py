"""Mixtures of each family: where EM ends, the likelihood (written with SciPy's densities) has no slope."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import logsumexp

import dem
from crosses import mostly_slow
from dem.core.block import Block
from dem.em import loop
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from families.kinds import KNOWN
from laws import rows_of
from own_family import Rayleigh

N = 400
LONG = ("bernoulli", "categorical", "vonmises")
"""Their maximum takes long to find directly."""
SHORT = [name for name in KNOWN if "gaussian" not in name and name not in LONG]


def fit(kind, x, params, n_iter=20_000):
    """Return the bound model, and where EM ends, from these parameters."""
    scan = Scanner(x.shape[1], False, len(x), 0, None, kind.family)()(Block(x))
    model = MixtureModel(2, kind.family).bind(scan)
    return model, loop.fit(model, params, loop.OneBlock(Block(x)), tol=1e-15, max_iter=n_iter)


def free(kind, params):
    """Return a mixture of two as a vector without bounds."""
    components = [kind.known.free(c) for c in kind.apart(params.theta)]
    return np.concatenate([[np.log(params.weights[1] / params.weights[0])], *components])


def mean_log_likelihood(kind, v, x):
    """Return the mixture's log-likelihood in nats a row."""
    log_weights = -np.logaddexp(0, [v[0], -v[0]])
    densities = [kind.known.log_pdf(kind.known.bound(part), x) for part in np.split(v[1:], 2)]
    return float(logsumexp(np.add(densities, log_weights[:, None]), axis=0).mean())


def slope(f, v, step=1e-5):
    """Return the numerical gradient."""
    unit = step * np.eye(len(v))
    return np.array([(f(v + e) - f(v - e)) / (2 * step) for e in unit])


@mostly_slow("name", list(KNOWN), quick=SHORT)
def test_the_likelihood_has_no_slope_at_the_fit_and_direct_maximisation_ends_there(name, rng):
    kind = KNOWN[name]
    x = kind.rows(N, rng)
    start = MixtureParams(np.array([0.4, 0.6]), kind.theta)
    model, state = fit(kind, x, start)
    at_fit = free(kind, state.params)
    reported = state.history[-1].log_likelihood
    assert abs(mean_log_likelihood(kind, at_fit, x) - reported) < 1e-10 * max(1, abs(reported))
    assert np.abs(slope(lambda v: mean_log_likelihood(kind, v, x), at_fit)).max() < 3e-6
    found = minimize(lambda v: -mean_log_likelihood(kind, v, x), free(kind, start), method="BFGS")
    assert abs(-found.fun - reported) < 1e-8
    score = rows_of(model, state.params, "score")(Block(x))
    assert abs(score.mean() - reported) < 1e-11 * max(1, abs(reported))


@mostly_slow("name", list(KNOWN), quick=[*LONG, "exponential", "poisson"])
def test_a_fit_from_the_samples_start_is_no_worse_than_from_the_truth(name, rng):
    """Well separated components are found, whatever the values: `coordinates` gives sensible first centres."""
    kind = KNOWN[name]
    x = kind.rows(N, rng)
    model, state = fit(kind, x, MixtureParams(np.array([0.5, 0.5]), kind.theta), n_iter=200)
    ours = dem.Mixture(2, family=kind.family, tol=1e-9, max_iter=500).fit(x)
    assert ours.lower_bound_ > state.objective - 1e-4
    assert ours.n_parameters_ == model.n_parameters(x.shape[1])
    np.testing.assert_allclose(ours.score(x), ours.lower_bound_, rtol=1e-11)


@pytest.mark.parametrize(("family", "smallest"), [("bernoulli", 1 / 2), (dem.families.Categorical((2, 2, 4)), 1 / 4)])
def test_a_weak_prior_keeps_probabilities_off_the_ends(family, smallest):
    """One row, spread over all codes, beside 30: a code that is never seen gets its share of 1 / 31."""
    x = np.tile([[0.0, 1, 1], [1, 0, 0]], (30, 1))
    found = []
    for prior in (None, "weak"):
        model = dem.Mixture(2, family=family, prior=prior, tol=1e-12, max_iter=500).fit(x)
        found.append(np.concatenate([np.ravel(p) for value in model.component_parameters_.values() for p in value]))
    plain, held = found
    assert plain.min() < 1e-200
    assert plain.max() == 1
    np.testing.assert_allclose(held.min(), smallest / 31, rtol=1e-2)
    assert held.max() < 1


def test_categories_are_counted_in_the_first_scan():
    x = np.array([[0.0, 2], [1, 0], [4, 1], [1, 1]] * 10)
    model = dem.Mixture(2, family="categorical").fit(x)
    assert model.family_.n_categories == (5, 3)
    assert [p.shape for p in model.component_parameters_["probabilities"]] == [(2, 5), (2, 3)]
    with pytest.raises(ValueError, match="holds 3 in column 1, but the model accepts only the codes 0 to 2"):
        model.predict(np.array([[0.0, 3]]))
    with pytest.raises(ValueError, match=r"column 1 has codes up to 20000: if they are categories, set n_categories"):
        dem.Mixture(2, family="categorical").fit(x * [1, 10_000])
    with pytest.raises(ValueError, match="n_categories has 2 entries for 3 columns"):
        dem.Mixture(2, family=dem.families.Categorical((2, 3))).fit(np.zeros((5, 3)))
    with pytest.raises(ValueError, match="from 1 to 100,000"):
        dem.families.Categorical(0)
    product = dem.Mixture(2, family=[(1, "poisson"), (0, dem.families.Categorical((4,)))])
    with pytest.raises(ValueError, match="holds 4 in column 0, but the model accepts only the codes 0 to 3"):
        product.fit(x)


def test_a_family_of_ones_own(rng):
    """Rayleigh, twenty lines outside the package: fitted, scored, drawn from, refused where it does not fit."""
    x = np.concatenate([rng.rayleigh(1.0, (500, 2)), rng.rayleigh([6.0, 9.0], (500, 2))])
    model = dem.Mixture(2, family=Rayleigh(), tol=1e-10, max_iter=1000).fit(x)
    scale = model.component_parameters_["scale"]
    scale = scale[np.argsort(scale[:, 0])]
    np.testing.assert_allclose(scale, [[1, 1], [6, 9]], rtol=0.1)
    densities = [stats.rayleigh(scale=s).logpdf(x).sum(axis=1) for s in model.component_parameters_["scale"]]
    expected = logsumexp(np.add(densities, np.log(model.weights_)[:, None]), axis=0)
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-10)
    rows, labels = model.sample(4000)
    mean = rows[labels == np.argmax(model.component_parameters_["scale"][:, 0])].mean(axis=0)
    np.testing.assert_allclose(mean, np.sqrt(np.pi / 2) * scale[1], rtol=0.06)
    with pytest.raises(ValueError, match="holds -1 in column 1, but the model accepts only numbers > 0"):
        model.fit(np.array([[1.0, -1], [2, 2]]))
