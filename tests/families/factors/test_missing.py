"""Factor analysers of rows with missing values against dense marginals, complete rows and direct maximisation."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from scipy.stats import multivariate_normal

from crosses import mostly_slow
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.em import loop
from dem.em.seeding import Seeding
from dem.families import NOISE, FactorAnalysers
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.models.mixture.factors import FactorMixtureModel
from dem.models.mixture.kernel import MixtureParams
from laws import bound_lies_between, objective_never_falls, rows_of, scan

K, D, Q, N = 3, 6, 2, 240
KINDS = pytest.mark.parametrize("noise", NOISE)
FRAME = Frame.at(np.zeros(D))


def some(noise, rng, *, k=K, d=D, q=Q, n=N, offset=0.0, least=0.2):
    """Return a family, parameters, and complete rows (d, n) near them."""
    family = NOISE[noise](q)
    variances = least * (1 + rng.random((k, family.n_noise(d))))
    theta = FactorAnalysers(offset + rng.normal(0, 3, (k, d)), rng.normal(size=(k, d, q)), variances)
    x = np.concatenate([family.draw(theta, i, n // k + 1, rng) for i in range(k)])[:n]
    return family, theta, np.ascontiguousarray(x.T)


def by_entry(x, share, rng):
    return rng.random(x.shape) < share


def by_block(x, share, rng):
    """The last columns of some rows: profiles that stop early."""
    stop = rng.integers(0, len(x) + 1, x.shape[1])
    return (np.arange(len(x))[:, None] >= stop) & (rng.random(x.shape[1]) < share)


def one_left(x, share, rng):
    return np.arange(len(x))[:, None] != rng.integers(0, len(x), x.shape[1])


def by_column(x, share, rng):
    return np.repeat((np.arange(len(x)) % 2 == 1)[:, None], x.shape[1], axis=1)


PATTERNS = pytest.mark.parametrize(
    ("pattern", "share"),
    [(by_entry, 0.02), (by_entry, 0.5), (by_entry, 0.95), (by_block, 0.7), (one_left, 0), (by_column, 0)],
    ids=["few", "half", "most", "block", "one-left", "column"],
)


def with_holes(x, pattern, share, rng):
    """Return the rows with holes; the first two with nothing at all, the third complete."""
    y = np.where(pattern(x, share, rng), np.nan, x)
    y[:, :2] = np.nan
    y[:, 2] = x[:, 2]
    return y


def dense(theta, k):
    """Return mean and covariance of a component, in long double."""
    w = theta.loadings[k].astype(np.longdouble)
    noise = np.broadcast_to(theta.noise_variances[k], len(w)).astype(np.longdouble)
    return theta.means[k].astype(np.longdouble), w @ w.T + np.diag(noise)


def reduced(a, b):
    """Return inv(L) b and the diagonal D of a = L D L', by elimination in long double."""
    a, b = a.copy(), b.copy()
    for j in range(len(a)):
        factor = a[j + 1 :, j] / a[j, j]
        a[j + 1 :] -= factor[:, None] * a[j]
        b[j + 1 :] -= factor[:, None] * b[j]
    return b, np.diag(a)


def marginal(theta, k, row):
    """Return log p(x_o), and mean and covariance of z and of x given x_o, by dense formulas   (PRML 2.81, 2.82)."""
    mean, c = dense(theta, k)
    o = ~np.isnan(row)
    w = theta.loadings[k].astype(np.longdouble)
    cross = np.concatenate([w.T, c])[:, o]  # of (z, x) with x_o
    both = np.concatenate([(row[o] - mean[o])[:, None], cross.T], axis=1)
    half, pivots = reduced(c[np.ix_(o, o)], both)
    white = half / np.sqrt(pivots)[:, None]
    log_p = -0.5 * (o.sum() * np.log(2 * np.longdouble(np.pi)) + np.log(pivots).sum() + (white[:, 0] ** 2).sum())
    q = w.shape[1]
    whole = np.block([[np.eye(q, dtype=np.longdouble), w.T], [w, c]]) - white[:, 1:].T @ white[:, 1:]
    centre = np.append(np.zeros(q), mean) + white[:, 1:].T @ white[:, 0]
    return float(log_p), centre.astype(float), whole.astype(float)


@KINDS
@PATTERNS
@pytest.mark.parametrize(("offset", "least"), [(1e6, 0.2), (0.0, 1e-8), (1e6, 1e-8)])
def test_density_is_that_of_dense_marginals(noise, pattern, share, offset, least, rng):
    """Far from 0, and with next to no noise.

    A rounding of x - mu is worth eps |x - mu| / sqrt(psi) nats, and one of H, in rows with fewer columns than factors,
    eps |w|^2 / psi.
    """
    family, theta, x = some(noise, rng, offset=offset, least=least)
    y = with_holes(x, pattern, share, rng)[:, :40]
    log_p = np.empty((K, 40))
    family.with_missing().log_density(theta, y, log_p)
    wanted = np.array([[marginal(theta, k, row)[0] for row in y.T] for k in range(K)])
    size = 10 / np.sqrt(least) + (theta.loadings**2).sum(axis=2).max() / least
    rounding = 4 * np.finfo(float).eps * size
    assert rounding < 1e-6
    np.testing.assert_allclose(log_p, wanted, rtol=1e-9, atol=1e-10 + rounding)


@KINDS
@PATTERNS
def test_latents_and_filling_are_those_of_dense_marginals(noise, pattern, share, rng):
    family, theta, x = some(noise, rng)
    y = with_holes(x, pattern, share, rng)[:, :40]
    kept = y.copy()
    holed, log_p = family.with_missing(), np.empty((K, y.shape[1]))
    found = holed.log_density(theta, y, log_p)
    np.testing.assert_array_equal(y, kept)
    resp = scipy.special.softmax(log_p, axis=0)
    mean, variance = holed.conditional_moments(theta, y, found, resp)
    for n in range(y.shape[1]):
        told = [marginal(theta, k, y[:, n]) for k in range(K)]
        np.testing.assert_allclose(log_p[:, n], [t[0] for t in told], rtol=1e-10, atol=1e-10)
        for k, (_, centre, whole) in enumerate(told):
            np.testing.assert_allclose(found.z[1:, k, n], centre[:Q], rtol=1e-8, atol=1e-8)
            np.testing.assert_allclose(
                found.covariance[k, :, n], whole[:Q, :Q][np.triu_indices(Q)], rtol=1e-8, atol=1e-10
            )
        here, o = resp[:, n], ~np.isnan(y[:, n])
        centres = np.array([t[1][Q:] for t in told])
        spread = np.array([np.diag(t[2])[Q:] for t in told])
        middle = here @ centres
        wanted = here @ (spread + (centres - middle) ** 2)
        np.testing.assert_array_equal(mean[o, n], y[o, n])
        assert (variance[o, n] == 0).all()
        np.testing.assert_allclose(mean[~o, n], middle[~o], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(variance[~o, n], wanted[~o], rtol=1e-8)
    assert (log_p[:, :2] == 0).all()


@KINDS
def test_sums_are_the_expectations_row_by_row(noise, rng):
    """E[z^ z^'], E[e z^'] and E[e^2] by the dense posterior of z, one row and one column after the other."""
    family, theta, x = some(noise, rng, n=30)
    y = with_holes(x, by_entry, 0.4, rng)
    holed, log_p, resp = family.with_missing(), np.empty((K, 30)), rng.random((K, 30))
    out = np.zeros((holed.n_exact_sums(D), K))
    holed.add_sums(theta, y, holed.log_density(theta, y, log_p), resp, out)
    found = ColumnwiseSums.unpack(out, D, Q)
    a = 1 + Q
    all_rows, second = np.zeros((K, a, a)), np.zeros((K, D, a, a))
    cross, squares = np.zeros((K, D, a)), np.zeros((K, D))
    for k in range(K):
        for n in range(30):
            _, centre, whole = marginal(theta, k, y[:, n])
            z = np.append(1.0, centre[:Q])
            moment = np.outer(z, z)
            moment[1:, 1:] += whole[:Q, :Q]
            all_rows[k] += resp[k, n] * moment
            for j in np.flatnonzero(~np.isnan(y[:, n])):
                row = np.append(theta.means[k, j], theta.loadings[k, j])  # e = x - row z^
                second[k, j] += resp[k, n] * moment
                cross[k, j] += resp[k, n] * (y[j, n] * z - moment @ row)
                squares[k, j] += resp[k, n] * (y[j, n] ** 2 - 2 * y[j, n] * (row @ z) + row @ moment @ row)
    np.testing.assert_allclose(out[0], resp.sum(axis=1), rtol=1e-13)
    np.testing.assert_allclose(found.all_rows, all_rows, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.second, second, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found.cross, cross, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.squares, squares, rtol=1e-9, atol=1e-9)


@KINDS
def test_without_holes_it_is_the_complete_rows_step(noise, rng):
    family, theta, x = some(noise, rng)
    holed, resp = family.with_missing(), rng.dirichlet(np.ones(K), N).T
    told = []
    for one in (family, holed):
        log_p, out = np.empty((K, N)), np.zeros((one.n_exact_sums(D), K))
        one.add_sums(theta, x, one.log_density(theta, x, log_p), resp, out)
        new = one.estimate(out, FRAME, theta)
        w = new.loadings
        told.append((log_p, new.means, w @ w.swapaxes(1, 2), new.noise_variances, one.expected(new, out, FRAME, theta)))
    for a, b in zip(*told, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def mean_log_likelihood(params, x):
    """Return the mean log-likelihood of rows x (n, d) under a mixture, by dense marginals, pattern by pattern."""
    joint = np.zeros((len(params.weights), len(x)))
    patterns, which = np.unique(np.isnan(x), axis=0, return_inverse=True)
    for i, missing in enumerate(patterns):
        rows, o = which == i, ~missing
        for k in range(len(joint) if o.any() else 0):
            mean, c = (a.astype(float) for a in dense(params.theta, k))
            joint[k, rows] = multivariate_normal(mean[o], c[np.ix_(o, o)]).logpdf(x[np.ix_(rows, o)])
    joint += np.log(params.weights)[:, None]
    return float(np.logaddexp.reduce(joint, axis=0).mean())


def mixture(noise, k, q, reg_covar=0.0):
    return FactorMixtureModel(k, NOISE[noise](q, reg_covar), Seeding("kmeans"))


def fitted(model, x, n_iter, tol=0.0):
    found = scan(model, x)
    bound = model.bind(found)
    first = bound.start(Block(found.sample.x, found.sample.weight), np.random.default_rng(0))
    return bound, loop.fit(bound, first, loop.OneBlock(Block(x)), tol=tol, max_iter=n_iter)


@mostly_slow("noise", list(NOISE), quick=["isotropic"])
def test_gradient_is_zero_where_the_fit_ends(noise, rng):
    """The numerical derivative of the dense observed-data likelihood, in every parameter."""
    _, _, x = some(noise, rng, k=2, d=5, q=1, n=160, least=0.3)
    y = with_holes(x, by_entry, 0.3, rng).T
    _, state = fitted(mixture(noise, 2, 1), y, 2000)
    params = state.params
    best = mean_log_likelihood(params, y)
    assert state.objective == pytest.approx(best, abs=1e-12)
    parts = params.theta.means, params.theta.loadings, np.log(params.theta.noise_variances)
    sizes = np.cumsum([part.size for part in parts])[:-1]

    def loss(flat):
        means, loadings, log_noise = (f.reshape(p.shape) for f, p in zip(np.split(flat, sizes), parts, strict=True))
        theta = FactorAnalysers(means, loadings, np.exp(log_noise))
        return -mean_log_likelihood(MixtureParams(params.weights, theta), y)

    flat = np.concatenate([part.ravel() for part in parts])
    gradient = [(loss(flat + step) - loss(flat - step)) / 2e-4 for step in 1e-4 * np.eye(len(flat))]
    assert np.abs(gradient).max() < 2e-5


@pytest.mark.slow
@KINDS
def test_no_better_parameters_are_found_directly(noise, rng):
    """One component on 60 rows of 4 columns: a quasi-Newton method from two starts ends where EM does."""
    _, _, x = some(noise, rng, k=1, d=4, q=1, n=60, least=1.0)
    y = np.where(by_entry(x, 0.3, rng), np.nan, x).T
    _, state = fitted(mixture(noise, 1, 1), y, 3000)
    m = NOISE[noise](1).n_noise(4)

    def loss(flat):
        theta = FactorAnalysers(flat[None, :4], flat[4:8].reshape(1, 4, 1), np.exp(flat[None, 8:]))
        return -mean_log_likelihood(MixtureParams(np.ones(1), theta), y)

    ends = []
    for seed in range(2):
        first = np.random.default_rng(seed).normal(size=8 + m)
        with np.errstate(all="ignore"):
            ends.append(
                -scipy.optimize.minimize(loss, first, method="L-BFGS-B", bounds=[(-20, 20)] * 8 + [(-9, 9)] * m).fun
            )
    assert state.objective == pytest.approx(max(ends), abs=1e-7)


@KINDS
@PATTERNS
def test_objective_never_falls_and_bounds_lie_between(noise, pattern, share, rng):
    _, _, x = some(noise, rng)
    y = with_holes(x, pattern, share, rng).T
    y[:, 1] = x[1]  # no column without a value
    y[-20:] = x.T[-20:]
    model = mixture(noise, K, Q, 0.01)  # some columns have fewer rows than a component wants
    found = scan(model, y)
    bound = model.bind(found)
    first = bound.start(Block(found.sample.x, found.sample.weight), np.random.default_rng(0))
    weight = rng.integers(0, 4, len(y)) / 2
    bound_lies_between(objective_never_falls(bound, first, y))
    bound_lies_between(objective_never_falls(bound, first, y, weight))


@mostly_slow("noise", list(NOISE), quick=["isotropic"])
def test_recovers_parameters_of_rows_missing_at_random(noise, rng):
    """What is missing depends on an observed column: means of what is observed are off, the fit's are not."""
    _, theta, _ = some(noise, rng, k=1, least=0.5)
    n = 40_000
    x = NOISE[noise](Q).draw(theta, 0, n, rng)
    lost = rng.random((n, D)) < 1 / (1 + np.exp(-2 * (x[:, :1] - theta.means[0, 0])))
    lost[:, 0] = False
    y = np.where(lost, np.nan, x)
    _, state = fitted(mixture(noise, 1, Q), y, 300, tol=1e-7)
    deviation = np.sqrt((theta.loadings[0] ** 2).sum(axis=1) + theta.noise_variances[0])
    error = 2 * deviation / np.sqrt(n)  # about half of the rows tell, and not evenly
    assert (np.abs(np.nanmean(y, axis=0) - theta.means[0]) > 10 * error).any()
    assert (np.abs(state.params.theta.means[0] - theta.means[0]) < 4 * error).all()
    found, true = dense(state.params.theta, 0)[1], dense(theta, 0)[1]
    np.testing.assert_allclose(found.astype(float), true.astype(float), atol=0.1)


def test_columns_and_components_without_rows_stay(rng):
    family, theta, x = some("diagonal", rng)
    x[2] = np.nan
    holed, log_p = family.with_missing(), np.empty((K, N))
    resp = np.zeros((K, N))
    resp[:2] = 0.5
    out = np.zeros((holed.n_exact_sums(D), K))
    holed.add_sums(theta, x, holed.log_density(theta, x, log_p), resp, out)
    new = holed.estimate(out, FRAME, theta)
    np.testing.assert_array_equal(new.noise_variances[:, 2], theta.noise_variances[:, 2])
    for values, old in zip((new.means, new.noise_variances), (theta.means, theta.noise_variances), strict=True):
        np.testing.assert_allclose(values[2], old[2], rtol=1e-14)
    assert np.isfinite(holed.expected(new, out, FRAME, theta))


def test_rows_of_a_mixture_with_holes(rng):
    """The model's outputs: latents, scores, filled rows, whatever the tile; complete blocks keep their bits."""
    family, theta, x = some("isotropic", rng)
    model, params = FactorMixtureModel(K, family), MixtureParams(np.full(K, 1 / K), theta)
    y = with_holes(x, by_entry, 0.3, rng).T.astype(np.float32)
    joint = np.array([[marginal(theta, k, row)[0] for k in range(K)] for row in y[:20]]) + np.log(1 / K)
    score = rows_of(model, params, "score")(Block(y))
    np.testing.assert_allclose(score[:20], np.logaddexp.reduce(joint, axis=1), atol=1e-10)
    label = rows_of(model, params, "label")(Block(y))
    np.testing.assert_array_equal(label[2:20], joint[2:].argmax(axis=1))
    latent = rows_of(model, params, "latent")(Block(y))
    wanted = [marginal(theta, k, row)[1][:Q] for k, row in zip(label[:20], y[:20], strict=True)]
    np.testing.assert_allclose(latent[:20], wanted, atol=1e-10)
    assert rows_of(model, params, "latents")(Block(y)).shape == (len(y), K * Q)
    filled = rows_of(model, params, "filled:float32")(Block(y))
    deviation = rows_of(model, params, "deviation:float64")(Block(y))
    observed = ~np.isnan(y)
    assert filled.dtype == np.float32
    assert filled[observed].tobytes() == y[observed].tobytes()
    assert np.isfinite(filled).all()
    assert ((deviation == 0) == observed).all()
