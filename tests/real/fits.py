"""Fits by the command line, and cluster files made from those in cluster_configs/ by changing what they mark."""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

import dem
from dem.core.blas import machine_kind
from real.processes import environment

CONFIGS = Path(__file__).parents[2] / "cluster_configs"
DEM = str(Path(sys.executable).with_name("dem"))
SETTINGS = ["-k", "6", "--tol", "0", "--max-iter", "30", "--n-init", "2", "--sample-size", "2000"]
PATIENCE = 180
# A signal may reach a fit many passes after its third one: its passes take less time than the way through mpirun.
CONTINUED = re.compile(r"^continuing after the first scan and ([2-9]|[12]\d) passes", re.MULTILINE)


def changed(name, folder, changes):
    """Write a copy of a cluster file in a folder, with other values for some keys; return its path.

    Only keys that the file marks with CHANGE may be given: the rest must be usable as it is.
    """
    text = (CONFIGS / name).read_text()
    marked = set(re.findall(r"^\s*#?\s*-?\s*(\w[\w-]*):.*# CHANGE", text, re.MULTILINE))
    path = folder / name
    path.write_text(yaml.safe_dump(merged(yaml.safe_load(text), changes, marked), sort_keys=False))
    return path


def merged(old, new, marked):
    """Return a mapping with the values of another one, which may go into it deeply, put in."""
    result = dict(old)
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key, {}), dict):
            result[key] = merged(old.get(key, {}), value, marked)
        else:
            assert key in marked, f"{key} is not marked with CHANGE"
            result[key] = value
    return result


def words(data, output, *more):
    """Return the words of the command that fits."""
    return [str(word) for word in (DEM, "fit", "gmm", data, *SETTINGS, "-o", output, *more)]


def run(command, env=None, cwd=None):
    """Run a command to its end; return what it said. It must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        env=env or environment(), cwd=cwd, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class Running:
    """A command that runs, and what it says."""

    def __init__(self, process):
        self.process, self.said = process, []

    def wait_for(self, pattern):
        """Read what it says until a line matches."""
        for line in self.process.stdout:
            self.said.append(line)
            if re.search(pattern, line):
                return
        raise AssertionError(f"ended with {self.process.wait()} before it said {pattern!r}:\n{''.join(self.said)}")

    def finish(self):
        """Read on to the end; return the exit status and all that it said."""
        rest, _ = self.process.communicate(timeout=PATIENCE)
        self.said.append(rest)
        return self.process.returncode, "".join(self.said)

    def terminate(self):
        """Send what batch systems send before they kill."""
        self.process.send_signal(signal.SIGTERM)


@contextmanager
def running(command, env=None, cwd=None):
    """Run a command in the background; end it at the end."""
    process = subprocess.Popen(
        [str(word) for word in command],
        env=env or environment(), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    with process:
        try:
            yield Running(process)
        finally:
            process.kill()


@functools.cache
def kind_elsewhere():
    """Return the kind of machine that processes are which do not inherit this one's environment, as over SSH."""
    command = [sys.executable, "-c", "from dem.core.blas import machine_kind; print(machine_kind())"]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def assert_same_fit(path, other, said):
    """Two saved models are the same, one fitted by workers that do not inherit this environment; and so much is said.

    To the last bit where the workers run the kernels of this process. Where they do not, a warning names both, and no
    number is further off than 1e-9: that is what dem's kernels promise of their sums, and one row of 3 million lost or
    counted twice would change the weights by 3e-7. (Between Haswell's and SkylakeX's, 6e-15 were measured.)
    """
    if kind_elsewhere() == machine_kind():
        assert "warning" not in said
        assert_same_bits(path, other)
        return
    kinds = f"compute with {kind_elsewhere()}, this process with {machine_kind()}"
    warning = f"warning: workers on host {os.uname().nodename} {kinds}: results may differ in the last bits\n"
    assert said.count("warning") == said.count(warning) == 1
    one, two = dem.load(path), dem.load(other)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=0, atol=1e-9)
    objectives = [[told["objective"] for told in model.history_] for model in (one, two)]
    np.testing.assert_allclose(*objectives, rtol=1e-9)


def assert_same_bits(path, other):
    """Two saved models, and what happened in their fits, are the same to the last bit."""
    one, two = dem.load(path), dem.load(other)
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.history_ == two.history_
    assert one.n_passes_ == two.n_passes_
