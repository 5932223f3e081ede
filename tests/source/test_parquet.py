"""Parquet files as a source: the values, the order of rows, columns, row groups, weights, and messages."""

import pickle
import sys

import dask
import dask.array as da
import fsspec
import numpy as np
import pytest
import zarr

import dem
from dem.core.columns import Column
from dem.engine.engine import Engine
from dem.engine.sweep.serial import SerialSweep
from dem.run.fit import scan
from dem.scan.scanner import Scanner
from dem.source import open_source
from dem.source.parquet import ParquetSource
from dem.source.parquet_rows import ParquetRows

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 230
RNG = np.random.default_rng(0)
AGE, INCOME = RNG.normal(40, 10, N), RNG.normal(5, 1, N).astype("f4")
COUNT, FLAG = RNG.poisson(3, N).astype("i4"), RNG.random(N) < 0.5
AGE[7] = np.nan
NUMBERS = ["age", "income", "count", "flag"]
X = np.column_stack([AGE, INCOME, COUNT, FLAG])


def table(start=0, stop=N):
    """Return some rows as a table; a missing age is null."""
    rows = slice(start, stop)
    return pa.table(
        {
            "name": pa.array(["someone"] * len(AGE[rows]), pa.string()),
            "age": pa.array(AGE[rows], from_pandas=True),
            "income": INCOME[rows],
            "count": COUNT[rows],
            "flag": FLAG[rows],
        }
    )


def files(folder, *groups):
    """Write a file for each list of sizes of row groups; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    start = 0
    for i, sizes in enumerate(groups):
        with pq.ParquetWriter(folder / f"part.{i}.parquet", table().schema) as writer:
            for size in sizes:
                writer.write_table(table(start, start + size), row_group_size=max(size, 1))
                start += size
    return folder


@pytest.fixture
def path(tmp_path):
    pq.write_table(table(), tmp_path / "people.parquet", row_group_size=50)
    return tmp_path / "people.parquet"


GRIDS = {
    "equal": ([50, 50, 50, 50, 30],),
    "files": ([50, 50, 20], [50, 50, 10]),
    "small": ([3, 100, 1, 0, 6], [], [90, 30]),
    "eleven": (*([21] for _ in range(10)), [20]),
}
ANY = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


def rows_of(source):
    blocks = [block for part in source.partitions for block in part.blocks()]
    assert [block.keys.first for block in blocks] == np.cumsum([0, *(len(b.x) for b in blocks[:-1])]).tolist()
    return np.concatenate([block.x for block in blocks])


@ANY
@pytest.mark.parametrize("nbytes", [1, 3000, 10**6])
def test_rows_are_those_of_the_files_in_order(grid, nbytes, tmp_path):
    source = open_source(files(tmp_path / "x", *grid), columns=NUMBERS, partition_bytes=nbytes)
    np.testing.assert_array_equal(rows_of(source), X)
    assert (source.n_rows, source.n_columns, source.dtype) == (N, 4, np.float64)
    assert sum(source.row_chunks) == N
    assert min(source.row_chunks) > 0
    keys = [N - 1, 0, 7, 103]
    np.testing.assert_array_equal(source.rows_at(keys), X[keys])
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(rows_of(again), X)


@ANY
@pytest.mark.parametrize("nbytes", [1, 3000, 10**6])
def test_partitions_for_writing_begin_at_chunks(grid, nbytes, tmp_path):
    source = open_source(files(tmp_path / "x", *grid), columns=NUMBERS, partition_bytes=nbytes).for_writing()
    assert source.chunk_rows == max(max(sizes, default=0) for sizes in grid)
    starts = np.cumsum([0, *source.row_chunks[:-1]])
    assert not (starts % source.chunk_rows).any()
    np.testing.assert_array_equal(rows_of(source), X)


@ANY
def test_a_fit_and_its_outputs_are_those_of_the_array(grid, tmp_path):
    folder = files(tmp_path / "x", *grid)
    model = dem.GaussianMixture(2, random_state=0, max_iter=5, tol=0).fit(folder, columns=NUMBERS)
    same = dem.GaussianMixture(2, random_state=0, max_iter=5, tol=0).fit(X)
    np.testing.assert_allclose(model.means_, same.means_, rtol=1e-9)
    lazy = model.score_samples(folder)
    assert isinstance(lazy, da.Array)
    np.testing.assert_allclose(lazy.compute(), same.score_samples(X), rtol=1e-9)
    model.write(folder, tmp_path / "labels.zarr", "label")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "labels.zarr")[:], same.predict(X))


def test_each_row_group_is_read_once_a_pass(tmp_path, monkeypatch):
    folder, reads, read = files(tmp_path / "x", *GRIDS["small"]), [], ParquetRows.read

    def counted(self, opened, group):
        reads.append((group.file, group.number))
        return read(self, opened, group)

    monkeypatch.setattr(ParquetRows, "read", counted)
    source = open_source(folder, columns=NUMBERS, partition_bytes=1)
    assert reads == []
    model = dem.PPCA(1).fit(source)
    assert len(set(reads)) == len(source.groups) == 6
    assert len(reads) == 6 * model.n_passes_


def test_only_the_chosen_columns_are_read(path, monkeypatch):
    asked, read = [], pq.ParquetFile.read_row_group

    def noted(self, number, columns, **more):
        asked.append(columns)
        return read(self, number, columns, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    source = open_source(path, columns=["count", "age"])
    np.testing.assert_array_equal(rows_of(source), X[:, [2, 0]])
    assert asked == [["count", "age"]] * 5
    assert open_source(source, columns=["age"]).columns.names == ("age",)
    np.testing.assert_array_equal(rows_of(open_source(path, columns=[3, "income"])), X[:, [2, 1]])


def test_dtypes_and_nulls(path, tmp_path):
    assert open_source(path, columns=["count"]).dtype == np.int32
    assert open_source(path, columns=["flag"]).dtype == np.bool_
    assert open_source(path, columns=["income"]).dtype == np.float32
    assert open_source(path, columns=["flag", "income"]).dtype == np.float32
    some = {
        "whole": pa.array([1, None, 3], pa.int64()),
        "small": pa.array([1, None, 3], pa.int8()),
        "yes": pa.array([True, None, False]),
    }
    pq.write_table(pa.table(some), tmp_path / "nulls.parquet")
    source = open_source(tmp_path / "nulls.parquet")
    assert source.dtype == np.float64
    np.testing.assert_array_equal(rows_of(source), [[1, 1, 1], [np.nan] * 3, [3, 3, 0]])
    assert open_source(tmp_path / "nulls.parquet", columns=["small", "yes"]).dtype == np.float32
    pq.write_table(pa.table(some), tmp_path / "uncounted.parquet", write_statistics=False)
    assert open_source(tmp_path / "uncounted.parquet", columns=["whole"]).dtype == np.float64


def test_a_missing_value(path):
    source = open_source(path, columns=["count", "flag"], missing_value=3)
    np.testing.assert_array_equal(rows_of(source), np.where(X[:, [2, 3]] == 3, np.nan, X[:, [2, 3]]))
    assert scan(source).missing.tolist() == [(COUNT == 3).sum(), 0]


@pytest.mark.parametrize("form", ["memory", "dask", "zarr"])
def test_weights(form, tmp_path):
    folder, w = files(tmp_path / "x", *GRIDS["small"]), RNG.random(N)
    given = {"memory": w, "dask": da.from_array(w, chunks=17), "zarr": str(tmp_path / "w.zarr")}[form]
    zarr.create_array(tmp_path / "w.zarr", shape=(N,), chunks=(40,), dtype="f8")[:] = w
    for source in (s := open_source(folder, given, columns=NUMBERS, partition_bytes=1), s.for_writing()):
        parts = dask.compute(*source.partitions, scheduler="synchronous")
        blocks = [block for part in parts for block in part.blocks()]
        np.testing.assert_array_equal(np.concatenate([block.weight for block in blocks]), w)
    assert scan(s).observed.weight[1] == pytest.approx(w.sum())
    np.testing.assert_array_equal(s.weights_at([3, 200]), w[[3, 200]])


def test_the_files_of_a_folder_and_of_a_glob(tmp_path):
    folder = files(tmp_path / "x", *GRIDS["eleven"])
    (folder / "_metadata").write_text("no data")
    (folder / ".part.0.parquet.crc").write_text("no data")
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / "a.parquet").write_text("no data")
    for given in (folder, f"{folder}/", f"{folder}/*.parquet", f"{folder}/part.*.parquet"):
        np.testing.assert_array_equal(rows_of(open_source(given, columns=NUMBERS)), X)
    assert open_source(f"{folder}/part.1?.parquet", columns=NUMBERS).n_rows == 20
    with pytest.raises(FileNotFoundError, match=r"No Parquet files at .*nobody\*\.parquet"):
        open_source(f"{folder}/nobody*.parquet")
    with pytest.raises(FileNotFoundError, match=r"No Parquet files at .*none\.parquet"):
        open_source(tmp_path / "none.parquet")


def test_files_at_a_url(tmp_path):
    memory = fsspec.filesystem("memory")
    folder = files(tmp_path / "x", *GRIDS["files"])
    for file in folder.iterdir():
        memory.pipe(f"/people/{file.name}", file.read_bytes())
    try:
        for url in ("memory://people/*.parquet", "memory://people/part.0.parquet"):
            source = open_source(url, columns=NUMBERS)
            np.testing.assert_array_equal(rows_of(source), X[: source.n_rows])
            assert source.stored_at[0] == "memory:///people/part.0.parquet"
    finally:
        memory.rm("/people", recursive=True)


def test_names_units_and_the_index_of_pandas(tmp_path):
    fields = [
        pa.field("t", pa.float64(), metadata={"units": "degC", "long_name": "temperature"}),
        pa.field("a.b", pa.float64()),
        pa.field("index", pa.int64()),
    ]
    schema = pa.schema(fields, metadata={"pandas": '{"index_columns": ["index"]}'})
    pq.write_table(pa.table([[1.0, 2.0], [3.0, 4.0], [0, 1]], schema=schema), tmp_path / "x.parquet")
    source = open_source(tmp_path / "x.parquet")
    assert source.columns.columns == (Column("t", "t", (), "degC", "temperature"), Column("a.b", "a.b"))
    np.testing.assert_array_equal(rows_of(source), [[1, 3], [2, 4]])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (None, r"column 'name' of people.parquet has the type (large_)?string, which does not hold numbers"),
        (["agge"], r"there is no column 'agge' \(did you mean 'age'\?\): the columns are 'name', 'age', 'income'"),
        ([5], r"there is no column 5"),
        (["age", 1], r"column 'age' is given twice"),
        ([], r"columns must be a list of names or numbers"),
        ("age", r"columns must be a list of names or numbers of columns, got 'age'"),
    ],
)
def test_wrong_columns(columns, said, path):
    with pytest.raises(ValueError, match=said):
        open_source(path, columns=columns)


def test_files_that_do_not_fit_together(tmp_path):
    folder = files(tmp_path / "x", [5])
    pq.write_table(table().select(["age", "flag"]), folder / "part.1.parquet")
    assert open_source(folder, columns=["flag", "age"]).n_rows == N + 5
    with pytest.raises(ValueError, match=r"part\.1\.parquet has no column 'income', which the first of the files has"):
        open_source(folder, columns=NUMBERS)


def test_files_without_rows_and_files_that_are_not_parquet(tmp_path):
    pq.write_table(table(0, 0), tmp_path / "empty.parquet")
    with pytest.raises(ValueError, match=r"0 sample\(s\).*empty\.parquet has no rows"):
        open_source(tmp_path / "empty.parquet", columns=NUMBERS)
    (tmp_path / "text.parquet").write_text("no table, but long enough")
    with pytest.raises(ValueError, match=r"text\.parquet is not a Parquet file, or is damaged"):
        open_source(tmp_path / "text.parquet")


def test_without_pyarrow(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"Parquet files need pyarrow: pip install 'distributed-em\[tables\]'"):
        open_source(path)


def test_messages_say_where_a_value_is(path, tmp_path):
    source = open_source(path, columns=NUMBERS)
    assert source.locate(120, 0) == "row group 2 (rows 100 to 149) of people.parquet, column 'age'"
    assert source.locate(120) == "row group 2 (rows 100 to 149) of people.parquet"
    bad = AGE.copy()
    bad[120] = np.inf
    pq.write_table(table().set_column(1, "age", pa.array(bad)), tmp_path / "bad.parquet", row_group_size=50)
    with pytest.raises(ValueError, match=r"1 infinite value \(inf\), in column 'age'; the first is in row group 2 "):
        dem.KMeans(2).fit(tmp_path / "bad.parquet", columns=["age", "flag"])
    model = dem.KMeans(2).fit(path, columns=["age", "flag"])
    for call in (
        lambda: model.predict(tmp_path / "bad.parquet").compute(),
        lambda: model.score(tmp_path / "bad.parquet"),
    ):
        with pytest.raises(ValueError, match=r"row 120 holds inf in column 'age': infinite values"):
            call()


def test_data_that_change(path, tmp_path):
    source = open_source(path, columns=NUMBERS)
    before = source.fingerprint
    assert before == open_source(path, columns=NUMBERS).fingerprint
    assert before != open_source(path, columns=NUMBERS[:3]).fingerprint
    pq.write_table(table(0, 180), path, row_group_size=60)
    assert before != open_source(path, columns=NUMBERS).fingerprint
    with pytest.raises(
        OSError, match=r"row group 0 \(rows 0 to 49\) of people\.parquet has changed since it was opened"
    ):
        rows_of(source)
    with pytest.raises(OSError, match=r"Cannot read row group 4 "):
        source.rows_at([N - 1])


def test_a_checkpoint_of_a_table_goes_on(path, tmp_path):
    def fit(**more):
        return dem.GaussianMixture(2, random_state=1, tol=0, max_iter=4).fit(path, columns=NUMBERS, **more)

    with pytest.raises(dem.Stopped):
        fit(checkpoint=dem.Checkpoint(tmp_path / "c.zarr", max_passes=2))
    np.testing.assert_array_equal(fit(checkpoint=tmp_path / "c.zarr").means_, fit().means_)


def test_a_memory_limit_is_checked_against_the_largest_row_group(tmp_path):
    big = pa.table({name: np.zeros(2 * 10**6) for name in "abcd"})
    pq.write_table(big, tmp_path / "one.parquet", row_group_size=2 * 10**6)
    source = open_source(tmp_path / "one.parquet")
    assert source.block_bytes == 64 * 10**6
    assert source.read_bytes >= 3 * source.block_bytes
    with pytest.raises(MemoryError, match=r"(One chunk of|A pass over) one\.parquet needs"):
        scan(source, engine=Engine(memory="400MB"))


def test_a_sweep_reads_one_row_group_ahead(path):
    source = open_source(path, columns=NUMBERS)
    assert isinstance(source, ParquetSource)
    assert source.read_ahead == 1
    assert source.reading_ahead(0).read_ahead == 0
    assert SerialSweep(source)(Scanner(4, False, 10, 0, N)).rows == N
