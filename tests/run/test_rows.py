"""Outputs that are broken off and go on: what they hold at the end, and what is not done twice."""

import os
import re
from functools import partial

import dask.array as da
import numpy as np
import pytest
import zarr
from distributed.comm import CommClosedError
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from zarr.storage import LocalStore

from crosses import cross
from dem import PPCA, Engine, GaussianMixture
from dem.em.progress import Silent
from dem.engine.cluster import local_cluster
from dem.run import draw_rows
from dem.run.rows import RowRequest, write_rows
from dem.source import open_source
from dem.source.generated import GeneratedSource
from dem.storage.lock import Interrupted
from run.counting import Counting

PARTS = 8
ROWS = PARTS * 1000 - 300
X = np.random.default_rng(7).normal(size=(ROWS, 4))
MIXTURE = GaussianMixture.from_parameters([0.5, 0.5], [[0.0] * 4, [1.0] * 4], [1.0, 1.0], "spherical")._fitted()
OTHER = GaussianMixture.from_parameters([0.5, 0.5], [[0.0] * 4, [-1.0] * 4], [1.0, 1.0], "spherical")._fitted()
FACTORS = PPCA(2).fit(X)._fitted()


class StopAfter(Silent):
    """Interrupts after so many partitions; keeps the notes on regions."""

    def __init__(self, partitions=None, error=KeyboardInterrupt):
        self.partitions, self.error, self.notes = partitions, error, []

    def advance(self, done, total):
        if done == self.partitions:
            raise self.error

    def note(self, text):
        if "regions" in text:
            self.notes.append(text)


@pytest.fixture
def data(tmp_path):
    """A source of eight partitions of two chunks each, on disk."""
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(500, 4))
    return of_store(tmp_path / "x.zarr")


def of_store(path):
    Counting.reads.clear()
    array = zarr.open_array(Counting(LocalStore(path, read_only=True)), mode="r")
    source = open_source(array, partition_bytes=1000 * 32)
    assert len(source.partitions) == PARTS
    return source


@pytest.fixture
def drawn():
    """Rows to be drawn, in eight partitions."""
    Counting.reads.clear()
    source = GeneratedSource(ROWS, 500, 4, np.dtype(np.float64), partition_bytes=1000 * 32)
    assert len(source.partitions) == PARTS
    return source


WHAT = {
    "label": lambda source: partial(write_rows, RowRequest.of(*MIXTURE, source, "label")),
    "proba": lambda source: partial(write_rows, RowRequest.of(*MIXTURE, source, "proba")),
    "score": lambda source: partial(write_rows, RowRequest.of(*MIXTURE, source, "score")),
    "latent": lambda source: partial(write_rows, RowRequest.of(*FACTORS, source, "latent")),
    "sample": lambda source: partial(draw_rows.write_drawn, *MIXTURE, source, seed=3),
}


@pytest.fixture(params=WHAT)
def write(request):
    """How to write each kind of output."""
    return WHAT[request.param](request.getfixturevalue("drawn" if request.param == "sample" else "data"))


@pytest.fixture(params=["disk", "url"])
def root(request, tmp_path):
    """Where to write."""
    (tmp_path / "out").mkdir()
    return str(tmp_path / "out") if request.param == "disk" else f"memory://{tmp_path.name}"


def everything_at(root):
    """Return all that is stored there, by its names."""
    if root.startswith("memory://"):
        files, folder = MemoryFileSystem(), root.removeprefix("memory:/")
    else:
        files, folder = LocalFileSystem(), root
    return {name.removeprefix(f"{folder}/"): files.cat(name) for name in files.find(folder)}


def chunks_of(everything, name):
    return {key: value for key, value in everything.items() if key.startswith(f"{name}/c/")}


def engine(partitions=None, workers=1, error=KeyboardInterrupt):
    return Engine(workers=workers, progress=StopAfter(partitions, error))


def interrupted(write, path, partitions, **options):
    with pytest.raises(Interrupted) as error:
        write(path, engine=engine(partitions), **options)
    assert "is kept: run the same command again to continue" in error.value.resumable


@cross("write, root", list(WHAT), ["disk", "url"], indirect=True)
def test_interrupted_five_times_is_as_if_never(write, root):
    write(f"{root}/straight.zarr", engine=engine())
    reads = sorted(Counting.reads)
    Counting.reads.clear()
    for done in range(5):
        run = engine(1)
        with pytest.raises(Interrupted):
            write(f"{root}/out.zarr", engine=run)
        assert [note.split(" are written")[0] for note in run.progress.notes] == [f"continuing: {done} of 8 regions"][
            :done
        ]
    write(f"{root}/out.zarr", engine=engine())
    assert sorted(Counting.reads) == reads  # each chunk once, in all six runs together
    found = everything_at(root)
    assert len(chunks_of(found, "out.zarr")) == 16
    assert list(chunks_of(found, "out.zarr").values()) == list(chunks_of(found, "straight.zarr").values())
    assert {key.split("/")[0] for key in found} == {"straight.zarr", "out.zarr"}
    attributes = [dict(zarr.open_array(f"{root}/{name}.zarr", mode="r").attrs) for name in ("straight", "out")]
    assert len({str({**each, "run": None}) for each in attributes}) == 1
    np.testing.assert_array_equal(*(zarr.open_array(f"{root}/{name}.zarr")[...] for name in ("straight", "out")))


@pytest.mark.parametrize("root", [pytest.param("disk", marks=pytest.mark.slow), "url"], indirect=True)
def test_what_goes_on_runs_where_the_rest_did(data, root, tmp_path):
    write = WHAT["proba"](data)
    write(f"{root}/straight.zarr", engine=engine())
    write = WHAT["proba"](open_source(tmp_path / "x.zarr", partition_bytes=1000 * 32))
    interrupted(write, f"{root}/out.zarr", 2)
    with pytest.raises(Interrupted):
        write(f"{root}/out.zarr", engine=engine(2, workers=2))
    if root.startswith("memory"):
        write(f"{root}/out.zarr", engine=engine(workers=2))
    else:
        with local_cluster(2) as client, client.as_current():
            run = engine()
            write(f"{root}/out.zarr", engine=run)
        assert re.fullmatch("continuing: [4567] of 8 regions .*", run.progress.notes[-1])
    found = everything_at(root)
    assert list(chunks_of(found, "out.zarr").values()) == list(chunks_of(found, "straight.zarr").values())


def flip(stored):
    return bytes([*stored[:9], stored[9] ^ 1, *stored[10:]])


@pytest.mark.parametrize("damage", [flip, lambda stored: stored[:-1], lambda stored: b"", None])
def test_damaged_regions_are_written_again(damage, data, tmp_path):
    write = WHAT["label"](data)
    write(tmp_path / "straight.zarr", engine=engine())
    interrupted(write, tmp_path / "out.zarr", 4)
    (partial_output,) = tmp_path.glob(".out.zarr.*.partial")
    for chunk in ("c/2", "c/7"):
        file = partial_output / chunk
        file.unlink() if damage is None else file.write_bytes(damage(file.read_bytes()))
    (partial_output / "c" / "3.0123.partial").write_bytes(b"of a worker that was killed")
    Counting.reads.clear()
    run = engine()
    write(tmp_path / "out.zarr", engine=run)
    assert len(set(Counting.reads)) == 2 * (4 + 2)
    if damage is None:
        assert [note.split(" are")[0] for note in run.progress.notes] == ["continuing: 2 of 8 regions"]
    else:
        assert [note.split(" are")[0] for note in run.progress.notes] == [
            "continuing: 4 of 8 regions",
            "2 of these regions",
        ]
    found = everything_at(str(tmp_path))
    assert list(chunks_of(found, "out.zarr").values()) == list(chunks_of(found, "straight.zarr").values())
    assert sorted(os.listdir(tmp_path)) == ["out.zarr", "straight.zarr", "x.zarr"]


def test_a_broken_document_of_an_unfinished_output(data, tmp_path):
    write = WHAT["label"](data)
    interrupted(write, tmp_path / "out.zarr", 4)
    (partial_output,) = tmp_path.glob(".out.zarr.*.partial")
    (partial_output / "zarr.json").write_text("{")
    write(tmp_path / "out.zarr", engine=engine())
    assert sorted(os.listdir(tmp_path)) == ["out.zarr", "x.zarr"]


def others(data, tmp_path):
    """Jobs that differ from the labels of x.zarr by MIXTURE in one thing each."""
    zarr.create_array(tmp_path / "y.zarr", data=X[::-1].copy(), chunks=(500, 4))
    zarr.create_array(tmp_path / "z.zarr", data=X, chunks=(250, 4))
    return {
        "model": partial(write_rows, RowRequest.of(*OTHER, data, "label")),
        "what": partial(write_rows, RowRequest.of(*MIXTURE, data, "score")),
        "place": partial(write_rows, RowRequest.of(*MIXTURE, of_store(tmp_path / "y.zarr"), "label")),
        "chunks": partial(write_rows, RowRequest.of(*MIXTURE, of_store(tmp_path / "z.zarr"), "label")),
    }


@cross("name, root", ["model", "what", "place", "chunks"], ["disk", "url"], indirect=["root"])
def test_what_another_job_left_is_replaced(name, data, root, tmp_path):
    interrupted(WHAT["label"](data), f"{root}/out.zarr", 5)
    other = others(data, tmp_path)[name]
    if root.startswith("memory"):
        with pytest.raises(
            FileExistsError, match="holds the unfinished results of another job: choose another name, or"
        ):
            other(f"{root}/out.zarr", engine=engine())
    run = engine()
    other(f"{root}/out.zarr", engine=run, overwrite=root.startswith("memory"))
    assert run.progress.notes == []
    other(f"{root}/straight.zarr", engine=engine())
    arrays = [zarr.open_array(f"{root}/{name}.zarr", mode="r") for name in ("out", "straight")]
    assert arrays[0].dtype == arrays[1].dtype
    np.testing.assert_array_equal(*(array[...] for array in arrays))
    assert {key.split("/")[0] for key in everything_at(root)} == {"straight.zarr", "out.zarr"}


def test_another_seed_is_another_job(drawn, tmp_path):
    interrupted(partial(draw_rows.write_drawn, *MIXTURE, drawn, seed=3), tmp_path / "out.zarr", 5)
    run = engine()
    draw_rows.write_drawn(*MIXTURE, drawn, tmp_path / "out.zarr", seed=4, engine=run)
    assert run.progress.notes == []
    draw_rows.write_drawn(*MIXTURE, drawn, tmp_path / "straight.zarr", seed=4, engine=engine())
    np.testing.assert_array_equal(*(zarr.open_array(tmp_path / f"{name}.zarr")[...] for name in ("out", "straight")))


def test_the_old_output_stands_until_the_new_one_is_whole(data, tmp_path):
    path = tmp_path / "out.zarr"
    WHAT["score"](data)(path, engine=engine())
    old = zarr.open_array(path, mode="r")[...]
    write = partial(WHAT["label"](data), overwrite=True)
    for _ in range(2):
        interrupted(write, path, 2)
        np.testing.assert_array_equal(zarr.open_array(path, mode="r")[...], old)
    with pytest.raises(FileExistsError, match="exists already"):
        WHAT["label"](data)(path, engine=engine())
    write(path, engine=engine())
    assert zarr.open_array(path, mode="r").attrs["what"] == "label"
    assert sorted(os.listdir(tmp_path)) == ["out.zarr", "x.zarr"]


def test_errors_of_the_data_leave_nothing(root, tmp_path):
    holed = X.copy()
    holed[5100, 2] = np.nan
    zarr.create_array(tmp_path / "x.zarr", data=holed, chunks=(500, 4))
    strict = partial(write_rows, RowRequest.of(*MIXTURE, of_store(tmp_path / "x.zarr"), "label", missing="error"))
    with pytest.raises(ValueError, match="row 5100 holds nan"):
        strict(f"{root}/out.zarr", engine=engine())
    assert everything_at(root) == {}
    interrupted(strict, f"{root}/out.zarr", 2)
    with pytest.raises(ValueError, match="row 5100 holds nan"):
        strict(f"{root}/out.zarr", engine=engine())
    assert everything_at(root) == {}


def test_a_chunk_that_cannot_be_read_now_can_be_later(data, root, tmp_path):
    WHAT["label"](data)(f"{root}/straight.zarr", engine=engine())
    file = tmp_path / "x.zarr" / "c" / "9" / "0"
    stored, times = file.read_bytes(), file.stat()

    def put(content):  # the store's listing stays what it was: it is the same data
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    put(bytes(100) + stored[100:])
    with pytest.raises(
        OSError, match=r"c/9/0 .*\. The finished part of .*out\.zarr is kept: run the same command again"
    ):
        WHAT["label"](data)(f"{root}/out.zarr", engine=engine())
    put(stored)
    run = engine()
    WHAT["label"](data)(f"{root}/out.zarr", engine=run)
    assert run.progress.notes[0].startswith("continuing: 4 of 8 regions")
    np.testing.assert_array_equal(*(zarr.open_array(f"{root}/{name}.zarr")[...] for name in ("out", "straight")))


def lost_scheduler():
    error = RuntimeError("The scheduler went away.")
    error.__cause__ = CommClosedError()
    return error


@pytest.mark.parametrize("error", [lost_scheduler(), MemoryError("Too much."), ConnectionError("Gone.")], ids=repr)
def test_it_goes_on_after_failures_around_it(error, data, root):
    with pytest.raises(type(error), match=r"(away|much|Gone)\. The finished part of .*out\.zarr is kept"):
        WHAT["label"](data)(f"{root}/out.zarr", engine=engine(3, error=error))
    run = engine()
    WHAT["label"](data)(f"{root}/out.zarr", engine=run)
    assert run.progress.notes[0].startswith("continuing: 3 of 8 regions")


def test_rows_that_do_not_add_up_are_not_trusted_later(data, root):
    error = RuntimeError("A pass summed 3 rows, but there are 4.")
    with pytest.raises(RuntimeError, match=r"summed 3 rows, but there are 4\.$"):
        WHAT["label"](data)(f"{root}/out.zarr", engine=engine(3, error=error))
    assert everything_at(root) == {}


def test_a_run_that_another_has_replaced_ends_and_leaves_it_alone(data, tmp_path):
    url = f"memory://{tmp_path.name}/out.zarr"
    write = WHAT["label"](data)
    write(f"memory://{tmp_path.name}/straight.zarr", engine=engine())

    class TakenOver(StopAfter):
        def advance(self, done, total):
            if done == 3:
                interrupted(write, url, 2)

    with pytest.raises(FileExistsError, match=r"Another run is writing .*out\.zarr: this run stops"):
        write(url, engine=Engine(workers=1, progress=TakenOver()))
    run = engine()
    write(url, engine=run)
    assert run.progress.notes[0].startswith("continuing: 5 of 8 regions")
    arrays = [zarr.open_array(f"memory://{tmp_path.name}/{name}.zarr", mode="r") for name in ("out", "straight")]
    np.testing.assert_array_equal(*(array[...] for array in arrays))


def test_a_run_whose_output_was_removed_writes_no_more(data, tmp_path):
    url = f"memory://{tmp_path.name}/out.zarr"

    class Removed(StopAfter):
        def advance(self, done, total):
            if done == 3:
                MemoryFileSystem().rm(f"/{tmp_path.name}/out.zarr", recursive=True)

    with pytest.raises(FileExistsError, match="Another run is writing"):
        WHAT["label"](data)(url, engine=Engine(workers=1, progress=Removed()))
    assert everything_at(f"memory://{tmp_path.name}") == {}


def test_a_dask_array_goes_on_by_its_name(root):
    def write(array, *args, **options):
        write_rows(RowRequest.of(*MIXTURE, open_source(array), "score"), *args, **options)

    x = da.from_array(X, chunks=(1000, 4), name="some-rows")
    with pytest.raises(Interrupted):
        write(x, f"{root}/out.zarr", engine=engine(3))
    run = engine()
    write(x, f"{root}/out.zarr", engine=run)
    assert run.progress.notes[0].startswith("continuing: ")
    write(x, f"{root}/straight.zarr", engine=engine())
    np.testing.assert_array_equal(*(zarr.open_array(f"{root}/{name}.zarr")[...] for name in ("out", "straight")))


def test_arrays_in_memory_are_not_kept_for_they_cannot_be_told_apart(root):
    request = RowRequest.of(*MIXTURE, open_source(X, partition_bytes=32_000), "label")
    with pytest.raises(KeyboardInterrupt) as error:
        write_rows(request, f"{root}/out.zarr", engine=engine(3))
    assert not isinstance(error.value, Interrupted)
    assert everything_at(root) == {}


def test_labels_of_zero_are_written_too(tmp_path):
    """Their chunks hold the fill value alone, which Zarr leaves out as a rule."""
    zarr.create_array(tmp_path / "x.zarr", data=X - 9, chunks=(500, 4))
    source = of_store(tmp_path / "x.zarr")
    interrupted(WHAT["label"](source), tmp_path / "out.zarr", 6)
    Counting.reads.clear()
    WHAT["label"](source)(tmp_path / "out.zarr", engine=engine())
    assert len(Counting.reads) == 4
    assert not zarr.open_array(tmp_path / "out.zarr")[...].any()
    assert len(list((tmp_path / "out.zarr" / "c").iterdir())) == 16


def test_data_rewritten_between_two_runs_are_other_data(data, tmp_path):
    """Labels of the rows as they were are not mixed with labels of those that came."""
    out, chunk = tmp_path / "out.zarr", tmp_path / "x.zarr" / "c" / "9" / "0"
    stored = chunk.read_bytes()
    chunk.write_bytes(stored[:100])
    with pytest.raises(OSError, match="is kept"):
        WHAT["label"](data)(out, engine=engine())
    array = zarr.open_array(tmp_path / "x.zarr", mode="r+")
    array[...] = -zarr.open_array(tmp_path / "x.zarr")[: 9 * array.chunks[0]].mean() * np.ones(array.shape)
    WHAT["label"](data)(out, engine=engine())
    WHAT["label"](data)(tmp_path / "straight.zarr", engine=engine())
    np.testing.assert_array_equal(zarr.open_array(out)[...], zarr.open_array(tmp_path / "straight.zarr")[...])
