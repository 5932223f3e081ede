"""Error messages for passes that fail because workers or the scheduler are lost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from distributed import Client, KilledWorker
from distributed.client import FutureCancelledError
from distributed.comm import CommClosedError
from distributed.scheduler import NoWorkerError

from dem.source import Source
from dem.source.subset import Subset


@contextmanager
def explained_losses(source: Source, client: Client, leaves: Sequence[Any]) -> Iterator[None]:
    """Turn Dask's errors about lost workers and schedulers into clear messages; other errors stay as they are.

    Parameters
    ----------
    source : Source
    client : distributed.Client
    leaves : sequence
        Keys of the partitions' sums, in the order of the partitions.

    Raises
    ------
    RuntimeError
        A task killed several workers, all workers were lost, or the scheduler was lost.
    """
    try:
        yield
    except KilledWorker as error:
        suspects = _suspects(error, client, leaves)
        where = locate_partition(source, suspects[0]) if suspects else source.name
        more = f" (or one of {len(suspects) - 1} parts processed at the same time)" if len(suspects) > 1 else ""
        raise RuntimeError(
            f"A worker died {error.allowed_failures + 1} times on {where}{more}, most likely out of memory: give the "
            "workers more memory or fewer threads, or rechunk the data to smaller chunks."
        ) from error
    except NoWorkerError as error:
        raise RuntimeError(
            f"All workers were lost during a pass over {source.name}, and no new one came within {error.timeout:g} s: "
            "look at the workers' logs, and run again when there are new workers."
        ) from error
    except (FutureCancelledError, CommClosedError) as error:
        raise RuntimeError(
            f"The Dask scheduler stopped or was restarted during a pass over {source.name}: run again when it is "
            "running."
        ) from error


def locate_partition(source: Source, i: int) -> str:
    """Return the rows of partition `i` and their chunks, in words."""
    if isinstance(source, Subset):
        return locate_partition(source.whole, source.indices[i])
    edges = np.cumsum((0, *source.row_chunks))
    if np.isnan(edges[-1]):
        return f"part {i + 1} of {len(source.row_chunks)} of {source.name}"
    first, last = int(edges[i]), int(edges[i + 1]) - 1
    chunks = dict.fromkeys(_without(source.locate(row), source.name) for row in (first, last))
    return f"rows {first} to {last} of {source.name}, {' to '.join(chunks)}"


def _without(where: str, name: str) -> str:
    return where.removesuffix(f" of {name}")


def _suspects(error: KilledWorker, client: Client, leaves: Sequence[Any]) -> list[int]:
    """Return the partitions that may have killed the workers, the most likely first; empty if it was another task.

    Dask suspects every task assigned to a worker that died, also those that had not started. A worker starts its
    tasks in the order of their priority, one per thread.
    """
    key: Any = error.task
    if key not in leaves:
        return []
    name, i = key
    with suppress(Exception):  # some schedulers run no functions, or have no dem
        found: list[int] = client.run_on_scheduler(_failed, name=name)
        return found[: error.last_worker.nthreads] or [i]
    return [i]


def _failed(name: str, dask_scheduler: Any) -> list[int]:
    """Return the partitions suspected of more deaths than Dask allows, in the order of their priority."""
    tasks = (task for key, task in dask_scheduler.tasks.items() if key[0] == name)
    failed = [task for task in tasks if task.suspicious > dask_scheduler.allowed_failures]
    return [task.key[1] for task in sorted(failed, key=lambda task: task.priority)]
