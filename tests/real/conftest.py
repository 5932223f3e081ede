"""The parts, each started once, and the fit on this machine alone that all others must equal."""

import numpy as np
import pytest
import zarr

from dem.source import open_source
from real.fits import run, words
from real.gateway import gateway
from real.processes import marked, wait_until
from real.slurm import slurm
from real.ssh import sshd

ROWS, COLUMNS, CHUNK = 3_000_000, 8, 50_000


@pytest.fixture(scope="session", autouse=True)
def nothing_left(tmp_path_factory):
    """At the very end no process is left that descends from these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DASK_CONFIG", str(tmp_path_factory.mktemp("dask")))  # else some parts write into the home folder
        yield
    wait_until(lambda: not marked(), 30, lambda: f"no process left; these are: {marked()}")


@pytest.fixture(scope="session")
def slurm_(tmp_path_factory):
    with slurm(tmp_path_factory.mktemp("slurm")) as part:
        yield part


@pytest.fixture(scope="session")
def sshd_(tmp_path_factory):
    with sshd(tmp_path_factory.mktemp("sshd")) as part:
        yield part


@pytest.fixture(scope="session")
def gateway_(tmp_path_factory):
    with gateway(tmp_path_factory.mktemp("gateway")) as address:
        yield address


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A store of 96 MB: clouds that overlap, so that EM is busy for all the passes it gets."""
    path = tmp_path_factory.mktemp("data") / "x.zarr"
    rng = np.random.default_rng(20261124)
    centres = rng.normal(0, 0.8, (4, COLUMNS)).astype("f4")
    array = zarr.create_array(path, shape=(ROWS, COLUMNS), chunks=(CHUNK, COLUMNS), dtype="f4", compressors=None)
    for first in range(0, ROWS, CHUNK):
        noise = rng.standard_normal((CHUNK, COLUMNS), dtype="f4")
        array[first : first + CHUNK] = centres[rng.integers(4, size=CHUNK)] + noise
    assert len(open_source(str(path)).partitions) >= 4
    return path


@pytest.fixture(scope="session")
def alone(data):
    """The model fitted on this machine alone."""
    output = data.with_name("alone.zarr")
    run(words(data, output))
    return output
