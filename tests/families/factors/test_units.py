"""Factor analysers of columns in different units, against decimal arithmetic, a singular value decomposition, and equal
units."""

from decimal import Decimal, localcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dem
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.em import loop
from dem.families import NOISE, FactorAnalysers
from dem.families.factors.algebra import canonical_rotation
from dem.families.factors.missing_algebra import ColumnwiseSums
from dem.models.mixture.factors import FactorMixtureModel
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from laws import scan
from shared import UNLIKE_SPREADS

pytestmark = UNLIKE_SPREADS
D, Q = 5, 2
KINDS = pytest.mark.parametrize("noise", NOISE)
WIDE = pytest.mark.parametrize("wide", [[3], [1, 3], [0, 1, 3]], ids=["one", "two", "three"])
SPREADS = st.lists(st.floats(-8, 8), min_size=D, max_size=D).map(lambda e: 10.0 ** np.array(e))
TWO_PI = 2 * Decimal("3.14159265358979323846264338327950288419716939937510582")


def exact(array):
    """Return an array of the same numbers in decimal arithmetic."""
    return np.vectorize(lambda v: Decimal(float(v)), otypes=[object])(array)


def log_density(mean, loadings, noise, row):
    """Return log p of what is observed in a row, and E[z | x_o], by elimination in 80 digits."""
    with localcontext(prec=80):
        o, q = np.flatnonzero(~np.isnan(row)), loadings.shape[1]
        w = exact(loadings[o])
        c = w @ w.T + np.diag(exact(np.broadcast_to(noise, len(row))[o]))
        right = np.column_stack([exact(row[o]) - exact(mean[o]), w])
        total = Decimal(0)
        products = np.full(1 + q, Decimal(0))  # of (x - mu, W)' inv(C) (x - mu)
        for j in range(len(o)):
            total += (TWO_PI * c[j, j]).ln()
            products += right[j] * right[j, 0] / c[j, j]
            for i in range(j + 1, len(o)):
                factor = c[i, j] / c[j, j]
                c[i], right[i] = c[i] - factor * c[j], right[i] - factor * right[j]
        return float(-(total + products[0]) / 2), products[1:].astype(float)


def drawn(noise, wide, spread, rng, n=10):
    """Return a family, parameters of one component whose columns differ in width, and rows with holes (n, D)."""
    unit = np.ones(D)
    unit[wide] = spread
    family = NOISE[noise](Q)
    theta = FactorAnalysers(
        rng.normal(size=(1, D)) * unit,
        rng.normal(size=(1, D, Q)) * unit[:, None],
        0.25 * (1 + rng.random((1, family.n_noise(D)))),
    )
    x = family.draw(theta, 0, n, rng)
    return family, canonical_rotation(theta), np.where(rng.random(x.shape) < 0.3, np.nan, x)


@KINDS
@WIDE
@pytest.mark.parametrize("spread", [1e6, 1e8])
def test_log_densities_keep_their_digits(noise, wide, spread, rng):
    """What is left of x - mu - W z is below the rounding of x where there are more wide columns than factors."""
    family, theta, holes = drawn(noise, wide, spread, rng)
    out = np.empty((1, len(holes)))
    found = family.with_missing().log_density(theta, np.ascontiguousarray(holes.T), out)
    for n, row in enumerate(holes):
        wanted, z = log_density(theta.means[0], theta.loadings[0], theta.noise_variances[0], row)
        assert out[0, n] == pytest.approx(wanted, abs=1e-11 if len(wide) <= Q else 1e-14 * spread + 1e-7)
        np.testing.assert_allclose(found.z[1:, 0, n], z, atol=1e-6)


@KINDS
def test_sums_of_wide_columns_keep_their_digits(noise, rng):
    """E[e_j^2] where one of two wide columns is missing: w_j' G w_j is of the noise's size, its terms far larger."""
    family, theta, holes = drawn(noise, [1, 3], 1e7, rng, n=6)
    holes[:, 1] = np.nan
    x = np.ascontiguousarray(holes.T)
    of = family.with_missing()
    sums, out = np.zeros((of.n_exact_sums(D), 1)), np.empty((1, 6))
    reuse = of.log_density(theta, x, out)
    assert len(reuse.qr_rows[0])
    of.add_sums(theta, x, reuse, np.ones((1, 6)), sums)
    wanted = np.zeros(D)
    with localcontext(prec=80):
        w, noises = exact(theta.loadings[0]), exact(np.broadcast_to(theta.noise_variances[0], D))
        for row in holes:
            o = np.flatnonzero(~np.isnan(row))
            h = np.array([[Decimal(int(a == b)) for b in range(Q)] for a in range(Q)], dtype=object)
            h = h + (w[o] / noises[o, None]).T @ w[o]
            g = np.array([[h[1, 1], -h[0, 1]], [-h[1, 0], h[0, 0]]]) / (h[0, 0] * h[1, 1] - h[0, 1] * h[1, 0])
            y = exact(row[o]) - exact(theta.means[0, o])
            residual = y - w[o] @ (g @ ((w[o] / noises[o, None]).T @ y))
            wanted[o] += (residual**2 + ((w[o] @ g) * w[o]).sum(axis=1)).astype(float)
    np.testing.assert_allclose(ColumnwiseSums.unpack(sums, D, Q).squares[0], wanted, rtol=1e-7)


def test_both_ways_of_the_e_step_agree(monkeypatch, rng):
    """Rows of no extremes, by Cholesky's factors and by orthogonal transformations."""
    family, theta, holes = drawn("diagonal", [3], 10.0, rng, n=40)
    of, x, resp = family.with_missing(), np.ascontiguousarray(holes.T), rng.random((1, 40))
    told = []
    for lost in (1e5, 0.0):
        monkeypatch.setattr("dem.families.factors.qr_posterior.LARGEST_LOSS", lost)
        out, sums = np.empty((1, 40)), np.zeros((of.n_exact_sums(D), 1))
        reuse = of.log_density(theta, x, out)
        assert len(reuse.qr_rows[0]) == (0 if lost else 40)
        of.add_sums(theta, x, reuse, resp, sums)
        told.append((out, sums, *of.conditional_moments(theta, x, reuse, np.ones((1, 40)))))
    for a, b in zip(*told, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def best_ppca(x, q):
    """Return the largest mean log-likelihood of probabilistic PCA, by singular values   (Tipping and Bishop 1999)."""
    n, d = x.shape
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False) ** 2 / n
    noise = values[q:].mean()
    return -0.5 * (d * np.log(2 * np.pi) + np.log(values[:q]).sum() + (d - q) * np.log(noise) + d)


@pytest.mark.parametrize("spread", [1.0, 1e3, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("wide", [[3], [1, 3]], ids=["one", "two"])
def test_one_component_reaches_the_closed_form(spread, wide, rng):
    x = rng.normal(size=(500, Q)) @ rng.normal(size=(Q, D)) + 0.5 * rng.normal(size=(500, D))
    x[:, wide] *= spread
    model = dem.MixturePPCA(1, n_factors=Q, reg_covar=0.0, n_init=1).fit(x)
    assert model.converged_
    assert model.lower_bound_ == pytest.approx(best_ppca(x, Q), abs=1e-6)


def test_a_column_in_pascal_beside_salinity(rng):
    """Depth decides all columns, in different ways: the second and the third direction are far below the first."""
    p = rng.uniform(0, 2000, 1000)
    x = np.column_stack([p, 20 * np.exp(-p / 500) + rng.normal(0, 0.8, 1000), 35 + 0.4 * np.exp(-p / 300)])
    x = np.column_stack([x, 200 + 40 * np.cos(p / 400) + rng.normal(0, 5, 1000)])
    x[:, 2] += rng.normal(0, 0.05, 1000)
    for unit in (1.0, 1e4):
        x[:, 0] = p * unit
        model = dem.MixturePPCA(1, n_factors=2, reg_covar=0.0, n_init=1).fit(x)
        assert model.lower_bound_ == pytest.approx(best_ppca(x, 2), abs=1e-5)


def two_components(rng, n=120):
    """Return rows of two components that lie apart, in columns of about equal widths."""
    family = NOISE["diagonal"](1)
    theta = FactorAnalysers(
        np.array([[0.0], [6.0]]) + rng.normal(size=(2, D)), rng.normal(size=(2, D, 1)), 0.3 * (1 + rng.random((2, D)))
    )
    return np.concatenate([family.draw(theta, k, n // 2, rng) for k in range(2)])


def fitted(x, n_iter=15):
    """Return the parameters and the objective of a mixture of factor analysers after some steps."""
    model = FactorMixtureModel(2, NOISE["diagonal"](1))
    found = scan(model, x)
    bound = model.bind(found)
    first = bound.start(Block(found.sample.x, found.sample.weight), np.random.default_rng(0))
    state = loop.fit(bound, first, loop.OneBlock(Block(x)), tol=0.0, max_iter=n_iter)
    return state.params.theta, state.objective


@given(SPREADS)
@settings(max_examples=10)
@pytest.mark.parametrize("share", [0.0, 0.15], ids=["whole", "holes"])
def test_factor_analysers_do_not_depend_on_units(share, unit):
    rng = np.random.default_rng(0)
    x = two_components(rng)
    x[rng.random(x.shape) < share] = np.nan
    (theta, objective), (scaled, moved) = fitted(x), fitted(x * unit)
    jacobian = float((~np.isnan(x)).mean(axis=0) @ np.log(unit))
    assert moved == pytest.approx(objective - jacobian, abs=1e-8)
    np.testing.assert_allclose(scaled.means / unit, theta.means, atol=1e-6)
    np.testing.assert_allclose(scaled.noise_variances / unit**2, theta.noise_variances, rtol=1e-5)
    np.testing.assert_allclose(np.abs(scaled.loadings / unit[:, None]), np.abs(theta.loadings), atol=1e-6)


@given(SPREADS, st.booleans())
@settings(max_examples=10)
@pytest.mark.slow
def test_the_bound_of_ppcas_is_that_of_the_parameters(unit, with_holes):
    """Up to a rounding of the largest value, in deviations of the noise; and the fit is the same under one scale."""
    rng = np.random.default_rng(1)
    x = two_components(rng, n=80) * unit
    if with_holes:
        x[rng.random(x.shape) < 0.15] = np.nan
    settings = {"n_factors": 2, "reg_covar": 0.0, "n_init": 1, "max_iter": 20}
    try:
        model = dem.MixturePPCA(2, **settings).fit(x)
    except ValueError as error:  # beside the widest column the noise is below the last digit
        if "noise variance has fallen to 0" not in str(error):
            raise
        return
    rounding = np.finfo(np.float64).eps * np.nanmax(np.abs(x)) / np.sqrt(model.noise_variance_.min())
    assert model.score(x) == pytest.approx(model.lower_bound_, abs=1e-9 + rounding)
    rows = x[:10]
    joint = [
        [
            np.log(weight) + log_density(*theta, row)[0]
            for weight, *theta in zip(model.weights_, model.means_, model.loadings_, model.noise_variance_, strict=True)
        ]
        for row in rows
    ]
    np.testing.assert_allclose(
        model.score_samples(rows), np.logaddexp.reduce(joint, axis=1), rtol=1e-7, atol=1e-7 + 16 * rounding
    )
    again = dem.MixturePPCA(2, **settings).fit(x * 1e-5)
    jacobian = (~np.isnan(x)).sum() / len(x) * np.log(1e-5)
    assert again.lower_bound_ == pytest.approx(model.lower_bound_ - jacobian, abs=1e-6 + rounding)
    np.testing.assert_allclose(again.noise_variance_ * 1e10, model.noise_variance_, rtol=1e-4 + rounding)


def test_the_floor_of_a_shared_noise_leaves_wide_columns_out():
    """Factors explain the widest columns: a share of their variance would be more than what the others vary by."""
    x = np.array([1e6, 1.0, 2.0, 1e5, 2.0]) * np.array([[1.0], [-1.0]])
    found = completed_scan(Scanner(5, False, 2, 0, 2)()(Block(x)))
    floor = {name: NOISE[name](2, None).bind(found, Frame.near(x)).floor(5) for name in NOISE}
    np.testing.assert_allclose(floor["isotropic"], 3e-6)
    np.testing.assert_allclose(floor["diagonal"], 1e-6 * np.array([1e12, 1.0, 4.0, 1e10, 4.0]))
    for noise in NOISE:
        assert (NOISE[noise](2, 1e-3).bind(found, Frame.near(x)).floor(5) == 1e-3).all()


@KINDS
def test_new_loadings_stand_upright(noise, rng):
    """W' inv(Psi) W is diagonal after an M-step, with missing values and without."""
    family, theta, holes = drawn(noise, [3], 1e3, rng, n=80)
    x = np.ascontiguousarray(NOISE[noise](Q).draw(theta, 0, 80, rng).T)
    for of, rows in ((family, x), (family.with_missing(), np.ascontiguousarray(holes.T))):
        out, sums = np.empty((1, 80)), np.zeros((of.n_exact_sums(D), 1))
        of.add_sums(theta, rows, of.log_density(theta, rows, out), np.ones((1, 80)), sums)
        new = of.estimate(sums, Frame.at(theta.means), theta)
        w = new.loadings[0] / np.sqrt(new.noise_variances[0])[:, None]
        gram = w.T @ w
        assert abs(gram[0, 1]) < 1e-9 * np.sqrt(gram[0, 0] * gram[1, 1])
