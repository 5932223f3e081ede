"""Multinomial rows with missing counts, against SciPy's multinomial and negative binomial; directions refuse them."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from scipy.special import gammaln, logsumexp, softmax, xlogy

from clustered_rows import K, N, counts, directions, with_holes
from dem import Mixture
from dem.core.block import Block
from dem.em import loop
from dem.em.seeding import Seeding
from dem.families import Multinomial, VonMisesFisher
from dem.models.mixture.mixture import MixtureModel
from laws import begin, bind, rows_of, run, total

D = 5


def rows(rng, n=600, share=0.3):
    """Return rows of two kinds, of totals from 0 to 40, with holes; each has a column at least."""
    p = rng.dirichlet(np.ones(D), size=2)
    x = rng.multinomial(rng.integers(41, size=n), p[np.arange(n) % 2]).astype(float)
    x[rng.random(x.shape) < share] = np.nan
    return x[~np.isnan(x).all(axis=1)]


def conditional(x, p):
    """Return SciPy's log-probabilities (n,) of what each row has, given its total."""
    found = np.zeros(len(x))
    for i, row in enumerate(x):
        seen = ~np.isnan(row)
        if seen.any():
            found[i] = stats.multinomial.logpmf(row[seen], int(row[seen].sum()), p[seen] / p[seen].sum())
    return found


def log_pmf(x, p):
    """Return the same of all rows at once, from shares of shares."""
    seen = ~np.isnan(x)
    x, within = np.where(seen, x, 0), np.where(seen, p, 0)
    within = within / np.maximum(within.sum(axis=1, keepdims=True), 1e-300)
    return gammaln(x.sum(axis=1) + 1) + (xlogy(x, within) - gammaln(x + 1)).sum(axis=1)


def model_of(x, k=2, **settings):
    return bind(MixtureModel(k, Multinomial(**settings), Seeding("kmeans")), x)


def fit(x, k=2, seed=0):
    model = model_of(x, k)
    return loop.fit(model, begin(model, x, seed=seed), loop.OneBlock(Block(x)), tol=1e-14, max_iter=5000)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_the_density_is_that_of_the_observed_columns(rng, share):
    x = rows(rng, share=share)
    model = model_of(x)
    params = run(model, begin(model, x), x, n_iter=3).params
    joint = [np.log(w) + conditional(x, p) for w, p in zip(params.weights, params.theta["probabilities"], strict=True)]
    np.testing.assert_allclose(
        joint[0] - np.log(params.weights[0]), log_pmf(x, params.theta["probabilities"][0]), atol=1e-11
    )
    expected = logsumexp(joint, axis=0)
    score, proba = (rows_of(model, params, what)(Block(x)) for what in ("score", "proba"))
    np.testing.assert_allclose(score, expected, rtol=0, atol=1e-11)
    np.testing.assert_allclose(proba.T, np.exp(joint - expected), rtol=0, atol=1e-11)
    assert model.objective(params, total(model, params, x)) == pytest.approx(expected.mean(), abs=1e-12)


@pytest.mark.parametrize(("share", "k"), [(0.2, 2), (0.6, 2), (0.9, 1)])
def test_the_fit_is_the_maximum_that_scipy_finds(rng, share, k):
    x = rows(rng, n=1200, share=share)
    state = fit(x, k)
    weights, p = state.params.weights, state.params.theta["probabilities"]

    def loss(v):
        shares = softmax(v[k:].reshape(k, D), axis=1)
        logs = [np.log(w) + log_pmf(x, q) for w, q in zip(softmax(v[:k]), shares, strict=True)]
        return -logsumexp(logs, axis=0).mean()

    here = np.concatenate([np.log(weights), np.log(p).ravel()])
    assert loss(here) == pytest.approx(-state.objective, abs=1e-12)
    assert minimize(loss, here + 0.1 * rng.normal(size=len(here)), method="L-BFGS-B").fun > loss(here) - 1e-9
    slope = [(loss(here + h) - loss(here - h)) / 2e-5 for h in 1e-5 * np.eye(len(here))]
    np.testing.assert_allclose(slope, 0, atol=1e-6)


def test_the_bound_is_below_the_likelihood_and_touches_it(rng):
    """Sum of r log q(x | p') is no less than `expected` of any p', and the same where the sums were made."""
    x = rows(rng)
    model = model_of(x)
    params = begin(model, x)
    resp = rows_of(model, params, "proba")(Block(x))
    found = total(model, params, x)
    family, frame = model.family_of_rows, found.frame

    def both(theta):
        truth = sum(resp[:, k] @ log_pmf(x, p) for k, p in enumerate(theta["probabilities"]))
        base = float(family.log_base(x.T).sum())
        return truth, family.expected(theta, found.sums, frame, params.theta) + base

    assert both(params.theta)[1] == pytest.approx(both(params.theta)[0], rel=1e-12)
    best = both(family.estimate(found.sums, frame, params.theta))[1]
    for _ in range(20):
        truth, bound = both({"probabilities": rng.dirichlet(np.ones(D), size=2)})
        assert bound <= truth + 1e-9
        assert bound < best


def test_on_whole_rows_it_is_the_multinomials_own_estimate(rng):
    x = np.nan_to_num(rows(rng))
    whole, holed = Multinomial(), Multinomial().with_missing()
    assert holed.with_missing() is holed
    theta, resp = {"probabilities": rng.dirichlet(np.ones(D), size=3)}, rng.random((3, len(x)))
    found = []
    for family in (whole, holed):
        sums = np.zeros((family.n_exact_sums(D), 3))
        out = np.empty((3, len(x)))
        family.add_sums(theta, x.T, family.log_density(theta, x.T, out), resp, sums)
        found.append((out, family.estimate(sums, family.frame(x), theta)["probabilities"]))
        found[-1] += (family.expected(theta, sums, family.frame(x), theta),)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def test_missing_counts_are_filled_in_by_negative_multinomials(rng):
    """Of one missing column the count is negative binomial: so many fell there before n_o fell into the others."""
    x = rows(rng, share=0.0)
    x[np.arange(len(x)), rng.integers(D, size=len(x))] = np.nan
    model = model_of(x, n_trials=20)
    params = run(model, begin(model, x), x, n_iter=3).params
    filled, deviation = (rows_of(model, params, f"{what}:float64")(Block(x)) for what in ("filled", "deviation"))
    proba, missing = rows_of(model, params, "proba")(Block(x)), np.isnan(x)
    np.testing.assert_array_equal(filled[~missing], x[~missing])
    assert not deviation[~missing].any()
    for i in np.flatnonzero(~missing.all(axis=1))[:80]:
        j, seen = int(missing[i].argmax()), int(np.nansum(x[i]))
        p = params.theta["probabilities"][:, j]
        mean, variance = stats.nbinom.stats(seen, 1 - p) if seen else (np.zeros(2), np.zeros(2))
        middle = proba[i] @ mean
        assert filled[i, j] == pytest.approx(middle, rel=1e-10)
        assert deviation[i, j] ** 2 == pytest.approx(proba[i] @ (variance + (mean - middle) ** 2), rel=1e-9, abs=1e-12)


def test_a_column_seen_on_its_own_says_nothing(rng):
    """Its share of itself is 1; a component without it stays finite, and shares are nearly those without such rows."""
    p = np.array([[0.5, 0.5, 0.0], [0.2, 0.3, 0.5]])
    x = np.array([rng.multinomial(30, p[i % 2]) for i in range(400)], dtype=float)
    alone = np.full((50, 3), np.nan)
    alone[:, 2] = 9.0
    model = model_of(np.concatenate([x, alone]))
    params = begin(model_of(x), x)
    params.theta["probabilities"][:] = p
    state = run(model, params, np.concatenate([x, alone]), n_iter=20)
    assert all(np.isfinite(step.objective) for step in state.history)
    expected = np.stack([x[::2].mean(axis=0), x[1::2].mean(axis=0)]) / 30
    np.testing.assert_allclose(state.params.theta["probabilities"], expected, atol=0.03)


def test_shares_are_recovered_from_rows_with_holes(rng):
    p = np.array([[0.4, 0.3, 0.2, 0.05, 0.05], [0.1, 0.1, 0.2, 0.3, 0.3]])
    n, trials = 20_000, 25
    x = np.concatenate([rng.multinomial(trials, q, size=n // 2) for q in p]).astype(float)
    x[rng.random(x.shape) < [0.1, 0.2, 0.3, 0.7, 0.7]] = np.nan
    state = fit(x)
    found = state.params.theta["probabilities"]
    found = found[np.argsort(-found[:, 0])]
    error = np.sqrt(p * (1 - p) / (n / 2 * trials * 0.3))  # of columns that are seen in three rows of ten
    assert (np.abs(found - p) < 4 * error).all()


def test_a_mixture_of_words_with_missing_counts():
    x = with_holes(counts)
    model = Mixture(K, family="multinomial").fit(x)
    assert model.predict(x).shape == (N,)
    assert np.isfinite(model.score_samples(x)).all()


def test_directions_take_no_missing_values():
    x = directions()
    family = VonMisesFisher()
    theta = family.initial(x.T, np.ones((1, len(x))))
    whole, same = np.empty((2, 1, len(x)))
    family.log_density(theta, x.T, whole)
    family.with_missing().log_density(theta, x.T, same)
    assert same.tobytes() == whole.tobytes()
    x[4, 1] = np.nan
    with pytest.raises(ValueError, match="von Mises-Fisher does not support missing values"):
        Mixture(K, family="vonmisesfisher").fit(x)
