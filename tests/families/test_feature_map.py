"""The features of every linear family against plain formulas, and the contract of feature maps."""

import pickle

import numpy as np
import pytest

from dem.core.coordinate_frame import Frame
from dem.families import (
    Bernoulli,
    Categorical,
    Exponential,
    FactorAnalysisFamily,
    Gamma,
    Gaussian,
    Geometric,
    LogNormal,
    Multinomial,
    Poisson,
    StudentT,
    VonMises,
    VonMisesFisher,
)
from dem.families.base import FamilyBase
from dem.families.family import filling, with_missing
from dem.families.feature_columns import ONE, Column, Op, in_frame
from dem.families.feature_map import FeatureMap, feature_map
from dem.families.features import StackedFeatures
from dem.families.product import product
from own_family import Rayleigh

N, D = 500, 4
RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(N, D))
POSITIVE = RNG.gamma(2, size=(N, D))
COUNTS = 1.0 + RNG.poisson(3, size=(N, D))
BITS = (NORMAL > 0).astype(float)
CODES = np.clip(np.round(NORMAL), 0, 2)
DIRECTIONS = NORMAL / np.linalg.norm(NORMAL, axis=1, keepdims=True)
REFERENCE = np.array([1.3, 2.0, 0.7, 30.0])


def moved(x, frame):
    return (x - frame.shift) * frame.scale


def triangle(x, frame):
    y = moved(x, frame)
    return np.stack([*y.T, *(y[:, i] * y[:, j] for i in range(D) for j in range(i, D))])


def squares(x, frame):
    y = moved(x, frame)
    return np.stack([*y.T, *(y**2).T])


def length(x, frame):
    y = moved(x, frame)
    return np.stack([*y.T, (y**2).sum(axis=1)])


def itself(x, frame):
    return x.T


def codes(x, frame):
    return np.stack([x[:, j] == code for j in range(D) for code in range(3)]).astype(float)


def y_and_log(x, frame):
    y = x / REFERENCE
    return np.concatenate([y.T - 1, np.log(y).T])


def logs(x, frame):
    return squares(np.log(x), frame)


def cos_and_sin(x, frame):
    return np.concatenate([np.cos(x).T, np.sin(x).T])


FAMILIES = {
    "full": (Gaussian("full"), NORMAL, triangle),
    "tied": (Gaussian("tied"), NORMAL, lambda x, frame: moved(x, frame).T),
    "diag": (Gaussian("diag"), NORMAL, squares),
    "spherical": (Gaussian("spherical"), NORMAL, length),
    "bernoulli": (Bernoulli(), BITS, itself),
    "categorical": (Categorical(3), CODES, codes),
    "exponential": (Exponential(), POSITIVE, itself),
    "gamma": (Gamma(REFERENCE), POSITIVE, y_and_log),
    "geometric": (Geometric(), COUNTS, itself),
    "lognormal": (LogNormal(), POSITIVE, logs),
    "multinomial": (Multinomial(), COUNTS, itself),
    "poisson": (Poisson(), COUNTS, itself),
    "vonmises": (VonMises(), 3 * NORMAL, cos_and_sin),
    "vonmisesfisher": (VonMisesFisher(), DIRECTIONS, itself),
}
ALL = pytest.mark.parametrize("name", FAMILIES)
ROUNDED = {"vonmises": 1e-15, "spherical": 1e-14}
"""cos and sin come from one tangent; the order in which |x|^2 is summed is NumPy's. All others to the last bit."""
LAST = ("diag", "spherical", "lognormal")
"""Gaussians of independent columns have their indicators behind the other features."""


def near(name, found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDED.get(name, 0.0))


def features(name, dtype=np.float64):
    """Return the features, rows, frame, formula and the array to be filled."""
    family, x, formula = FAMILIES[name]
    frame = family.frame(x)
    found = family.linear.features(D, frame)
    return found, x, frame, formula, np.full((found.n_features - 1, N), np.nan, dtype)


def with_holes(x):
    y = x.copy()
    y[np.random.default_rng(1).random(y.shape) < 0.3] = np.nan
    y[7] = np.nan
    return y


@ALL
def test_features_are_those_of_the_formula(name):
    found, x, frame, formula, out = features(name)
    assert isinstance(found, FeatureMap)
    assert found.n_features == FAMILIES[name][0].linear.n_features(D)
    found.write(x, out)
    near(name, out, formula(x, frame))


@ALL
def test_tiles_of_a_workspace_have_the_same_features(name):
    """Rows are written into a part of each row of a larger array, one tile after another."""
    found, x, _, _, out = features(name)
    found.write(x, out)
    work = np.full((found.n_features, 200), np.nan)
    for start in range(0, N, 130):
        tile = x[start : start + 130]
        found.write(tile, work[:, : len(tile)][1:])
        assert work[1:, : len(tile)].tobytes() == np.ascontiguousarray(out[:, start : start + 130]).tobytes()


@ALL
def test_features_in_single_precision(name):
    """Of float64 and of float32 rows: they are rounded first, and all that follows is float32."""
    found, x, _, _, out = features(name)
    found.write(x, out)
    one, other = np.empty((2, *out.shape), np.float32)
    found.write(x, one)
    found.write(x.astype(np.float32), other)
    assert one.tobytes() == other.tobytes()
    np.testing.assert_allclose(one, out, rtol=1e-4, atol=3e-6)


@pytest.mark.parametrize("name", [n for n, (f, *_) in FAMILIES.items() if n not in ("full", "tied", "multinomial")])
def test_features_of_rows_with_missing_values(name):
    """0 in place of what is missing, and an indicator for each column; directions are refused."""
    family, x, formula = FAMILIES[name]
    frame, y = family.frame(x), with_holes(x)
    found = with_missing(family).linear.features(D, frame)
    out = np.empty((found.n_features - 1, N))
    if name == "vonmisesfisher":
        found.write(x, out)
        np.testing.assert_array_equal(out, x.T)
        with pytest.raises(ValueError, match="von Mises-Fisher does not support missing values"):
            found.write(y, out)
        return
    assert isinstance(found, FeatureMap)
    found.write(y, out)
    shown = ~np.isnan(y).T
    t, observed = (out[:-D], out[-D:]) if name in LAST else (out[D:], out[:D])
    np.testing.assert_array_equal(observed, shown)
    expected = formula(x, frame)
    if name == "spherical":
        expected[:D] *= shown
        expected[D] = (expected[:D] ** 2).sum(axis=0)
    else:
        repeats = (3,) * D if name == "categorical" else None
        masks = np.repeat(shown, repeats, axis=0) if repeats else np.tile(shown, (len(t) // D, 1))
        expected = np.where(masks, expected, 0.0)
    near(name, t, expected)


@ALL
def test_a_feature_map_is_small_and_travels(name):
    found, x, _, _, out = features(name)
    found.write(x, out)  # compiled
    sent = pickle.dumps(found)
    assert len(sent) < 4000
    back = pickle.loads(sent)
    assert back.columns == found.columns
    np.testing.assert_array_equal(back.pairs, found.pairs)
    np.testing.assert_array_equal(back.masks, found.masks)
    again = np.empty_like(out)
    back.write(x, again)
    assert again.tobytes() == out.tobytes()


def test_features_of_a_wide_full_gaussian_take_one_operation_a_row():
    found = Gaussian().linear.features(50, Frame.at(np.zeros(50)))
    assert len(found._writer.steps) == 2
    assert len(found._writer.steps[-1].rows) == 50


def mixed():
    """Columns of several families, not side by side, with whole and incomplete data."""
    blocks = [("n", (0, 3), "full"), ("d", (1, 5), "diag"), ("s", (2, 9), "spherical"), ("g", (4, 6), "gamma")]
    families = {"full": Gaussian(), "diag": Gaussian("diag"), "spherical": Gaussian("spherical"), "gamma": Gamma()}
    parts = [(label, columns, families[kind]) for label, columns, kind in blocks]
    return product([*parts, ("c", (7,), Categorical((3,))), ("p", (8,), Poisson())])


@pytest.mark.parametrize("missing", [False, True])
def test_products_have_the_features_of_their_parts(missing):
    whole = mixed()
    if missing:  # full Gaussians have no fast path then
        whole = product(
            [*((part.name, part.columns, part.family) for part in whole.parts[1:]), ("o", (0, 3), Poisson())]
        )
    x = np.column_stack([COUNTS, POSITIVE[:, :3], CODES[:, 0], COUNTS[:, :2]])
    frame = whole.frame(x)
    family, rows = (with_missing(whole), with_holes(x)) if missing else (whole, x)
    found = family.linear.features(10, frame)
    assert isinstance(found, FeatureMap)
    out, start = np.empty((found.n_features - 1, N)), 0
    found.write(rows, out)
    for part in family.parts:
        own = part.family.linear.features(len(part.columns), part.frame_of(frame))
        expected = np.empty((own.n_features - 1, N))
        own.write(rows[:, list(part.columns)], expected)
        assert out[start : start + len(expected)].tobytes() == expected.tobytes()
        start += len(expected)
    assert start == len(out) == family.linear.n_features(10) - 1


@pytest.mark.parametrize("missing", [False, True])
def test_families_of_users_beside_others(missing):
    """Their statistics are called for each tile; the product stacks them and the maps of the other parts."""
    family = product([("p", (1,), Poisson()), ("r", (0, 2), Rayleigh())])
    family = with_missing(family) if missing else family
    x = np.column_stack([POSITIVE[:, 0], COUNTS[:, 0], POSITIVE[:, 1]])
    rows = with_holes(x) if missing else x
    found = family.linear.features(3, family.frame(x))
    assert isinstance(found, StackedFeatures)
    out = np.empty((found.n_features - 1, N))
    pickle.loads(pickle.dumps(found)).write(rows, out)
    t = [np.nan_to_num(rows[:, [1]]).T, np.nan_to_num(rows[:, [0, 2]] ** 2).T]
    if missing:
        shown = ~np.isnan(rows)
        t = [shown[:, [1]].T, t[0], shown[:, [0, 2]].T, t[1]]
    np.testing.assert_array_equal(out, np.concatenate(t))


def test_statistics_may_return_the_tile_itself_anywhere():
    class Both(Rayleigh):
        def statistics(self, x):
            return np.log(x), x

    out = np.empty((2 * D, N))
    Both().linear.features(D, Frame.at(np.zeros(D))).write(POSITIVE, out)
    np.testing.assert_array_equal(out, np.concatenate([np.log(POSITIVE).T, POSITIVE.T]))


def test_columns_need_not_be_features():
    """Cosines alone, scaled; products of columns of which some are no features, and of a sum of squares."""
    sum_of_squares = Column(Op.SUM_OF_SQUARES, 1, argument=2)
    columns = (ONE, Column(Op.X, 2, 1.0, 4.0), Column(Op.COS, 0, 0.5, 2.0), Column(Op.SIN, 1), sum_of_squares)
    pairs = np.array([(0, 0), (2, 0), (1, 2), (2, 3), (4, 4), (3, 1)], np.int32)
    out = np.empty((5, N))
    FeatureMap(columns, pairs, np.full(6, -1, np.int32)).write(NORMAL, out)
    a, b, c = (NORMAL[:, 2] - 1) * 4, (np.cos(NORMAL[:, 0]) - 0.5) * 2, np.sin(NORMAL[:, 1])
    np.testing.assert_allclose(out, [b, a * b, b * c, (a**2 + b**2) ** 2, c * a], rtol=1e-12, atol=1e-14)


def test_maps_that_contradict_themselves_are_refused():
    x = in_frame(Frame.at(np.zeros(2)))
    masks = np.full(3, -1, np.int32)
    with pytest.raises(ValueError, match="two features of a FeatureMap are the same column"):
        FeatureMap((ONE, *x), np.array([(0, 0), (0, 1), (1, 0)], np.int32), masks).write(NORMAL, np.empty((2, N)))
    whole = feature_map((x[0], Column(Op.OBSERVED, 1)))
    with pytest.raises(ValueError, match="cannot mask"):
        FeatureMap(whole.columns, whole.pairs, np.array([-1, 2, -1], np.int32)).write(NORMAL, np.empty((2, N)))


def test_a_subclass_with_other_statistics_is_refused():
    with pytest.raises(TypeError, match=r"Squares defines statistics\(\): derive it from ExponentialFamily"):

        class Squares(Poisson):
            def statistics(self, x):
                return (x**2,)


class Whole(FamilyBase):
    """A family of complete rows alone."""

    def n_exact_sums(self, d):
        return 1 + d


def test_a_role_that_a_family_has_not_is_refused_in_one_sentence():
    """None where it is asked for; where it is needed, a sentence that names the family, also of a part of a product."""
    assert StudentT().linear is None
    assert FactorAnalysisFamily(1).linear is None
    assert with_missing(Gaussian()).linear is None
    family = product([("g", (0,), Gaussian("diag")), ("w", (1,), Whole())])
    for lacking in (Whole(), family):
        assert lacking.with_missing() is None
        with pytest.raises(ValueError, match="Whole does not support missing values: remove the rows that have them"):
            with_missing(lacking)
    assert family.linear is None
    for lacking in (Rayleigh(), product([("p", (1,), Poisson()), ("r", (0,), Rayleigh())])):
        assert with_missing(lacking).filling is None
        with pytest.raises(ValueError, match=r"Rayleigh does not implement moments\(\)"):
            filling(lacking)
    assert filling(Poisson()) is not None
