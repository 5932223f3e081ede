"""`dem fit` that is stopped by a signal, a limit or a kill goes on when it is run again, with the same bits."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import zarr

import dem
from command_line import done, run
from crosses import mostly_slow
from dem.storage import checkpoint

pytestmark = pytest.mark.moves  # one of the fits that are compared is in a process of its own
DEM = str(Path(sys.executable).with_name("dem"))
PATIENCE = 60
SETTINGS = ["-k", "4", "--tol", "0", "--max-iter", "12", "--n-init", "1", "--sample-size", "1000"]
TERM, INT, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGKILL


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of which a pass takes a moment."""
    path = tmp_path_factory.mktemp("data") / "x.zarr"
    array = zarr.create_array(path, shape=(300_000, 8), chunks=(20_000, 8), dtype="f8", compressors=None)
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1.5, (8, 8))
    for first in range(0, array.shape[0], 20_000):
        array[first : first + 20_000] = centres[rng.integers(8, size=20_000)] + rng.normal(size=(20_000, 8))
    return path


@pytest.fixture(scope="module")
def straight(store, tmp_path_factory):
    path = tmp_path_factory.mktemp("straight") / "m.zarr"
    done("fit", "gmm", store, *SETTINGS, "-o", path, "--quiet")
    return dem.load(path)


def command(store, output, *more):
    return [DEM, "fit", "gmm", str(store), *SETTINGS, "-o", str(output), "--json", *map(str, more)]


def stop(words, sent, n_passes):
    """Run a command, send it a signal after so many passes; return its status and its last words."""
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            seen = 0
            while seen < n_passes:
                event = json.loads(process.stderr.readline())
                seen += event["event"] == "step" and event["name"].startswith("pass")
            process.send_signal(sent)
            _, said = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, said.splitlines()[-1] if said else ""


def same(a, b):
    names = ("weights_", "means_", "covariances_", "precisions_cholesky_")
    arrays = all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in names)
    return arrays and a.history_ == b.history_ and a.stop_reason_ == b.stop_reason_


@mostly_slow("signals", {"once": [TERM], "often": [TERM, INT, TERM, INT, TERM]}, quick=["once"])
def test_interrupted(signals, store, straight, tmp_path):
    output, kept = tmp_path / "m.zarr", tmp_path / "m.checkpoint.zarr"
    for sent in signals:
        status, said = stop(command(store, output, "--resume"), sent, 1)
        assert (status, said) == (
            75,
            f"dem: interrupted; {kept} contains the fit so far: run the same command again to continue",
        )
        assert not output.exists()
    done(*command(store, output, "--resume")[1:])
    model = dem.load(output)
    assert same(model, straight)
    assert model.n_passes_ == straight.n_passes_
    assert os.listdir(tmp_path) == ["m.zarr"]


@pytest.mark.slow
@pytest.mark.parametrize("after", [[2], [1, 2, 1]], ids=["once", "often"])
def test_killed_in_the_middle(after, store, straight, tmp_path):
    output = tmp_path / "m.zarr"
    words = command(store, output, "--checkpoint", tmp_path / "kept.zarr")
    for n in after:
        assert stop(words, KILL, n) == (-KILL, "")
    done(*words[1:])
    assert same(dem.load(output), straight)
    assert not (tmp_path / "kept.zarr").exists()


@pytest.mark.slow
def test_killed_while_a_checkpoint_is_written(store, straight, tmp_path):
    output, states = tmp_path / "m.zarr", tmp_path / "m.checkpoint.zarr" / "state"
    stop(command(store, output, "--resume"), KILL, 1)
    for n in range(3):
        with subprocess.Popen(command(store, output, "--resume"), stderr=subprocess.PIPE) as process:
            there = set(states.glob("generation-*"))
            while not set(states.glob("generation-*")) - there:
                assert process.poll() is None
            time.sleep(0.002 * n)
            process.kill()
    assert checkpoint.STATES.load(states)
    subprocess.run(command(store, output, "--resume"), check=True, capture_output=True)
    assert same(dem.load(output), straight)


@pytest.mark.slow
def test_without_a_checkpoint_nothing_is_left(store, tmp_path):
    status, said = stop(command(store, tmp_path / "m.zarr"), TERM, 1)
    assert (status, said) == (130, "dem: interrupted")
    assert os.listdir(tmp_path) == []


@pytest.mark.slow
def test_limits_stop_with_status_75_and_the_same_command_goes_on(store, straight, tmp_path):
    output = tmp_path / "m.zarr"
    words = command(store, output, "--max-passes", "8")
    runs = 0
    while (last := run(*words[1:])).exit_code == 75:
        runs += 1
        assert re.search(
            r"stopped after (the first scan and 7|8) passes, because the limit of passes for one run is reached",
            last.stderr.splitlines()[-1],
        )
        assert not output.exists()
    assert last.exit_code == 0, last.stderr
    assert runs == (straight.n_passes_ - 1) // 8 >= 1
    assert same(dem.load(output), straight)
    assert os.listdir(tmp_path) == ["m.zarr"]


@pytest.mark.slow
def test_a_limit_of_time(store, tmp_path):
    output = tmp_path / "m.zarr"

    def stopped(seconds):
        """Return what a fit says that does not converge in this time."""
        words = command(store, output, "-k", 8, "--max-iter", 10**6, "--max-time", f"{seconds}s")
        found = subprocess.run(words, capture_output=True, text=True)
        assert found.returncode == 75
        assert not output.exists()
        return found.stderr

    def passes(stderr):
        return int(re.search(r"(\d+) pass|$", stderr.splitlines()[-1])[1] or 0)

    for seconds in (1, 2, 4, 8, 16, 32):  # how long the start takes depends on the machine
        first = stopped(seconds)
        if passes(first) > 0:
            break
    second = stopped(seconds)
    for stderr in (first, second):
        assert f"another pass would probably exceed the time limit of {seconds:#.3g} s" in stderr.splitlines()[-1]
        assert passes(stderr) > 0
    assert re.search(rf"continuing after the first scan and {passes(first)} pass", second)


def test_options_that_contradict_each_other(store, tmp_path):
    refused = run(*command(store, tmp_path / "m", "--no-checkpoint", "--resume")[1:])
    assert refused.exit_code == 1
    assert "--no-checkpoint conflicts with --checkpoint, --resume, --max-passes and --max-time" in refused.stderr
    refused = run(*command(store, tmp_path / "m", "--max-time", "soon")[1:])
    assert refused.exit_code == 2
    assert "'soon' is not a duration: write, for example, 3h50m" in refused.stderr


@pytest.mark.slow
def test_two_runs_of_the_same_command(store, straight, tmp_path):
    """The second is refused at once; the first is not disturbed."""
    words = command(store, tmp_path / "m.zarr", "--resume")
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as first:
        assert any("pass 1" in line for line in first.stderr)
        first.send_signal(signal.SIGSTOP)  # so that it is there as long as the second one
        second = subprocess.run(words, capture_output=True, text=True)
        first.send_signal(signal.SIGCONT)
        assert second.returncode == 1
        assert "m.zarr" in second.stderr
        assert str(first.pid) in second.stderr
        first.communicate(timeout=PATIENCE)
        assert first.returncode == 0
    assert same(dem.load(tmp_path / "m.zarr"), straight)
