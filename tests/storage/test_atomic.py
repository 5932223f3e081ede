"""A model on disk is replaced completely or not at all, and only complete models are loaded."""

import json
import os
import shutil
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore

import dem
from crosses import cross
from dem.source.members import STAMPS
from dem.storage import atomic, checkpoint, document
from dem.storage.atomic import SAVED_MODELS
from dem.storage.document import GroupContents

RNG = np.random.default_rng(0)
SAVED = GroupContents(
    "GaussianMixture",
    {
        "weights_": np.array([0.1, 0.2, 0.7]),
        "means_": RNG.normal(size=(3, 2)) * 1e300,
        "covariances_": np.asfortranarray(RNG.normal(size=(3, 2, 2))) * 1e-300,
        "zeros": np.zeros((4, 2)),
        "odd": np.array([np.nextafter(1.0, 2.0), -0.0, np.pi, 5e-324]),
        "number": np.array(0.1),
        "none": np.zeros((0, 2)),
        "integers": np.arange(5),
        "single": np.arange(3, dtype=">f4"),
    },
    {
        "settings": {"tol": 1e-3, "n_init": np.int64(10), "engine": None},
        "history": [{"pass": 1, "log_likelihood": -1.2345678901234567, "elbo_m": None}],
        "source": {"name": "a.zarr", "shape": (3, 2), "dtype": np.dtype("f4")},
    },
)
OTHER = replace(SAVED, model="PPCA", arrays={"mean_": np.arange(4.0)}, attributes={"settings": {}})


save = partial(SAVED_MODELS.save, overwrite=True)


def same(a: GroupContents, b: GroupContents) -> bool:
    """Whether two models are the same to the last bit."""
    arrays = a.arrays.keys() == b.arrays.keys() and all(
        np.asarray(a.arrays[k]).astype("<f8").tobytes() == np.asarray(b.arrays[k]).astype("<f8").tobytes()
        and a.arrays[k].shape == b.arrays[k].shape
        for k in a.arrays
    )
    plain = [json.dumps(s.attributes, default=lambda v: v.item() if hasattr(v, "item") else str(v)) for s in (a, b)]
    return arrays and a.model == b.model and plain[0] == plain[1]


@pytest.fixture(params=["path", "str", "url", "file", "store"])
def place(request, tmp_path):
    return {
        "path": tmp_path / "m.zarr",
        "str": str(tmp_path / "m.zarr"),
        "file": (tmp_path / "m o.zarr").as_uri(),
        "url": f"memory://{tmp_path.name}/m.zarr",
        "store": MemoryStore(),
    }[request.param]


def test_a_model_comes_back_bit_for_bit(place):
    save(place, SAVED)
    assert SAVED_MODELS.exists(place)
    assert same(SAVED_MODELS.load(place), SAVED)


def test_a_save_replaces_the_model_and_leaves_nothing_behind(place):
    save(place, SAVED)
    save(place, OTHER)
    assert same(SAVED_MODELS.load(place), OTHER)
    root = zarr.open_group(atomic._store_or_path(place), mode="r")
    assert len(list(root.keys())) == 1


def test_a_model_is_replaced_only_with_overwrite(place):
    SAVED_MODELS.save(place, SAVED)
    with pytest.raises(
        FileExistsError, match=r"already a model: choose another name, or replace it \(overwrite=True\)"
    ):
        SAVED_MODELS.save(place, OTHER)
    assert same(SAVED_MODELS.load(place), SAVED)


def test_the_slower_of_two_first_saves_is_refused(tmp_path, monkeypatch):
    write, path = atomic._write, tmp_path / "m.zarr"

    def meanwhile(*words):
        write(*words)
        monkeypatch.setattr(atomic, "_write", write)
        SAVED_MODELS.save(path, OTHER)

    monkeypatch.setattr(atomic, "_write", meanwhile)
    with pytest.raises(FileExistsError, match="is already a model"):
        SAVED_MODELS.save(path, SAVED)
    assert same(SAVED_MODELS.load(path), OTHER)
    assert len(list(zarr.open_group(path, mode="r").keys())) == 1


def replaced_while(monkeypatch, path, times):
    """Replace the model at a path, each time after a reader has read the name of its generation, `times` times."""
    open_stamped, left = atomic.Generations._open_stamped, [times]

    def slow(self, where):
        found = open_stamped(self, where)
        if left[0]:
            left[0] -= 1
            with monkeypatch.context() as inner:
                inner.setattr(atomic.Generations, "_open_stamped", open_stamped)
                save(path, replace(OTHER, attributes={"left": left[0]}))
        return found

    monkeypatch.setattr(atomic.Generations, "_open_stamped", slow)


@pytest.mark.parametrize("times", [1, 4])
def test_a_reader_whose_generation_is_removed_reads_the_next(tmp_path, monkeypatch, times):
    save(tmp_path / "m.zarr", SAVED)
    replaced_while(monkeypatch, tmp_path / "m.zarr", times)
    assert SAVED_MODELS.load(tmp_path / "m.zarr").attributes["left"] == 0


def test_a_reader_gives_up_in_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic, "READ_ATTEMPTS", 3)
    save(tmp_path / "m.zarr", SAVED)
    replaced_while(monkeypatch, tmp_path / "m.zarr", 10**6)
    with pytest.raises(OSError, match="other runs keep replacing it"):
        SAVED_MODELS.load(tmp_path / "m.zarr")


@pytest.mark.parametrize("kept", [SAVED_MODELS, checkpoint.STATES], ids=["models", "checkpoints"])
def test_many_writers_and_readers_at_once(tmp_path, kept):
    """A reader always gets one of the saved models, complete."""
    path, done, errors, read = tmp_path / "m.zarr", threading.Event(), [], []

    def told(work):
        try:
            work()
        except Exception as error:
            errors.append(error)

    def write(writer):
        for i in range(6):
            number = 10 * writer + i
            kept.save(
                path, GroupContents("PPCA", {"mean_": np.full(5, 1.0 * number)}, {"same": number}), overwrite=True
            )

    def look():
        while not done.is_set():
            found = kept.load(path)
            read.append(found.attributes["same"])
            np.testing.assert_array_equal(found.arrays["mean_"], found.attributes["same"])

    write(0)
    writers = [threading.Thread(target=told, args=(partial(write, n),)) for n in range(1, 4)]
    readers = [threading.Thread(target=told, args=(look,)) for _ in range(2)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert errors == []
    assert len(read) > 1
    assert kept.load(path).attributes["same"] % 10 == 5


def test_a_save_does_not_remove_what_another_may_be_writing(tmp_path, monkeypatch):
    """After two saves at the same time, the complete contents of the last one to end are there."""
    write, path = atomic._write, tmp_path / "m.zarr"

    def meanwhile(*words):
        write(*words)
        monkeypatch.setattr(atomic, "_write", write)
        save(path, OTHER)

    monkeypatch.setattr(atomic, "_write", meanwhile)
    save(path, SAVED)
    assert same(SAVED_MODELS.load(path), SAVED)
    save(path, OTHER)
    assert same(SAVED_MODELS.load(path), OTHER)
    assert len(list(zarr.open_group(path, mode="r").keys())) == 1


class Failing(WrapperStore):
    """A store whose n-th write, or deletion, fails; with `after`, it fails once the write is done."""

    def __init__(self, inner, n=10**9, after=False):
        super().__init__(inner)
        self.left, self.after = n, after

    def _with_store(self, inner):
        return type(self)(inner, self.left, self.after)

    def with_read_only(self, read_only=False):  # which wrapped stores have not got before zarr 3.1.6
        return self

    async def _step(self, work):
        self.left -= 1
        if self.left == 0 and not self.after:
            raise OSError("the disk is gone")
        if self.left < 0:
            raise OSError("the disk is still gone")
        await work()
        if self.left == 0:
            raise OSError("the disk is gone, after the last write")

    async def set(self, key, value):
        await self._step(lambda: self._store.set(key, value))

    async def set_if_not_exists(self, key, value):
        await self._step(lambda: self._store.set_if_not_exists(key, value))

    async def delete(self, key):
        await self._step(lambda: self._store.delete(key))

    async def delete_dir(self, prefix):
        await self._step(lambda: self._store.delete_dir(prefix))


@cross("local, after", [False, True], [False, True])
def test_a_crash_at_any_write_leaves_one_whole_model(tmp_path, monkeypatch, local, after):
    small = GroupContents("GaussianMixture", {"means_": np.ones((2, 2)), "weights_": np.array([0.5, 0.5])}, {"a": 1})
    old = replace(small, attributes={"a": 0})
    outcomes = []
    for n in range(1, 40):
        inner = LocalStore(tmp_path / str(n)) if local else MemoryStore()
        save(inner, old)
        try:
            save(Failing(inner, n, after), small)
        except OSError:
            found = SAVED_MODELS.load(inner)
            assert same(found, old) or same(found, small)
            outcomes.append(found.attributes["a"])
            with monkeypatch.context() as later:  # a save the next day works, and clears what the crash left
                later.setattr(atomic, "ABANDONED_SECONDS", -1.0)
                save(inner, small)
            assert same(SAVED_MODELS.load(inner), small)
            assert len(list(zarr.open_group(inner, mode="r").keys())) == 1
        else:
            break
    assert outcomes == sorted(outcomes)  # the old one, up to the one write that counts
    assert 5 < len(outcomes) < 39
    assert same(SAVED_MODELS.load(inner), small)


@pytest.mark.parametrize("n", range(1, 8))
def test_a_crash_of_the_first_save_leaves_no_model_and_no_obstacle(n):
    inner = MemoryStore()
    with pytest.raises(OSError, match="disk"):
        save(Failing(inner, n), OTHER)
    with pytest.raises((FileNotFoundError, ValueError), match=r"No model|not a model"):
        SAVED_MODELS.load(inner)
    assert not SAVED_MODELS.exists(inner)
    save(inner, OTHER)
    assert same(SAVED_MODELS.load(inner), OTHER)


def test_a_save_that_differs_when_read_back_is_an_error():
    class Corrupting(WrapperStore):
        async def set(self, key, value):
            await self._store.set(key, value[:-9] if key.endswith("/c/0") else value)

    inner = MemoryStore()
    save(inner, SAVED)
    with pytest.raises(Exception, match=r"."):
        save(Corrupting(inner), OTHER)
    assert same(SAVED_MODELS.load(inner), SAVED)


def generation(path):
    (found,) = path.glob("generation-*")
    return found


def lose_a_chunk(path):
    (generation(path) / "means_" / "c" / "0" / "0").unlink()


def lose_an_array(path):
    shutil.rmtree(generation(path) / "weights_")


def lose_the_generation(path):
    shutil.rmtree(generation(path))


def change_a_setting(path):
    file = generation(path) / "zarr.json"
    file.write_text(file.read_text().replace("0.001", "0.002"))


def truncate_a_chunk(path):
    file = generation(path) / "means_" / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:-4])


def garble_the_root(path):
    (path / "zarr.json").write_text("{")


DAMAGED_STAMPS = [{"format": "x"}, {"format": None}, {"generation": 5, "before": 3}, {"generation": "../../x"}]


@pytest.mark.parametrize("part", DAMAGED_STAMPS, ids=str)
def test_a_damaged_stamp_is_reported_and_can_be_replaced(tmp_path, part):
    path = tmp_path / "m.zarr"
    save(path, SAVED)
    root = zarr.open_group(path)
    root.attrs["dem_model"] = {**root.attrs["dem_model"], **part}
    with pytest.raises(ValueError, match=r"m\.zarr is damaged.*restore it from a copy, or fit and save it again\.$"):
        SAVED_MODELS.load(path)
    SAVED_MODELS.save(path, SAVED, overwrite=True)
    assert SAVED_MODELS.load(path).model == SAVED.model


@pytest.mark.parametrize(
    "damage",
    [lose_a_chunk, lose_an_array, lose_the_generation, change_a_setting, truncate_a_chunk, garble_the_root],
)
def test_damage_is_reported(tmp_path, damage):
    path = tmp_path / "m.zarr"
    save(path, SAVED)
    damage(path)
    with pytest.raises(ValueError, match=r"m\.zarr is damaged.*restore it from a copy, or fit and save it again\.$"):
        SAVED_MODELS.load(path)


@pytest.mark.parametrize("place", [None, 3, b"m.zarr"])
def test_an_invalid_path_is_not_called_a_damaged_model(place):
    for call in (dem.load, SAVED_MODELS.exists, SAVED_MODELS.find, SAVED_MODELS.check_free):
        with pytest.raises(TypeError, match="A path or URL must be a str or a Path, got "):
            call(place)


def test_an_empty_path_is_refused():
    for call in (dem.load, SAVED_MODELS.check_free):
        with pytest.raises(FileNotFoundError, match="The path is empty"):
            call("")


def test_sources_know_all_stamps():
    own = [SAVED_MODELS, checkpoint.SCANS, checkpoint.STATES]
    assert {**{kind.stamp: kind.noun for kind in own}, checkpoint.RUN: "checkpoint"} == STAMPS


def test_a_newer_format_is_refused(tmp_path):
    path = tmp_path / "m.zarr"
    save(path, SAVED)
    root = zarr.open_group(path, mode="r+")
    root.update_attributes({SAVED_MODELS.stamp: {**root.attrs[SAVED_MODELS.stamp], "format": 99, "dem": "9.9"}})
    with pytest.raises(ValueError, match=r"written by a newer dem \(9\.9, format 99\)"):
        SAVED_MODELS.load(path)


def test_suffixes_of_other_file_formats_are_refused(tmp_path):
    for name in ("m.csv", "m.NPY", "a/m.h5", "m.png"):
        with pytest.raises(ValueError, match=r"would be a Zarr store.* use the suffix \.zarr"):
            SAVED_MODELS.save(tmp_path / name, SAVED)
    for name in ("m", "m.zarr", "run.1", "m.v2.csv.zarr"):
        SAVED_MODELS.save(tmp_path / name, SAVED)
    assert sorted(os.listdir(tmp_path)) == ["m", "m.v2.csv.zarr", "m.zarr", "run.1"]


def test_a_home_folder_is_where_it_should_be(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    SAVED_MODELS.save("~/m.zarr", SAVED)
    assert same(SAVED_MODELS.load(tmp_path / "m.zarr"), SAVED)


def test_anything_but_a_model_is_refused_and_not_overwritten(tmp_path):
    zarr.create_array(tmp_path / "array.zarr", data=np.ones(3))
    zarr.create_group(tmp_path / "group.zarr", attributes={"a": 1})
    zarr.create_group(tmp_path / "old.zarr", zarr_format=2, attributes={"a": 1})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "precious.txt").write_text("mine")
    (tmp_path / "file.txt").write_text("mine")
    for name, error, words in [
        ("array.zarr", ValueError, "is a Zarr array, not a model"),
        ("group.zarr", ValueError, "is a Zarr group, but not a model"),
        ("old.zarr", ValueError, "is a Zarr group, but not a model"),
        ("folder", FileNotFoundError, "it is not a Zarr store"),
        ("file.txt", FileNotFoundError, "it is not a Zarr store"),
    ]:
        with pytest.raises(error, match=words):
            SAVED_MODELS.load(tmp_path / name)
        with pytest.raises(FileExistsError, match="not overwritten"):
            save(tmp_path / name, SAVED)
        assert not SAVED_MODELS.exists(tmp_path / name)
    assert (tmp_path / "folder" / "precious.txt").read_text() == "mine"
    with pytest.raises(FileNotFoundError, match=r"No model at .*nowhere"):
        SAVED_MODELS.load(tmp_path / "nowhere")


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.zarr").symlink_to(tmp_path / "real.zarr")
    for overwrite in (False, True):
        SAVED_MODELS.save(tmp_path / "link.zarr", SAVED, overwrite=overwrite)
        assert (tmp_path / "link.zarr").is_symlink()
        assert SAVED_MODELS.load(tmp_path / "real.zarr").model == SAVED.model


def test_an_empty_folder_is_written_to(tmp_path):
    (tmp_path / "m.zarr").mkdir()
    save(tmp_path / "m.zarr", SAVED)
    assert same(SAVED_MODELS.load(tmp_path / "m.zarr"), SAVED)


def test_only_numbers_and_json_are_saved(tmp_path):
    with pytest.raises(ValueError, match="Cannot save names of dtype object"):
        save(tmp_path / "m.zarr", replace(SAVED, arrays={"names": np.array(["a", None])}))
    with pytest.raises(TypeError, match="Cannot save"):
        save(tmp_path / "m.zarr", replace(SAVED, attributes={"f": print}))
    assert not (tmp_path / "m.zarr").exists()


def test_large_arrays_are_cut_into_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "CHUNK_BYTES", 100)
    save(tmp_path / "m.zarr", SAVED)
    assert same(SAVED_MODELS.load(tmp_path / "m.zarr"), SAVED)
    assert len(list((generation(tmp_path / "m.zarr") / "covariances_" / "c").iterdir())) == 1
    monkeypatch.setattr(document, "CHUNK_BYTES", 40)
    save(tmp_path / "m.zarr", SAVED)
    assert same(SAVED_MODELS.load(tmp_path / "m.zarr"), SAVED)
    assert len(list((generation(tmp_path / "m.zarr") / "covariances_" / "c").iterdir())) == 3


def test_a_file_url_is_its_path(tmp_path):
    save((tmp_path / "m.zarr").as_uri(), SAVED)
    assert same(SAVED_MODELS.load(tmp_path / "m.zarr"), SAVED)
    (tmp_path / "file.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not overwritten"):
        save((tmp_path / "file.txt").as_uri(), SAVED)
