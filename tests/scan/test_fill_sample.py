"""Filled samples and moments of data with missing values."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.core.stats import tree_sum
from dem.scan.fill_sample import DONORS, completed_scan, filled_rows
from dem.scan.scanner import Scanner

N, D = 3000, 4


def data(seed=0, missing=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 1)) * [1.0, 2.0, -3.0, 0.0] + 0.1 * rng.normal(size=(N, D)) + 50
    x[rng.random(x.shape) < missing] = np.nan
    return x


def scan(x, weight=None, *, scatter=False, first=0, k=N):
    return Scanner(x.shape[1], scatter, k, 0, None)()(Block(x, weight, RowKeys.from_first(first)))


def test_a_scan_without_holes_is_returned_as_it_is():
    found = scan(data(missing=0))
    assert completed_scan(found) is found


@pytest.mark.parametrize("missing", [0.05, 0.5, 0.95])
def test_observed_values_stay_and_missing_ones_are_values_of_their_column(missing):
    x = data(missing=missing)
    out = filled_rows(x, np.nanmin(x, axis=0), np.nanmax(x, axis=0))
    seen = ~np.isnan(x)
    np.testing.assert_array_equal(out[seen], x[seen])
    for j in range(D):
        assert np.isin(out[:, j], x[seen[:, j], j]).all()


def test_the_donor_is_near():
    x = data(missing=0.25)
    out = filled_rows(x, np.nanmin(x, axis=0), np.nanmax(x, axis=0))
    whole = data(missing=0)
    told = np.isnan(x[:, 1]) & ~np.isnan(x[:, 2])  # column 2 tells column 1
    assert np.corrcoef(out[told, 1], whole[told, 1])[0, 1] > 0.98


def test_moments_of_each_column_include_all_its_values():
    x = data()
    weight = np.random.default_rng(1).integers(0, 4, N).astype(float)
    found = completed_scan(scan(x, weight, scatter=True))
    kept = np.where(weight[:, None] > 0, x, np.nan)
    masked = np.ma.masked_invalid(kept)
    mean = np.ma.average(masked, axis=0, weights=weight)
    variance = np.ma.average((masked - mean) ** 2, axis=0, weights=weight)
    assert found.moments.weight == weight[~np.isnan(x).all(axis=1)].sum()
    np.testing.assert_allclose(found.moments.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(found.moments.variances, variance, rtol=1e-12)
    values = np.linalg.eigvalsh(found.moments.covariance)
    assert (values > 0).all()
    correlation = found.moments.covariance[1, 2] / np.sqrt(np.prod(found.moments.variances[1:3]))
    assert correlation < -0.85
    assert not np.isnan(found.sample.x).any()
    np.testing.assert_array_equal(found.missing, np.isnan(x).sum(axis=0))


@given(cuts=st.lists(st.integers(0, N), max_size=6))
def test_scans_with_holes_merge(cuts):
    x = data()
    edges = [0, *sorted(cuts), N]
    total = tree_sum([scan(x[a:b], first=a) for a, b in pairwise(edges)])
    whole = scan(x)
    assert (total.incomplete_rows, total.empty_rows) == (whole.incomplete_rows, whole.empty_rows)
    assert whole.incomplete_rows == np.isnan(x).any(axis=1).sum()
    assert whole.empty_rows == np.isnan(x).all(axis=1).sum() > 0
    np.testing.assert_array_equal(total.sample.x, whole.sample.x)
    np.testing.assert_array_equal(total.observed.weight, (~np.isnan(x)).sum(axis=0))
    np.testing.assert_allclose(total.observed.variances, np.nanvar(x, axis=0), rtol=1e-11)
    np.testing.assert_array_equal(total.low, np.nanmin(x, axis=0))


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_column_moments_far_from_zero(offset):
    x = data() + offset
    total = scan(x[:700]).observed + scan(x[700:]).observed
    exact = np.where(np.isnan(x), np.nan, x).astype(np.longdouble)
    mean = np.nanmean(exact, axis=0)
    np.testing.assert_allclose((total.centre - mean).astype(float), 0, atol=1e-13 * max(1, offset))
    variance = np.nanmean((exact - mean) ** 2, axis=0).astype(float)
    np.testing.assert_allclose(total.variances, variance, rtol=1e-8 if offset else 1e-12)


def test_rows_without_any_value_are_not_in_the_sample():
    x = data(missing=0.7)
    found = completed_scan(scan(x))
    assert len(found.sample.x) == N - np.isnan(x).all(axis=1).sum()


def test_a_column_missing_in_the_whole_sample_gets_its_extremes():
    x = data(missing=0)
    x[:, 3] = np.nan
    out = filled_rows(x, np.array([0, 0, 0, 7.0]), np.array([1, 1, 1, 9.0]))
    assert set(out[:, 3]) == {7.0, 9.0}


def test_a_column_that_only_few_rows_have_is_given_by_these():
    x = data(missing=0)
    x[: N - 3, 3] = np.nan
    assert DONORS < N - 3
    out = filled_rows(x, np.nanmin(x, axis=0), np.nanmax(x, axis=0))
    assert np.isin(out[:, 3], x[N - 3 :, 3]).all()


def test_columns_that_no_row_has_together():
    x = data(missing=0)
    x[::2, :2], x[1::2, 2:] = np.nan, np.nan
    out = filled_rows(x, np.nanmin(x, axis=0), np.nanmax(x, axis=0))
    assert not np.isnan(out).any()
    assert len(np.unique(out[::2, 0])) > 100  # not one donor for all


def test_several_columns_that_only_few_rows_have():
    x = data(missing=0)
    x[:-3, 2] = x[:-6, 3] = np.nan
    out = filled_rows(x, np.nanmin(x, axis=0), np.nanmax(x, axis=0))
    assert np.isin(out[:, 2], x[-3:, 2]).all()
    assert np.isin(out[:, 3], x[-6:, 3]).all()
