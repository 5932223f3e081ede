"""Running the workflows as their headers say: by the engines, in environments of their own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from real.processes import environment

ROOT = Path(__file__).parents[2]
WORKFLOWS = ROOT / "workflows"
FAULTS = Path(__file__).with_name("faults")
PATIENCE = 480


def programs(engine=None):
    """Return the folder of an engine's own programs; without one, of dem's alone."""
    folder = ROOT / (f".venv-{engine}" if engine else ".venv") / "bin"
    assert folder.is_dir(), f"{folder} is not there: run make test-workflows"
    return folder


def within(engine=None, **more):
    """Return the environment in which these programs are found first."""
    return environment(PATH=f"{programs(engine)}{os.pathsep}{os.environ['PATH']}", **more)


def run(command, env=None, cwd=None, status=0):
    """Run a command to its end; return what it said."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env or environment(), cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@dataclass(frozen=True)
class Fault:
    """What shall befall one fit after a pass: see faults/sitecustomize.py."""

    what: str
    at: int
    folder: Path

    @property
    def env(self):
        """Return the variables that bring it about."""
        self.folder.mkdir(exist_ok=True)
        return {"DEM_TEST_FAULT": f"{self.what}:{self.at}:{self.folder}", "PYTHONPATH": str(FAULTS)}

    @property
    def befell(self):
        """Whether it has happened."""
        return (self.folder / "done").exists()

    @property
    def passes(self):
        """Return the passes that were kept, in order."""
        return [int(line.split()[0]) for line in (self.folder / "passes").read_text().splitlines()]

    def assert_resumed(self, model):
        """It has happened, and every pass of the fit was made once: none before the fault a second time."""
        fitted = json.loads(run([programs() / "dem", "info", model, "--json"]))["fitted"]
        assert self.befell
        assert self.at < fitted["n_passes_"]
        assert self.passes == sorted(set(self.passes))
        assert self.passes[-1] == fitted["n_passes_"]


def done_run(folder):
    """Return the folder of the last run that came to its end, with all that belongs in it."""
    latest = (folder / "latest").resolve()
    numbers = json.loads((latest / "report.json").read_text())
    assert numbers["rows"] > 0
    assert json.loads((latest / "score.json").read_text())["log_likelihood"] == numbers["log_likelihood"]
    assert "</html>" in (latest / "report.html").read_text()
    assert (latest / "labels.zarr").is_dir()
    assert not list(latest.glob("*checkpoint*"))
    return latest
