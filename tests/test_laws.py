from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import laws
from clustered_rows import D, K, N
from crosses import cross, mostly_slow
from dem.em.seeding import METHODS
from dem.families import GaussianFamily
from dem.models.mixture.mixture import MixtureParams
from dem.models.mixture.precision import Precision
from laws import MODELS

WEIGHT = np.random.default_rng(1).integers(0, 8, N) / 2.0
WEIGHTS = {"plain": None, "weighted": WEIGHT}
ANY = pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
MIXTURES = [name for name, case in MODELS.items() if isinstance(case.model, type(MODELS["full"].model))]
FRAMED = [name for name in MIXTURES if isinstance(MODELS[name].model.family, GaussianFamily)]
CENTRED = ["tied-prior", *(f"{kind}-missing" for kind in ("full", "tied", "full-prior", "tied-prior"))]
"""Their sums are all about the means."""
SHIFTS = [name for name, case in MODELS.items() if case.shifts]
SCALES = [name for name, case in MODELS.items() if case.scales]
STREAMS = pytest.mark.parametrize(
    "case", [c for c in MODELS.values() if c.streams], ids=[c.name for c in MODELS.values() if c.streams]
)
OWN = [case for case in MODELS.values() if case.streams and case.own_kernel]
KINDS = [case.name for case in OWN if not case.name.endswith("-missing")]
IN_TURN = [f"{name}-missing" if i % 2 and f"{name}-missing" in MODELS else name for i, name in enumerate(KINDS)]
"""Every kind of model once, in turn with complete rows and with missing values."""


@cross("case, weighted", {case.name: case for case in OWN}, {"plain": False, "weighted": True})
@given(cuts=st.lists(st.integers(0, N), max_size=12))
def test_statistics_add_over_any_chunking(case, weighted, cuts):
    laws.adds_over_any_chunking(*laws.begun(case.name, weighted=weighted), cuts)


@STREAMS
def test_empty_block_is_zero(case):
    model = laws.bind(case.model, case.x)
    laws.empty_block_is_zero(model, laws.begin(model, case.x), case.x)


@cross("case, seed, weight", MODELS, range(4), WEIGHTS, one_in=4)
def test_objective_never_falls(case, weight, seed):
    model = case.model
    if case.name in MIXTURES:
        model = replace(model, seeding=replace(model.seeding, method=METHODS[seed]))
    model = laws.bind(model, case.x, weight)
    params = laws.begin(model, case.x, weight, seed)
    state = laws.objective_never_falls(model, params, case.x, weight)
    if model.expected(params, laws.total(model, params, case.x, weight), params) is not None:
        laws.bound_lies_between(state)


@cross("name, shift", SHIFTS, [2.0**13, -(2.0**17)])
def test_shift_of_the_data(name, shift):
    laws.moves_with_the_data(MODELS[name], MODELS[name].x, shift, 1.0, 1e-10)


@cross("name, scale", SCALES, [2.0**-20, 10.0, 2.0**20, 1e-3])
def test_scale_of_the_data(name, scale):
    laws.moves_with_the_data(MODELS[name], MODELS[name].x, 0.0, scale, 1e-10)


@cross(
    "name, scale",
    [case.name for case in MODELS.values() if case.column_scales],
    {"binary": [2.0**-24, 1.0, 2.0**24], "decimal": [10.0, 1e-6, 1e5]},
)
def test_scale_of_each_column(name, scale):
    laws.moves_with_the_data(MODELS[name], MODELS[name].x, 0.0, np.array(scale), 1e-10)


@cross("case, weight", MODELS, WEIGHTS)
def test_order_of_the_rows(case, weight):
    params = laws.begun(case.name, weighted=weight is not None)[1]
    order = np.random.default_rng(2).permutation(N)
    laws.same_step(case, params, (case.x, weight), (case.x[order], None if weight is None else weight[order]))


@ANY
def test_weight_two_is_the_row_twice(case):
    params = laws.begun(case.name, weighted=False)[1]
    weight = np.ones(N)
    weight[::3] = 2
    laws.same_step(case, params, (case.x, weight), (np.concatenate([case.x, case.x[::3]]), None))


@ANY
def test_weight_zero_is_the_row_left_out(case):
    params = laws.begun(case.name, weighted=False)[1]
    kept = np.arange(N) % 4 != 0
    laws.same_step(case, params, (case.x, kept.astype(float)), (case.x[kept], None))


@mostly_slow("case", {case.name: case for case in MODELS.values() if case.streams}, quick=IN_TURN)
def test_rows_without_any_value_are_left_out_of_fits(case, tmp_path):
    params = laws.begun(case.name, weighted=False)[1]
    laws.empty_rows_are_left_out(case, params, case.x, tmp_path / "x.zarr")


@pytest.mark.parametrize("case", [case for case in MODELS.values() if not case.streams], ids=lambda case: case.name)
def test_rows_without_any_value_are_not_in_the_moments(case):
    params = laws.begun(case.name, weighted=False)[1]
    laws.same_step(case, params, (laws.with_empty_rows(case.x), None), (case.x, None))


@pytest.mark.parametrize("name", [case.name for case in MODELS.values() if case.weight_scales])
def test_scale_of_the_weights(name):
    case = MODELS[name]
    params = laws.begun(case.name, weighted=False)[1]
    laws.same_step(case, params, (case.x, np.full(N, 1e-3)), (case.x, None))


@mostly_slow("case", {case.name: case for case in MODELS.values() if case.streams}, quick=IN_TURN[::2])
def test_a_fit_from_an_earlier_one_saves_a_pass(case):
    laws.a_pass_is_saved(case, case.x)


@ANY
def test_exact_is_marked(case):
    laws.exact_is_marked(*laws.begun(case.name, weighted=False)[:2])


@ANY
def test_convergence_is_said(case):
    laws.convergence_is_said(case, *laws.begun(case.name, weighted=False))


@ANY
def test_outputs_are_as_the_table_says(case):
    laws.outputs_are_as_the_table_says(*laws.begun(case.name, weighted=False)[:3])


@ANY
def test_statistics_do_not_grow_with_the_rows(case):
    laws.statistics_do_not_grow(case)


@ANY
def test_everything_travels(case):
    laws.everything_travels(case, case.x)


@pytest.mark.parametrize("name", [name for name in FRAMED if name not in CENTRED])
def test_statistics_of_different_frames_do_not_add(name):
    x = MODELS[name].x
    model = laws.bind(MODELS[name].model, x)
    params = laws.begin(model, x)
    stats = laws.total(model, params, x)
    elsewhere = laws.total(laws.bind(MODELS[name].model, x + 1.0), params, x)
    scaled = replace(stats, frame=replace(stats.frame, scale=2 * stats.frame.scale))
    for other in (elsewhere, scaled, replace(stats, precision=Precision.CENTRED)):
        with pytest.raises(ValueError, match="cannot add these statistics"):
            stats + other


def test_the_table_of_models_is_whole():
    assert {getattr(MODELS[name].model.family, "isotropic", False) for name in MIXTURES} == {True, False}
    case = MODELS["full"]
    params = laws.begun(case.name, weighted=False)[1]
    assert isinstance(params, MixtureParams)
    assert params.theta.means.shape == (K, D)
