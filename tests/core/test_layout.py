"""One memory layout for arrays at any depth of nesting."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.core.layout import c_ordered


@dataclass(frozen=True)
class Inner:
    values: Any
    name: str = "inner"


def test_all_arrays_are_in_c_order_and_the_rest_is_unchanged():
    fortran, scalar = np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.float64(3)
    found = c_ordered(({"a": fortran, "b": None}, Inner([fortran.T, fortran[:, :2]]), scalar, "word"))
    assert found[2:] == (scalar, "word")
    assert found[0]["b"] is None
    assert found[1].name == "inner"
    for array, expected in [
        (found[0]["a"], fortran),
        (found[1].values[0], fortran.T),
        (found[1].values[1], fortran[:, :2]),
    ]:
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, expected)


def test_numbers_stay_numbers_and_arrays_without_axes_stay_so():
    whole = np.arange(6.0).reshape(2, 3)
    assert c_ordered(whole) is whole
    assert c_ordered(np.array(2.0)).shape == ()
