"""Numbers as text for people."""

import pytest

from dem.core import human


@pytest.mark.parametrize(
    ("value", "deviation", "text"),
    [
        (1013.2, 0.123, "1013.20 ± 0.12"),
        (12.0, 0.5, "12.00 ± 0.50"),
        (-0.25, 3.14159, "-0.2 ± 3.1"),
        (12345.6, 123.4, "12346 ± 123"),
        (0.0, 1.0, "0.0 ± 1.0"),
        (-0.01, 1.0, "0.0 ± 1.0"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (25.0, 9.96, "25 ± 10"),
        (1.5e-9, 2.5e-11, "1.5e-09 ± 2.5e-11"),
        (1.234567e12, 3.2e8, "1.23457e+12 ± 3.2e+08"),
        (3.0, 0.0, "3 ± 0"),
        (float("nan"), 1.0, "nan ± 1"),
    ],
)
def test_a_value_ends_where_its_deviation_does(value, deviation, text):
    assert human.with_deviation(value, deviation) == text
