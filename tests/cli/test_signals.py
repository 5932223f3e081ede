"""Signals that come before a command listens, while modules load, and after it has ended."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

import dem
from dem.cli import signals
from dem.cli.main import main
from dem.storage.checkpoint import Checkpoint, Stopped


def test_held_signals_come_when_they_are_let_through():
    reached = []

    def terminated():
        with signals.sigterm_interrupts():
            signals.hold()
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append(True)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        terminated()
    assert reached
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_that_are_ignored_stay_so():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        signals.hold()
        os.kill(os.getpid(), signal.SIGTERM)
        signals.let_through()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.fixture
def store(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=np.random.default_rng(0).normal(size=(300, 2)), chunks=(100, 2))
    return tmp_path / "x.zarr"


@pytest.mark.parametrize("kept", [True, False])
def test_sigterm_while_modules_load(kept, store, tmp_path, monkeypatch):
    """Status 75 where an earlier run has kept something, 130 where nothing is."""
    words = ["fit", "gmm", str(store), "-k", "2", "--tol", "0", "-o", str(tmp_path / "m.zarr"), "--resume"]
    if kept:
        limited = Checkpoint(tmp_path / "m.checkpoint.zarr", max_passes=2)
        with pytest.raises(Stopped):
            dem.GaussianMixture(2, tol=0).fit(store, checkpoint=limited)
    hold = signals.hold

    def terminated():
        hold()
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(signals, "hold", terminated)
    result = CliRunner().invoke(main, words)
    assert result.exit_code == (75 if kept else 130)
    said = (
        f"interrupted; {tmp_path / 'm.checkpoint.zarr'} contains the fit so far: run the same command again to continue"
    )
    assert result.stderr == (f"dem: {said}\n" if kept else "dem: interrupted\n")
    assert not (tmp_path / "m.zarr").exists()


@pytest.mark.parametrize(("when", "status"), [("before", 130), ("after", 0)])
def test_sigterm_before_a_command_listens_and_after_it_has_ended(when, status):
    """The program sends it to itself: in place of an import, or as Python exits."""
    send = "os.kill(os.getpid(), signal.SIGTERM)"
    before = f"signals.hold(); {send}; " if when == "before" else f"atexit.register(lambda: {send}); "
    program = f"import atexit, os, signal; from dem.cli import signals; {before}from dem.cli.run import run; run()"
    command = [sys.executable, "-c", program, "cluster", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
