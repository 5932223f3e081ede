"""dem cluster: check the cluster that a file describes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import dask.array as da
import numpy as np

from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts, grid
from dem.core import human
from dem.core.blas import machine_kind
from dem.engine.cluster.choose import dashboard
from dem.engine.cluster.workers import ECHO_BYTES, Worker, describe, echo_seconds
from dem.engine.engine import Engine
from dem.engine.machines import OnCluster, ThisMachine
from dem.estimators import GaussianMixture

ROWS, COLUMNS, BLOCK_ROWS, SEED = 4000, 4, 500, 0
MOST_HOSTS = 8
"""Number of hosts whose bandwidth is measured, one after the other, so that they do not share the network."""
MOST_WORKERS = 32
"""Number of workers in the table."""


def check(path: str, session: Session) -> None:
    """Start a cluster, run a small fit on it, show its workers, and stop it.

    Parameters
    ----------
    path : str
        The cluster file; `session` has it too.
    session : Session
    """
    begun = time.perf_counter()
    with session.engine() as engine:
        up = time.perf_counter() - begun
        assert isinstance(engine.backend, OnCluster)
        cluster = engine.backend.cluster
        speeds = _speeds(engine.backend)
        fitted, seconds = _tiny_fit(replace(engine, progress=None))
        link = dashboard(cluster.client)
    alone, _ = _tiny_fit(Engine(backend=ThisMachine(None, 1)))
    same = all(np.array_equal(getattr(fitted, name), getattr(alone, name)) for name in ("means_", "covariances_"))
    here, machines = machine_kind(), sorted({worker.machine_kind for worker in cluster.workers})
    record = {
        "file": path,
        "cluster": cluster.name,
        "machine_kind_here": here,
        "dashboard": link,
        "workers": [{**asdict(worker), "bytes_per_second": speeds.get(worker.address)} for worker in cluster.workers],
        "seconds_to_start": up,
        "fit": {"rows": ROWS, "passes": fitted.n_passes_, "seconds": seconds, "same_bits_as_here": same},
    }
    versions = cluster.workers[0].versions  # the same as in this process: others are not accepted
    bits = "the same as on this machine, to the last bit" if same else "NOT the same bits as on this machine"
    shown = {
        path: f"{describe(cluster.workers)}, up within {human.seconds(up)}",
        "dashboard": link,
        "small fit": f"{ROWS:,} rows, {human.passes(fitted.n_passes_)} in {human.seconds(seconds)}, with the imports "
        f"of the workers; {bits}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()) + ", as here",
        "machines": "; ".join(machines) + (", as here" if machines == [here] else f"; here {here}"),
    }
    session.result(record, facts(shown), _table(cluster.workers, speeds), summary=False)


def _tiny_fit(engine: Engine) -> tuple[Any, float]:
    """Fit a mixture to a few rows and time it. The tasks hold the rows, because workers may see no common files."""
    rng = np.random.default_rng(SEED)
    rows = rng.normal(size=(ROWS, COLUMNS)) + 8 * rng.integers(2, size=(ROWS, 1))
    array = da.from_array(rows, chunks=(BLOCK_ROWS, COLUMNS))
    begun = time.perf_counter()
    model = GaussianMixture(2, n_init=1, sample_size=1000, random_state=SEED, engine=engine).fit(array)
    return model, time.perf_counter() - begun


def _speeds(backend: OnCluster) -> dict[str, float]:
    """Return the speed, in bytes a second, to one worker of each host and back, by the worker's address."""
    one_each = {worker.host: worker.address for worker in reversed(backend.cluster.workers)}
    addresses = list(one_each.values())[-MOST_HOSTS:]
    return {address: 2 * ECHO_BYTES / echo_seconds(backend.cluster.client, address) for address in addresses}


def _table(workers: list[Worker], speeds: Mapping[str, float]) -> Any:
    """Return a table of the workers."""
    rows = [
        [
            worker.address,
            worker.host,
            str(worker.threads),
            human.size(worker.memory) if worker.memory else "no limit",
            f"{human.size(speeds[worker.address])}/s" if worker.address in speeds else "-",
        ]
        for worker in workers[:MOST_WORKERS]
    ]
    rest = len(workers) - len(rows)
    title = f"Workers (the first {len(rows)} of {len(workers)})" if rest else "Workers"
    return grid(["worker", "host", "threads", "memory", "bandwidth"], rows, title)
