"""EM as coordinate ascent: KL(q || p(z | x, theta_new)) from sums alone is the sum of every row's."""

import numpy as np
import pytest

import reference
from dem import GaussianMixture
from dem.core.block import Block
from dem.em import loop
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from laws import data

X = data(n=200)
TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)


@TYPES
def test_kl_is_the_sum_over_rows(kind):
    """Responsibilities of both parameters in long double, row by row: not by log-likelihood less bound."""
    model = MixtureModel(3, COVARIANCE_TYPES[kind]())
    model = model.bind(Scanner(3, True, len(X), 0, None)()(Block(X)))
    params, seen = model.start(Block(X), np.random.default_rng(5)), []

    def keep(state):
        seen.append(state.params)

    first = params
    state = loop.fit(model, params, loop.OneBlock(Block(X)), tol=0, max_iter=6, callback=keep)
    chain = [first, *seen[:-1]]
    resp = []
    for p in chain:
        dense = reference.dense(p.theta.covariances, kind, 3, 3)
        resp.append(reference.e_step(X, p.weights, p.theta.means, dense)[1])
    found = [new.objective - old.bound for old, new in zip(state.history, state.history[1:], strict=False)]
    for kl, q, p in zip(found, resp, resp[1:], strict=False):
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(q > 0, q * (np.log(q) - np.log(p)), 0)
        expected = float(terms.sum(axis=0).mean())
        assert kl == pytest.approx(expected, rel=1e-6, abs=1e-13)
    assert max(found) > 1e-4  # something was there to be measured


def test_history_tells_both_steps():
    model = GaussianMixture(3, n_init=1, init_params="random", sample_size=20, tol=1e-6, reg_covar=0).fit(X)
    *whole, last = model.history_
    assert len(whole) > 3
    for entry, after in zip(whole, model.history_[1:], strict=True):
        assert entry["elbo_e"] == entry["objective"] == entry["log_likelihood"]
        assert entry["elbo_e"] <= entry["elbo_m"] <= after["elbo_e"]
        assert entry["kl"] == after["elbo_e"] - entry["elbo_m"] >= 0
    assert last["elbo_m"] is None
    assert last["kl"] is None
    assert last["log_likelihood"] == model.lower_bound_


def test_priors_are_told_apart_from_the_likelihood():
    model = GaussianMixture(3, n_init=1, prior="weak", tol=1e-6).fit(X)
    entry = model.history_[-1]
    assert entry["objective"] == model.lower_bound_
    assert entry["log_likelihood"] == pytest.approx(model.score(X), abs=1e-12)
    assert entry["log_likelihood"] != entry["objective"]
