"""Dask Gateway, from cluster_configs/gateway.yaml, by a gateway with its local backend."""

import pytest

from real.fits import DEM, assert_same_fit, changed, run, words
from real.processes import marked, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def file(gateway_, tmp_path):
    return changed("gateway.yaml", tmp_path, {"kwargs": {"address": gateway_}, "workers": 2, "wait": 60})


def test_fit(file, data, alone, tmp_path):
    before = marked().keys()
    said = run(words(data, tmp_path / "model.zarr", "--cluster", file))
    assert_same_fit(tmp_path / "model.zarr", alone, said)
    wait_until(lambda: marked().keys() <= before, 30, lambda: f"the cluster has ended; left: {marked()}")


def test_check(file):
    assert "2 workers" in run([DEM, "cluster", "check", file])
