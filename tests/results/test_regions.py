import numpy as np
import pytest
import zarr
from distributed import KilledWorker
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from dem.em.row_output import RowOutput
from dem.engine.sweep.lost_workers import locate_partition
from dem.engine.sweep.serial import SerialSweep
from dem.results import regions
from dem.results.new_array import is_resumable
from dem.results.row_outputs import Destination, write
from dem.source import open_source
from dem.source.subset import subset

NUMBERS = RowOutput("numbers", "", np.dtype(float))

X = np.random.default_rng(3).normal(size=(4000, 2))


class Unlistable(WrapperStore):
    supports_listing = False


@pytest.fixture
def source(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(250, 2))
    return open_source(tmp_path / "x.zarr", partition_bytes=500 * 16)


def array_of(store, **options):
    return zarr.create_array(store, data=X, chunks=(250, 2), config={"write_empty_chunks": True}, **options)


def first_column():
    return lambda block: block.x[:, 0]


def test_a_missing_chunk_is_no_row_of_zeros(tmp_path, source):
    """As if a worker had another disk: what it wrote is not to be seen here."""

    class Elsewhere(SerialSweep):
        def __call__(self, make_kernel):
            total = super().__call__(make_kernel)
            for name in (5, 11):
                next(tmp_path.glob(f"*out.zarr*/c/{name}")).unlink()
            return total

    with pytest.raises(
        OSError, match=r"^2 of the 16 chunks of .*out\.zarr are missing after they were written, such as c/5:"
    ):
        write(Elsewhere(source), source, first_column, Destination(tmp_path / "out.zarr", NUMBERS))
    assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]


def test_the_places_are_required_before_anything_is_written(tmp_path, source):
    asked = []

    def refuse(places):
        asked.extend(places)
        raise OSError("worker 3 on node7 cannot see it")

    def never():
        raise AssertionError("work began")

    with pytest.raises(OSError, match=r"^worker 3 on node7 cannot see it$"):
        write(
            SerialSweep(source),
            source,
            never,
            Destination(tmp_path / "out.zarr", NUMBERS, job={"a": 1}),
            require=refuse,
        )
    assert [str(tmp_path) in place and "out.zarr" in place for place in asked] == [True]
    assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]


def test_what_dead_writers_left_is_removed_at_the_end(tmp_path):
    out = array_of(tmp_path / "out.zarr", name="inner")
    (tmp_path / "out.zarr" / "inner" / "c" / "3" / "0.0123abcd.partial").write_bytes(b"half")
    (tmp_path / "out.zarr" / "inner" / "README.md").write_bytes(b"mine")
    before = len(list(tmp_path.rglob("*")))
    regions.check_all_written(out, "out")
    assert len(list(tmp_path.rglob("*"))) == before - 1
    assert not list(tmp_path.rglob("*.partial"))


def test_a_store_that_cannot_list_starts_anew(source, tmp_path):
    notes = []
    out = array_of(tmp_path / "out.zarr")
    assert regions.unfinished_partitions([out], source, 250, notes.append) == []
    assert len(notes) == 1
    out = zarr.open_array(Unlistable(LocalStore(tmp_path / "out.zarr")))
    assert regions.unfinished_partitions([out], source, 250, notes.append) == list(range(8))
    regions.check_all_written(out, "out")
    assert regions.has_chunks(out)
    assert len(notes) == 1


@pytest.mark.parametrize("rows", [1, 250, 700, 10_000])
def test_a_region_is_read_in_steps(source, rows, tmp_path):
    out = array_of(tmp_path / "out.zarr", compressors=[{"name": "crc32c"}])
    for chunk in (1, 15):
        file = tmp_path / "out.zarr" / "c" / str(chunk) / "0"
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    (tmp_path / "out.zarr" / "c" / "6" / "0").unlink()
    assert regions.unfinished_partitions([out], source, rows, [].append) == [0, 3, 7]


def test_nothing_is_begun_in_a_new_array():
    out = zarr.create_array(MemoryStore(), shape=(10, 2), chunks=(5, 2), dtype="f4", name="x")
    assert not regions.has_chunks(out)
    out[5:] = 1
    assert regions.has_chunks(out)


def test_a_part_of_a_source_counts_and_names_its_own_rows(source):
    part = subset(source, [1, 7])
    blocks = [block for partition in part.partitions for block in partition.blocks()]
    assert sum(len(block.x) for block in blocks) == part.n_rows == 1000
    np.testing.assert_array_equal(
        np.concatenate([block.x for block in blocks]), np.concatenate([X[500:1000], X[3500:]])
    )
    assert (part.name, part.n_columns, part.dtype) == (source.name, 2, source.dtype)
    assert part.locate(3600) == source.locate(3600)
    assert locate_partition(part, 1) == locate_partition(source, 7)
    assert "rows 3500 to 3999" in locate_partition(part, 1)


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "goes_on"),
    [
        (KeyboardInterrupt(), True),
        (SystemExit(), True),
        (MemoryError(), True),
        (OSError(), True),
        (caused(RuntimeError(), KilledWorker("task", None, 3)), True),
        (caused(RuntimeError(), ValueError()), False),
        (RuntimeError(), False),
        (ValueError(), False),
        (TypeError(), False),
    ],
    ids=repr,
)
def test_only_jobs_that_were_broken_off_go_on(error, goes_on):
    assert is_resumable(error) == goes_on
