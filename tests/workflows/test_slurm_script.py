"""workflows/slurm.sbatch with commands in the place of Slurm's and of dem: which steps run, and what they leave."""

import json
import os
import subprocess

import pytest

from workflows.engines import WORKFLOWS

DEM = """#!/bin/bash
case $1 in
    fingerprint) echo "{}" ;;
    compare-labels) exit "$COMPARED" ;;
esac
"""


@pytest.fixture
def job(tmp_path):
    """Return a function that runs the job after an earlier run, where the labels are compared with a status."""
    (tmp_path / "bin").mkdir()
    for name, text in {"srun": '#!/bin/bash\nshift\nexec "$@"\n', "scontrol": "#!/bin/bash\n", "dem": DEM}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "runs" / "old" / "labels.zarr").mkdir(parents=True)
    (tmp_path / "runs" / "latest").symlink_to("old")

    def run(compared):
        path = f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"
        words = ["bash", WORKFLOWS / "slurm.sbatch", "x.zarr", tmp_path / "runs", "-k", "4"]
        return subprocess.run(
            words, env={**os.environ, "PATH": path, "COMPARED": str(compared), "SLURM_JOB_ID": "1"}, check=False
        )

    return run


def test_labels_that_cannot_be_compared_do_not_stop_the_job(job, tmp_path):
    assert job(1).returncode == 0
    assert json.loads((tmp_path / "runs" / "latest" / "changes.json").read_text()) == {"not_compared": True}
    assert os.readlink(tmp_path / "runs" / "latest") != "old"


@pytest.mark.parametrize("status", [75, 143])
def test_a_comparison_that_was_stopped_goes_back_into_the_queue(job, tmp_path, status):
    assert job(status).returncode == 75
    assert os.readlink(tmp_path / "runs" / "latest") == "old"
