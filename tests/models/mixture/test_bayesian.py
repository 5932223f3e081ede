"""The variational mixture against scikit-learn step by step, the bound term by term, and exact evidence."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma, gammaln, multigammaln
from sklearn.mixture import BayesianGaussianMixture

import laws
import reference
from dem.core.block import Block
from dem.em import loop
from dem.families import COVARIANCE_TYPES
from dem.models.mixture.bayesian import BayesianMixtureModel, ComponentPrior
from dem.models.mixture.mixing import Dirichlet, StickBreaking
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.precision import Precision
from laws import rows_of

K, D = 4, 3
X = laws.data()
TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
MIXINGS = {"dirichlet_process": StickBreaking, "dirichlet_distribution": Dirichlet}
BOTH = pytest.mark.parametrize("mixing", MIXINGS)
RESP = np.random.default_rng(7).dirichlet(np.full(K, 0.3), size=len(X))


def mixture(kind, mixing="dirichlet_process", k=K, alpha=1 / K, **prior):
    return BayesianMixtureModel(
        MixtureModel(k, COVARIANCE_TYPES[kind]()), MIXINGS[mixing].prior(k, alpha), ComponentPrior(**prior)
    )


def begun(kind, mixing, x=X, resp=RESP):
    model = laws.bind(mixture(kind, mixing), x)
    return model, model.from_responsibilities(np.ascontiguousarray(x.T), resp.T)


@TYPES
@BOTH
def test_iteration_by_iteration_as_scikit_learn(kind, mixing):
    """From the same responsibilities: all parameters, and the bound up to what scikit-learn leaves out."""
    model, params = begun(kind, mixing)
    other = BayesianGaussianMixture(
        n_components=K, covariance_type=kind, weight_concentration_prior_type=mixing, reg_covar=0.0
    )
    other._check_parameters(X)
    other._initialize(X, RESP)
    left_out = []
    for _ in range(5):
        pairs = {
            "means": (params.theta.means, other.means_),
            "covariances": (params.theta.covariances, other.covariances_),
            "beta": (params.mean_precision, other.mean_precision_),
            "nu": (params.degrees_of_freedom, other.degrees_of_freedom_),
            "concentration": (params.mixing.concentration, np.array(other.weight_concentration_)),
        }
        for name, (ours, theirs) in pairs.items():
            np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11 * np.abs(theirs).max(), err_msg=name)
        _, log_resp = other._e_step(X)
        np.testing.assert_allclose(rows_of(model, params, "proba")(Block(X)), np.exp(log_resp), atol=1e-11)
        other._m_step(X, log_resp)
        state = loop.advance(model, loop.State(params), laws.total(model, params, X), tol=0, max_iter=9)
        left_out.append(state.history[-1].bound * len(X) - other._compute_lower_bound(log_resp, 0))
        params = state.params
    assert np.ptp(left_out) < 1e-9 * max(np.abs(left_out))


def elbo(kind, params, x, resp, alpha):
    """Return the bound, a term for each factor   (PRML 10.71 to 10.77), with dense matrices."""
    d, n = x.shape[1], resp.sum(axis=0)
    nu = np.broadcast_to(params.degrees_of_freedom, K)
    matrices = reference.dense(params.theta.covariances, kind, K, d).astype(float)
    scales = [np.linalg.inv(nu[k] * c) for k, c in enumerate(matrices)]
    cov = np.cov(x.T)
    c_0 = {
        "full": cov,
        "tied": cov,
        "diag": np.diag(np.diag(cov)),
        "spherical": np.diag(cov).mean() * np.eye(d),
    }[kind]
    m_0, beta_0, nu_0 = x.mean(axis=0), 1.0, d
    log_det = [
        digamma((nu[k] - np.arange(d)) / 2).sum() + d * np.log(2) + np.linalg.slogdet(scales[k])[1] for k in range(K)
    ]
    total = -np.sum(resp * np.log(np.maximum(resp, 1e-300)))  # 10.75
    a = params.mixing.concentration
    if a.ndim == 1:
        log_pi = digamma(a) - digamma(a.sum())
        total += stats.dirichlet.entropy(a)  # 10.76
        total += gammaln(K * alpha) - K * gammaln(alpha) + (alpha - 1) * log_pi.sum()  # 10.73
    else:
        here, rest = digamma(a) - digamma(a.sum(axis=0))
        log_pi = here + np.append(0, np.cumsum(rest)[:-1])
        total += stats.beta.entropy(*a).sum() + np.sum(np.log(alpha) + (alpha - 1) * rest)
    total += resp.sum(axis=0) @ log_pi  # 10.72
    for k in range(K):
        m, beta, w = params.theta.means[k], params.mean_precision[k], scales[k]
        squares = nu[k] * np.einsum("ni,ij,nj->n", x - m, w, x - m)
        total += 0.5 * (n[k] * (log_det[k] - d / beta - d * np.log(2 * np.pi)) - resp[:, k] @ squares)  # 10.71
        total += 0.5 * (d * np.log(beta_0 / (2 * np.pi)) + log_det[k] - d * beta_0 / beta)  # 10.74, of mu
        total -= 0.5 * beta_0 * nu[k] * (m - m_0) @ w @ (m - m_0)
        norm = nu_0 / 2 * np.linalg.slogdet(c_0)[1] - nu_0 * d / 2 * np.log(2) - multigammaln(nu_0 / 2, d)
        total += norm + (nu_0 - d - 1) / 2 * log_det[k] - nu[k] / 2 * np.trace(c_0 @ w)  # 10.74, of Lambda
        total -= 0.5 * log_det[k] + d / 2 * np.log(beta / (2 * np.pi)) - d / 2  # 10.77, of mu
        total += stats.wishart.entropy(nu[k], w)  # 10.77, of Lambda
    return total


@TYPES
@BOTH
def test_the_bound_term_by_term(kind, mixing):
    x, resp = X[:25], RESP[:25]
    model, params = begun(kind, mixing, x, resp)
    for _ in range(3):
        stats_ = laws.total(model, params, x)
        resp = rows_of(model, params, "proba")(Block(x))
        assert abs(model.objective(params, stats_) * len(x) - elbo(kind, params, x, resp, 1 / K)) < 1e-10 * 25
        state = loop.advance(model, loop.State(params), stats_, tol=0, max_iter=9)
        params = state.params
        assert abs(state.history[0].bound * len(x) - elbo(kind, params, x, resp, 1 / K)) < 1e-10 * 25


@TYPES
@BOTH
def test_the_m_step_is_the_best_of_its_class(kind, mixing, rng):
    """Whatever is changed a little, the bound falls."""
    model, params = begun(kind, mixing)
    stats_ = laws.total(model, params, X)
    best = model.m_step(params, stats_).params
    top = model.expected(params, stats_, best)
    for scale in (1.01, 0.99):
        theta = best.theta
        wider = model.family.from_covariances(theta.means, theta.covariances * scale)
        moved = replace(theta, means=theta.means + 0.01 * rng.normal(size=theta.means.shape))
        for other in (
            replace(best, theta=wider),
            replace(best, theta=moved),
            replace(best, mean_precision=best.mean_precision * scale),
            replace(best, degrees_of_freedom=best.degrees_of_freedom * scale),
            replace(best, mixing=type(best.mixing)(best.mixing.concentration * scale)),
        ):
            assert model.expected(params, stats_, other) < top - 1e-9


def test_one_component_reaches_the_evidence():
    """The posterior is in q's class: the bound is log p(X), which the normal-Wishart prior gives in closed form."""
    n, x = 40, X[:40]
    model = laws.bind(mixture("full", "dirichlet_distribution", 1, mean_precision=0.5, degrees_of_freedom=4.5), x)
    params = model.from_responsibilities(np.ascontiguousarray(x.T), np.ones((1, n)))
    c_0, c_n = np.cov(x.T), params.theta.covariances[0] * (4.5 + n)
    log_evidence = -n * D / 2 * np.log(np.pi) + multigammaln((4.5 + n) / 2, D) - multigammaln(4.5 / 2, D)
    log_evidence += 4.5 / 2 * np.linalg.slogdet(c_0)[1] - (4.5 + n) / 2 * np.linalg.slogdet(c_n)[1]
    log_evidence += D / 2 * np.log(0.5 / (0.5 + n))
    assert abs(model.objective(params, laws.total(model, params, x)) * n - log_evidence) < 1e-9


@TYPES
@BOTH
def test_every_arithmetic_gives_the_same_bound(kind, mixing):
    x = X.astype(np.float32)
    model, params = begun(kind, mixing, x.astype(float))
    model = laws.bind(model, x)
    found = {}
    for precision in Precision:
        marked = replace(params, floor=precision)
        stats_ = laws.total(model, marked, x)
        assert stats_.precision == precision
        found[precision] = model.objective(marked, stats_)
    assert abs(found[Precision.SINGLE] - found[Precision.CENTRED]) < 1e-4
    assert abs(found[Precision.DOUBLE] - found[Precision.CENTRED]) < 1e-9


@TYPES
def test_components_far_apart(kind):
    """At spread / deviation = 1e5 the centred arithmetic runs; the bound never falls."""
    x = X + 1e5 * (np.arange(len(X)) % 2)[:, None]
    model = laws.bind(mixture(kind), x)
    resp = np.random.default_rng(0).dirichlet(np.ones(K), size=len(x)).T
    state = loop.fit(
        model, model.from_responsibilities(np.ascontiguousarray(x.T), resp), loop.OneBlock(Block(x)), tol=0, max_iter=40
    )
    for old, new in pairwise(state.history):
        assert new.objective >= old.objective - 1e-12 * abs(old.objective)
    laws.bound_lies_between(state)


def test_a_sample_weighs_as_much_as_the_whole():
    """The prior stays that of all rows; a quarter of them counts four times."""
    whole = laws.bind(mixture("full"), X)
    sampled = laws.bind(whole, X[::4])
    assert sampled.prior is whole.prior
    assert whole.copies == 1
    assert sampled.copies == len(X) / len(X[::4])
    assert not sampled.needs_scatter
    params = whole.from_responsibilities(np.ascontiguousarray(X.T), RESP.T)
    four = np.repeat(X[::4], 4, axis=0)
    one, many = laws.total(sampled, params, X[::4]), laws.total(whole, params, four)
    laws.assert_close(sampled.m_step(params, one).params, whole.m_step(params, many).params, 1e-12)
    assert abs(sampled.objective(params, one) - whole.objective(params, many)) < 1e-12


def test_data_that_can_be_no_prior_are_refused():
    x = X.copy()
    x[:, 1] = 3.0
    with pytest.raises(ValueError, match=r"covariance of the data is singular.*or covariance_prior"):
        laws.bind(mixture("full"), x)
    with pytest.raises(ValueError, match=r"n_samples=0\.3, the sum of .* is less than 2, which a covariance needs"):
        laws.bind(mixture("diag"), X, np.full(len(X), 1e-3))
    with pytest.raises(ValueError, match="not bound"):
        mixture("full").from_responsibilities(np.ascontiguousarray(X.T), RESP.T)
