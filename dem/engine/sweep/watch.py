"""A warning while a cluster has no workers: the pass waits, because new workers may come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from distributed import Client

log = logging.getLogger("dem")

CHECK_SECONDS = 5.0


@contextmanager
def warned_without_workers(client: Client) -> Iterator[None]:
    """Log one warning each time the cluster has had no workers for two checks in a row."""
    done = threading.Event()
    thread = threading.Thread(target=_look, args=(client, done), name="dem-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


def _look(client: Client, done: threading.Event) -> None:
    missed = 0
    with suppress(Exception):  # the scheduler is gone: the pass itself raises the error
        while not done.wait(CHECK_SECONDS):
            there = bool(client.scheduler_info(n_workers=1)["workers"])
            missed = 0 if there else missed + 1
            if missed == 2:
                log.warning("The cluster has lost all its workers: waiting for new ones (Ctrl-C stops).")
