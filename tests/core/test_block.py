import numpy as np
import pytest

from dem.core import block
from dem.core.block import find_empty_rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (200, 1), (200, 2), (150, 37)])
@pytest.mark.parametrize("numbers", [1, 100, block.ENTRIES_AT_ONCE])
def test_rows_without_value_are_found(monkeypatch, dtype, shape, numbers):
    monkeypatch.setattr(block, "ENTRIES_AT_ONCE", numbers)
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(dtype)
    assert find_empty_rows(x) is None
    x[rng.random(shape) < 0.5] = np.nan
    x[3::7] = np.nan
    expected = np.isnan(x).all(axis=1)
    found = find_empty_rows(x)
    np.testing.assert_array_equal(np.zeros(len(x), bool) if found is None else found, expected)
    assert (found is None) == (not expected.any())


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_integers_always_have_values(dtype):
    assert find_empty_rows(np.zeros((5, 2), dtype)) is None
