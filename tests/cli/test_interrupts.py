"""Ctrl-C, as a terminal sends it: status 130, and nothing half-written, or 75 and a way to go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

from dem import GaussianMixture
from dem.source.variables import RESULT_MARK

DEM = str(Path(sys.executable).with_name("dem"))
PATIENCE = 30


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Two components on four columns."""
    path = tmp_path_factory.mktemp("model") / "model.zarr"
    GaussianMixture.from_parameters([0.5, 0.5], [[0.0] * 4, [3.0] * 4], [1.0, 1.0], "spherical").save(path)
    return path


WAYS = {"threads": 3 * 10**6, "processes": 17 * 10**6}
"""How stores of so many rows are swept."""


@pytest.fixture(scope="module")
def zeros(tmp_path_factory):
    """Stores without a chunk on disk: all zeros. So many small ones take long."""
    folder = tmp_path_factory.mktemp("zeros")
    for way, rows in WAYS.items():
        zarr.create_array(folder / way, shape=(rows, 4), chunks=(500, 4), dtype="f4")
    return folder


def interrupt(words, begun):
    """Run a command, interrupt it and all of its group once it has begun; return its status and what it said."""
    command = [DEM, *map(str, words), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            begun(process)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, said


@pytest.mark.parametrize(
    ("way", "overwrite"),
    [
        ("threads", True),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in [("threads", False), ("processes", True)]),
    ],
)
def test_predict(way, overwrite, zeros, model, tmp_path):
    target = tmp_path / "scores.zarr"
    if overwrite:
        zarr.create_array(target, data=np.arange(3), attributes={RESULT_MARK: "score"})

    def begun(process):
        while process.poll() is None and len(list(tmp_path.glob(".scores*.partial/c/*"))) < 20:
            time.sleep(0.02)

    words = ["predict", model, zeros / way, "--what", "score", "-o", target, *(["--overwrite"] if overwrite else [])]
    status, said = interrupt(words, begun)
    assert status == 75
    (unfinished,) = tmp_path.glob(".scores.zarr.*.partial")
    assert said.splitlines()[-1] == (
        f"dem: interrupted. The finished part of {target} is kept: run the same command again to continue "
        f"(or remove {unfinished} to start again)."
    )
    assert sorted(os.listdir(tmp_path)) == [unfinished.name, *(["scores.zarr"] if overwrite else [])]
    if overwrite:
        np.testing.assert_array_equal(zarr.open_array(target)[...], np.arange(3))


@pytest.mark.slow
@pytest.mark.parametrize("rows", [100_000, 8_500_000], ids=["threads", "processes"])
def test_fit(rows, tmp_path):
    array = zarr.create_array(tmp_path / "x.zarr", shape=(rows, 8), chunks=(20_000, 8), dtype="f4", compressors=None)
    noise = np.random.default_rng(0).normal(size=(20_000, 8)).astype("f4")
    for first in range(0, rows, 20_000):
        array[first : first + 20_000] = noise * (1 + first / rows)

    def begun(process):
        assert any(line.startswith("pass 1 ") for line in process.stderr)

    settings = ["-k", "16", "--tol", "0", "--max-iter", "100000", "--n-init", "1", "--sample-size", "1000"]
    status, said = interrupt(["fit", "gmm", tmp_path / "x.zarr", *settings, "-o", tmp_path / "m.zarr"], begun)
    assert status == 130
    assert said.splitlines()[-1] == "dem: interrupted"
    assert os.listdir(tmp_path) == ["x.zarr"]
