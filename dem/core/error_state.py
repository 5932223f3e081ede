"""What NumPy does at overflows, divisions by zero and the like while dem computes: what it does unless told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def own_errors() -> Iterator[None]:
    """Compute in NumPy's default error state, whatever the caller's: underflow to 0 is meant, the rest is a warning.

    ``np.seterr(under="raise")`` is for the user's own arithmetic: densities are 0 far out. Every way into dem's maths
    passes here, as a context or a decorator: fits, scans, results for rows and drawn rows in the caller's thread, and
    tasks, whose threads' state may be anybody's.
    """
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        yield
