"""The description of columns: labels, the choice of columns, and its form in JSON."""

import datetime
import json

import numpy as np
import pytest

from dem.core.columns import Column, Columns

DEPTHS = Columns(tuple(Column(f"t(depth={z})", "t", (("depth", float(z)),), "degC") for z in (5, 10, 20)))


def test_labels_have_the_units():
    assert Column("temperature", "temperature", units="degC").label == "temperature (°C)"
    assert Columns.of_names(["a", "b"]).labels == ("a", "b")
    assert DEPTHS.labels[0] == "t(depth=5) (°C)"
    assert Columns.numbered(2).labels == ("column 0", "column 1")


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [(["c", "a"], (2, 0)), ([1], (1,)), (np.array([2, 1]), (2, 1)), (["a", 2], (0, 2)), (["1"], (1,)), (("b",), (1,))],
)
def test_columns_are_chosen_by_name_or_number(chosen, numbers):
    assert Columns.of_names("abc").numbers_of(chosen) == numbers


def test_a_name_of_digits_is_a_name_first():
    assert Columns.of_names(["1", "0", "x"]).numbers_of(["0", "1", "2"]) == (1, 0, 2)
    assert Columns.numbered(3).numbers_of(["2", 0]) == (2, 0)


@pytest.mark.parametrize(
    ("columns", "chosen", "said"),
    [
        (
            ["age", "income"],
            ["incom"],
            r"no column 'incom' \(did you mean 'income'\?\): the columns are 'age', 'income'",
        ),
        (["age", "income"], ["z"], r"no column 'z': the columns are 'age', 'income'$"),
        (["age", "income"], [2], "no column 2: the columns are"),
        (["age", "income"], [-1], "no column -1"),
        (["age", "income"], [True], "no column True"),
        (["age", "income"], [1.0], r"no column 1\.0"),
        (["age", "income"], ["age", 0], "column 'age' is given twice"),
        (["age", "income"], "age", "columns must be a list of names or numbers of columns, got 'age'"),
        (["age", "income"], 3, "columns must be a list"),
        (["age", "income"], [], "columns must be a list"),
        (3, ["x"], "no column 'x': these data have no names of columns, so give numbers from 0 to 2"),
        (3, ["3"], "give numbers from 0 to 2"),
    ],
)
def test_wrong_choices(columns, chosen, said):
    known = Columns.numbered(columns) if isinstance(columns, int) else Columns.of_names(columns)
    with pytest.raises(ValueError, match=said):
        known.numbers_of(chosen)


@pytest.mark.parametrize("columns", [DEPTHS, Columns.of_names("ab"), Columns.numbered(2)])
def test_json_gives_the_same_columns(columns):
    assert Columns.of_json(json.loads(json.dumps(columns.as_json()))) == columns


def test_coordinates_in_json_become_numbers_times_or_text():
    day = np.datetime64("2020-01-02T03:00", "ns")
    column = Column(
        "x", "x", (("day", day), ("level", np.float32(0.5)), ("n", np.int64(3)), ("d", datetime.date(2, 1, 1)))
    )
    saved = json.loads(json.dumps(Columns((column,)).as_json()))
    assert Columns.of_json(saved)[0].at == (("day", day), ("level", 0.5), ("n", 3), ("d", "0002-01-01"))


def test_grammar():
    assert Columns.numbered(3).in_words([0]) == "column 0"
    assert Columns.numbered(3).in_words([0, 1]) == "columns 0, 1"
    assert Columns.of_names("abc").in_words([0, 1]) == "columns 'a', 'b'"
    assert DEPTHS.in_words([1]) == "column 't(depth=10)' (°C)"
    assert DEPTHS.listed([1]) == "'t(depth=10)'"
