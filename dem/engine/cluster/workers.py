"""The workers of a cluster: wait for them, and check them before the work begins."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import dask.config
import psutil
from distributed import Client
from distributed.versions import get_versions
from fsspec.core import url_to_fs

from dem.core import human
from dem.core.version import __version__
from dem.em.progress import WARNING
from dem.engine.sweep.memory_plan import Plan
from dem.kernel.kernel_id import NUMPY, KernelId

PACKAGES = ("numpy", "scipy", "zarr")
ECHO_BYTES = 16_000_000
METADATA_FILES = ("zarr.json", ".zarray")
ON_THIS_MACHINE = ("file://", "local://", "memory://")


@dataclass(frozen=True)
class Worker:
    """A worker's address, resources and versions.

    Attributes
    ----------
    address : str
    host : str
        Name of its host.
    threads : int
    memory : int
        Memory limit in bytes; 0 if there is none.
    machine_kind : str
        Processor and BLAS: see `dem.core.blas.machine_kind`.
    versions : dict of str
        Versions of python, dem, numpy, scipy and zarr.
    kernel_digest : str
        The digest of its native kernel; "" if it has none.
    """

    address: str
    host: str
    threads: int
    memory: int
    machine_kind: str
    versions: dict[str, str]
    kernel_digest: str = ""


def wait_for_workers(client: Client, wanted: int, seconds: float) -> int:
    """Wait for `wanted` workers, but at most for `seconds`; return how many there are."""
    wake = client.submit(int, pure=False)  # an adaptive cluster starts workers only when there is work
    try:
        with suppress(TimeoutError):
            client.wait_for_workers(wanted, timeout=seconds)
    finally:
        wake.release()
    return len(client.scheduler_info(n_workers=-1)["workers"])


def inspect_workers(client: Client) -> list[Worker]:
    """Return the workers with their resources and versions.

    Raises
    ------
    RuntimeError
        A worker has another version of Python, dem, NumPy, SciPy or Zarr than this process; the message names the
        worker and both versions.
    """
    running = client.scheduler_info(n_workers=-1)["workers"]
    answer: Any = client.get_versions(packages=list(PACKAGES))
    versions = {address: _versions(its["packages"]) for address, its in answer["workers"].items() if address in running}
    here = _versions(get_versions(PACKAGES)["packages"])
    for address, its in versions.items():  # before code is sent, which another version of Python might not run
        _compare(address, running[address]["host"], {"python": its["python"]}, here)
    here["dem"] = __version__
    found = []
    for address, answer in client.run(_identify(), workers=list(versions), on_error="return").items():
        if isinstance(answer, Exception):
            continue  # this worker has left
        host, dem, machine, digest = answer
        its = {**versions[address], "dem": dem}
        _compare(address, host, its, here)
        info = running[address]
        found.append(Worker(address, host, info["nthreads"], info["memory_limit"] or 0, machine, its, digest))
    return found


def check_kernel(workers: Sequence[Worker], kernel: KernelId) -> None:
    """Check that all workers have the kernel of a fit.

    Raises
    ------
    RuntimeError
        A worker does not have it; the message names the worker and its host.
    """
    for worker in workers:
        if kernel != NUMPY and worker.kernel_digest != kernel.digest:
            digest = worker.kernel_digest
            has = f"native kernel {digest}" if digest else "no native kernel (`dem doctor` there says why)"
            raise RuntimeError(
                f"Worker {worker.address} on host {worker.host} has {has}, but this process has {kernel}: install dem "
                "on both in the same way, or set DEM_KERNEL=numpy for this process."
            )


def machine_warnings(workers: Sequence[Worker], here: str) -> list[str]:
    """Return a warning for each kind of processor and BLAS among the workers that differs from this process.

    Parameters
    ----------
    workers : sequence of Worker
    here : str
        The kind of machine of this process: see `dem.core.blas.machine_kind`.
    """
    kinds = sorted({worker.machine_kind for worker in workers})
    then = "results may differ in the last bits" + (" from run to run" if len(kinds) > 1 else "")
    warnings = []
    for kind in kinds:
        if kind != here:
            hosts = sorted({worker.host for worker in workers if worker.machine_kind == kind})
            where = f"host {hosts[0]}" + (f" and {len(hosts) - 1} more" if len(hosts) > 1 else "")
            warnings.append(f"{WARNING}workers on {where} compute with {kind}, this process with {here}: {then}")
    return warnings


def describe(workers: Sequence[Worker]) -> str:
    """Return the workers in words: "4 workers on 2 hosts, 8 threads, 16 GB"."""
    hosts, threads = len({worker.host for worker in workers}), sum(worker.threads for worker in workers)
    limits = [worker.memory for worker in workers]
    memory = f", {human.size(sum(limits))}" if all(limits) else ""
    counted = (human.plural(len(workers), "worker"), human.plural(hosts, "host"), human.plural(threads, "thread"))
    return f"{counted[0]} on {counted[1]}, {counted[2]}{memory}"


def echo_seconds(client: Client, address: str) -> float:
    """Return how many seconds `ECHO_BYTES` take to a worker and back, the way parameters and statistics travel."""
    client.run(_echo, b"", workers=[address])  # so that the time to import this module is not measured
    chunk = os.urandom(ECHO_BYTES)
    begun = time.perf_counter()
    (back,) = client.run(_echo, chunk, workers=[address]).values()
    seconds = time.perf_counter() - begun
    if back != chunk:
        raise RuntimeError(f"Worker {address} returned other bytes than it received: check the network to its host.")
    return seconds


def check_memory(client: Client, plan: Plan) -> None:
    """Check that the tasks of a pass fit into the memory of every worker.

    Parameters
    ----------
    client : Client
    plan : Plan
        Its `n_workers` is not used: a worker runs one task per thread at the same time.

    Raises
    ------
    MemoryError
        The message has the memory that the pass needs on a worker, and the worker's limit.
    """
    found = client.scheduler_info(n_workers=-1)["workers"]
    limited = [address for address, worker in found.items() if worker["memory_limit"]]
    for address, answer in client.run(_memory_state, workers=limited, on_error="return").items() if limited else ():
        if isinstance(answer, Exception):
            continue  # this worker has left
        resting, worker = max(plan.worker_bytes, answer.resting), found[address]
        limit, threads = worker["memory_limit"], worker["nthreads"]
        needed = max((resting + threads * plan.task_bytes) / answer.ends_at, resting / answer.pauses_at)
        if needed <= limit:
            continue
        tasks = f"{human.plural(threads, 'task')} at a time, {human.size(plan.task_bytes)} each"
        room = f"; Dask stops it at {answer.ends_at:.0%} of its limit" if answer.ends_at < 1 else ""
        fewer = " or fewer threads" if threads > 1 else ""
        chunks = ", or rechunk the data to smaller chunks" if resting < limit * answer.pauses_at else ""
        raise MemoryError(
            f"Worker {address} on host {worker['host']} may use {human.size(limit)}, but a pass over {plan.name} needs "
            f"{human.size(needed)} there ({human.size(resting)} when idle, and {tasks}{room}): give the workers more "
            f"memory{fewer}{chunks}."
        )


def check_visible(client: Client, places: Iterable[str]) -> None:
    """Check that every worker sees the same files at these paths as this process.

    Parameters
    ----------
    client : Client
    places : iterable of str
        Paths and URLs in the form of `dem.source.stores`; remote URLs are not checked.

    Raises
    ------
    OSError
        A worker does not; the message names the worker, its host and the path.
    """
    here = {place: metadata_at(place) for place in places if "://" not in place or place.startswith(ON_THIS_MACHINE)}
    if not here:
        return
    hosts = client.scheduler_info(n_workers=-1)["workers"]
    for address, seen in client.run(partial(_see, list(here)), on_error="return").items():
        if isinstance(seen, Exception):
            continue
        for place, its in zip(here, seen, strict=True):
            if its == here[place]:
                continue
            what = "cannot see" if its is None else "has other files at"
            host = hosts.get(address, {}).get("host", "unknown")  # unknown if the worker came just now
            raise OSError(
                f"Worker {address} on host {host} {what} {place}: put the data where all hosts can read them, or at a "
                "URL such as s3://."
            )


def metadata_at(place: str) -> bytes | None:
    """Return the Zarr metadata at a path or URL; b"" if something else is there, None if nothing is there."""
    files, root = url_to_fs(place)
    for name in METADATA_FILES:
        path = f"{root.rstrip('/')}/{name}"
        if files.isfile(path):
            return bytes(files.cat_file(path))
    return b"" if files.exists(root) else None


@dataclass(frozen=True)
class MemoryState:
    """The memory of an idle worker.

    Attributes
    ----------
    resting : int
        Memory of its process in bytes.
    pauses_at, ends_at : float
        Shares of its memory limit at which Dask pauses and stops the worker; 1 if Dask does not.
    """

    resting: int
    pauses_at: float
    ends_at: float


def _memory_state() -> MemoryState:
    """Return the memory state of the worker that runs this. Importing this module loads most of what tasks import."""
    pause, terminate = (dask.config.get(f"distributed.worker.memory.{key}") for key in ("pause", "terminate"))
    return MemoryState(psutil.Process().memory_info().rss, float(pause or 1), float(terminate or 1))


def _echo(value: bytes) -> bytes:
    return value


def _see(places: Sequence[str]) -> list[bytes | None]:
    return [metadata_at(place) for place in places]


def _versions(packages: dict[str, Any]) -> dict[str, str]:
    python = ".".join(str(packages["python"]).split(".")[:2])
    return {"python": python, **{name: packages.get(name) or "" for name in PACKAGES}}


def _compare(address: str, host: str, its: dict[str, str], here: dict[str, str]) -> None:
    """Refuse a worker whose versions differ from those of this process."""
    for name, version in its.items():
        has = f"{name} {version}" if version else f"no {name}"
        if version != here[name]:
            raise RuntimeError(
                f"Worker {address} on host {host} has {has}, but this process has {name} {here[name]}: install the "
                "same version on both."
            )


def _identify() -> Callable[[], tuple[str, str, str, str]]:
    """Return a function that returns host, version of dem, kind of machine, and the digest of its native kernel.

    Workers may not have dem; then the last three are "".

    A nested function is sent as code, not by its name. It imports dem by name, to get the worker's own version.
    """

    def identify() -> tuple[str, str, str, str]:
        import importlib
        import socket
        from contextlib import suppress

        version = machine = digest = ""
        with suppress(ImportError):
            version = importlib.import_module("dem").__version__
            machine = importlib.import_module("dem.core.blas").machine_kind()
            found = importlib.import_module("dem.kernel.library").library()
            digest = "" if found is None else found.digest
        return socket.gethostname(), version, machine, digest

    return identify
