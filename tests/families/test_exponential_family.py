"""Families of independent columns with missing values, against SciPy's densities of what is observed."""

from functools import partial

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from clustered_rows import D, K, N, codes, counts, data, positive, with_holes
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.core.rows import RowKeys
from dem.em import loop
from dem.em.seeding import Seeding
from dem.families import (
    Categorical,
    DiagonalGaussian,
    Multinomial,
    Poisson,
)
from dem.families.product import product
from dem.models.mixture.mixture import MixtureModel
from families.kinds import KINDS
from laws import begin, bind, rows_of, run
from own_family import Rayleigh

INDEPENDENT = {name: kind for name, kind in KINDS.items() if kind.distribution}
ALL = pytest.mark.parametrize("name", INDEPENDENT)


def fitted(name, x):
    model = bind(MixtureModel(K, INDEPENDENT[name].fitted, Seeding("kmeans")), x)
    return model, run(model, begin(model, x), x, n_iter=3).params


def log_densities(name, params, x):
    """Return the sum over the observed columns of SciPy's log-densities, (K, n), one value at a time."""
    return np.nansum(INDEPENDENT[name].log_densities(params.theta, x), axis=2)


@ALL
def test_the_density_is_that_of_the_observed_columns(name):
    x = with_holes(INDEPENDENT[name].values)
    model, params = fitted(name, x)
    joint = log_densities(name, params, x) + np.log(params.weights)[:, None]
    expected = scipy.special.logsumexp(joint, axis=0)
    np.testing.assert_allclose(rows_of(model, params, "score")(Block(x)), expected, rtol=0, atol=1e-10)
    proba = np.exp(joint - expected).T
    np.testing.assert_allclose(rows_of(model, params, "proba")(Block(x)), proba, rtol=0, atol=1e-10)
    stats = model.kernel(params)(Block(x))
    assert model.log_likelihood(params, stats) == pytest.approx(expected.mean(), abs=1e-11)
    empty = np.isnan(x).all(axis=1)
    np.testing.assert_allclose(expected[empty], 0, atol=1e-14)
    np.testing.assert_allclose(proba[empty], np.tile(params.weights, (empty.sum(), 1)), rtol=1e-13)


@ALL
def test_the_exact_path_and_products_agree(name):
    x = with_holes(INDEPENDENT[name].values)
    model, params = fitted(name, x)
    family = model.family_of_rows
    out = np.empty((K, len(x)))
    family.log_density(params.theta, np.ascontiguousarray(x.T), out)
    base = family.log_base(x.T)
    total = out + (0 if base is None else base)
    np.testing.assert_allclose(total, log_densities(name, params, x), rtol=0, atol=1e-10)


@ALL
def test_one_component_is_each_columns_own_fit(name):
    """With K = 1 the maximum is known column by column: that of the column's complete values."""
    x = with_holes(INDEPENDENT[name].values)
    model = bind(MixtureModel(1, INDEPENDENT[name].fitted, Seeding("kmeans")), x)
    params = begin(model, x)
    new = run(model, params, x, n_iter=3).params
    value = model.log_likelihood(new, model.kernel(new)(Block(x)))
    alone = 0.0
    for j in range(D):
        column = x[~np.isnan(x[:, j]), j : j + 1]
        own = bind(MixtureModel(1, INDEPENDENT[name].fitted, Seeding("kmeans")), column)
        there = run(own, begin(own, column), column, n_iter=3).params
        alone += own.log_likelihood(there, own.kernel(there)(Block(column))) * len(column) / len(x)
    if name == "gaussian-spherical":  # one variance for all columns
        assert value <= alone
        stacked = np.concatenate([x[:, j] - np.nanmean(x[:, j]) for j in range(D)])
        np.testing.assert_allclose(new.theta.covariances, np.nanmean(stacked**2), rtol=1e-12)
    else:
        assert value == pytest.approx(alone, abs=1e-10)


@ALL
def test_without_holes_it_is_the_family_itself(name):
    x = INDEPENDENT[name].values()
    model = bind(MixtureModel(K, INDEPENDENT[name].fitted, Seeding("kmeans")), x)
    params = begin(model, x)
    whole = model.m_step(params, model.kernel(params)(Block(x))).params
    other = model.family_of_rows.with_missing()
    sums = np.zeros((other.n_exact_sums(D), K))
    resp = rows_of(model, params, "proba")(Block(x)).T
    columns = np.ascontiguousarray(x.T)
    other.add_sums(params.theta, columns, other.log_density(params.theta, columns, np.empty((K, N))), resp, sums)
    frame = Frame.at(other.centres(params.theta))
    frame = Frame(
        frame.shift if name in ("gaussian-diag", "gaussian-spherical", "lognormal") else np.zeros(D), frame.scale
    )
    theta = other.estimate(sums, frame, params.theta)
    for a, b in zip(values(theta), values(whole.theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


def values(theta):
    return list(theta.values()) if isinstance(theta, dict) else [theta.means, theta.covariances]


def test_em_reaches_the_maximum_that_scipy_finds():
    """A mixture of two Poissons over three columns with holes, by direct maximisation of its log-likelihood."""
    rng = np.random.default_rng(5)
    one, other = rng.poisson([2, 9, 4], (400, 3)), rng.poisson([8, 3, 5], (400, 3))
    x = np.where(rng.random((400, 1)) < 0.4, one, other).astype(float)
    x[rng.random(x.shape) < 0.3] = np.nan
    x = x[~np.isnan(x).all(axis=1)]
    model = bind(MixtureModel(2, Poisson(), Seeding("kmeans")), x)
    found = loop.fit(model, begin(model, x), loop.OneBlock(Block(x)), tol=0, max_iter=2000)

    def minus(theta):
        weight, rates = 1 / (1 + np.exp(-theta[0])), np.exp(theta[1:].reshape(2, 3))
        each = [np.nansum(scipy.stats.poisson.logpmf(x, rate), axis=1) for rate in rates]
        return -np.logaddexp(np.log(weight) + each[0], np.log1p(-weight) + each[1]).mean()

    weights, rates = found.params.weights, found.params.theta["rate"]
    start = np.concatenate([[np.log(weights[0] / weights[1])], np.log(rates).ravel()])
    best = scipy.optimize.minimize(minus, start + 0.1, method="BFGS", options={"gtol": 1e-8})
    assert found.objective == pytest.approx(-best.fun, abs=1e-10)
    np.testing.assert_allclose(start, best.x, atol=1e-4)


@pytest.mark.parametrize("missing", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("pattern", ["entries", "columns", "blocks"])
def test_patterns(missing, pattern):
    x = data()
    rng = np.random.default_rng(3)
    if pattern == "entries":
        x[rng.random(x.shape) < missing] = np.nan
    elif pattern == "columns":
        x[: int(N * missing), 0] = np.nan
    else:
        x[: int(N * missing), :2] = np.nan
        x[int(N * missing) :, 2:] = np.nan
    model = bind(MixtureModel(2, DiagonalGaussian(1e-6), Seeding("kmeans")), x)
    state = run(model, begin(model, x), x, n_iter=20)
    weights, theta = state.params.weights, state.params.theta
    each = np.nansum(KINDS["gaussian-diag"].log_densities(theta, x), axis=2)
    joint = each + np.log(weights)[:, None]
    assert state.objective == pytest.approx(scipy.special.logsumexp(joint, axis=0).mean(), abs=1e-10)


def test_categories_of_missing_answers_are_left_out():
    x = with_holes(codes)
    family = Categorical((2, 5, 5))
    model = bind(MixtureModel(K, family, Seeding("kmeans")), x)
    params = run(model, begin(model, x), x, n_iter=5).params
    shares = family.split(params.theta["probabilities"])
    joint = np.zeros((K, N))
    for i, row in enumerate(x):
        for j, code in enumerate(row):
            if not np.isnan(code):
                joint[:, i] += np.log(shares[j][:, int(code)])
    joint += np.log(params.weights)[:, None]
    np.testing.assert_allclose(
        rows_of(model, params, "score")(Block(x)), scipy.special.logsumexp(joint, axis=0), rtol=0, atol=1e-10
    )
    for share in shares:
        np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-12)


def test_filled_codes_are_the_likeliest():
    x = with_holes(codes)
    model = bind(MixtureModel(K, Categorical((2, 5, 5)), Seeding("kmeans")), x)
    params = run(model, begin(model, x), x, n_iter=5).params
    filled = rows_of(model, params, "filled:float64")(Block(x))
    deviation = rows_of(model, params, "deviation:float64")(Block(x))
    proba = rows_of(model, params, "proba")(Block(x))
    for j, share in enumerate(model.family.split(params.theta["probabilities"])):
        p = proba @ share
        missing = np.isnan(x[:, j])
        np.testing.assert_array_equal(filled[missing, j], p.argmax(axis=1)[missing])
        np.testing.assert_allclose(deviation[missing, j], np.sqrt(1 - p.max(axis=1)[missing]), atol=1e-7)


@ALL
def test_filled_values_are_the_conditional_means_by_simulation(name):
    """E[x_j | x_o] and its deviation, against draws of each component's missing columns."""
    x = with_holes(INDEPENDENT[name].values)
    model, params = fitted(name, x)
    filled, deviation = (rows_of(model, params, f"{what}:float64")(Block(x)) for what in ("filled", "deviation"))
    seen = ~np.isnan(x)
    assert filled[seen].tobytes() == x[seen].tobytes()
    assert (deviation[seen] == 0).all()
    rng, proba = np.random.default_rng(0), rows_of(model, params, "proba")(Block(x))
    draws = np.stack([model.family.draw(params.theta, k, 40_000, rng) for k in range(K)])
    for i in np.flatnonzero(np.isnan(x).any(axis=1))[:12]:
        for j in np.flatnonzero(np.isnan(x[i])):
            if name == "vonmises":
                mean = (proba[i] @ np.exp(1j * draws[:, :, j]).mean(axis=1)).reshape(())
                error = np.angle(np.exp(1j * (filled[i, j] - np.angle(mean))))
                assert abs(error) < 0.05 / abs(mean)
                assert deviation[i, j] == pytest.approx(np.sqrt(-2 * np.log(abs(mean))), rel=0.05)
                continue
            mean = proba[i] @ draws[:, :, j].mean(axis=1)
            spread = np.sqrt(proba[i] @ (draws[:, :, j] ** 2).mean(axis=1) - mean**2)
            assert abs(filled[i, j] - mean) < 0.05 * spread
            assert deviation[i, j] == pytest.approx(spread, rel=0.2 if name == "lognormal" else 0.05)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_observed_values_stay_bit_for_bit(dtype):
    x = with_holes(data).astype(dtype)
    model, params = fitted("gaussian-diag", x)
    out = rows_of(model, params, f"filled:{dtype}")(Block(x))
    assert out.dtype == dtype
    seen = ~np.isnan(x)
    assert out[seen].tobytes() == x[seen].tobytes()
    assert not np.isnan(out).any()
    with pytest.raises(ValueError, match="choose float16, float32 or float64, as in 'filled:float32'"):
        rows_of(model, params, "filled:int8")(Block(x))


def test_products_of_families_with_holes():
    x = np.hstack([with_holes(data), with_holes(counts, seed=1), with_holes(codes, seed=2)])
    family = product(
        [("a", range(3), DiagonalGaussian()), ("b", range(3, 6), Poisson()), ("c", range(6, 9), Categorical((2, 5, 5)))]
    )
    model = bind(MixtureModel(2, family, Seeding("kmeans")), x)
    state = run(model, begin(model, x), x, n_iter=10)
    theta = state.params.theta
    joint = np.log(state.params.weights)[:, None] + np.zeros((2, N))
    joint += np.nansum(KINDS["gaussian-diag"].log_densities(theta[0], x[:, :3]), axis=2)
    joint += np.nansum(KINDS["poisson"].log_densities(theta[1], x[:, 3:6]), axis=2)
    for k in range(2):
        for j, share in enumerate(Categorical((2, 5, 5)).split(theta[2]["probabilities"][k])):
            column = x[:, 6 + j]
            seen = ~np.isnan(column)
            joint[k, seen] += np.log(share[column[seen].astype(int)])
    assert state.objective == pytest.approx(scipy.special.logsumexp(joint, axis=0).mean(), abs=1e-10)
    filled = rows_of(model, state.params, "filled:float64")(Block(x))
    assert not np.isnan(filled).any()


def test_a_family_whose_columns_depend_on_each_other_is_refused():
    class Joint(Multinomial):
        with_missing = Poisson.with_missing

    x = with_holes(counts)
    model = MixtureModel(K, Joint(), Seeding("kmeans"))
    with pytest.raises(ValueError, match="Joint does not support missing values, because its columns"):
        run_from_start(model, x)


def run_from_start(model, x):
    bound = bind(model, x)
    return run(bound, begin(bound, x), x, n_iter=1)


@pytest.mark.slow
def test_recovery_of_values_missing_at_random():
    """10^6 rows; column 1 goes missing by the value of column 0: dropping such rows would bias its mean by 0.5."""
    rng = np.random.default_rng(11)
    n = 1_000_000
    label = rng.random(n) < 0.3
    means, deviations = np.array([[0.0, 1.0], [3.0, 4.0]]), np.array([[1.0, 0.5], [0.7, 1.2]])
    x = means[label.astype(int)] + deviations[label.astype(int)] * rng.normal(size=(n, 2))
    x[rng.random(n) < 1 / (1 + np.exp(1 - x[:, 0])), 1] = np.nan
    model = bind(MixtureModel(2, DiagonalGaussian(), Seeding("kmeans")), x)
    sweep = partial(blocks, x)
    found = loop.fit(model, begin(model, x[:20_000]), sweep, tol=1e-10, max_iter=300).params
    order = np.argsort(found.theta.means[:, 0])
    for k, true in zip(order, range(2), strict=True):
        rows = label == bool(true)
        for j in range(2):
            seen = (~np.isnan(x[rows, j])).sum() * 0.5  # half the information at least: the labels are not known
            error = deviations[true, j] / np.sqrt(seen)
            assert abs(found.theta.means[k, j] - means[true, j]) < 4 * error
            assert (
                abs(found.theta.covariances[k, j] - deviations[true, j] ** 2) < 4 * error * deviations[true, j] * 2**0.5
            )
    assert abs(found.weights[order[1]] - 0.3) < 4 * (0.3 * 0.7 / n * 2) ** 0.5


def blocks(x, make_kernel):
    kernel = make_kernel()
    stats = [kernel(Block(x[a : a + 100_000], None, RowKeys.from_first(a))) for a in range(0, len(x), 100_000)]
    total = stats[0]
    for s in stats[1:]:
        total = total + s
    return total


def test_a_family_of_ones_own_takes_missing_values():
    x = with_holes(positive)
    model = bind(MixtureModel(2, Rayleigh(), Seeding("kmeans")), x)
    state = run(model, begin(model, x), x, n_iter=10)
    scale = state.params.theta["scale"]
    each = np.array([np.nansum(scipy.stats.rayleigh.logpdf(x, scale=s), axis=1) for s in scale])
    expected = scipy.special.logsumexp(each + np.log(state.params.weights)[:, None], axis=0)
    assert state.objective == pytest.approx(expected.mean(), abs=1e-10)
    with pytest.raises(ValueError, match=r"Rayleigh does not implement moments\(\)"):
        rows_of(model, state.params, "filled:float64")(Block(x))
