"""Tells when a cluster has lost all its workers: a pass then waits, since new ones may come."""

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
    """Warn, once each time, while a cluster is without workers for longer than a moment."""
    done = threading.Event()
    thread = threading.Thread(target=_look, args=(client, done), name="dem-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()


def _look(client: Client, done: threading.Event) -> None:
    missed = 0
    with suppress(Exception):  # the scheduler has gone: the pass itself will say so
        while not done.wait(CHECK_SECONDS):
            there = bool(client.scheduler_info(n_workers=1)["workers"])
            missed = 0 if there else missed + 1
            if missed == 2:
                log.warning("The cluster has no workers any more: waiting for new ones (Ctrl-C stops).")
