"""The scheduler dies in the middle of a fit: one sentence within a minute, and the fit goes on on another cluster."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

import dem
from dem.storage import checkpoint
from faults.scripted import Cluster

DEM = str(Path(sys.executable).with_name("dem"))
SETTINGS = ["-k", "8", "--tol", "0", "--max-iter", "8", "--n-init", "1", "--sample-size", "1000", "--json"]
MINUTE = 60


@pytest.mark.slow
def test_a_fit_whose_scheduler_is_killed_goes_on_on_another(tmp_path):
    rng = np.random.default_rng(0)
    data, output = tmp_path / "x.zarr", tmp_path / "m.zarr"
    array = zarr.create_array(data, shape=(3_000_000, 8), chunks=(50_000, 8), dtype="f4", compressors=None)
    centres = rng.normal(0, 1.5, (8, 8))
    for first in range(0, array.shape[0], 50_000):
        array[first : first + 50_000] = centres[rng.integers(8, size=50_000)] + rng.normal(size=(50_000, 8))
    subprocess.run([DEM, "fit", "gmm", data, *SETTINGS, "-o", tmp_path / "alone.zarr"], check=True, capture_output=True)

    def command(address):
        return [DEM, "fit", "gmm", data, *SETTINGS, "-o", output, "--scheduler", address]

    with Cluster() as cluster:
        cluster.worker(), cluster.worker()
        with subprocess.Popen(command(cluster.address), stderr=subprocess.PIPE, text=True) as process:
            assert any(json.loads(line).get("name") == "pass 3" for line in process.stderr)
            cluster.scheduler.kill()
            killed = time.monotonic()
            _, said = process.communicate(timeout=2 * MINUTE)
        assert time.monotonic() - killed < MINUTE
    assert process.returncode == 1
    *before, sentence = said.splitlines()
    assert sentence.startswith("dem: The Dask scheduler stopped")
    assert sentence.endswith("m.checkpoint.zarr contains the fit so far: run the same command again to continue")
    assert all(line.startswith("{") for line in before)  # no traceback of Dask's
    assert checkpoint.STATES.load(tmp_path / "m.checkpoint.zarr" / "state").attributes["n_passes"] >= 3
    assert not output.exists()
    with Cluster() as another:
        another.worker()
        done = subprocess.run(command(another.address), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "continuing after" in done.stderr
    alone, resumed = dem.load(tmp_path / "alone.zarr"), dem.load(output)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(alone, name))
    assert (resumed.history_, resumed.n_passes_) == (alone.history_, alone.n_passes_)
