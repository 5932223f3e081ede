"""Angles in degrees are told of: each fit of a von Mises family warns of columns with values beyond two turns."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

import dem
from dem.cli.main import main
from dem.core.columns import Columns
from dem.families import FAMILIES, Gaussian, VonMises
from dem.run.check_data import doubts
from dem.run.fit import scan
from dem.source import open_source

ADVICE = "but VonMises expects angles in radians: if they are degrees, convert them by numpy.deg2rad"


@pytest.fixture(scope="module")
def degrees():
    rng = np.random.default_rng(3)
    return np.degrees(rng.vonmises(np.array([0.5, 2.5])[rng.integers(2, size=150)], 20.0)) % 360


def fit(x, family="vonmises"):
    return dem.Mixture(2, family=family, n_init=1, tol=0.1).fit(x)


@pytest.mark.parametrize(("value", "doubted"), [(4 * np.pi, False), (-4 * np.pi, False), (12.6, True), (-12.6, True)])
def test_more_than_two_turns_are_doubted(value, doubted):
    low, high = np.array([-np.pi, min(value, 0.0)]), np.array([np.pi, max(value, 0.0)])
    assert list(VonMises().range_warnings(low, high)) == ([1] if doubted else [])


def test_other_families_doubt_nothing():
    for name, family in FAMILIES.items():
        if name != "vonmises":
            assert family().range_warnings(np.array([-1e9]), np.array([1e9])) == {}


def test_degrees(degrees):
    x = np.column_stack([np.radians(degrees), degrees])
    said = f"^the array has values from {degrees.min():g} to {degrees.max():g} in column 1, {ADVICE}$"
    with pytest.warns(UserWarning, match=said) as caught:
        fit(x)
    assert [warning.filename for warning in caught] == [__file__]


def test_several_columns_have_one_warning(degrees):
    x = np.column_stack([degrees, degrees - 180])
    with pytest.warns(UserWarning, match="in columns 0, 1, but") as caught:
        fit(x)
    assert len(caught) == 1


def test_radians_of_any_turn_are_not_told_of(degrees):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(np.radians(degrees)[:, None] - 2 * np.pi)


@pytest.mark.parametrize("holes", [False, True])
def test_parts_of_a_product_are_told_of_by_the_columns_of_the_data(holes, degrees):
    x = np.column_stack([30 + degrees[::-1], np.radians(degrees), degrees])
    if holes:
        x[::7, 2] = np.nan
    with pytest.warns(UserWarning, match=f"in column 2, {ADVICE}$") as caught:
        fit(x, {0: Gaussian("diag"), (2, 1): VonMises()})
    assert len(caught) == 1


def test_columns_are_told_of_by_their_names(degrees):
    source = replace(
        open_source(np.column_stack([degrees, degrees / 60])), given_columns=Columns.of_names(["wind", "current"])
    )
    found = scan(source)
    assert list(doubts(found, source, None)) == []
    assert [" in column 'wind', but " in said for said in doubts(found, source, VonMises())] == [True]


@pytest.mark.parametrize(("option", "where"), [("vonmises", "columns 0, 1"), ("0=gaussian", "column 1")])
def test_the_command_line_tells_once(option, where, degrees, tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=np.column_stack([degrees, degrees]), chunks=(50, 2))
    families = ["--family", option, *([] if option == "vonmises" else ["--family", "1=vonmises"])]
    words = ["fit", "mixture", str(tmp_path / "x.zarr"), "-k", "2", *families, "--n-init", "1", "-o"]
    done = CliRunner().invoke(main, [*words, str(tmp_path / "m.zarr")])
    assert done.exit_code == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "degrees" in line]
    assert line.startswith("warning: ")
    assert f" in {where}, {ADVICE}" in line
