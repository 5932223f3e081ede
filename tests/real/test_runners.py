"""One job that is the whole cluster: by srun, from slurm-runner.yaml, and by mpirun, from mpi.yaml."""

import os

import pytest

from real.fits import CONTINUED, assert_same_bits, changed, run, running, words
from real.processes import environment, marked, program, wait_until

pytestmark = pytest.mark.cluster


@pytest.fixture
def srun(data, tmp_path):
    """The command that fits under srun."""
    network = {"interface": "lo"}
    file = changed(
        "slurm-runner.yaml",
        tmp_path,
        {"kwargs": {"scheduler_options": network, "worker_options": {**network, "memory_limit": "1GiB"}}},
    )
    fit = words(data, tmp_path / "model.zarr", "--cluster", file)
    return [program("srun"), "--ntasks", "4", "--mem-per-cpu", "1G", *fit]


@pytest.fixture
def mpirun(data, tmp_path):
    """The command that fits under mpirun."""
    file = changed("mpi.yaml", tmp_path, {"kwargs": {"interface": "lo", "memory_limit": "1GiB"}})
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    fit = words(data, tmp_path / "model.zarr", "--cluster", file)
    return [program("mpirun"), *root, "--oversubscribe", "-n", "4", *fit]


def went_on(said):
    """Whether a fit went on from where another one stopped, after its third pass or a later one."""
    return CONTINUED.search(said) and "\npass 1 " not in said


def test_srun(srun, slurm_, alone, tmp_path):
    run(srun, slurm_.env, cwd=tmp_path)
    assert_same_bits(tmp_path / "model.zarr", alone)
    slurm_.empty()


def test_the_end_of_a_slurm_jobs_time(srun, slurm_, alone, tmp_path):
    """SIGTERM to all tasks, which is what they get some seconds before they are killed."""
    with running(srun, slurm_.env, cwd=tmp_path) as fit:
        fit.wait_for(r"^pass 3\b")
        (job,) = slurm_.jobs("R")
        slurm_.run("scancel", "--signal=TERM", f"{job}.0")
        status, said = fit.finish()
    assert status == 75, said
    slurm_.empty()
    assert not (tmp_path / "model.zarr").exists()
    assert went_on(run(srun, slurm_.env, cwd=tmp_path))
    assert_same_bits(tmp_path / "model.zarr", alone)


def test_mpirun(mpirun, alone, tmp_path):
    before = marked().keys()
    run(mpirun, environment(), cwd=tmp_path)
    assert_same_bits(tmp_path / "model.zarr", alone)
    wait_until(lambda: marked().keys() <= before, 20, marked)


def test_mpirun_that_is_ended(mpirun, alone, tmp_path):
    before = marked().keys()
    with running(mpirun, environment(), cwd=tmp_path) as fit:
        fit.wait_for(r"^pass 3\b")
        fit.terminate()
        status, said = fit.finish()
    assert status != 0  # of mpirun's own choice
    assert "run the same command again to continue" in said
    wait_until(lambda: marked().keys() <= before, 20, marked)
    assert not (tmp_path / "model.zarr").exists()
    assert went_on(run(mpirun, environment(), cwd=tmp_path))
    assert_same_bits(tmp_path / "model.zarr", alone)
