"""Families by name, with settings: what the words stand for, and what is said of wrong ones."""

import re

import numpy as np
import pytest

import dem
from dem.estimators.family_spec import as_family
from dem.families import (
    FAMILIES,
    Categorical,
    Exponential,
    Gaussian,
    Geometric,
    Multinomial,
    Poisson,
    StudentT,
)
from dem.families.table import table_line


@pytest.mark.parametrize(
    ("words", "family"),
    [
        ("poisson", Poisson()),
        ("studentt:diag", StudentT("diag")),
        ("studentt:degrees_of_freedom=4", StudentT(degrees_of_freedom=4.0)),
        ("studentt:diag,degrees_of_freedom=4,reg_covar=1e-3", StudentT("diag", 4.0, 1e-3)),
        ("studentt:full, reg_covar = none", StudentT()),
        ("gaussian:tied", Gaussian("tied")),
        ("geometric:first=0", Geometric(0)),
        ("geometric:0", Geometric(0)),
        ("categorical:5", Categorical(5)),
        ("categorical:none", Categorical()),
        ("categorical:2,5,5", Categorical((2, 5, 5))),
        ("categorical:n_categories=2, 5,5", Categorical((2, 5, 5))),
        ("multinomial:20", Multinomial(20)),
    ],
)
def test_a_name_with_settings(words, family):
    found = as_family(words)
    assert found == family
    assert type(found) is type(family)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("poison:3", f"there is no family 'poison': choose one of {', '.join(FAMILIES)}"),
        ("poisson:3", "family 'poisson:3': '3' cannot be a setting; poisson has no settings"),
        ("poisson:", "family 'poisson:': '' cannot be a setting; poisson has no settings"),
        ("gamma:reference=3", "there is no setting 'reference'; gamma has no settings"),
        ("geometric:start=0", "there is no setting 'start'; settings of geometric: first=1"),
        ("geometric:", "first must be a whole number, got ''; settings of geometric: first=1"),
        ("geometric:1.5", "first must be a whole number, got '1.5'; settings of geometric: first=1"),
        (
            "geometric:2",
            "first must be 1 (values count trials) or 0 (values count failures), got 2; settings of geometric: first=1",
        ),
        ("geometric:0,first=1", "first is given twice; settings of geometric: first=1"),
        ("studentt:diag,4", "covariance_type must be one of full, diag, got 'diag,4'; settings of studentt: "),
        (
            "studentt:degrees_of_freedom=nan",
            "degrees_of_freedom must be none or a number, got 'nan'; settings of studentt: covariance_type=full, "
            "degrees_of_freedom=none, reg_covar=none",
        ),
        ("categorical:2,x", "n_categories must be none or a whole number or whole numbers such as 2,5,5, got '2,x'; "),
        ("categorical:0", "n_categories must be None, or from 1 to 100,000 (one for each column), got 0; "),
        ("categorical:99999999999", "(one for each column), got 99999999999; "),
        ("gaussian:reg_covar=-1", "reg_covar must be None or a finite number >= 0, got -1.0; settings of gaussian: "),
        (
            "studentt:reg_covar=-1e-9",
            "reg_covar must be None or a finite number >= 0, got -1e-09; settings of studentt: ",
        ),
        ("studentt:degrees_of_freedom=1e-300", "degrees_of_freedom must be None or from 0.5 to 1e+06, got 1e-300; "),
        ("multinomial:-1", "n_trials must be None or from 0 to 2^53, got -1; settings of multinomial: n_trials=none"),
    ],
)
def test_wrong_settings(words, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        as_family(words)


def test_parts_have_settings_too():
    parts = as_family({("u", "v"): "gaussian:spherical", "wait": "exponential"}, ["wait", "u", "v"]).parts
    assert [(part.columns, part.family) for part in parts] == [((1, 2), Gaussian("spherical")), ((0,), Exponential())]


def test_every_setting_of_the_table_can_be_read():
    """Its default, written as text, makes the family that no settings make."""
    for name, family in FAMILIES.items():
        assert family.description
        for setting in family.settings:
            assert setting.description
            assert as_family(f"{name}:{setting}") == as_family(name)


def test_a_name_alone_makes_a_family():
    """A line of the table whose constructor needs a setting is refused when the table is made."""

    def strict(count: int, base: float = 2.0):
        """Return nothing: it is never called."""

    for settings in ({}, {"count": "how many", "base": "of what"}):
        with pytest.raises(TypeError, match=r"^strict needs a default for count: its name alone must make a family$"):
            table_line(strict, "counts", **settings)


def test_a_model_with_settings_goes_to_disk_and_back(rng, tmp_path):
    x = rng.normal(size=(200, 2))
    model = dem.Mixture(2, family="studentt:diag,degrees_of_freedom=4", n_init=1).fit(x)
    model.save(tmp_path / "m.zarr")
    back = dem.load(tmp_path / "m.zarr")
    assert (back.family.covariance_type, back.family.degrees_of_freedom) == ("diag", 4.0)
    np.testing.assert_array_equal(back.score_samples(x), model.score_samples(x))
    assert back.fit(x).lower_bound_ == model.lower_bound_
