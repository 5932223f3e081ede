"""The work of `make demo` by both kernels, and what the native one adds to an import and to an idle worker."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.common import Row, send
from dem.cli.commands.demo import rows_in_store, store_path, true_mixture, write_store_once

SIZE = 4 * 10**9
ROUNDS = 5

FIT = """
import json, sys, time, dem
from dem.cli.commands.demo import COMPONENTS, SEED
model = dem.GaussianMixture(COMPONENTS, random_state=SEED, engine=dem.Engine(memory="1GB"))
times = [time.perf_counter()]
model.fit(sys.argv[1])
times.append(time.perf_counter())
for what in ("label", "score"):
    model.write(sys.argv[1], sys.argv[2], what, overwrite=True)
    times.append(time.perf_counter())
seconds = [after - before for before, after in zip(times, times[1:])]
print(json.dumps([seconds, model.n_passes_, model.lower_bound_]))
"""

IMPORT = """
import json, time
begun = time.perf_counter()
import dem
print(json.dumps(time.perf_counter() - begun))
"""

IDLE = """
import json
from dem.engine.cluster import local_cluster
from dem.engine.sweep.process_memory import process_bytes
from dem.kernel.library import library

def loaded():
    library()
    return process_bytes()

if __name__ == "__main__":
    with local_cluster(1) as client:
        print(json.dumps([next(iter(client.run(work).values())) for work in (process_bytes, loaded)]))
"""


def answer(program: str, *arguments: str, kernel: str = "") -> object:
    """Return the JSON that a program prints."""
    command = [sys.executable, "-c", program, *arguments]
    environment = {**os.environ, "DEM_KERNEL": kernel}
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment).stdout)


def demo_rows(scratch: Path) -> list[Row]:
    """Return the rows of the fit, and of fit, labels and scores together."""
    n = rows_in_store(SIZE)
    path = store_path(scratch, n)
    write_store_once(true_mixture(), n, path)
    places = str(path), str(scratch / "bench-demo-output.zarr")
    (numpy, _, _), (native, passes, bound) = (answer(FIT, *places, kernel=kernel) for kernel in ("numpy", "native"))
    note = f"{native[0]:.1f} s, {passes} passes, {bound:.6f} nats a row"
    all_three = f"{native[0]:.1f} + {native[1]:.1f} + {native[2]:.1f} s"
    name = "of the demo, 4 GB in 1 GB of memory"
    return [
        Row(f"the fit {name}", "DEM_KERNEL=numpy", numpy[0] / native[0], 1.8, True, note),
        Row(f"fit, label and score {name}", "DEM_KERNEL=numpy", sum(numpy) / sum(native), 2, True, all_three),
    ]


def import_row() -> Row:
    """Return the row of the import."""
    ours = min(answer(IMPORT) for _ in range(ROUNDS))
    numpy = min(answer(IMPORT.replace("import dem", "import numpy")) for _ in range(ROUNDS))
    return Row("import dem", "import numpy", ours / numpy, 1, False, f"{1e3 * ours:.0f} ms / {1e3 * numpy:.0f} ms")


def idle_row() -> Row:
    """Return the row of an idle worker."""
    before, after = answer(IDLE)
    note = f"{after / 1e6:.1f} MB / {before / 1e6:.1f} MB"
    return Row(
        "an idle worker that has loaded the native kernel", "one that has not", after / before, 1.05, False, note
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch", type=Path)
    folder = parser.parse_args().scratch
    folder.mkdir(parents=True, exist_ok=True)
    send([*demo_rows(folder), import_row(), idle_row()])
