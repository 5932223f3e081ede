"""What a pass costs again when it loses workers."""

import os
import signal
import time
from collections import Counter

import pytest

from dem.core.stats import ARITY
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from engine.sweep.kernels import same_bits
from faults.scripted import Running, Script, held, silent, until


def beneath(key):
    """Return the partitions whose sums are in the result of a task; none for what all tasks need."""
    if isinstance(key, str):
        return range(0)
    level, i = (0, key[1]) if key[0].startswith("dem-sum") else key[1:]
    return range(i * ARITY**level, (i + 1) * ARITY**level)


@pytest.mark.slow
def test_losses_cost_no_more_than_what_was_lost(source, undisturbed, tmp_path):
    script = Script(tmp_path, gates=12)
    lost = Counter()

    def lose_one(client, gate):
        """Kill a worker when all wait at a gate; count what it held and was at."""

        def settled():
            alone = client.run_on_scheduler(held)
            at = {pid: part for pid, part in script.gated(gate).items() if pid in alone}
            if len(at) < 3:
                return None
            time.sleep(0.5)  # for what is on its way between workers and scheduler
            return (at, alone) if alone == client.run_on_scheduler(held) else None

        at, alone = until(settled, f"all workers to be at gate {gate}")
        loser = max(at, key=lambda pid: sum(len(beneath(key)) for key in alone[pid]))
        assert sum(len(beneath(key)) for key in alone[loser])
        lost[at[loser]] += 1
        lost.update(part for key in alone[loser] for part in beneath(key))
        os.kill(loser, signal.SIGKILL)
        (tmp_path / f"gate-{gate}").touch()

    with local_cluster(3) as client:
        total = Running(DaskSweep(source, client, silent), script)
        (tmp_path / "gate-0").touch()
        lose_one(client, 1)
        lose_one(client, 2)
        for gate in range(3, 10):
            (tmp_path / f"gate-{gate}").touch()
        assert same_bits(total.result(), undisturbed)
    again = script.times - Counter(range(40))
    assert again
    assert again <= lost
