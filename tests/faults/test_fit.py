"""A worker process that is killed in the middle of a fit costs time, and not a bit of the result."""

import os
import signal
import subprocess
import sys

import numpy as np
import psutil
import pytest
import zarr

import dem

FIT = """
import sys
import dem

def tell(state):
    print("pass", flush=True)

model = dem.GaussianMixture(6, tol=0, max_iter=6, n_init=1, sample_size=2000, engine=dem.Engine(workers=2))
model.fit(sys.argv[1], callback=tell).save(sys.argv[2])
"""


def fit(data, output, kill):
    """Fit in a process of its own; after its second pass, kill one of its workers. Return what it logged."""
    command = [sys.executable, "-c", FIT, str(data), str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["pass\n"] * 2
            workers = [p for p in psutil.Process(process.pid).children() if "distributed.cli.dask_spec" in p.cmdline()]
            assert len(workers) == 2
            if kill:
                os.kill(workers[0].pid, signal.SIGKILL)
            _, said = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0, said
    return said


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_of_a_fit(tmp_path):
    rng = np.random.default_rng(0)
    rows, centres = 5_000_000, rng.normal(0, 1.5, (6, 16))
    array = zarr.create_array(tmp_path / "x.zarr", shape=(rows, 16), chunks=(50_000, 16), dtype="f4", compressors=None)
    for first in range(0, rows, 50_000):
        labels = rng.integers(6, size=50_000)
        array[first : first + 50_000] = centres[labels] + rng.standard_normal((50_000, 16), dtype="f4")
    assert "worker process ended" not in fit(tmp_path / "x.zarr", tmp_path / "whole.zarr", kill=False)
    assert "worker process ended with status -9" in fit(tmp_path / "x.zarr", tmp_path / "killed.zarr", kill=True)
    whole, killed = dem.load(tmp_path / "whole.zarr"), dem.load(tmp_path / "killed.zarr")
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(killed, name), getattr(whole, name))
    assert killed.history_ == whole.history_
    assert killed.n_passes_ == whole.n_passes_
