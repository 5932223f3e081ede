"""Daemons that the tests start, and a mark in the environment by which all that descends from them is found."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import uuid
from contextlib import ExitStack, contextmanager

import psutil

MARK = "DEM_REAL_TESTS"
VALUE = uuid.uuid4().hex


def environment(**more):
    """Return this process's environment with the mark."""
    return {**os.environ, MARK: VALUE, **more}


def marked():
    """Return the command lines, by process id, of the living processes that carry the mark."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == VALUE and process.status() != psutil.STATUS_ZOMBIE:
                found[process.pid] = " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def wait_until(true, seconds, what):
    """Wait until a condition holds; fail with `what` (a string, or a function that gives one) if it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what() if callable(what) else what}")
        time.sleep(0.1)


def program(name):
    """Return the full path of a program that setup.sh installs."""
    path = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"]))
    assert path, f"{name} is not installed: run tests/real/setup.sh"
    return path


def free_ports(n=1):
    """Return ports that nobody listens at."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def answers(port):
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def daemon(command, log, ready, env=None, seconds=30):
    """Run a program in the background: wait until it is ready, and end it at the end."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, env=env or environment(),
        )  # fmt: skip
    try:
        wait_until(lambda: process.poll() is not None or ready(), seconds, lambda: f"{command[0]}: {log.read_text()}")
        assert process.poll() is None, f"{command[0]} ended with {process.returncode}: {log.read_text()}"
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
