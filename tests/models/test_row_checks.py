"""Extremes of columns."""

import numpy as np
import pytest

from dem.models.row_checks import LONG, over_rows


@pytest.mark.parametrize("d", [1, 3, 16, LONG // 2, LONG + 1])
@pytest.mark.parametrize("n", [1, 2, 97, 5000])
def test_extremes_of_any_shape_and_layout(n, d, rng):
    x = rng.normal(size=(n, d)) if n * d < 1e6 else rng.normal(size=(97, d))
    for rows in (x, np.asfortranarray(x), x[::2], x.astype(np.float32), (10 * x).astype(np.int16)):
        for extreme in (np.minimum, np.maximum):
            np.testing.assert_array_equal(over_rows(extreme, rows), extreme.reduce(rows, axis=0))


@pytest.mark.parametrize("row", [0, 4999])
def test_not_a_number_is_found_or_left_out(row, rng):
    x = rng.normal(size=(5000, 3))
    x[row, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(over_rows(np.minimum, x)), [False, True, False])
    np.testing.assert_array_equal(over_rows(np.fmax, x), np.fmax.reduce(x, axis=0))
