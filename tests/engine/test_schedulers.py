"""Fits on a Dask cluster that is there already: its workers do the work, and the numbers stay the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr
from distributed import get_task_stream

import dem
from command_line import run
from dem.engine.cluster import local_cluster

SETTINGS = {"n_init": 2, "sample_size": 500, "random_state": 4}


@pytest.fixture(scope="module")
def client():
    with local_cluster(1) as client:
        yield client


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A store of two clusters."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (3000, 3)), rng.normal(8, 2, (6000, 3))])[rng.permutation(9000)]
    path = tmp_path_factory.mktemp("data") / "x.zarr"
    zarr.create_array(path, data=x, chunks=(1000, 3))
    return path


@pytest.fixture(scope="module")
def expected(data):
    return dem.GaussianMixture(2, **SETTINGS).fit(data)


def sums(stream):
    """Return how many partitions were summed on the cluster's workers."""
    return sum("dem-sum-" in str(task["key"]) for task in stream.data)


def assert_same(model, expected):
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(expected, name))
    assert model.history_ == expected.history_


def test_the_active_client_does_the_work(client, data, expected):
    with client.as_current(), get_task_stream(client) as stream:
        model = dem.GaussianMixture(2, **SETTINGS).fit(data)
    assert sums(stream) >= model.n_passes_
    assert_same(model, expected)


def test_an_address_on_the_command_line(client, data, expected, tmp_path):
    where = ["--scheduler", client.scheduler.address, "--quiet"]
    settings = ["-k", "2", "--n-init", "2", "--sample-size", "500", "--seed", "4"]
    with get_task_stream(client) as stream:
        done = run("fit", "gmm", data, *settings, "-o", tmp_path / "m.zarr", *where)
        assert (done.exit_code, done.stdout, done.stderr) == (0, "", "")
    model = dem.load(tmp_path / "m.zarr")
    assert sums(stream) >= model.n_passes_
    assert_same(model, expected)


@pytest.mark.slow
def test_labels_by_an_address_on_the_command_line(client, data, expected, tmp_path):
    dem_command = Path(sys.executable).with_name("dem")
    expected.save(tmp_path / "m.zarr")
    with get_task_stream(client) as stream:
        command = [dem_command, "predict", tmp_path / "m.zarr", data, "-o", tmp_path / "labels.zarr"]
        where = ["--scheduler", client.scheduler.address, "--quiet"]
        done = subprocess.run([*command, *where], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sums(stream) >= 1
    labels = zarr.open_array(tmp_path / "labels.zarr", mode="r")[...]
    np.testing.assert_array_equal(labels, expected.predict(data).compute())
