"""Outputs of a model of scaled rows, for rows in the data's units."""

import numpy as np
import pytest

from clustered_rows import data, with_holes
from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.em.row_output import find_output
from dem.families import COVARIANCE_TYPES
from dem.models import scaled
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.models.row_checks import NotFiniteError
from dem.models.scaled import DensityInDataUnits, InDataUnits
from dem.scan.scaling import Scaling

SCALING = Scaling(np.array([10.0, -3.0, 1e4]), np.array([0.1, 7.0, 1e3]))
FAMILY = COVARIANCE_TYPES["full"](0.0)
MEANS = np.array([[0.0, 0, 0], [3, 1, -2]])
PARAMS = MixtureParams(np.array([0.4, 0.6]), FAMILY.from_covariances(MEANS, np.array([np.eye(3), 2 * np.eye(3)])))
INNER = MixtureModel(2, FAMILY)
MODEL = DensityInDataUnits(INNER, SCALING)


def output(model, name, x, first=0):
    return model.rows(PARAMS, find_output(model.row_outputs(PARAMS), name))(Block(x, None, RowKeys.from_first(first)))


@pytest.mark.parametrize("rows", [data, lambda: with_holes(data)], ids=["whole", "holes"])
@pytest.mark.parametrize("at_a_time", [41, 10**6])
def test_outputs_some_rows_at_a_time(monkeypatch, rows, at_a_time):
    monkeypatch.setattr(scaled, "SCALED_BYTES", 8 * 3 * at_a_time)
    z = rows()
    x = SCALING.back(z)
    volume = ~np.isnan(x) @ np.log(SCALING.scale)
    for name in ("label", "proba", "entropy", "top-index:2"):
        np.testing.assert_allclose(output(MODEL, name, x), output(INNER, name, z), rtol=1e-8, atol=1e-10)
    for name in ("score", "complete"):
        np.testing.assert_allclose(output(MODEL, name, x), output(INNER, name, z) - volume, rtol=1e-8)
    filled, missing = output(MODEL, "filled", x), np.isnan(x)
    np.testing.assert_array_equal(filled[~missing], x[~missing])
    np.testing.assert_allclose(filled, SCALING.back(output(INNER, "filled", z)), rtol=1e-10)
    deviation = output(INNER, "deviation", z) * SCALING.scale
    np.testing.assert_allclose(output(MODEL, "deviation", x), deviation, rtol=1e-8, atol=1e-12)
    assert MODEL.rows_bytes(3) > INNER.rows_bytes(3)


def test_filled_rows_of_another_dtype_are_rounded_once():
    """The value is computed in float64: rounded before it is scaled, it would lose digits."""
    x = SCALING.back(with_holes(data))
    half = output(MODEL, "filled:float16", x[:, [0, 1, 1]])
    np.testing.assert_array_equal(half, output(MODEL, "filled", x[:, [0, 1, 1]]).astype(np.float16))


def test_without_a_density_scores_are_those_of_scaled_rows():
    z = data()
    np.testing.assert_allclose(output(InDataUnits(INNER, SCALING), "score", SCALING.back(z)), output(INNER, "score", z))


def test_an_error_has_the_row_of_the_data(monkeypatch):
    monkeypatch.setattr(scaled, "SCALED_BYTES", 8 * 3 * 10)
    x = SCALING.back(data())
    x[57, 1] = np.inf
    with pytest.raises(NotFiniteError) as found:
        output(MODEL, "score", x, first=1000)
    assert (found.value.row, found.value.column) == (1057, 1)


def test_no_rows():
    assert output(MODEL, "proba", np.empty((0, 3))).shape == (0, 2)


def test_draws():
    (x, label), (z, expected) = (model.draw(PARAMS, 20, np.random.default_rng(0)) for model in (MODEL, INNER))
    np.testing.assert_array_equal(x, SCALING.back(z))
    np.testing.assert_array_equal(label, expected)
    assert MODEL.n_parameters(3) == INNER.n_parameters(3)
