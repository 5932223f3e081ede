"""NumPy's floating-point error handling while dem computes: always the default, whatever the caller has set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def default_error_state() -> Iterator[None]:
    """Use NumPy's default error state: underflow is ignored, other floating-point errors give warnings.

    A user may set ``np.seterr(under="raise")``, but in dem underflow is normal: far from the data densities are 0.
    Every entry to dem's maths uses this as a context or a decorator: fits, scans, results for rows and drawn rows in
    the caller's thread, and tasks, because other code may have changed the state of their threads.
    """
    with np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"):
        yield
