"""The store that all workflows fit, and the fit that all of them must equal."""

import numpy as np
import pytest
import zarr

from real.slurm import CONF, slurm
from workflows.engines import programs, run

ROWS, CHUNK = 40_000, 5_000
TOL = 1e-7
COMPONENTS = 3


@pytest.fixture(scope="session")
def slurm_(tmp_path_factory):
    """A Slurm in which a job that was put back waits for 21 seconds: by default it is two minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("real.slurm.CONF", CONF.replace("munge.socket", "munge.socket,cred_expire=20", 1))
        with slurm(tmp_path_factory.mktemp("slurm")) as part:
            yield part


@pytest.fixture
def data(tmp_path):
    """Overlapping clouds in eight chunks: the fit takes more than a handful of passes."""
    rng = np.random.default_rng(20261124)
    centres = np.array([[0.0, 0, 0], [2, 1, 0], [0, 2, 2]])
    x = centres[rng.integers(COMPONENTS, size=ROWS)] + rng.normal(size=(ROWS, 3))
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(CHUNK, 3))
    return tmp_path / "x.zarr"


@pytest.fixture
def straight(data, tmp_path):
    """Return a function that fits without interruption in an engine's own environment, and gives the model's path."""

    def fit(engine=None):
        output = tmp_path / "straight.zarr"
        run([programs(engine) / "dem", "fit", "gmm", data, "-k", COMPONENTS, "--tol", TOL, "-o", output])
        return output

    return fit
