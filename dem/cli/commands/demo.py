"""dem demo: a small fit with a picture, then the main job: a store larger than the memory limit."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from rich.console import Console
from rich.text import Text
from scipy.optimize import linear_sum_assignment

from dem import plot
from dem.cli.commands.picture import rendered
from dem.cli.commands.session import console_for_results
from dem.cli.commands.tables import facts, grid, parameter_tables
from dem.cli.progress import choose_progress
from dem.core import human
from dem.core.block import Float
from dem.engine.engine import Engine
from dem.engine.sweep.process_memory import PeakMemory
from dem.estimators import GaussianMixture, load
from dem.source.stores import require_local_path
from dem.storage.files import write_files

OLD_FAITHFUL = Path(__file__).parents[1] / "data" / "old_faithful.zarr"

COMPONENTS = COLUMNS = 16
SEED = 0
CHUNK_ROWS = 2**18
"""Rows in a chunk of the store: 17 MB in float32."""

LEAST_ROWS = 5000
"""With fewer rows, the components of the main job cannot be told apart."""


def run_demo(size: int, memory: int | None, scratch: str, workers: int | None = None) -> None:
    """Run both parts and print the results.

    Parameters
    ----------
    size : int
        Size of the store of the main job, in bytes.
    memory : int or None
        Memory limit of this process and its child processes, in bytes.
    scratch : str
        Folder for all files. A store that an earlier run has written there is used again.
    workers : int, optional
        Largest number of worker processes.
    """
    console, folder = console_for_results(), require_local_path(scratch, "the scratch folder")
    folder.mkdir(parents=True, exist_ok=True)
    old_faithful(console, folder)
    with closing(choose_progress()) as progress:
        main_job(console, folder, size, Engine(memory=memory, workers=workers, progress=progress))


def old_faithful(console: Console, folder: Path) -> None:
    """Fit two components to the eruptions of Old Faithful, and draw them."""
    console.print(_titled("Old Faithful", "272 eruptions, a mixture of two Gaussians"))
    array = zarr.open_array(OLD_FAITHFUL, mode="r")
    labels: Any = array.attrs["labels"]
    # The start uses only 25 rows, so that the fit needs some passes that can be shown.
    model = GaussianMixture(2, tol=1e-6, n_init=1, sample_size=25, random_state=SEED).fit(array)
    picture = folder / "old_faithful.png"
    drawn = plot.figure(model, np.asarray(array[...]), labels=labels)
    write_files({str(picture): rendered(drawn, picture)}, overwrite=True)
    for table in parameter_tables(model, labels):
        console.print(table)
    console.print(f"Log-likelihood {model.lower_bound_:.6f} nats a row after {model.n_passes_} passes.")
    console.print(f"Picture: {picture}\n", highlight=False)


def main_job(console: Console, folder: Path, size: int, engine: Engine) -> None:
    """Write a store drawn from a known mixture, fit it, label its rows, and compare with the true parameters."""
    limit = engine.memory_bytes
    known = true_mixture()
    n = rows_in_store(size)
    path = store_path(folder, n)
    nbytes = n * COLUMNS * 4
    within = "" if limit is None else f", in {human.size(limit)} of memory"
    rows = f"{human.size(nbytes)} ({human.count(n)} rows x {COLUMNS} float32)"
    console.print(_titled("The main job", f"{rows}, drawn from {COMPONENTS} Gaussians{within}"))
    known.set_params(engine=engine)
    with PeakMemory() as memory:
        writing = timed("writing", lambda: write_store_once(known, n, path), 1)
        model = GaussianMixture(COMPONENTS, random_state=SEED, engine=engine)
        fitting = timed("fitting", lambda: model.fit(path), 0)
        model.save(folder / "model.zarr", overwrite=True)
        labels = folder / "labels.zarr"
        labelling = timed("labelling", lambda: model.write(path, labels, "label", overwrite=True), 1)
        scoring = timed("scoring the truth", lambda: known.score(path), 1)
    steps = [writing, TimedStep(fitting.name, model.n_passes_, fitting.seconds), labelling, scoring]
    console.print(grid(["step", "passes", "time", "rows/s", "bytes/s"], [s.row(n, nbytes) for s in steps]))
    means, weights = worst_errors(model, known)
    console.print(
        facts(
            {
                "peak memory": f"{human.size(memory.peak)} of all processes together"
                + ("" if limit is None else f"; the limit was {human.size(limit)}"),
                "log-likelihood": f"{model.lower_bound_:.6f} fitted, {scoring.result:.6f} true (nats a row)",
                "means": f"the worst is {means:.2g} standard deviations from the true one",
                "weights": f"the worst is {weights:.2g} from the true one",
                "store": f"{path}" + ("" if writing.result else " (from an earlier run)"),
                "model, labels": f"{folder / 'model.zarr'}, {labels}",
            }
        ),
        highlight=False,
    )


def _titled(title: str, text: str) -> Text:
    """Return a line that begins with a bold title."""
    return Text.assemble((title, "bold"), f": {text}")


@dataclass(frozen=True)
class TimedStep:
    """A timed part of the main job."""

    name: str
    passes: int
    seconds: float
    result: Any = None

    def row(self, n: int, nbytes: int) -> list[str]:
        """Return the row of the table; if the result is False, the step was skipped."""
        if self.result is False:
            return [self.name, "0", "-", "-", "-"]
        speed = self.passes / max(self.seconds, 1e-9)
        rates = [human.count(n * speed), human.size(nbytes * speed)]
        return [self.name, str(self.passes), human.seconds(self.seconds), *rates]


def timed(name: str, work: Callable[[], Any], passes: int) -> TimedStep:
    """Call `work`, and return its result and the time it took."""
    started = time.perf_counter()
    result = work()
    return TimedStep(name, passes, time.perf_counter() - started, result)


def rows_in_store(size: int) -> int:
    """Return the number of rows in a store of `size` bytes.

    Raises
    ------
    ValueError
        If there are fewer than `LEAST_ROWS`.
    """
    n = size // (COLUMNS * 4)
    if n < LEAST_ROWS:
        least = human.size(LEAST_ROWS * COLUMNS * 4)
        raise ValueError(f"A store of {human.size(size)} is too small for the demo: give it at least {least}.")
    return n


def store_path(folder: Path, n: int) -> Path:
    """Return the path of the store with n rows."""
    return folder / f"mixture-{n}x{COLUMNS}-seed{SEED}.zarr"


def true_mixture(seed: int = SEED) -> GaussianMixture:
    """Return the mixture that the data are drawn from: it has full covariances, and the components overlap a little."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(COMPONENTS, 8.0))
    means = rng.normal(scale=0.6, size=(COMPONENTS, COLUMNS))
    factors = rng.normal(size=(COMPONENTS, COLUMNS, 2 * COLUMNS)) / np.sqrt(2 * COLUMNS)
    covariances = factors @ factors.transpose(0, 2, 1)
    return GaussianMixture.from_parameters(weights, means, covariances, "full")


def write_store_once(known: GaussianMixture, n: int, path: Path) -> bool:
    """Write n rows drawn from the mixture, unless an earlier run has written them; return whether they were written.

    The mixture is saved next to the rows when all of them are written. A later run compares it with its own mixture.
    """
    truth_path = path.with_suffix(".truth.zarr")
    if path.exists() and truth_path.exists():
        earlier, array = load(truth_path), zarr.open_array(path, mode="r")
        names = ("weights_", "means_", "covariances_")
        same = all(np.array_equal(getattr(earlier, a), getattr(known, a)) for a in names)
        if same and array.shape == (n, COLUMNS):
            return False
    needed, free = n * COLUMNS * 4, shutil.disk_usage(path.parent).free
    if free < 1.1 * needed:
        raise OSError(
            f"The store takes {human.size(needed)}, but {path.parent} has only {human.size(free)} left: "
            "choose a smaller --size or another --scratch."
        )
    known.write_sample(n, path, dtype="float32", chunk_rows=min(n, CHUNK_ROWS), overwrite=True)
    known.save(truth_path, overwrite=True)
    return True


def worst_errors(model: GaussianMixture, known: GaussianMixture) -> tuple[float, float]:
    """Return the largest error of a mean and the largest error of a weight, after matching components.

    Means are measured in the standard deviations of the true components (Mahalanobis).
    """
    offsets = model.means_[:, None, :] - known.means_[None]
    squared: Float = np.einsum("ijd,jde,ije->ij", offsets, known.precisions_, offsets)
    found, true = linear_sum_assignment(squared)
    means = np.sqrt(squared[found, true]).max()
    weights = np.abs(model.weights_[found] - known.weights_[true]).max()
    return float(means), float(weights)
