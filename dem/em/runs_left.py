"""An estimate of the time that runs of EM in parallel threads still need, from how long those took that have ended."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heapreplace

WIDER = 2.0
"""By which factor a run may take longer, or less long, than the one that has ended; after n ends, its n-th root."""


def runs_left(
    ended: Sequence[float], running: Sequence[float], waiting: int, n_threads: int
) -> tuple[float, float] | None:
    """Return a range of the time until all runs have ended, in seconds.

    Parameters
    ----------
    ended : sequence of float
        How long each run took that has ended, in seconds.
    running : sequence of float
        For how long each of the others has been running, in seconds.
    waiting : int
        Runs that have not begun.
    n_threads : int

    Returns
    -------
    (float, float) or None
        The least and the most; None if no run has ended: then there is no basis for an estimate.
    """
    if not ended:
        return None
    wider = WIDER ** (1 / len(ended))
    least, most = min(ended) / wider, max(*ended, *running, 0.0) * wider
    return _until_all_end(least, running, waiting, n_threads), _until_all_end(most, running, waiting, n_threads)


def _until_all_end(seconds: float, running: Sequence[float], waiting: int, n_threads: int) -> float:
    """Return when the last run ends, if each takes so long from its begin."""
    free = [max(0.0, seconds - since) for since in running]  # when each thread can begin the next run
    free += [0.0] * (n_threads - len(running))
    heapify(free)
    for _ in range(waiting):
        heapreplace(free, free[0] + seconds)
    return max(free)
