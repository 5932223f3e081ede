from dataclasses import replace

import laws
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import MODELS, D, K, N

from dem.models.mixture import MixtureParams, Precision
from dem.seeding import METHODS

X = laws.data()
WEIGHT = np.random.default_rng(1).integers(0, 8, N) / 2.0
ANY = pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
STREAMS = pytest.mark.parametrize(
    "case", [c for c in MODELS.values() if c.streams], ids=[c.name for c in MODELS.values() if c.streams]
)
MIXTURES = [name for name, case in MODELS.items() if isinstance(case.model, type(MODELS["full"].model))]


@STREAMS
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@given(cuts=st.lists(st.integers(0, N), max_size=12))
def test_statistics_add_over_any_chunking(case, weight, cuts):
    model = laws.bind(case.model, X, weight)
    laws.adds_over_any_chunking(model, laws.begin(model, X, weight), X, weight, cuts)


@STREAMS
def test_empty_block_is_zero(case):
    model = laws.bind(case.model, X)
    laws.empty_block_is_zero(model, laws.begin(model, X), X)


@ANY
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
@pytest.mark.parametrize("seed", range(4))
def test_objective_never_falls(case, weight, seed):
    model = case.model
    if case.name in MIXTURES:
        model = replace(model, seeding=replace(model.seeding, method=METHODS[seed]))
    model = laws.bind(model, X, weight)
    state = laws.objective_never_falls(model, laws.begin(model, X, weight, seed), X, weight)
    if case.name in MIXTURES:
        laws.bound_lies_between(state)


@ANY
@pytest.mark.parametrize("shift", [2.0**13, -(2.0**17)])
def test_shift_of_the_data(case, shift):
    laws.moves_with_the_data(case, X, shift, 1.0, 1e-10)


@ANY
@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20, 10.0, 1e-3])
def test_scale_of_the_data(case, scale):
    laws.moves_with_the_data(case, X, 0.0, scale, 1e-10)


@pytest.mark.parametrize("name", [case.name for case in MODELS.values() if case.column_scales])
@pytest.mark.parametrize("scale", [[2.0**-24, 1.0, 2.0**24], [10.0, 1e-6, 1e5]], ids=["binary", "decimal"])
def test_scale_of_each_column(name, scale):
    laws.moves_with_the_data(MODELS[name], X, 0.0, np.array(scale), 1e-10)


@ANY
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_order_of_the_rows(case, weight):
    params = laws.begin(laws.bind(case.model, X, weight), X, weight)
    order = np.random.default_rng(2).permutation(N)
    laws.same_step(case, params, (X, weight), (X[order], None if weight is None else weight[order]))


@ANY
def test_weight_two_is_the_row_twice(case):
    params = laws.begin(laws.bind(case.model, X), X)
    weight = np.ones(N)
    weight[::3] = 2
    laws.same_step(case, params, (X, weight), (np.concatenate([X, X[::3]]), None))


@ANY
def test_weight_zero_is_the_row_left_out(case):
    params = laws.begin(laws.bind(case.model, X), X)
    kept = np.arange(N) % 4 != 0
    laws.same_step(case, params, (X, kept.astype(float)), (X[kept], None))


@ANY
def test_scale_of_the_weights(case):
    params = laws.begin(laws.bind(case.model, X), X)
    laws.same_step(case, params, (X, np.full(N, 1e-3)), (X, None))


@ANY
def test_statistics_do_not_grow_with_the_rows(case):
    laws.statistics_do_not_grow(case)


@ANY
def test_everything_travels(case):
    laws.everything_travels(case, X)


@pytest.mark.parametrize("name", [name for name in MIXTURES if MODELS[name].model.family.linear])
def test_statistics_of_different_frames_do_not_add(name):
    model = laws.bind(MODELS[name].model, X)
    params = laws.begin(model, X)
    stats = laws.total(model, params, X)
    elsewhere = laws.total(laws.bind(MODELS[name].model, X + 1.0), params, X)
    scaled = replace(stats, frame=replace(stats.frame, scale=2 * stats.frame.scale))
    for other in (elsewhere, scaled, replace(stats, precision=Precision.CENTRED)):
        with pytest.raises(ValueError, match="do not add"):
            stats + other


def test_the_table_of_models_is_whole():
    assert {getattr(MODELS[name].model.family, "isotropic", False) for name in MIXTURES} == {True, False}
    params = laws.begin(laws.bind(MODELS["full"].model, X), X)
    assert isinstance(params, MixtureParams)
    assert params.theta.means.shape == (K, D)
