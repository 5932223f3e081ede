"""Each family against SciPy: densities, estimates by direct maximisation, moments of draws, supports."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.core.rows import RowKeys
from dem.families import FAMILIES
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.run.check_data import check_values
from dem.scan.scanner import Scanner
from dem.scan.support import measured
from dem.source import open_source
from families.kinds import KINDS, KNOWN
from laws import rows_of

N = 300
ANY = pytest.mark.parametrize("kind", KNOWN.values(), ids=KNOWN)
LINEAR = pytest.mark.parametrize(
    "kind", [k for k in KNOWN.values() if k.family.linear], ids=[n for n, k in KNOWN.items() if k.family.linear]
)


def based(family, densities, x):
    """Return log p from log p - log h."""
    base = family.log_base(x.T)
    return densities if base is None else densities + base


def log_densities(family, theta, x):
    out = np.empty((2, len(x)))
    family.log_density(theta, np.ascontiguousarray(x.T), out)
    return based(family, out, x)


def sums_of(family, theta, x, resp):
    """Return the exact path's sums, about the centres of theta."""
    reuse = family.log_density(theta, np.ascontiguousarray(x.T), np.empty(resp.shape))
    sums = np.zeros((family.n_exact_sums(x.shape[1]), len(resp)))
    family.add_sums(theta, np.ascontiguousarray(x.T), reuse, resp, sums)
    return sums


def test_every_family_of_the_library_has_its_line_in_the_table():
    """So that the laws of all models hold for it, and its densities are those of SciPy."""
    for kinds in (KINDS, KNOWN):
        assert {name.split("-")[0] for name in kinds} == set(FAMILIES)


@ANY
def test_log_density(kind, rng):
    x = kind.rows(N, rng)
    expected = [kind.known.log_pdf(c, x) for c in kind.known.components]
    np.testing.assert_allclose(log_densities(kind.family, kind.theta, x), expected, rtol=1e-11, atol=1e-11)


@LINEAR
def test_features_and_natural_parameters_give_the_log_density(kind, rng):
    x = kind.rows(N, rng)
    family, d = kind.family, x.shape[1]
    frame = family.frame(x)
    t = np.ones((family.linear.n_features(d), N))
    family.linear.features(d, frame).write(x, t[1:])
    expected = [kind.known.log_pdf(c, x) for c in kind.known.components]
    np.testing.assert_allclose(
        based(family, family.natural(kind.theta, frame) @ t, x), expected, rtol=1e-11, atol=1e-11
    )


@LINEAR
def test_features_of_float32_rows(kind, rng):
    """In the precision of `out`, from rows of any type."""
    x = kind.rows(N, rng)
    family, d = kind.family, x.shape[1]
    frame = family.frame(x)
    exact, single = np.empty((family.n_features(d) - 1, N)), np.empty((family.n_features(d) - 1, N), np.float32)
    features = family.linear.features(d, frame)
    features.write(x, exact)
    features.write(x.astype(np.float32), single)
    np.testing.assert_allclose(single, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [name for name in KNOWN if name != "studentt"])
def test_the_estimate_maximises_the_weighted_likelihood(name, rng):
    """Beside BFGS on SciPy's densities: no better value, and the same parameters."""
    kind = KNOWN[name]
    x, resp = kind.rows(N, rng), rng.dirichlet(np.ones(2), N).T
    theta = kind.family.estimate(
        sums_of(kind.family, kind.theta, x, resp), Frame.at(kind.family.centres(kind.theta)), None
    )
    for component, start, r in zip(kind.apart(theta), kind.known.components, resp, strict=True):

        def loss(v, r=r):
            return -(r @ kind.known.log_pdf(kind.known.bound(v), x)) / r.sum()

        found = minimize(loss, kind.known.free(start), method="BFGS", options={"gtol": 1e-7})
        ours = -(r @ kind.known.log_pdf(component, x)) / r.sum()
        assert ours <= found.fun + 1e-11 * max(1, abs(found.fun))
        direct = kind.known.bound(found.x)
        for parameter, value in component.items():
            np.testing.assert_allclose(value, direct[parameter], rtol=2e-4, atol=2e-5)


@ANY
def test_expected_log_density(kind, rng):
    """Q is the sum of r log p, from sums alone (of Student's t it has the latent scales, too: see there)."""
    if not kind.family.linear:
        return
    x, resp = kind.rows(N, rng), rng.dirichlet(np.ones(2), N).T
    frame = Frame.at(kind.family.centres(kind.theta))
    found = kind.family.expected(kind.theta, sums_of(kind.family, kind.theta, x, resp), frame, kind.theta)
    out = np.empty((2, N))
    kind.family.log_density(kind.theta, np.ascontiguousarray(x.T), out)
    np.testing.assert_allclose(found, (resp * out).sum(), rtol=1e-12)


@ANY
def test_drawn_rows_have_the_moments(kind, rng):
    """Means within 4 standard errors; variances too, of SciPy's or closed forms."""
    n = 20_000
    for k, component in enumerate(kind.known.components):
        x = kind.family.draw(kind.theta, k, n, rng)
        assert x.dtype == np.float64
        mean, covariance = kind.known.moments(component)
        assert x.shape == (n, len(mean))
        assert kind.family.draw(kind.theta, k, 0, rng).shape == (0, len(mean))
        assert kind.family.outside(x.T) is None or not kind.family.outside(x.T).any()
        if "concentration" in component and np.ndim(component["concentration"]):
            x = np.cos(x)
        assert (np.abs(x.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(covariance) / n)).all()
        fourth = ((x - mean) ** 4).mean(axis=0) - np.diag(covariance) ** 2
        assert (np.abs(((x - mean) ** 2).mean(axis=0) - np.diag(covariance)) < 4 * np.sqrt(fourth / n)).all()


@ANY
def test_the_first_pass_checks_the_rows_of_families_with_a_support_or_a_base_measure(kind, rng):
    x = kind.family.draw(kind.theta, 0, 9, rng).T
    found = [kind.family.outside(x), kind.family.log_base(x), kind.family.observed_log_base(x)]
    assert kind.family.checks_rows == any(values is not None for values in found)


@ANY
def test_number_of_parameters(kind):
    d = kind.family.centres(kind.theta).shape[1]
    assert kind.family.n_parameters(2, d) == 2 * kind.known.n_parameters


@ANY
def test_empty_components_keep_their_parameters(kind, rng):
    x = kind.rows(N, rng)
    resp = np.stack([np.ones(N), np.zeros(N)])
    sums = sums_of(kind.family, kind.theta, x, resp)
    theta = kind.family.estimate(sums, Frame.at(kind.family.centres(kind.theta)), kind.theta)
    for name, value in kind.apart(theta)[1].items():
        np.testing.assert_allclose(value, kind.known.components[1][name], rtol=1e-15)


@pytest.mark.parametrize("name", [name for name, kind in KNOWN.items() if kind.known.constant])
def test_constant_columns_and_single_rows_give_finite_numbers(name, rng):
    """One component has only equal rows, the other a single one: everything stays finite, the objective never falls."""
    kind = KINDS[name]
    family = kind.family if name != "studentt" else replace(kind.family, reg_covar=1e-6)
    constant = np.array(kind.known.constant, dtype=float)
    other = next(row for row in kind.rows(20, rng) if (row != constant).any())
    x = np.vstack([np.tile(constant, (50, 1)), other])
    resp = np.array([np.arange(51) < 50, np.arange(51) == 50], dtype=float)
    theta = family.estimate(sums_of(family, kind.theta, x, resp), Frame.at(family.centres(kind.theta)), kind.theta)
    model = MixtureModel(2, family)
    model = model.bind(Scanner(x.shape[1], False, 60, 0, None, family)()(Block(x)))
    params = MixtureParams(np.array([50 / 51, 1 / 51]), theta)
    objectives = []
    for _ in range(4):
        stats = model.kernel(params)(Block(x))
        new = model.m_step(params, stats).params
        objectives.append(model.objective(params, stats))
        bound = objectives[-1] + model.expected(params, stats, new) - model.expected(params, stats, params)
        if name != "studentt":  # reg_covar is no prior
            assert bound >= objectives[-1] - 1e-7
        params = new
    assert np.isfinite(objectives).all()
    if name != "studentt":
        assert (np.diff(objectives) >= -1e-7).all()
    for component in kind.apart(params.theta):
        assert all(np.isfinite(value).all() for value in component.values())
    assert np.isfinite(rows_of(model, params, "proba")(Block(x))).all()


@pytest.mark.parametrize("name", [name for name, kind in KNOWN.items() if kind.known.wrong])
def test_values_outside_the_support(name, rng):
    """One sentence with the column, the value and the first row; rows of weight 0 may hold anything."""
    kind = KINDS[name]
    value, wants = kind.known.wrong
    x = kind.rows(N, rng)
    x[[70, 200], 1] = value
    scanner = Scanner(x.shape[1], False, 10, 0, N, kind.family)
    with pytest.raises(ValueError, match="but the model accepts only") as caught:
        check_values(scanner()(Block(x)), open_source(x))
    sentence = str(caught.value)
    assert f"holds {value:g} in column 1, but the model accepts only {wants}" in sentence
    assert "in row 70 of" in sentence
    weight = np.ones(N)
    weight[[70, 200]] = 0
    check_values(scanner()(Block(x, weight)), open_source(x))
    kept = measured(kind.family, x[weight > 0].T, None, RowKeys()).base
    np.testing.assert_allclose(measured(kind.family, x.T, weight, RowKeys()).base, kept, rtol=1e-12)
    model = MixtureModel(2, kind.family).bind(scanner()(Block(x, weight)))
    stats = model.kernel(MixtureParams(np.array([0.5, 0.5]), kind.theta))(Block(x, weight))
    assert np.isfinite(stats.sums).all()
    assert np.isfinite(stats.log_likelihood)


def test_rows_off_the_sphere(rng):
    family = KINDS["vonmisesfisher"].family
    x = KINDS["vonmisesfisher"].rows(1000, rng)
    for kind in (np.float64, np.float32, np.float16):
        assert not family.outside(x.astype(kind).astype(float).T).any()
    x[7] *= 1.001
    assert family.outside(x.T).all(axis=0).nonzero()[0].tolist() == [7]
    assert measured(family, x.T, None, RowKeys()).outside.row == 7
    for d in (1, 5000):
        with pytest.raises(ValueError, match="2 to 2,000 columns"):
            family.check_columns(d)
