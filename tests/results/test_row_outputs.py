import os
from functools import partial
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from fsspec.implementations.memory import MemoryFileSystem
from zarr.storage import MemoryStore

from crosses import cross
from dem.em.row_output import RowOutput
from dem.engine.cluster import local_cluster
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.results import row_outputs
from dem.results.row_outputs import Destination, collect
from dem.source import evaluate, open_source
from dem.source.generated import GeneratedSource

X = np.random.default_rng(4).normal(size=(5003, 4))


def largest(block):
    return np.argmax(block.x, axis=1) if len(block.x) else np.empty(0, np.int64)


def doubled(block):
    return 2 * block.x[:, :2]


def constant(function):
    return function


def results(dtype, columns=None):
    return RowOutput("toy", "", np.dtype(dtype), columns)


def lazy(source, make_rows, dtype, columns=None):
    return row_outputs.lazy(source, make_rows, results(dtype, columns))


def write(sweep, source, make_rows, path, dtype, columns=None, **options):
    return row_outputs.write(sweep, source, make_rows, Destination(path, results(dtype, columns), **options))


make_largest, make_doubled = partial(constant, largest), partial(constant, doubled)


def make_store(store, **layout):
    z = zarr.create_array(store, shape=X.shape, dtype=X.dtype, **layout)
    z[:] = X
    return z


SOURCES = {
    "zarr": lambda: open_source(make_store(MemoryStore(), chunks=(200, 4)), partition_bytes=40_000),
    "sharded": lambda: open_source(make_store(MemoryStore(), chunks=(50, 4), shards=(400, 4))),
    "array": lambda: open_source(X, partition_bytes=40_000),
    "dask": lambda: open_source(da.from_array(X, chunks=(700, 3))),
}
SWEEPS = {"serial": SerialSweep, "threads": partial(ThreadSweep, n_threads=2), "dask": DaskSweep}


@pytest.fixture(params=SOURCES.values(), ids=SOURCES)
def source(request):
    return request.param()


def test_lazy(source):
    labels = lazy(source, make_largest, np.int64)
    assert labels.chunks == (source.row_chunks,)
    da.utils.assert_eq(labels, X.argmax(1))
    both = lazy(source, make_doubled, np.float32, 2)
    assert both.dtype == np.float32
    da.utils.assert_eq(both[1000:3000], (2 * X[1000:3000, :2]).astype(np.float32))


def test_lazy_with_unknown_sizes():
    x = da.from_array(X, chunks=(700, 3))
    labels = lazy(open_source(x[x[:, 0] > 1]), make_largest, np.int64)
    assert np.isnan(labels.shape[0])
    np.testing.assert_array_equal(labels.compute(), X[X[:, 0] > 1].argmax(1))


@pytest.mark.parametrize("layout", [{"chunks": (10_000, 2)}, {"chunks": (5000, 1), "shards": (20_000, 2)}])
def test_lazy_blocks_are_small_however_large_the_store(layout):
    z = zarr.create_array(MemoryStore(), shape=(10**9, 2), dtype="f4", **layout)  # 8 GB; nothing is stored
    source = open_source(z)
    unit = layout.get("shards", layout["chunks"])[0]
    for columns, dtype in ((None, np.int64), (64, np.float32), (2, np.float16)):
        out = lazy(source, make_largest, dtype, columns)
        row = max(8, (columns or 1) * np.dtype(dtype).itemsize)
        (*rows, _) = out.chunks[0]
        assert out.shape[0] == 10**9
        assert all(n % unit == 0 for n in rows)
        assert 2**25 < max(rows) * row <= 2**26 + unit * row
    assert lazy(open_source(z[:1000]), make_doubled, float, 2).numblocks == (1, 1)


def test_lazy_keeps_no_cap_on_the_number_of_blocks():
    z = zarr.create_array(MemoryStore(), shape=(10**12, 1), chunks=(10**8, 1), dtype="f4")  # 4 TB
    assert len(open_source(z).partitions) <= 2000
    assert max(lazy(open_source(z), make_largest, np.int8).chunks[0]) == 10**8
    assert lazy(open_source(z), make_largest, np.int8).npartitions == 10**4


@pytest.mark.parametrize("weights", [None, "numpy", "dask", "zarr"])
def test_cut_rows_keep_their_weights(weights):
    w = np.random.default_rng(5).uniform(size=len(X))
    given = {"numpy": w, "dask": da.from_array(w, chunks=77), "zarr": make_weights(w), None: None}[weights]
    for data in (make_store(MemoryStore(), chunks=(200, 4)), X, da.from_array(X, chunks=(700, 3))):
        source = open_source(data, given)
        cut = source.for_results(64, 30_000)
        assert len(cut.partitions) >= len(source.partitions)
        blocks = [block for p in cut.partitions for block in evaluate(p).blocks()]
        np.testing.assert_array_equal(np.concatenate([b.x for b in blocks]), X)
        assert [b.keys.first for b in blocks] == [0, *np.cumsum([len(b.x) for b in blocks])[:-1]]
        if weights is not None:
            np.testing.assert_array_equal(np.concatenate([b.weight for b in blocks]), w)


def make_weights(w):
    z = zarr.create_array(MemoryStore(), shape=w.shape, chunks=(77,), dtype=w.dtype)
    z[:] = w
    return z


def test_a_lazy_block_is_computed_by_parts(monkeypatch):
    monkeypatch.setattr(row_outputs, "RESULT_BYTES", 1600)
    seen = []

    def watched(block):
        seen.append((block.keys.first, len(block.x)))
        return doubled(block)

    source = open_source(da.from_array(X, chunks=(700, 3)))
    result = lazy(source, partial(constant, watched), np.float64, 2)
    np.testing.assert_array_equal(result.compute(scheduler="synchronous"), 2 * X[:, :2])
    assert max(n for _, n in seen) == 100
    assert sorted(first for first, _ in seen) == [
        a for b in range(0, 5003, 700) for a in range(b, min(b + 700, 5003), 100)
    ]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_collect(n_threads):
    source = open_source(X, partition_bytes=40_000)
    np.testing.assert_array_equal(collect(source, make_largest, n_threads), X.argmax(1))
    np.testing.assert_array_equal(collect(source, make_doubled, n_threads), 2 * X[:, :2])
    x = da.from_array(X, chunks=700)
    with pytest.raises(ValueError, match="unknown number of rows"):
        collect(open_source(x[x[:, 0] > 1]), make_largest)


@cross("make_source, sweep", SOURCES, SWEEPS)
def test_write(make_source, sweep, tmp_path):
    source = make_source()
    path = tmp_path / "labels.zarr"
    out = write(sweep(source), source, make_largest, path, np.int32, attributes={"model": "toy"})
    np.testing.assert_array_equal(out[:], X.argmax(1))
    assert out.metadata.zarr_format == 3
    assert out.chunks == (min(source.chunk_rows, len(X)),)
    assert out.attrs["model"] == "toy"
    both = write(sweep(source), source, make_doubled, str(tmp_path / "both.zarr"), np.float64, 2)
    np.testing.assert_array_equal(both[:], 2 * X[:, :2])
    assert sorted(os.listdir(tmp_path)) == ["both.zarr", "labels.zarr"]


def test_an_existing_output_is_kept_until_the_end(tmp_path):
    source = open_source(X, partition_bytes=40_000)
    path = tmp_path / "labels.zarr"
    write(SerialSweep(source), source, make_largest, path, np.int32)

    def never():
        raise AssertionError("work began")

    with pytest.raises(FileExistsError, match=r"labels.zarr exists already"):
        write(SerialSweep(source), source, never, path, np.int32)

    def sees_the_old_one():
        assert zarr.open_array(path, mode="r").shape == (5003,)
        return doubled

    write(SerialSweep(source), source, sees_the_old_one, path, np.float64, 2, overwrite=True)
    assert zarr.open_array(path, mode="r").shape == (5003, 2)
    assert os.listdir(tmp_path) == ["labels.zarr"]
    (tmp_path / "precious").mkdir()
    with pytest.raises(FileExistsError, match="only results that dem wrote are overwritten"):
        write(SerialSweep(source), source, never, tmp_path / "precious", np.int32, overwrite=True)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_half_written_stays(error, overwrite, tmp_path):
    source = open_source(X, partition_bytes=40_000)
    path = tmp_path / "labels.zarr"
    if overwrite:
        write(SerialSweep(source), source, make_largest, path, np.int32)

    def fails(block):
        if block.keys.first > 3000:
            raise error
        return largest(block)

    with pytest.raises(error):
        write(SerialSweep(source), source, lambda: fails, path, np.int32, overwrite=overwrite)
    assert os.listdir(tmp_path) == (["labels.zarr"] if overwrite else [])
    if overwrite:
        np.testing.assert_array_equal(zarr.open_array(path)[:], X.argmax(1))


@pytest.mark.slow
def test_an_interrupted_cluster_writes_nothing_after_the_end(tmp_path):
    make_store(tmp_path / "x.zarr", chunks=(50, 4))
    source = open_source(tmp_path / "x.zarr", partition_bytes=10_000)

    def interrupt(done, total):
        raise KeyboardInterrupt

    def slow_rows():
        import time

        def rows(block):
            time.sleep(0.2)
            return block.x[:, 0]

        return rows

    with local_cluster(2) as client:
        with pytest.raises(KeyboardInterrupt):
            write(DaskSweep(source, client, interrupt), source, slow_rows, tmp_path / "out.zarr", float)
        assert os.listdir(tmp_path) == ["x.zarr"]
        write(DaskSweep(source, client), source, lambda: lambda b: b.x[:, 1], tmp_path / "out.zarr", float)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr")[:], X[:, 1])


def test_urls_are_marked_whole_at_the_end():
    source = open_source(X, partition_bytes=40_000)
    url = "memory://outputs/labels.zarr"

    def unfinished():
        assert zarr.open_array(url, mode="r").attrs["complete"] is False
        return largest

    out = write(SerialSweep(source), source, unfinished, url, np.int32)
    assert out.attrs["complete"] is True
    np.testing.assert_array_equal(out[:], X.argmax(1))
    with pytest.raises(FileExistsError, match="exists already"):
        write(SerialSweep(source), source, unfinished, url, np.int32)
    write(SerialSweep(source), source, unfinished, url, np.int32, overwrite=True)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("overwrite", [False, True])
def test_nothing_half_written_stays_at_a_url(error, overwrite, tmp_path):
    source = open_source(X, partition_bytes=40_000)
    url = f"memory://{tmp_path.name}/labels.zarr"
    if overwrite:
        write(SerialSweep(source), source, make_largest, url, np.int32)

    def fails(block):
        if block.keys.first > 3000:
            with pytest.raises(ValueError, match=r"labels.zarr is not complete"):
                open_source(url)
            raise error
        return largest(block)

    with pytest.raises(error):
        write(SerialSweep(source), source, lambda: fails, url, np.int32, overwrite=overwrite)
    assert MemoryFileSystem().find(f"/{tmp_path.name}") == []
    with pytest.raises(FileNotFoundError):
        open_source(url)
    write(SerialSweep(source), source, make_largest, url, np.int32)
    np.testing.assert_array_equal(zarr.open_array(url, mode="r")[:], X.argmax(1))


def test_what_a_killed_writer_left_is_no_data(tmp_path):
    array = zarr.create_array(tmp_path / "z.zarr", data=X, attributes={"complete": False})
    for data in (tmp_path / "z.zarr", array):
        with pytest.raises(ValueError, match=r"z.zarr is not complete"):
            open_source(data)
    array.attrs["complete"] = True
    assert open_source(tmp_path / "z.zarr").n_rows == len(X)


def test_other_things_at_a_url_are_left_alone(tmp_path):
    source = open_source(X)
    files = MemoryFileSystem()
    files.pipe(f"/{tmp_path.name}/folder/precious.txt", b"mine")
    with pytest.raises(FileExistsError, match="only results that dem wrote are overwritten"):
        write(SerialSweep(source), source, make_largest, f"memory://{tmp_path.name}/folder", int, overwrite=True)
    assert files.cat(f"/{tmp_path.name}/folder/precious.txt") == b"mine"


def test_a_file_url_is_its_path(tmp_path):
    source = open_source(X)
    url = (tmp_path / "with a space.zarr").as_uri()
    assert "%20" in url
    write(SerialSweep(source), source, make_largest, url, np.int32)
    assert os.listdir(tmp_path) == ["with a space.zarr"]
    assert "complete" not in zarr.open_array(tmp_path / "with a space.zarr").attrs
    with pytest.raises(FileExistsError, match="exists already"):
        write(SerialSweep(source), source, make_largest, url, np.int32)
    write(SerialSweep(source), source, make_doubled, url, np.float64, 2, overwrite=True)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "with a space.zarr")[:], 2 * X[:, :2])


def of_shape(n_rows, chunk_rows, columns=2, **layout):
    z = zarr.create_array(MemoryStore(), shape=(n_rows, columns), chunks=(chunk_rows, columns), dtype="f4", **layout)
    return open_source(z)


@pytest.mark.parametrize(
    ("source", "rows"),
    [
        (of_shape(10**8, 2**18), 2**18),  # 64 MB
        (of_shape(10**8, 2**23), 2**18),
        (of_shape(10**8, 8 * 10**6), 250_000),
        (of_shape(10**8, 8_000_009), 8_000_009),  # a prime number: better large chunks than single rows
        (of_shape(8_000_009, 8_000_009), 2**18),  # but here no two blocks can share a chunk
        (of_shape(10**8, 2**10, shards=(2**23, 2)), 2**10),
        (open_source(da.zeros((10**7, 2), chunks=(10**6, 2))), 250_000),
        (GeneratedSource(10**7, 10**6, 64, np.dtype("f4")), 10**6),
    ],
)
def test_chunks_of_results_are_not_too_large(source, rows):
    assert row_outputs.output_rows(source, 256) == rows
    assert rows % source.chunk_rows == 0 or source.chunk_rows % rows == 0 or source.n_rows <= source.chunk_rows


def test_the_bytes_of_results():
    assert row_outputs.results_bytes(of_shape(10**8, 2**23), results(np.float32, 64)) == 3 * 2**26
    assert row_outputs.results_bytes(of_shape(10**8, 2**10), results(np.int64)) == 3 * 8 * 2**19  # a read of 4 MB
    assert row_outputs.results_bytes(of_shape(100, 2**10), results(np.int64)) == 3 * 8 * 100
    assert row_outputs.results_bytes(open_source(X), results(np.float64, 3)) == 3 * 24 * len(X)
    x = da.from_array(X, chunks=700)
    assert row_outputs.results_bytes(open_source(x[x[:, 0] > 1]), results(np.float64, 3)) == 0


@cross("make_source, sweep, result_bytes", SOURCES, SWEEPS, [160, 700, 4000], one_in=5)
def test_blocks_are_written_by_whole_chunks(make_source, sweep, result_bytes, tmp_path, monkeypatch):
    source = make_source()
    monkeypatch.setattr(row_outputs, "RESULT_BYTES", result_bytes)
    seen = []

    def watched(block):
        seen.append(len(block.x))
        return doubled(block)

    out = write(sweep(source), source, partial(constant, watched), tmp_path / "out.zarr", np.float64, 2)
    np.testing.assert_array_equal(out[:], 2 * X[:, :2])
    assert source.chunk_rows % out.chunks[0] == 0
    assert out.chunks[0] * 16 <= max(result_bytes, 16 * 16)
    assert max(seen) * 16 * 3 <= row_outputs.results_bytes(source, results(np.float64, 2))
    assert max(seen) * 16 <= result_bytes


def everything_in(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_only_results_that_dem_wrote_are_overwritten(tmp_path):
    make_store(tmp_path / "x.zarr", chunks=(200, 4))
    make_store(tmp_path / "foreign.zarr", chunks=(200, 4))
    group = zarr.create_group(tmp_path / "group.zarr")
    group.create_array("x", data=X, chunks=(200, 4))
    zarr.create_group(tmp_path / "model.zarr", attributes={"dem_output": "no array"})
    (tmp_path / "file.zarr").write_text("mine")
    (tmp_path / "broken.zarr").mkdir()
    (tmp_path / "broken.zarr" / "zarr.json").write_text("{")
    before = everything_in(tmp_path)
    source = open_source(tmp_path / "x.zarr")
    for name in ("foreign.zarr", "group.zarr", "group.zarr/x", "model.zarr", "file.zarr", "broken.zarr"):
        with pytest.raises(FileExistsError, match=f"{name} exists, but only results that dem wrote are overwritten"):
            write(SerialSweep(source), source, make_largest, tmp_path / name, np.int32, overwrite=True)
    assert everything_in(tmp_path) == before
    out = tmp_path / "group.zarr" / "labels"
    assert write(SerialSweep(source), source, make_largest, out, int, attributes={"seed": 3}).attrs["seed"] == 3
    write(SerialSweep(source), source, make_largest, out, int, overwrite=True)
    assert dict(zarr.open_array(out).attrs) == {"dem_output": "toy", "what": "toy"}


@pytest.mark.parametrize("place", ["path", "link", "url"])
def test_the_data_themselves_are_never_overwritten(place, tmp_path):
    root = f"memory://{tmp_path.name}" if place == "url" else str(tmp_path)
    first = open_source(make_store(MemoryStore(), chunks=(200, 4)))
    write(SerialSweep(first), first, lambda: lambda block: block.x, f"{root}/g.zarr/x", float, 4)
    write(SerialSweep(first), first, lambda: lambda block: block.x[:, 0] ** 2, f"{root}/w.zarr", float)
    source = open_source(f"{root}/g.zarr/x", f"{root}/w.zarr")
    if place == "link":
        os.symlink(tmp_path, root := f"{tmp_path}/link")
    for name in ("g.zarr", "g.zarr/x", "g.zarr/x/labels.zarr", "w.zarr"):
        with pytest.raises(FileExistsError, match=f"{name} is the input or contains it .*x"):
            write(SerialSweep(source), source, make_largest, f"{root}/{name}", int, overwrite=True)
    np.testing.assert_array_equal(zarr.open_array(f"{root}/g.zarr/x", mode="r")[:], X)
    write(SerialSweep(source), source, make_largest, f"{root}/g.zarr/x2", int)


def test_what_appears_during_the_pass_is_kept(tmp_path):
    source = open_source(X)
    path = tmp_path / "labels.zarr"

    def late():
        path.mkdir()
        (path / "precious").write_text("mine")
        return largest

    with pytest.raises(FileExistsError, match="exists already"):
        write(SerialSweep(source), source, late, path, int)
    assert [p.name for p in tmp_path.rglob("*")] == ["labels.zarr", "precious"]


@pytest.mark.parametrize("when", [0, 1])
@pytest.mark.parametrize("after", [False, True])
def test_an_interrupted_replacement_leaves_one_whole_array(when, after, tmp_path, monkeypatch):
    source = open_source(X)
    path = tmp_path / "labels.zarr"
    write(SerialSweep(source), source, make_largest, path, int)
    rename, calls = Path.rename, []

    def interrupted(self, target):
        calls.append(target)
        if after or len(calls) != when + 1:
            rename(self, target)
        if len(calls) == when + 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(SerialSweep(source), source, make_doubled, path, float, 2, overwrite=True)
    assert os.listdir(tmp_path) == ["labels.zarr"]
    assert zarr.open_array(path).shape == ((5003, 2) if after and when else (5003,))


def test_a_failed_write_leaves_no_folders(tmp_path):
    source = open_source(X)

    def fails():
        raise ZeroDivisionError

    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError):
        write(SerialSweep(source), source, fails, tmp_path / "mine" / "a" / "b" / "labels.zarr", int)
    assert [p.name for p in tmp_path.rglob("*")] == ["mine"]
    write(SerialSweep(source), source, make_largest, tmp_path / "mine" / "a" / "labels.zarr", int)
    assert os.listdir(tmp_path / "mine" / "a") == ["labels.zarr"]


def test_irregular_chunks_are_refused(tmp_path):
    for chunks in ((100, 4903), (4903, 100)):
        source = open_source(da.from_array(X, chunks=(chunks, 4)))
        if source.chunk_rows is None:
            with pytest.raises(ValueError, match="unequal sizes"):
                write(SerialSweep(source), source, make_largest, tmp_path / "out.zarr", np.int32)
    assert os.listdir(tmp_path) == []


def drawn(seed, block):
    return np.random.default_rng((seed, block.keys.first)).normal(size=(len(block.x), 3))


def make_drawn(seed):
    return partial(drawn, seed)


def test_generated_rows_are_the_same_on_any_sweep(tmp_path):
    source = GeneratedSource(n_rows=10_007, chunk_rows=500, n_columns=2**17, dtype=np.dtype(np.float64))
    assert len(source.partitions) > 1
    make_rows = partial(make_drawn, 5)
    a = write(SerialSweep(source), source, make_rows, tmp_path / "a.zarr", np.float64, 3)
    b = write(ThreadSweep(source, 2), source, make_rows, tmp_path / "b.zarr", np.float64, 3)
    assert a[:].tobytes() == b[:].tobytes()
    assert len(np.unique(a[:, 0])) == 10_007
    assert a.chunks == (500, 3)
    assert source.locate(3) == "row 3 of the generated rows"
