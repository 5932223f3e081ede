"""Slurm jobs, from cluster_configs/slurm.yaml, by a real Slurm on this host."""

import re

import pytest

from real.fits import CONTINUED, DEM, assert_same_bits, changed, run, running, words
from real.processes import wait_until

pytestmark = pytest.mark.cluster
JOBS = 3


@pytest.fixture
def file(tmp_path):
    job = {"cores": 1, "processes": 1, "memory": "1GiB", "walltime": "00:10:00"}
    job |= {"interface": "lo", "log_directory": str(tmp_path / "logs"), "local_directory": str(tmp_path)}
    return changed("slurm.yaml", tmp_path, {"kwargs": job, "workers": JOBS, "wait": 60})


def test_fit(file, slurm_, data, alone, tmp_path):
    with running(words(data, tmp_path / "model.zarr", "--cluster", file), slurm_.env) as fit:
        fit.wait_for(r"^pass 1\b")
        assert len(slurm_.jobs("R")) == JOBS
        status, said = fit.finish()
    assert status == 0, said
    slurm_.empty()
    assert_same_bits(tmp_path / "model.zarr", alone)


def test_a_job_cancelled_in_the_middle_of_a_fit(file, slurm_, data, alone, tmp_path):
    with running(words(data, tmp_path / "model.zarr", "--cluster", file), slurm_.env) as fit:
        fit.wait_for(r"^pass 2\b")
        victim = slurm_.jobs("R")[0]
        slurm_.run("scancel", victim)
        wait_until(lambda: victim not in slurm_.jobs(), 30, "a cancelled job is gone")
        assert fit.process.poll() is None
        status, said = fit.finish()
    assert status == 0, said
    slurm_.empty()
    assert_same_bits(tmp_path / "model.zarr", alone)


def test_sigterm_and_the_same_command_again(file, slurm_, data, alone, tmp_path):
    command = words(data, tmp_path / "model.zarr", "--cluster", file)
    checkpoint = tmp_path / "model.checkpoint.zarr"
    with running(command, slurm_.env) as fit:
        fit.wait_for(r"^pass 3\b")
        fit.terminate()
        status, said = fit.finish()
    assert status == 75, said
    slurm_.empty()
    assert checkpoint.exists()
    assert not (tmp_path / "model.zarr").exists()
    said = run(command, slurm_.env)
    assert CONTINUED.search(said), said
    assert not re.search(r"^pass 1\b", said, re.MULTILINE)
    assert_same_bits(tmp_path / "model.zarr", alone)
    assert not checkpoint.exists()
    slurm_.empty()


def test_check(file, slurm_):
    assert f"{JOBS} workers" in run([DEM, "cluster", "check", file], slurm_.env)
    slurm_.empty()
