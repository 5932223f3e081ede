"""workflows/slurm.sbatch on a real Slurm: stopped by its time limit, back into the queue, finished."""

import pytest

from real.fits import assert_same_bits
from workflows.conftest import COMPONENTS, TOL
from workflows.engines import PATIENCE, WORKFLOWS, Fault, done_run, run, within

pytestmark = pytest.mark.workflows


def test_its_time_limit_and_an_unchanged_store(slurm_, data, straight, tmp_path):
    folder, fault = tmp_path / "runs", Fault("wait", 4, tmp_path / "fault")
    env = within(SLURM_CONF=slurm_.env["SLURM_CONF"], **fault.env)
    short = ["--time=2", "--signal=TERM@60", "--cpus-per-task=2", "--mem=2G"]  # a minute is Slurm's shortest measure
    job = ["sbatch", "--parsable", *short, WORKFLOWS / "slurm.sbatch", data, folder, "-k", COMPONENTS, "--tol", TOL]

    number = run(job, env, tmp_path).strip()
    slurm_.empty(PATIENCE)
    said = (tmp_path / f"dem-{number}.log").read_text()
    assert "fit was stopped: the job goes back into the queue" in said
    fault.assert_resumed(done_run(folder) / "model.zarr")
    assert_same_bits(done_run(folder) / "model.zarr", straight())

    number = run(job, env, tmp_path).strip()
    slurm_.empty(PATIENCE)
    assert "nothing to do" in (tmp_path / f"dem-{number}.log").read_text()


def test_wrong_use_ends_the_job_at_once(slurm_, tmp_path):
    env = within(SLURM_CONF=slurm_.env["SLURM_CONF"])
    number = run(["sbatch", "--parsable", WORKFLOWS / "slurm.sbatch", tmp_path / "x.zarr"], env, tmp_path).strip()
    slurm_.empty(PATIENCE)
    assert "Usage" in (tmp_path / f"dem-{number}.log").read_text()
