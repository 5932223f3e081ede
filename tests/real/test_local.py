"""A cluster of processes on this machine, from cluster_configs/local.yaml."""

import pytest

from real.fits import CONFIGS, DEM, assert_same_bits, run, words

pytestmark = pytest.mark.cluster


def test_fit(data, alone, tmp_path):
    said = run(words(data, tmp_path / "model.zarr", "--cluster", CONFIGS / "local.yaml"))
    assert "local.yaml" in said
    assert_same_bits(tmp_path / "model.zarr", alone)


def test_check():
    assert "2 workers" in run([DEM, "cluster", "check", CONFIGS / "local.yaml"])
