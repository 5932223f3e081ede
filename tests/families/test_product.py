"""Products of families: the parts' log-densities add, and each part keeps what it is alone."""

import numpy as np
import pytest
from scipy import stats

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.core.rows import RowKeys
from dem.families import Exponential, Gaussian
from dem.families.product import product
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.precision import Precision
from dem.scan.scanner import Scanner
from laws import bind, total

K, D, N = 3, 5, 400
KINDS = pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])


def family(kind="full"):
    """Columns 1 and 4 Gaussian, 0 and 2 exponential, 3 Gaussian of its own."""
    return product(
        [
            ("g", (1, 4), Gaussian(kind, 0.0)),
            ("e", (0, 2), Exponential()),
            ("h", (3,), Gaussian("diag", 0.0)),
        ]
    )


@pytest.fixture
def x(rng):
    z = rng.integers(K, size=N)
    rows = rng.normal(size=(N, D)) + 3 * z[:, None]
    rows[:, [0, 2]] = rng.exponential(size=(N, 2)) * (1 + z[:, None])
    return rows


def test_log_density_is_that_of_the_parts(x, rng):
    resp = rng.dirichlet(np.ones(K), N).T
    it = family()
    theta = it.initial(np.ascontiguousarray(x.T), resp)
    out = np.empty((K, N))
    it.log_density(theta, np.ascontiguousarray(x.T), out)
    gaussian, exponential, last = theta
    for k in range(K):
        expected = stats.multivariate_normal(gaussian.means[k], gaussian.covariances[k]).logpdf(x[:, [1, 4]])
        expected += stats.expon(scale=1 / exponential["rate"][k]).logpdf(x[:, [0, 2]]).sum(axis=1)
        expected += stats.norm(last.means[k, 0], last.covariances[k, 0] ** 0.5).logpdf(x[:, 3])
        np.testing.assert_allclose(out[k], expected, rtol=1e-12)


@KINDS
def test_both_paths_agree(x, kind):
    """Products of features in the frame, and each component on its own: objective, M-step and bound."""
    model = bind(MixtureModel(K, family(kind)), x)
    params = model.start(Block(x), np.random.default_rng(0))
    centred = MixtureParams(params.weights, params.theta, Precision.CENTRED)
    assert model.precision(params) == Precision.DOUBLE
    fast, exact = total(model, params, x), total(model, centred, x)
    assert abs(model.objective(params, fast) - model.objective(centred, exact)) < 1e-11
    new, other = model.m_step(params, fast).params, model.m_step(centred, exact).params
    for part, same in zip(new.theta, other.theta, strict=True):
        values = part.values() if isinstance(part, dict) else (part.means, part.covariances)
        others = same.values() if isinstance(same, dict) else (same.means, same.covariances)
        for a, b in zip(values, others, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9)
    assert abs(model.expected(params, fast, new) - model.expected(centred, exact, new)) < 1e-10


def test_a_product_of_gaussian_columns_is_the_diagonal_gaussian(x):
    """Per iteration, from the same start."""
    parts = product([(f"{j}", (j,), Gaussian("diag", 0.0)) for j in range(D)])
    one, other = bind(MixtureModel(K, Gaussian("diag", 0.0)), x), bind(MixtureModel(K, parts), x)
    p, q = (m.start(Block(x), np.random.default_rng(1)) for m in (one, other))
    for _ in range(5):
        s, t = total(one, p, x), total(other, q, x)
        assert abs(one.objective(p, s) - other.objective(q, t)) < 1e-12
        p, q = one.m_step(p, s).params, other.m_step(q, t).params
    np.testing.assert_allclose(np.hstack([t.means for t in q.theta]), p.theta.means, rtol=1e-10)
    np.testing.assert_allclose(np.hstack([t.covariances for t in q.theta]), p.theta.covariances, rtol=1e-10)


def test_gaussian_parts_far_from_zero_take_the_exact_path(x):
    y = x.copy()
    y[:, 3] = 1e7 * np.sign(x[:, 3]) + 1e-2 * x[:, 3]
    model = bind(MixtureModel(2, family()), y)
    resp = np.array([x[:, 3] < 0, x[:, 3] >= 0], float)
    params = MixtureParams(resp.mean(axis=1), model.family.initial(np.ascontiguousarray(y.T), resp))
    assert model.precision(params) == Precision.CENTRED
    assert np.isfinite(model.objective(params, total(model, params, y)))


def test_outside_names_the_parts_own_support(x):
    y = x.copy()
    y[7, 2] = -0.5
    found = Scanner(D, False, 10, 0, None, family())()(Block(y, keys=RowKeys.from_first(100))).measured.outside
    assert (found.row, found.column, found.value) == (107, 2, -0.5)
    assert found.in_words("column 2") == "holds -0.5 in column 2, but the model accepts only numbers >= 0"


def test_base_measures_add(x):
    assert family().log_base(x.T) is None


def test_columns_must_have_one_family_each():
    for d, words in ((4, "has column 4, but the data have only columns 0 to 3"), (6, "column 5 has no family")):
        with pytest.raises(ValueError, match=words):
            family().check_columns(d)
    twice = product([("a", (0, 1), Exponential()), ("b", (1,), Exponential())])
    with pytest.raises(ValueError, match="column 1 has several families"):
        twice.check_columns(2)


def test_frames_are_the_parts_own(x):
    frame = family().frame(x * np.array([1, 1, 1, 1e9, 1]))
    assert isinstance(frame, Frame)
    assert (frame.shift[[0, 2]] == 0).all()
    assert (frame.scale[[0, 2]] == 1).all()
    assert frame.scale[3] < 1e-8


def test_draws_stand_in_their_columns(rng):
    it = product([("e", (1,), Exponential()), ("g", (0,), Gaussian("diag"))])
    g = Gaussian("diag").from_covariances(np.array([[-50.0]]), np.array([[1.0]]))
    x = it.draw(({"rate": np.array([[0.5]])}, g), 0, 4000, rng)
    assert abs(x[:, 0].mean() + 50) < 4 / 4000**0.5
    assert abs(x[:, 1].mean() - 2) < 4 * 2 / 4000**0.5


def test_number_of_parameters_adds():
    assert family().n_parameters(K, D) == K * (2 + 3) + K * 2 + K * 2
