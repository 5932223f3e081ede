"""What a pass on a cluster died of, in a sentence."""

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
    """Raise what Dask says of a cluster as a sentence; errors of tasks come as they are.

    Parameters
    ----------
    source : Source
    client : distributed.Client
    leaves : sequence
        The keys of the partitions' sums, in order.

    Raises
    ------
    RuntimeError
        Workers died of a task again and again, all of them were lost, or the scheduler was.
    """
    try:
        yield
    except KilledWorker as error:
        suspects = _suspects(error, client, leaves)
        where = locate_partition(source, suspects[0]) if suspects else source.name
        more = f" (or one of the {len(suspects) - 1} parts that ran beside them)" if len(suspects) > 1 else ""
        raise RuntimeError(
            f"A worker died {error.allowed_failures + 1} times on {where}{more}, most likely out of memory: give the "
            "workers more memory or fewer threads, or rechunk the data to smaller chunks."
        ) from error
    except NoWorkerError as error:
        raise RuntimeError(
            f"All workers were lost during a pass over {source.name}, and none came within {error.timeout:g} s: see "
            "what they logged, and start again when there are new ones."
        ) from error
    except (FutureCancelledError, CommClosedError) as error:
        raise RuntimeError(
            f"The Dask scheduler went away or was restarted during a pass over {source.name}: when it is up, "
            "start again."
        ) from error


def locate_partition(source: Source, i: int) -> str:
    """Say which rows partition `i` holds, and in which chunks they are."""
    if isinstance(source, Subset):
        return locate_partition(source.whole, source.indices[i])
    edges = np.cumsum((0, *source.row_chunks))
    if np.isnan(edges[-1]):
        return f"part {i + 1} of {len(source.row_chunks)} of {source.name}"
    first, last = int(edges[i]), int(edges[i + 1]) - 1
    chunks = dict.fromkeys(_without(source.locate(row), source.name) for row in (first, last))
    return f"rows {first} to {last} of {source.name}, {' to '.join(chunks)}"


def _without(where: str, name: str) -> str:
    return where.removesuffix(f" of {name}").removesuffix(f" of the {name}")


def _suspects(error: KilledWorker, client: Client, leaves: Sequence[Any]) -> list[int]:
    """Return the partitions that may have killed the workers, the likeliest first; none if it was another task.

    Dask suspects whatever a worker that died had been given, also what it had not begun. A worker
    begins with the first one, and runs one for each thread.
    """
    key: Any = error.task
    if key not in leaves:
        return []
    name, i = key
    with suppress(Exception):  # not every scheduler lets itself be asked, or has dem
        found: list[int] = client.run_on_scheduler(_failed, name=name)
        return found[: error.last_worker.nthreads] or [i]
    return [i]


def _failed(name: str, dask_scheduler: Any) -> list[int]:
    """Return the partitions of a pass that more workers died of than Dask allows, in the order of their turns."""
    tasks = (task for key, task in dask_scheduler.tasks.items() if key[0] == name)
    failed = [task for task in tasks if task.suspicious > dask_scheduler.allowed_failures]
    return [task.key[1] for task in sorted(failed, key=lambda task: task.priority)]
