"""Kernels that tell where they are and wait to be let on, and processes to be hurt: importable by workers."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from engine.sweep.kernels import moments

ROWS = 500
"""Rows of a partition."""
PATIENCE = 90


def until(condition, what="the condition"):
    """Wait until the condition holds; return what it returned."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if (found := condition()) not in (None, False):
            return found
        time.sleep(0.02)
    raise TimeoutError(f"waited {PATIENCE} s for {what}")


@dataclass(frozen=True)
class Script:
    """Makes kernels that log each partition, and do something at some of them.

    A partition in `waits` waits for the file "go", the first time it is summed. With `gates`, whatever is
    begun after so many partitions waits for the file "gate-1", after twice as many for "gate-2", and so on.
    """

    folder: Path
    waits: frozenset = frozenset()
    gates: int = 0
    kills: frozenset = frozenset()
    hogs: frozenset = frozenset()
    once: bool = True

    def __call__(self):
        return self.kernel

    def kernel(self, block):
        part, inside = divmod(block.keys.first, ROWS)
        if inside == 0:
            with open(self.folder / "log", "a") as log:
                log.write(f"{part} {os.getpid()}\n")
            self.act(part)
            if self.gates:
                gate = self.times.total() // self.gates
                self.arrive(f"gated-{gate}-{os.getpid()}", part)
                until((self.folder / f"gate-{gate}").exists)
        return moments(block)

    def act(self, part):
        if part in self.kills:
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        if part in self.hogs and not (self.once and (self.folder / f"hogged-{part}").exists()):
            (self.folder / f"hogged-{part}").touch()
            hog = bytearray(b"x") * 700_000_000
            time.sleep(PATIENCE)
            raise AssertionError(f"{len(hog)} bytes were allowed")
        if part in self.waits and not (self.folder / f"at-{part}").exists():
            self.arrive(f"at-{part}", os.getpid())
            until((self.folder / "go").exists)

    def arrive(self, name, what):
        (self.folder / f".{name}").write_text(str(what))
        os.replace(self.folder / f".{name}", self.folder / name)

    def at(self, part):
        """Return the process that waits at a partition, when it has come there."""
        file = self.folder / f"at-{part}"
        return until(lambda: file.exists() and int(file.read_text()), f"partition {part}")

    @property
    def waiting(self):
        """The processes that have come to a partition in `waits`, by its number."""
        return {int(file.name[3:]): int(file.read_text()) for file in self.folder.glob("at-*")}

    def gated(self, gate):
        """Return the partitions that wait at a gate, by their processes."""
        files = self.folder.glob(f"gated-{gate}-*")  # with dots before their names while they are being written
        return {int(file.name.split("-")[2]): int(file.read_text()) for file in files}

    def go(self):
        (self.folder / "go").touch()

    @property
    def begun(self):
        """The (partition, process) of each beginning."""
        log = self.folder / "log"
        return [tuple(map(int, line.split())) for line in (log.read_text().splitlines() if log.exists() else ())]

    @property
    def times(self):
        """How often each partition was begun."""
        return Counter(part for part, _ in self.begun)

    @property
    def pids(self):
        """The processes that have begun partitions."""
        return {pid for _, pid in self.begun}


@dataclass(frozen=True)
class DiesWhenAsked:
    """A kernel whose holder dies when another worker asks for it, once."""

    flag: Path
    home: int = field(default_factory=os.getpid)

    def __call__(self):
        return moments

    def __reduce__(self):
        if os.getpid() != self.home and not self.flag.exists():
            self.flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return DiesWhenAsked, (self.flag, self.home)


class Running:
    """Work in another thread; a test that fails does not wait for it."""

    def __init__(self, work, *arguments):
        self.outcome = Future()
        threading.Thread(target=self.run, args=(work, *arguments), daemon=True).start()

    def run(self, work, *arguments):
        try:
            self.outcome.set_result(work(*arguments))
        except BaseException as error:
            self.outcome.set_exception(error)

    def done(self):
        return self.outcome.done()

    def result(self):
        return self.outcome.result(timeout=PATIENCE)


def silent(*_):
    """Progress, as fits have it."""


def held(dask_scheduler):
    """Return the results that each process alone holds."""
    return {w.pid: {t.key for t in w.has_what if len(t.who_has) == 1} for w in dask_scheduler.workers.values()}


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


class Cluster:
    """A scheduler and workers, each a process of its own that is not started again."""

    def __enter__(self):
        self.started = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        for line in self.scheduler.stderr:
            if "Scheduler at:" in line:
                self.address = line.split()[-1]
                break
        self.drain(self.scheduler)
        return self

    def start(self, *words):
        command = [sys.executable, "-m", "dask", *words]
        self.started.append(subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True))
        return self.started[-1]

    def drain(self, process):
        threading.Thread(target=process.stderr.read, daemon=True).start()

    def worker(self):
        """Start a worker with one thread; return its process."""
        process = self.start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")
        self.drain(process)
        return process

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
        for process in self.started:
            process.wait()
            process.stderr.close()
