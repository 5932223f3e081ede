from dataclasses import replace

import numpy as np
import pytest

import reference
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.core.rows import RowKeys
from dem.em import loop
from dem.em.seeding import METHODS
from dem.families import COVARIANCE_TYPES
from dem.families.family import Given
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.models.mixture.precision import Precision
from dem.models.row_checks import check_distinct, check_enough_rows
from laws import K, begin, bind, data, mixture, rows_of, run, total

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
X = data()
CENTRES = np.array([[0.0, 0, 0], [3, 1, -2], [-2, 4, 1]])
ROUND = CENTRES[np.arange(300) % 3] + np.random.default_rng(0).normal(size=(300, 3))
ROUND32 = ROUND.astype(np.float32)
OUTPUTS = ("label", "proba", "score")


def at(params, floor):
    return type(params)(params.weights, params.theta, floor)


@TYPES
@pytest.mark.parametrize("weighted", [False, True])
def test_every_arithmetic_agrees_within_its_tolerance(kind, weighted, rng):
    """float32 within 1e-4 nats a row, float64 within 1e-9 of the centred path; so do the M-steps."""
    x = ROUND32
    weight = rng.exponential(size=len(x)) if weighted else None
    model = bind(mixture(kind), x, weight)
    params = begin(model, x.astype(np.float64), weight)
    results = {}
    for precision in Precision:
        stats = total(model, at(params, precision), x, weight)
        assert stats.precision == precision
        results[precision] = (
            model.objective(params, stats),
            model.m_step(params, stats).params,
            model.expected(params, stats, params),
        )
    exact, new, q = results[Precision.CENTRED]
    for precision, tolerance, loose in ((Precision.SINGLE, 1e-4, 1e-4), (Precision.DOUBLE, 1e-9, 1e-11)):
        objective, other, expected = results[precision]
        assert abs(objective - exact) < tolerance
        assert abs(expected - q) < tolerance
        np.testing.assert_allclose(other.weights, new.weights, atol=loose)
        np.testing.assert_allclose(other.theta.means, new.theta.means, atol=loose)
        np.testing.assert_allclose(other.theta.covariances, new.theta.covariances, atol=10 * loose)


@TYPES
@pytest.mark.parametrize(
    ("dtype", "spread", "expected"),
    [
        (np.float32, 1.0, Precision.SINGLE),
        (np.float16, 1.0, Precision.SINGLE),
        (np.float64, 1.0, Precision.DOUBLE),
        (np.int16, 1.0, Precision.DOUBLE),
        (np.float32, 1e2, Precision.DOUBLE),
        (np.float32, 1e5, Precision.CENTRED),
        (np.float64, 1e5, Precision.CENTRED),
    ],
)
def test_the_cheapest_arithmetic_that_meets_the_tolerance(kind, dtype, spread, expected, rng):
    """By how far the components lie apart, in their own deviations."""
    family = COVARIANCE_TYPES[kind]()
    means = spread * np.array([[-1.0, 0], [1, 0]])
    one = {
        "full": np.array([np.eye(2)] * 2),
        "tied": np.eye(2),
        "diag": np.ones((2, 2)),
        "spherical": np.ones(2),
    }
    x = (means[rng.integers(2, size=200)] + rng.normal(size=(200, 2))).astype(dtype)
    model = bind(MixtureModel(2, family), x)
    params = begin(model, x.astype(np.float64))
    params = type(params)(np.full(2, 0.5), family.from_covariances(means, one[kind]))
    assert model.precision(params) == expected
    assert total(model, params, x).precision == expected


@TYPES
def test_the_arithmetic_only_moves_up_within_a_fit(kind, rng):
    """Components that shrink ask for more and more; a floor that is reached stays."""
    x = np.concatenate([rng.normal(c, 1e-4, (100, 2)) for c in (-3.0, 0.0, 3.0)]).astype(np.float32)
    model = bind(MixtureModel(3, COVARIANCE_TYPES[kind]()), x)
    weights, means = np.full(3, 1 / 3), np.array([[-2.0, -2], [0, 0], [2, 2]])
    one = {
        "full": np.array([np.eye(2)] * 3),
        "tied": np.eye(2),
        "diag": np.ones((3, 2)),
        "spherical": np.ones(3),
    }
    params = MixtureParams(weights, model.family.from_covariances(means, one[kind]))
    seen = []

    def sweep(make_kernel):
        seen.append(make_kernel()(Block(x)))
        return seen[-1]

    state = loop.fit(model, params, sweep, tol=1e-6, max_iter=30)
    used = [stats.precision for stats in seen]
    assert used == sorted(used)
    assert (used[0], used[-1]) == (Precision.SINGLE, Precision.CENTRED)
    assert model.precision(at(params, state.params.floor)) == Precision.CENTRED  # wide again, yet exact


@TYPES
def test_reports_are_never_in_single_precision(kind):
    x = ROUND32
    model = bind(mixture(kind), x)
    seen = []

    def sweep(make_kernel):
        seen.append(make_kernel()(Block(x)))
        return seen[-1]

    state = loop.fit(model, begin(model, x.astype(float)), sweep, tol=1e-3, max_iter=50)
    assert seen[0].precision == Precision.SINGLE
    assert seen[-1].precision >= Precision.DOUBLE
    assert state.objective == model.objective(state.params, seen[-1])


@TYPES
def test_exact_marks_parameters_once(kind):
    model = bind(mixture(kind), ROUND32)
    params = begin(model, ROUND)
    params = at(params, Precision.SINGLE)
    exact = model.exact(params)
    assert (model.is_exact(params), model.is_exact(exact)) == (False, True)
    assert model.precision(exact) == Precision.DOUBLE
    assert model.exact(exact) == exact


@TYPES
@pytest.mark.parametrize("what", OUTPUTS)
def test_rows_agree_with_long_double(kind, what):
    model = bind(mixture(kind), X)
    params = run(model, begin(model, X), X, n_iter=3).params
    dense = reference.dense(params.theta.covariances, kind, K, X.shape[1])
    score, resp = reference.e_step(X, params.weights, params.theta.means, dense)
    expected = {"label": resp.argmax(axis=0), "proba": resp.T.astype(float), "score": score.astype(float)}[what]
    found = rows_of(model, params, what)(Block(X))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert rows_of(model, params, what)(Block(X[:0])).shape == expected[:0].shape


def test_unknown_outputs_are_refused():
    model = bind(mixture("full"), X)
    with pytest.raises(ValueError, match="no output 'odds': choose one of label, proba, score"):
        rows_of(model, begin(model, X), "odds")


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_rows_with_infinities_are_located(value):
    model = bind(mixture("full"), X)
    x = X.copy()
    x[3, 0], x[5, 1] = np.nan, value
    with pytest.raises(ValueError, match=rf"row 105 holds {value} in column 1: infinite"):
        rows_of(model, begin(model, X), "score")(Block(x, None, RowKeys.from_first(100)))


@TYPES
@pytest.mark.parametrize("method", METHODS)
def test_the_start_is_the_m_step_of_the_seeds_responsibilities(kind, method):
    model = mixture(kind, method)
    rng = np.random.default_rng(3)
    resp = model.seeding.responsibilities(X, np.ones(len(X)), K, np.random.default_rng(3))
    params = bind(model, X).start(Block(X), rng)
    weights, means, covariances = reference.m_step(X, resp, kind)
    assert reference.relative_error(params.weights, weights) < 1e-13
    assert reference.relative_error(params.theta.means, means) < 1e-12
    assert reference.relative_error(params.theta.covariances, covariances) < 1e-12


@TYPES
def test_what_the_user_gives_replaces_what_the_sample_tells(kind):
    plain = bind(mixture(kind), X).start(Block(X), np.random.default_rng(0))
    means = np.arange(9.0).reshape(3, 3)
    model = replace(mixture(kind), given=Given(means=means))
    start = bind(model, X).start(Block(X), np.random.default_rng(0))
    np.testing.assert_array_equal(start.theta.means, means)
    np.testing.assert_array_equal(start.theta.covariances, plain.theta.covariances)
    assert model.known() is None
    both = Given(np.array([0.5, 0.3, 0.2]), None, 2 * plain.theta.precisions_cholesky)
    start = bind(replace(mixture(kind), given=both), X).start(Block(X), np.random.default_rng(0))
    np.testing.assert_array_equal(start.weights, both.weights)
    np.testing.assert_array_equal(start.theta.means, plain.theta.means)
    np.testing.assert_allclose(start.theta.covariances, plain.theta.covariances / 4, rtol=1e-10, atol=1e-12)


@TYPES
def test_drawn_rows_follow_the_mixture(kind):
    model = bind(mixture(kind), X)
    params = begin(model, X)
    x, labels = model.draw(params, 20_000, np.random.default_rng(1))
    share = np.bincount(labels, minlength=K) / len(x)
    assert (np.abs(share - params.weights) < 4 * np.sqrt(params.weights * (1 - params.weights) / len(x))).all()
    full = reference.dense(params.theta.covariances, kind, K, x.shape[1]).astype(float)
    for k in range(K):
        error = np.sqrt(np.diag(full[k]) / (labels == k).sum())
        assert (np.abs(x[labels == k].mean(axis=0) - params.theta.means[k]) < 4 * error).all()


def test_number_of_parameters_counts_the_weights_once():
    assert mixture("full").n_parameters(3) == 3 * (3 + 6) + 2


def test_a_model_that_is_not_bound_says_so():
    model = bind(mixture("full"), X)
    with pytest.raises(ValueError, match="not bound"):
        mixture("full").precision(begin(model, X))


def test_spherical_frames_have_one_scale():
    x = X * [1.0, 1e6, 1e-6]
    assert len(set(bind(mixture("spherical"), x).frame.scale)) == 1
    assert len(set(bind(mixture("diag"), x).frame.scale)) == 3
    assert isinstance(bind(mixture("diag"), x).frame, Frame)


def test_too_few_rows_are_refused():
    check_enough_rows(3, 3)
    with pytest.raises(ValueError, match="2 rows are too few for n_components=3"):
        check_enough_rows(2, 3)
    check_distinct(np.eye(3), 3)
    with pytest.raises(ValueError, match="n_components=3 is more than the 2 distinct rows among 20 "):
        check_distinct(np.repeat(np.eye(2), 10, axis=0), 3)
