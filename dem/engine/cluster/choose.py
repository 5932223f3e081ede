"""Which cluster to take: the one that is named, else one that is there already, else none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask.config
from distributed import Client

from dem.core.blas import machine_kind
from dem.engine.cluster.cluster_file import ClusterFile, read_cluster_file
from dem.engine.cluster.connect import active_client, address_in, connect
from dem.engine.cluster.deployments import configured
from dem.engine.cluster.factory import deployment
from dem.engine.cluster.workers import Worker, describe, inspect_workers, machine_warnings, wait_for_workers

Note = Callable[[str], object]

WAIT_SECONDS = 60.0
"""How long to wait for the first worker of a cluster that somebody else has started."""


@dataclass(frozen=True)
class ClusterRequest:
    """What names a cluster; one of them at most is given.

    Attributes
    ----------
    scheduler : str, optional
        A scheduler's address.
    scheduler_file : str or Path, optional
        A file that a scheduler has written its address to.
    cluster : str or Path, optional
        A cluster file.
    """

    scheduler: str | None = None
    scheduler_file: str | Path | None = None
    cluster: str | Path | None = None

    def __bool__(self) -> bool:
        """Whether a cluster is named."""
        return any((self.scheduler, self.scheduler_file, self.cluster))

    def check(self) -> None:
        """Refuse two names.

        Raises
        ------
        ValueError
        """
        given = [name for name, value in vars(self).items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} name a cluster each: give one of them.")


@dataclass(frozen=True)
class RunningCluster:
    """A cluster with workers that can do the work.

    Attributes
    ----------
    client : Client
    name : str
        What to call it: "the cluster of slurm.yaml".
    workers : list of Worker
        Those that were there at the beginning.
    """

    client: Client
    name: str
    workers: list[Worker]


@contextmanager
def open_cluster(request: ClusterRequest, note: Note) -> Iterator[RunningCluster | None]:
    """Give the cluster to use, or None for this machine alone; end what was started for it.

    The first of these that there is: the one that is named; an active `distributed.Client`; the address in Dask's own
    configuration (``scheduler-address`` or ``scheduler-file``). One that is named and not to be had is an error.

    Parameters
    ----------
    request : ClusterRequest
    note : callable
        Told in a sentence what was taken, and what it has.

    Raises
    ------
    OSError
        No scheduler answers, or there is no such file.
    ValueError
        A file that is wrong, or two names.
    ImportError
        What the cluster needs is not installed.
    RuntimeError
        No worker comes, or one does not suit.
    """
    request.check()
    address = request.scheduler or (request.scheduler_file and address_in(request.scheduler_file))
    client = None if request else active_client()
    if address:
        with connect(address) as named:
            yield _wait_until_ready(named, f"the Dask scheduler at {address}", note)
    elif request.cluster:
        with _start_from_file(read_cluster_file(request.cluster), str(request.cluster), note) as found:
            yield found
    elif client is not None:
        address = client.scheduler.address if client.scheduler else "an address unknown"
        yield _wait_until_ready(client, f"the active Dask client's scheduler at {address}", note)
    elif configured_at := _configured_address():
        with connect(configured_at) as there:
            yield _wait_until_ready(there, f"the Dask scheduler at {configured_at}, of Dask's configuration", note)
    else:
        note("runs on this machine")
        yield None


def _configured_address() -> str | None:
    """Return the scheduler's address in Dask's configuration (or its environment: DASK_SCHEDULER_ADDRESS)."""
    address, file = (dask.config.get(key, None) for key in ("scheduler-address", "scheduler-file"))
    return address or (file and address_in(file))


@contextmanager
def _start_from_file(file: ClusterFile, path: str, note: Note) -> Iterator[RunningCluster]:
    """Bring up the cluster of a file."""
    name = f"the cluster of {path} ({file.class_})"
    plan = deployment(file, path)
    with configured(file.dask), plan.up(lambda: note(f"brings up {name}")) as (client, wanted):
        advice = (
            f"look at its queue and at the logs of its workers; see to 'workers' in {path}, and to 'wait' where "
            "they only need longer"
        )
        yield _wait_until_ready(client, name, note, wanted, file.wait, advice)


def _wait_until_ready(
    client: Client,
    name: str,
    note: Note,
    wanted: int = 1,
    seconds: float = WAIT_SECONDS,
    advice: str = "start some, as by 'dask worker' and its address",
) -> RunningCluster:
    """Wait for the workers, look at them, and tell of them."""
    came = wait_for_workers(client, wanted, seconds)
    if not came:
        raise RuntimeError(f"No worker of {name} came within {seconds:g} s: {advice}.")
    workers = inspect_workers(client)
    link = dashboard(client)
    fewer = f" ({wanted} were asked for, and the rest did not come within {seconds:g} s)" if came < wanted else ""
    note(f"runs on {name}: {describe(workers)}{fewer}" + (f"; dashboard at {link}" if link else ""))
    for warning in machine_warnings(workers, machine_kind()):
        note(warning)
    return RunningCluster(client, name, workers)


def dashboard(client: Client) -> str | None:
    """Return the link to the dashboard, where there is one.

    A scheduler without bokeh names a link too, to a page that asks for bokeh: so it is asked what it serves.
    """
    try:
        return (client.dashboard_link or None) if client.run_on_scheduler(_serves()) else None
    except Exception:  # not every scheduler lets itself be asked
        return None


def _serves() -> Callable[..., bool]:
    """Return a function that tells whether a scheduler serves a dashboard.

    A function within a function is sent as it is, not by its name: a scheduler needs no dem.
    """

    def serves(dask_scheduler: Any) -> bool:
        return bool(dask_scheduler.http_application.applications)  # the web server has bokeh's there

    return serves
