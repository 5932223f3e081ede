"""Choose the cluster: the one that the user names, else one that is already running, else none."""

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
    """The cluster that the user asks for; at most one of the three is given.

    Attributes
    ----------
    scheduler : str, optional
        Address of a scheduler.
    scheduler_file : str or Path, optional
        File to which a scheduler has written its address.
    cluster : str or Path, optional
        A cluster file.
    """

    scheduler: str | None = None
    scheduler_file: str | Path | None = None
    cluster: str | Path | None = None

    def __bool__(self) -> bool:
        """Whether the user asks for a cluster."""
        return any((self.scheduler, self.scheduler_file, self.cluster))

    def check(self) -> None:
        """Refuse more than one cluster.

        Raises
        ------
        ValueError
        """
        given = [name for name, value in vars(self).items() if value]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given, but each names a cluster: give only one of them.")


@dataclass(frozen=True)
class RunningCluster:
    """A cluster whose workers have been checked.

    Attributes
    ----------
    client : Client
    name : str
        Name of the cluster in messages: "the cluster of slurm.yaml".
    workers : list of Worker
        The workers found when the cluster was opened.
    """

    client: Client
    name: str
    workers: list[Worker]


@contextmanager
def open_cluster(request: ClusterRequest, note: Note) -> Iterator[RunningCluster | None]:
    """Yield the cluster to use, or None for this machine; at the end stop the cluster if dem has started it.

    The cluster is the first that exists of: the requested one; the scheduler of an active `distributed.Client`; the
    scheduler in Dask's configuration (``scheduler-address`` or ``scheduler-file``). A requested cluster that cannot be
    reached is an error.

    Parameters
    ----------
    request : ClusterRequest
    note : callable
        Called with a sentence about the cluster in use and its workers.

    Raises
    ------
    OSError
        No scheduler answers, or the file does not exist.
    ValueError
        The file is wrong, or two clusters are requested.
    ImportError
        A package that the cluster needs is not installed.
    RuntimeError
        No worker comes, or a worker has other versions than this process.
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
    elif configured_at := configured_address():
        with connect(configured_at) as there:
            yield _wait_until_ready(there, f"the Dask scheduler at {configured_at}, from Dask's configuration", note)
    else:
        yield None


def configured_address() -> str | None:
    """Return the scheduler address of Dask's configuration, which includes DASK_SCHEDULER_ADDRESS; None if not set.

    Raises
    ------
    FileNotFoundError, ValueError
        The configuration names a scheduler file that is not there, or is not one.
    """
    address, file = (dask.config.get(key, None) for key in ("scheduler-address", "scheduler-file"))
    return address or (file and address_in(file))


@contextmanager
def _start_from_file(file: ClusterFile, path: str, note: Note) -> Iterator[RunningCluster]:
    """Start the cluster of a cluster file."""
    name = f"the cluster of {path} ({file.class_})"
    plan = deployment(file, path)
    with configured(file.dask), plan.up(lambda: note(f"starting {name}")) as (client, wanted):
        advice = (
            f"look at its queue and at the logs of its workers, and check 'workers' in {path}; if they only need more "
            "time, set a larger 'wait'"
        )
        yield _wait_until_ready(client, name, note, wanted, file.wait, advice)


def _wait_until_ready(
    client: Client,
    name: str,
    note: Note,
    wanted: int = 1,
    seconds: float = WAIT_SECONDS,
    advice: str = "start workers, for example by 'dask worker ADDRESS'",
) -> RunningCluster:
    """Wait for the workers, check them, and report them by `note`."""
    came = wait_for_workers(client, wanted, seconds)
    if not came:
        raise RuntimeError(f"No worker of {name} came within {seconds:g} s: {advice}.")
    workers = inspect_workers(client)
    link = dashboard(client)
    fewer = f" ({wanted} were requested; the others did not come within {seconds:g} s)" if came < wanted else ""
    note(f"running on {name}: {describe(workers)}{fewer}" + (f"; dashboard at {link}" if link else ""))
    for warning in machine_warnings(workers, machine_kind()):
        note(warning)
    return RunningCluster(client, name, workers)


def dashboard(client: Client) -> str | None:
    """Return the link to the dashboard; None if there is none.

    A scheduler without bokeh has a link too, but its page only asks for bokeh: so the scheduler is asked what it
    serves.
    """
    try:
        return (client.dashboard_link or None) if client.run_on_scheduler(_serves()) else None
    except Exception:  # some schedulers run no functions
        return None


def _serves() -> Callable[..., bool]:
    """Return a function that returns whether a scheduler serves a dashboard.

    A nested function is sent as code, not by its name, so that the scheduler does not need dem.
    """

    def serves(dask_scheduler: Any) -> bool:
        return bool(dask_scheduler.http_application.applications)  # the applications of bokeh

    return serves
