"""Bernoulli and categorical mixtures: PRML's equations in a loop, and latent classes that others have published."""

from itertools import permutations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

import dem
from dem.core.block import Block
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from laws import rows_of
from shared import CSV


def table(name):
    path = CSV / f"lca_{name}.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return np.loadtxt(path, delimiter=",", skiprows=1)


def test_bernoulli_is_prmls_loop(rng):
    """PRML 9.56 for the responsibilities, 9.58 to 9.60 for the M-step, row by row; 9.51 for the likelihood."""
    n, d, k = 60, 4, 3
    x = (rng.random((n, d)) < 0.4).astype(float)
    mu, pi = rng.uniform(0.2, 0.8, (k, d)), np.array([0.2, 0.3, 0.5])
    model = MixtureModel(k, dem.families.Bernoulli())
    model = model.bind(Scanner(d, False, n, 0, n, model.measure)()(Block(x)))
    params = MixtureParams(pi, {"probability": mu})
    for _ in range(5):
        gamma, likelihood = np.empty((n, k)), 0.0
        for i in range(n):
            p = [pi[j] * np.prod(mu[j] ** x[i] * (1 - mu[j]) ** (1 - x[i])) for j in range(k)]
            gamma[i] = p / np.sum(p)
            likelihood += np.log(np.sum(p))
        stats = model.kernel(params)(Block(x))
        assert abs(model.objective(params, stats) - likelihood / n) < 1e-13
        np.testing.assert_allclose(rows_of(model, params, "proba")(Block(x)), gamma, rtol=1e-12)
        counts = gamma.sum(axis=0)
        mu = np.array([sum(gamma[i, j] * x[i] for i in range(n)) / counts[j] for j in range(k)])
        pi = counts / n
        params = model.m_step(params, stats).params
        np.testing.assert_allclose(params.theta["probability"], mu, rtol=1e-12)
        np.testing.assert_allclose(params.weights, pi, rtol=1e-12)


def best(x, k, family="categorical", tries=3):
    """Return the best of some fits, each the best of ten starts."""
    fits = [
        dem.Mixture(k, family=family, tol=1e-13, max_iter=20_000, n_init=20, random_state=seed).fit(x)
        for seed in range(tries)
    ]
    return max(fits, key=lambda m: m.lower_bound_)


DOCUMENTED = [
    ("carcinoma", 2, -317.2568, 15),
    pytest.param("carcinoma", 3, -293.705, 23, marks=pytest.mark.slow),
    pytest.param("carcinoma", 4, -289.2858, 31, marks=pytest.mark.slow),
    pytest.param("cheating", 2, -440.0271, 9, marks=pytest.mark.slow),
    ("values", 2, -504.4677, 9),
]
"""Maximum log-likelihoods in the examples of poLCA's reference manual (version 1.6.0.1), and the free parameters."""


@pytest.mark.parametrize(("name", "k", "expected", "n_parameters"), DOCUMENTED)
def test_log_likelihoods_of_polcas_manual(name, k, expected, n_parameters):
    x = table(name)
    model = best(x, k)
    digits = len(str(expected).split(".")[1])
    assert round(model.lower_bound_ * len(x), digits) == expected
    assert model.n_parameters_ == n_parameters
    np.testing.assert_allclose(model.bic(x), -2 * expected + n_parameters * np.log(len(x)), atol=2e-3)


def test_carcinoma_in_three_classes():
    """Shares and probabilities of "yes" for the seven pathologists, as Linzer and Lewis (2011, JSS 42) print them."""
    model = best(table("carcinoma"), 3)
    yes = np.stack([p[:, 1] for p in model.component_parameters_["probabilities"]], axis=1)
    order = np.argsort(yes.sum(axis=1))
    np.testing.assert_allclose(model.weights_[order], [0.3736, 0.1817, 0.4447], atol=6e-5)
    np.testing.assert_allclose(
        yes[order],
        [[0.0573, 0.1379, 0, 0, 0.0551, 0, 0],
         [0.5128, 1, 0, 0.0576, 0.7506, 0, 0.6307],
         [1, 0.9809, 0.8575, 0.5862, 1, 0.4764, 1]],
        atol=6e-5,
    )  # fmt: skip
    assert yes.min() == 0 or yes.min() < 1e-8


def test_carcinoma_by_direct_maximisation():
    """L-BFGS on the likelihood of the two-class model written out, from many starts, finds the same."""
    x = table("carcinoma")
    model = best(x, 2)

    def parts(v):
        return expit(v[0]), expit(v[1:].reshape(2, -1))

    def loss(v):
        share, yes = parts(v)
        p = np.prod(np.where(x[:, None] == 1, yes, 1 - yes), axis=2)
        return -np.log(p @ [share, 1 - share]).mean()

    rng = np.random.default_rng(0)
    bounds = [(-15, 15)] * 15
    found = min(
        (
            minimize(loss, rng.normal(size=15), method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-14})
            for _ in range(5)
        ),
        key=lambda r: r.fun,
    )
    assert abs(model.lower_bound_ + found.fun) < 1e-6
    share, yes = parts(found.x)
    ours = np.stack([p[:, 1] for p in model.component_parameters_["probabilities"]], axis=1)
    apart = min(np.abs(np.r_[ours[list(o)].ravel() - yes.ravel(), model.weights_[list(o)] - [share, 1 - share]]).max()
                for o in permutations(range(2)))  # fmt: skip
    assert apart < 1e-3


def test_bernoulli_and_two_categories_are_one_model():
    x = table("cheating")
    one, two = best(x, 2, "bernoulli", 1), best(x, 2, "categorical", 1)
    assert abs(one.lower_bound_ - two.lower_bound_) < 1e-10
