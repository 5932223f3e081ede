"""What a pass costs when rows cost nothing: the client, the scheduler, the network, for up to a million chunks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import zarr
from distributed import Client
from distributed.comm.tcp import TCP
from zarr.storage import LoggingStore, MemoryStore

from benchmarks.common import Row, send, timed
from benchmarks.free import FreeKernel, FreeSource
from dem.core.stats import ARITY
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.graph import pass_graph
from dem.engine.sweep.process_memory import process_bytes
from dem.source import open_source

CHUNKS = (10**3, 10**5, 10**6)
NUMBERS = 16 * (1 + 16 + 16 * 17 // 2)
"""Statistics of 16 components with full covariances in 16 columns."""
SMALL = 2 * (1 + 2 + 3)
"""Of 2 components in 2 columns: here Dask's own messages are what travels."""
PASSES = 200
ROUNDS = 3

sent = 0


def count_bytes() -> None:
    """Count what this process sends from now on, on all its connections."""
    write = TCP.write

    async def counting(self: TCP, *arguments: object, **options: object) -> int:
        global sent
        nbytes: int = await write(self, *arguments, **options)
        sent += nbytes
        return nbytes

    TCP.write = counting


def sent_here() -> int:
    """Return the bytes that this process has sent since `count_bytes`."""
    from benchmarks import scale  # not __main__, which is another module of the same name

    return scale.sent


def quiet(done: int, total: int) -> None:
    """Progress that is asked for, as in a fit, and says nothing."""


def depth(n: int) -> int:
    """Return the levels of the tree above n sums."""
    return 0 if n == 1 else 1 + depth(-(-n // ARITY))


@contextmanager
def counted(n_workers: int) -> Iterator[tuple[Client, Callable[[], int]]]:
    """Yield a client of a local cluster, and what all its processes and this one have sent so far."""
    from benchmarks import scale

    with local_cluster(n_workers) as client:
        scale.count_bytes()
        client.run(scale.count_bytes)
        client.run(scale.sent_here)
        yield client, lambda: scale.sent_here() + sum(client.run(scale.sent_here).values())


def planning() -> Row:
    """Time from an address to a graph, for a Zarr array of a million chunks of 1 MiB."""
    like = FreeSource(CHUNKS[-1])
    store = LoggingStore(MemoryStore(), log_level="CRITICAL")
    chunk = (like.chunk_rows, like.n_columns)
    zarr.create_array(store, shape=(like.n_rows, like.n_columns), chunks=chunk, dtype="f4")
    kernel = FreeKernel(np.zeros(NUMBERS))

    def plan() -> int:
        return len(pass_graph(open_source(zarr.open_array(store, mode="r")), kernel).leaves)

    seconds = min(timed(plan)() for _ in range(ROUNDS))
    store.counter.clear()
    n, calls = plan(), store.counter
    listed = sum(count for name, count in calls.items() if name.startswith("list"))
    note = f"{n} partitions; {sum(calls.values())} calls of the store, {listed} of them to list"
    return Row("planning, Zarr, 10^6 chunks", "seconds", seconds, 5, False, note)


def passes(client: Client, sent: Callable[[], int]) -> Iterator[Row]:
    """Measure passes over sources of 1 MiB chunks."""
    per_task = {}
    for n_chunks, numbers in [*((n, NUMBERS) for n in CHUNKS), (CHUNKS[-1], SMALL)]:
        kernel, source = FreeKernel(np.zeros(numbers)), FreeSource(n_chunks)
        n, size = len(source.partitions), kernel.nbytes
        seconds, used, moved = measured(lambda s=source, k=kernel: DaskSweep(s, client, quiet)(k), sent)
        per_task[n_chunks, numbers] = moved / n
        case = f"a pass, 10^{round(np.log10(n_chunks))} chunks, {size / 1e3:.1f} kB of parameters and statistics"
        note = f"{n} tasks, {depth(n)} levels of the tree; client and scheduler {1e3 * used / n:.2f} ms of CPU a task"
        yield Row(case, "ms a task", 1e3 * seconds / n, 3, False, note)
        yield Row(case, "seconds", seconds, 8, False, note)
        note = f"{moved / n / 1e3:.1f} kB a task" + (
            "; nearly all of it Dask's own messages" if numbers == SMALL else ""
        )
        peer = "bytes moved / (parameters + statistics) x tasks"
        yield Row(case, peer, moved / n / size, 2, False, note)
    grown = per_task[CHUNKS[-1], NUMBERS] / per_task[CHUNKS[-2], NUMBERS]
    yield Row("bytes moved a task, 10 times the rows", "as many rows", grown, 1.1, False)


def measured(run: Callable[[], object], sent: Callable[[], int]) -> tuple[float, float, float]:
    """Return the least seconds, CPU seconds of this process, and bytes sent, of some runs after a first one."""
    run()
    found = []
    for _ in range(ROUNDS):
        before, used = sent(), time.process_time()
        found.append((timed(run)(), time.process_time() - used, sent() - before))
    seconds, used, moved = map(min, zip(*found, strict=True))
    return seconds, used, moved


def memory(client: Client) -> Row:
    """Let passes go by, and compare this process, which has the scheduler in it, before and after."""
    kernel, sweep = FreeKernel(np.zeros(NUMBERS)), DaskSweep(FreeSource(10**4), client, quiet)
    n = len(sweep.source.partitions)
    for _ in range(20):
        sweep(kernel)
    before = process_bytes()
    for _ in range(PASSES):
        sweep(kernel)
    grown = process_bytes() / before
    note = f"{n} tasks each; {before / 1e6:.0f} MB before"
    return Row(f"client and scheduler, {PASSES} passes", "memory after / before", grown, 1.1, False, note)


def main() -> None:
    """Measure; print rows."""
    rows = [planning()]
    with counted(2) as (client, sent):
        rows += passes(client, sent)
        rows.append(memory(client))
    send(rows)


if __name__ == "__main__":
    main()
