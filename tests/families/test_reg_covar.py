"""What is added to variances by default: a share of each column's own variance, in its own units."""

import numpy as np
import pytest

from dem.core.block import Block
from dem.families.reg_covar import FromData, column_reg_covar, reg_covar_values, shared_reg_covar
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner

UNITS = np.array([1e-8, 1.0, 1e5, 1e8])


def scan(x, weight=None):
    """Return the scan of the rows, completed."""
    return completed_scan(Scanner(x.shape[1], False, len(x), 0, len(x))()(Block(x, weight)))


def rows(n=400):
    return np.random.default_rng(0).normal([3.0, 0, -1, 5], size=(n, 4)) * UNITS


def test_a_share_of_each_columns_variance():
    x = rows()
    np.testing.assert_allclose(reg_covar_values(column_reg_covar(None, scan(x))), 1e-6 * x.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(
        reg_covar_values(shared_reg_covar(None, scan(x))), 1e-6 * x.var(axis=0).mean(), rtol=1e-12
    )


def test_rows_count_by_their_weights():
    x = rows()
    weight = np.random.default_rng(1).integers(0, 3, len(x)).astype(float)
    repeated = np.repeat(x, weight.astype(int), axis=0)
    np.testing.assert_allclose(
        reg_covar_values(column_reg_covar(None, scan(x, weight))), 1e-6 * repeated.var(axis=0), rtol=1e-11
    )


def test_a_column_counts_by_its_own_values():
    x = rows()
    x[np.random.default_rng(2).random(x.shape) < 0.3] = np.nan
    np.testing.assert_allclose(
        reg_covar_values(column_reg_covar(None, scan(x))), 1e-6 * np.nanvar(x, axis=0), rtol=1e-11
    )


@pytest.mark.parametrize("value", [0.0, 0.1, -1e100, 1 / 3])
def test_a_constant_column(value):
    """The rounding of its mean is no variance."""
    x = rows()[:, 1:3]
    x[:, 0] = value
    found = reg_covar_values(column_reg_covar(None, scan(x, np.random.default_rng(3).random(len(x)))))
    assert found[0] == 1e-6
    assert found[1] > 1
    assert reg_covar_values(shared_reg_covar(None, scan(x))) == pytest.approx(1e-6 * x[:, 1].var() / 2)
    assert reg_covar_values(shared_reg_covar(None, scan(x[:, :1]))) == 1e-6


@pytest.mark.parametrize("number", [0, 0.0, 1e-3, np.float32(2)])
def test_a_number_is_taken_as_it_is(number):
    assert (
        column_reg_covar(number, scan(rows()))
        == shared_reg_covar(number, scan(rows()))
        == reg_covar_values(number)
        == number
    )


def test_other_data_tell_another_default():
    """So that a family that has been fitted may be fitted again."""
    first, second = scan(rows()), scan(rows()[:, :2])
    found = column_reg_covar(column_reg_covar(None, first), second)
    assert isinstance(found, FromData)
    np.testing.assert_array_equal(found.values, column_reg_covar(None, second).values)


def test_without_data_there_is_no_default():
    with pytest.raises(ValueError, match=r"reg_covar is not known.*call bind"):
        reg_covar_values(None)
