"""Model.work: operations counted from shapes and holes, which decide how much a start may do."""

import numpy as np
import pytest

from dem.core.block import Block
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from laws import MODELS, data, mixture


@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
def test_twice_the_rows_are_about_twice_the_work(case):
    x = np.ones((20_000, 3))
    one, two = case.model.work(x[:10_000]), case.model.work(x)
    assert one > 0
    assert 1.9 < two / one <= 2


def holes(x, patterns):
    """Return x with as many patterns of missing values as asked for."""
    missing = (np.arange(patterns)[:, None] >> np.arange(x.shape[1])) & 1 == 1
    return np.where(missing[np.arange(len(x)) % patterns], np.nan, x)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_many_patterns_of_missing_values_are_more_work_than_few(covariance_type):
    x = np.hstack([data(n=600, seed=i) for i in range(4)])
    few, many = holes(x, 4), holes(x, 512)
    scan = completed_scan(Scanner(12, True, len(x), 0, None)()(Block(many)))
    bound = mixture(covariance_type).bind(scan)
    assert bound.work(few) == bound.work(x)
    assert bound.work(many) > 3 * bound.work(few)
