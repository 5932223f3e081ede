"""Toy kernels: importable by worker processes, as those of models are."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dem.core.stats import Additive


@dataclass(frozen=True)
class Moments(Additive):
    keys: int
    total: np.ndarray
    squares: np.ndarray


def moments(block):
    x = np.asarray(block.x, np.float64)
    w = np.ones(len(x)) if block.weight is None else block.weight
    keys = int((block.keys.first + np.arange(len(x), dtype=object)).sum())
    return Moments(len(x), keys, w @ x, (x * w[:, None]).T @ x)


def make_moments():
    return moments


@dataclass(frozen=True)
class MakeOnce:
    """A kernel that dies, stops or fails once it sees a row; `flag` makes it happen only once."""

    action: str
    row: int
    flag: Path | None = None

    def __call__(self):
        return self.kernel

    def kernel(self, block):
        if block.keys.first <= self.row < block.keys.first + len(block.x) and self.first_time():
            if self.action == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.action == "sleep":
                time.sleep(1)
            if self.action == "fail":
                raise ZeroDivisionError(f"row {self.row}")
            if self.action == "interrupt":
                raise KeyboardInterrupt
            if self.action == "lose":
                return Additive(len(block.x) - 1)
        return moments(block) if self.action == "kill" else Additive(len(block.x))

    def first_time(self):
        if self.flag is None:
            return True
        try:
            self.flag.touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def blas_threads(block):
    from threadpoolctl import threadpool_info

    n = max(i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas")
    return BlasThreads(len(block.x), n)


@dataclass(frozen=True)
class BlasThreads(Additive):
    threads: int

    def __add__(self, other):
        return BlasThreads(self.rows + other.rows, max(self.threads, other.threads))


def make_blas_threads():
    return blas_threads


def same_bits(a, b):
    return (
        a.rows == b.rows
        and a.keys == b.keys
        and a.total.tobytes() == b.total.tobytes()
        and a.squares.tobytes() == b.squares.tobytes()
    )
