"""workflows/Snakefile on this machine, and on a real Slurm."""

import pytest
import zarr

from real.fits import assert_same_bits
from real.processes import program
from workflows.conftest import COMPONENTS, TOL
from workflows.engines import WORKFLOWS, Fault, done_run, programs, run, within

pytestmark = pytest.mark.workflows


def words(data, folder, *more):
    settings = [f"store={data}", f"folder={folder}", f"components={COMPONENTS}", f"tol={TOL}"]
    return [programs("snakemake") / "snakemake", "-s", WORKFLOWS / "Snakefile", *more, "--config", *settings]


def test_on_this_machine(data, straight, tmp_path):
    folder, fault = tmp_path / "runs", Fault("kill", 4, tmp_path / "fault")
    command = words(data, folder, "--cores", "2")
    said = run(command, within("snakemake", **fault.env), tmp_path)
    assert "Trying to restart job" in said
    done = done_run(folder)
    fault.assert_resumed(done / "model.zarr")
    assert_same_bits(done / "model.zarr", straight("snakemake"))
    assert "Nothing to be done" in run(command, within("snakemake"), tmp_path)
    zarr.open_array(data)[:5000] += 1.0
    run(command, within("snakemake"), tmp_path)
    assert done_run(folder) != done
    run([*command, "--report", "report.html"], within("snakemake"), tmp_path)
    assert "report.html" in (tmp_path / "report.html").read_text()


def srun_that_knows(slurm_, folder):
    """Return a folder with an srun that finds our Slurm: Snakemake's plugin drops SLURM_CONF from the jobs."""
    folder.mkdir()
    script = folder / "srun"
    script.write_text(f'#!/bin/sh\nSLURM_CONF={slurm_.env["SLURM_CONF"]} exec {program("srun")} "$@"\n')
    script.chmod(0o755)
    return folder


def test_on_slurm(slurm_, data, straight, tmp_path):
    folder, fault = tmp_path / "runs", Fault("kill", 4, tmp_path / "fault")
    env = within("snakemake", SLURM_CONF=slurm_.env["SLURM_CONF"], **fault.env)
    env["PATH"] = f"{srun_that_knows(slurm_, tmp_path / 'bin')}:{env['PATH']}"
    resources = ["--default-resources", "slurm_partition=debug", "mem_mb=1500", "runtime=10"]
    without_accounts = ["--slurm-no-account", "--slurm-status-command", "squeue"]
    soon = ["--slurm-init-seconds-before-status-checks", "5", "--seconds-between-status-checks", "2"]
    command = words(data, folder, "--executor", "slurm", "--jobs", "2", *without_accounts, *soon, *resources)
    said = run(command, env, tmp_path)
    assert "SLURM jobid" in said
    slurm_.empty()
    assert "Nothing to be done" in run(command, env, tmp_path)
    fault.assert_resumed(done_run(folder) / "model.zarr")
    assert_same_bits(done_run(folder) / "model.zarr", straight("snakemake"))
