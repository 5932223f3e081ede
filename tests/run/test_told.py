"""What a fit tells of its scan, its starts, its passes and its end, by every kind of sweep."""

import io
import re

import dask.array as da
import numpy as np
import pytest
import zarr
from distributed import Client

import dem
from crosses import mostly_slow
from dem.cli.progress import JSONLines
from dem.em.progress import Silent
from dem.estimators.progress_lines import Lines, Printed
from dem.source import open_source
from estimators.test_progress_lines import clock
from shared import ENDS_AT_MAX_ITER

PART, PARTITIONS, D = 1024, 8, 3
PARTITION_BYTES = 8 * PART * D
TINY = 1e-300
"""A `tol` that is never met, so that `max_iter` ends the fit; with a `tol` of 0 there are no estimates."""


@pytest.fixture(scope="module")
def x():
    """Rows of two clusters that overlap: EM is slow."""
    rng = np.random.default_rng(6)
    n = PART * PARTITIONS
    return np.array([[0.0] * D, [1.5] * D])[rng.integers(2, size=n)] + rng.normal(size=(n, D))


def mixture(progress, **settings):
    """Return a mixture whose start is cheap and poor."""
    settings = {"n_init": 3, "sample_size": 40, "max_iter": 6, "tol": TINY, **settings}
    return dem.GaussianMixture(2, engine=dem.Engine(progress=progress, **settings.pop("engine", {})), **settings)


@mostly_slow("sweep", ["serial", "threads", "dask", "cluster"], quick={"serial", "cluster"})
@ENDS_AT_MAX_ITER
def test_every_part_of_a_slow_fit_has_lines(sweep, x, tmp_path):
    """The clock moves 11 seconds each time it is read, so that every line is due."""
    stream = io.StringIO()
    lines = Lines(stream, clock(11))
    if sweep == "dask":
        mixture(lines).fit(da.from_array(x, chunks=(PART, D)))
    elif sweep == "cluster":
        zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(PART, D))
        with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=":0"):
            mixture(lines).fit(open_source(tmp_path / "x.zarr", partition_bytes=PARTITION_BYTES))
    else:
        engine = {"workers": 1 if sweep == "serial" else 2}
        mixture(lines, engine=engine).fit(open_source(x, partition_bytes=PARTITION_BYTES))
    told = stream.getvalue()
    for name in ("first scan", *(f"pass {i}" for i in range(1, 8))):
        assert re.search(rf"^{name}: 12%, about .* left, .* rows/s, .*B/s$", told, re.M), name
        assert len(re.findall(f"^{name}: ", told, re.M)) == PARTITIONS - 1  # after the last one the pass has a line
    assert re.search(r"^start on 40 rows: start [123] of 3, iteration \d+$", told, re.M)
    assert re.search(r"^start on 40 rows: best start [123] of 3, iteration \d+$", told, re.M)
    for i in range(1, 8):
        line = re.search(f"^pass {i} .*", told, re.M).group()
        assert bool(re.search(r"fit: about .* minutes? left$", line)) == (4 <= i < 7), line


class Expected(Silent):
    """Progress that keeps the estimates of the passes left, with the number of passes made."""

    def __init__(self):
        self.told = {}
        self.left = None

    def expect(self, left):
        self.left = left

    def end(self, state):
        if state is not None:
            self.told[len(state.history)] = self.left


def test_the_estimates_of_a_fit_bracket_its_end(x):
    progress = Expected()
    model = mixture(progress, tol=1e-8, max_iter=1000).fit(x)
    n = len(model.history_)
    assert model.converged_
    assert n > 20
    assert [progress.told[i] for i in (1, 2, 3)] == [None] * 3
    held = [left.least <= n - i <= left.most for i, left in progress.told.items() if 4 <= i < n]
    assert sum(held) >= 0.8 * len(held)
    last = progress.told[n - 1]
    assert last.least == 1
    assert last.most < 10


@ENDS_AT_MAX_ITER
def test_iterations_in_memory_have_estimates_too(x):
    progress = Expected()
    dem.FactorAnalysis(1, tol=TINY, max_iter=6, verbose=1, engine=dem.Engine(progress=progress)).fit(x)
    assert [progress.told[i].most for i in (4, 5, 6)] == [3, 2, 1]


@pytest.mark.parametrize("tol", [1e-4, 1e-7, 0])
def test_k_means_has_no_estimates(tol, x):
    """It stops at a step that is short enough, or at a pass in which no row moves: its objective does not say when."""
    progress = Expected()
    model = dem.KMeans(8, tol=tol, random_state=0, sample_size=100, engine=dem.Engine(progress=progress)).fit(x)
    assert model.converged_
    assert set(progress.told) == set(range(1, len(model.history_) + 1))
    assert len(progress.told) > 8
    assert set(progress.told.values()) == {None}


@ENDS_AT_MAX_ITER
def test_estimators_print_the_same_lines(x, capsys):
    mixture(Printed(3, clock(11))).fit(open_source(x, partition_bytes=PARTITION_BYTES))
    told = capsys.readouterr().out
    assert "first scan: 12%, " in told
    assert "start on 40 rows: start 1 of 3" in told
    assert "pass 2: 12%, " in told
    assert re.search(r"^pass 6 .*fit: about .* left$", told, re.M)
    assert not re.search(r"^pass 5 ", told, re.M)


def test_programs_get_the_lines_as_notes(x):
    stream = io.StringIO()
    dem.PPCA(1, engine=dem.Engine(progress=JSONLines(stream, clock(11)))).fit(
        open_source(x, partition_bytes=PARTITION_BYTES)
    )
    first = stream.getvalue().splitlines()[0]
    assert re.fullmatch(r'\{"event": "note", "text": "first scan: 12%, about .* left, .*"\}', first)
