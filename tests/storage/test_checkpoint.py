"""An interrupted fit continues from its checkpoint with the same bits; checkpoints of other fits are refused."""

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore

import dem
from crosses import mostly_slow
from dem.em import loop
from dem.em.progress import Silent
from dem.scan.sample import unhash
from dem.storage import atomic, checkpoint
from dem.storage.checkpoint import Checkpoint, check_identity
from dem.storage.document import GroupContents
from dem.storage.progress_log import FitIdentity
from shared import ENDS_AT_MAX_ITER
from storage.test_encoding import same

pytestmark = ENDS_AT_MAX_ITER

IDENTITY = FitIdentity({"kind": "zarr", "shape": [9, 2]}, {"tol": 1e-3, "seed": 0}, "x.zarr")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 2, (4, 3))
    x = centres[rng.integers(4, size=20_000)] + rng.normal(size=(20_000, 3))
    path = tmp_path_factory.mktemp("data") / "x.zarr"
    zarr.create_array(path, data=x, chunks=(1000, 3))
    return path


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "wide.zarr"
    zarr.create_array(
        path, data=np.random.default_rng(0).normal(size=(500, 30)) @ np.diag(np.arange(1.0, 31)), chunks=(100, 30)
    )
    return path


PLACES = {
    "path": lambda folder: folder / "fit.zarr",
    "url": lambda folder: f"memory://{folder.name}/fit.zarr",
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def place(request, tmp_path):
    return request.param(tmp_path)


def mixture(**settings):
    return dem.GaussianMixture(4, **{"tol": 0, "max_iter": 8, "n_init": 2, "sample_size": 500, **settings})


@pytest.fixture(scope="module")
def straight(store):
    """The mixture of the store, without interruption."""
    return mixture().fit(store)


def equal(a, b):
    """Whether two fitted mixtures are the same to the last bit."""
    names = (
        "weights_",
        "means_",
        "covariances_",
        "precisions_cholesky_",
        "lower_bound_",
        "history_",
        "n_iter_",
        "n_passes_",
    )
    return all(same(getattr(a, name), getattr(b, name)) for name in (*names, "stop_reason_"))


@pytest.mark.parametrize(
    ("covariance_type", "make_place"),
    [
        ("diag", PLACES["url"]),
        *(pytest.param(kind, PLACES["path"], marks=pytest.mark.slow) for kind in ("full", "tied", "diag", "spherical")),
        *(pytest.param(kind, PLACES["url"], marks=pytest.mark.slow) for kind in ("full", "tied", "spherical")),
    ],
)
def test_a_fit_interrupted_after_every_pass_has_the_same_result(covariance_type, make_place, store, tmp_path):
    place = make_place(tmp_path)
    straight = mixture(covariance_type=covariance_type).fit(store)
    assert straight.n_passes_ >= 7
    for run in range(straight.n_passes_):
        model = mixture(covariance_type=covariance_type)
        if run < straight.n_passes_ - 1:
            with pytest.raises(
                dem.Stopped,
                match=r"stopped after .*, because the limit of passes .* is reached; .* run the same fit again",
            ):
                model.fit(store, checkpoint=Checkpoint(place, max_passes=1))
    assert equal(model.fit(store, checkpoint=Checkpoint(place, max_passes=1)), straight)
    again = mixture(covariance_type=covariance_type).fit(store, checkpoint=place)  # nothing is left to do
    assert equal(again, straight)


def test_an_error_at_any_time_loses_at_most_one_pass(store, straight, tmp_path):

    class BrokenError(Exception):
        pass

    for n in range(1, 5):

        def fail(state, n=n):
            if len(state.history) == n:
                raise BrokenError

        with pytest.raises(BrokenError):
            mixture().fit(store, checkpoint=tmp_path / "c.zarr", callback=fail)
        assert len(zarr.open_group(tmp_path / "c.zarr" / "state")) == 2  # two generations alternate
    seen = []
    model = mixture().fit(store, checkpoint=tmp_path / "c.zarr", callback=lambda state: seen.append(len(state.history)))
    assert seen[0] == 5
    assert equal(model, straight)


class Notes(Silent):
    """Progress that records its calls."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture
def on(store, tmp_path, monkeypatch):
    """Fit for some passes, or to the end, on a kind of machine; return the warnings about the kinds of machine."""

    def fit(kind, max_passes=None):
        notes = Notes()
        monkeypatch.setattr("dem.engine.machines.machine_kind", lambda: kind)
        with suppress(dem.Stopped):
            place = Checkpoint(tmp_path / "c.zarr", max_passes=max_passes)
            mixture(engine=dem.Engine(progress=notes)).fit(store, checkpoint=place)
        return [text for text in notes.texts if text.startswith("warning")]

    return fit


def test_a_checkpoint_records_the_kinds_of_machine(on):
    then = "the result may differ in the last bits from that of a fit without interruption"
    assert on("Abacus", 1) == []  # the scan alone
    assert on("Abacus", 1) == []
    assert on("Quipu", 1) == [f"warning: the checkpoint was made with Abacus; this run uses Quipu: {then}"]
    assert on("Quipu") == [f"warning: the checkpoint was made with Abacus and Quipu; this run uses Quipu: {then}"]
    assert on("Slide rule") == []  # there is nothing left to compute


@pytest.mark.slow
def test_a_checkpoint_without_kinds_of_machine(on, monkeypatch):
    """Like checkpoints of earlier versions."""
    whole = checkpoint.CheckpointJournal._attributes

    def without(journal):
        return {key: value for key, value in whole(journal).items() if key != "made_with"}

    monkeypatch.setattr(checkpoint.CheckpointJournal, "_attributes", without)
    assert on("Abacus", 2) == on("Quipu") == []


def test_wide_ppca_continues(wide, tmp_path, monkeypatch):
    monkeypatch.setattr("dem.run.latent.DEFAULT_SCATTER_BYTES", 1000)
    straight = dem.PPCA(3, solver="em", max_iter=5, tol=0).fit(wide)
    with pytest.raises(dem.Stopped):
        dem.PPCA(3, solver="em", max_iter=5, tol=0).fit(wide, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=3))
    model = dem.PPCA(3, solver="em", max_iter=5, tol=0).fit(wide, checkpoint=tmp_path / "c.zarr")
    assert same(model.components_, straight.components_)
    assert (model.n_passes_, model.history_) == (straight.n_passes_, straight.history_)


def test_the_single_pass_of_ppca_is_saved(wide, tmp_path):
    told = []

    class Told(Silent):
        def begin(self, what, rows, nbytes):
            told.append(what)

    model = dem.PPCA(3, engine=dem.Engine(progress=Told()))
    straight = model.fit(wide, checkpoint=tmp_path / "c.zarr").components_
    assert told == ["first scan"]
    assert same(model.fit(wide, checkpoint=tmp_path / "c.zarr").components_, straight)
    assert told == ["first scan"]


def test_limits_of_time(store, straight, tmp_path):
    known = {"weights_init": np.full(4, 0.25), "means_init": np.eye(4, 3), "precisions_init": np.stack([np.eye(3)] * 4)}
    with pytest.raises(
        dem.Stopped,
        match=r"after the first scan in .* another pass would probably exceed the time limit of 0 ms",
    ):
        mixture(**known).fit(store, checkpoint=Checkpoint(tmp_path / "k.zarr", max_seconds=0.0))
    assert equal(mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_seconds=1e6)), straight)


def test_the_start_stops_at_the_time_limit_and_is_repeated(store, straight, tmp_path):
    with pytest.raises(
        dem.Stopped,
        match=r"during the start on the sample, .* 0 ms is reached; .* contains the first scan: run",
    ):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_seconds=0.0))
    told = Starts(None)
    model = mixture(engine=dem.Engine(progress=told)).fit(store, checkpoint=tmp_path / "c.zarr")
    assert told.passes[0] == "start on 500 rows"  # the scan was kept
    assert equal(model, straight)


class Starts(Silent):
    """Progress that is interrupted after so many iterations of the start."""

    def __init__(self, most):
        self.most, self.details, self.passes = most, [], []

    def begin(self, what, rows, nbytes):
        self.passes.append(what)

    def detail(self, text):
        self.details.append(text)
        if len(self.details) == self.most:
            raise KeyboardInterrupt


def test_an_interrupt_stops_the_start_at_once_and_the_fit_continues_from_its_scan(store, straight, tmp_path, caplog):
    caplog.set_level("INFO", "dem")
    told = Starts(5)
    with pytest.raises(KeyboardInterrupt):
        mixture(engine=dem.Engine(progress=told)).fit(store, checkpoint=tmp_path / "c.zarr")
    assert told.passes == ["first scan", "start on 500 rows"]
    assert len(told.details) == 5
    assert all(text.startswith("start ") for text in told.details)
    model = mixture().fit(store, checkpoint=tmp_path / "c.zarr")
    assert equal(model, straight)
    assert any(text.startswith("start on the sample: start 1 of ") for text in caplog.messages)
    assert any(text.startswith("start on the sample: best start 1 of ") for text in caplog.messages)


@pytest.mark.parametrize("family", ["Poisson()", "Gamma(reference=None)", "Two(a=None, b=None)"])
def test_older_checkpoints_do_not_name_families_without_settings(family):
    here = FitIdentity({}, {"family": family, "tol": 0}, "x")
    check_identity("c.zarr", here, {"data": {}, "settings": {"tol": 0}, "name": "x"})
    for there in ({"tol": 1}, {"tol": 0, "family": "Other()"}):
        with pytest.raises(ValueError, match="a fit with other settings"):
            check_identity("c.zarr", here, {"data": {}, "settings": there, "name": "x"})


@pytest.mark.parametrize("family", ["FullGaussian(reg_covar=None)", "Categorical(n_categories=3)"])
def test_older_checkpoints_name_families_with_settings(family):
    with pytest.raises(ValueError, match="other settings: no family in the checkpoint, family="):
        check_identity("c.zarr", FitIdentity({}, {"family": family}, "x"), {"data": {}, "settings": {}, "name": "x"})


def test_other_settings_are_refused_with_both_named(store, tmp_path):
    with pytest.raises(dem.Stopped):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=2))
    with pytest.raises(
        ValueError, match=r"tol=0 in the checkpoint, tol=0.01 in this fit; remove the checkpoint to start again"
    ):
        mixture(tol=0.01).fit(store, checkpoint=tmp_path / "c.zarr")
    with pytest.raises(ValueError, match="sample_size=500 in the checkpoint, sample_size=501 in this fit"):
        mixture(sample_size=501).fit(store, checkpoint=tmp_path / "c.zarr")
    with pytest.raises(ValueError, match=r"family=.*Full.* in the checkpoint, family=.*Diag.* in this fit"):
        mixture(covariance_type="diag").fit(store, checkpoint=tmp_path / "c.zarr")
    with pytest.raises(ValueError, match="no given in the checkpoint, given="):
        mixture(means_init=np.zeros((4, 3))).fit(store, checkpoint=tmp_path / "c.zarr")
    with pytest.raises(ValueError, match="model=mixture in the checkpoint"):
        dem.PPCA(2).fit(store, checkpoint=tmp_path / "c.zarr")


def test_other_data_are_refused_with_both_named(store, wide, tmp_path):
    with pytest.raises(dem.Stopped):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=2))
    with pytest.raises(
        ValueError,
        match=r"other data: shape=\[20000, 3\].* in the checkpoint, shape=\[500, 30\].* in this fit "
        r"\(.*"
        r"x.zarr in the checkpoint, .*wide.zarr in this fit\)",
    ):
        mixture().fit(wide, checkpoint=tmp_path / "c.zarr")


def test_changed_data_are_detected_by_rows_of_the_sample(store, straight, tmp_path):
    moved = tmp_path / "x.zarr"
    shutil.copytree(store, moved)
    with pytest.raises(dem.Stopped):
        mixture().fit(moved, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=2))
    array = zarr.open_array(moved, mode="r+")
    kept = array[...]
    array[...] = np.nextafter(kept, np.inf)
    with pytest.raises(ValueError, match=r"has changed since its checkpoint was written \(row"):
        mixture().fit(moved, checkpoint=tmp_path / "c.zarr")
    array[...] = kept
    assert equal(mixture().fit(moved, checkpoint=tmp_path / "c.zarr"), straight)


def test_partly_changed_data_are_detected_by_the_objective(store, tmp_path):
    moved = tmp_path / "x.zarr"
    shutil.copytree(store, moved)
    with pytest.raises(dem.Stopped):
        mixture().fit(moved, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=3))
    sampled = checkpoint.SCANS.load(tmp_path / "c.zarr" / "scan")
    peeked = {int(row) // 1000 for row in unhash(sampled.arrays["value.sample.keys"][:3], 0)}
    array = zarr.open_array(moved, mode="r+")
    first = 1000 * min(set(range(20)) - peeked)
    array[first : first + 1000] += 100
    with pytest.raises(
        ValueError, match=r"has changed since its checkpoint was written: the objective of its parameters is now -\d"
    ):
        mixture().fit(moved, checkpoint=tmp_path / "c.zarr")


@mostly_slow("wrap", {"memory": np.array, "dask": lambda x: da.from_array(x, chunks=(1000, 3))}, quick=["memory"])
def test_changed_arrays_are_detected_too(store, tmp_path, wrap):
    x = zarr.open_array(store)[...]
    straight = mixture().fit(wrap(x))
    with pytest.raises(dem.Stopped):
        mixture().fit(wrap(x), checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=2))
    with pytest.raises(ValueError, match=r"has changed since its checkpoint was written .row"):
        mixture().fit(wrap(np.nextafter(x, np.inf)), checkpoint=tmp_path / "c.zarr")
    assert equal(mixture().fit(wrap(x), checkpoint=tmp_path / "c.zarr"), straight)


def damage(path):
    """Change one bit of the largest chunk below a path."""
    chunk = max(path.rglob("c/**/*"), key=lambda p: p.stat().st_size if p.is_file() else -1)
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)


def test_a_damaged_state_falls_back_on_the_one_before(store, straight, tmp_path):
    with pytest.raises(dem.Stopped):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=4))
    root = zarr.open_group(tmp_path / "c.zarr" / "state")
    current = root.attrs["dem_state"]["generation"]
    damage(tmp_path / "c.zarr" / "state" / current)
    model = mixture().fit(store, checkpoint=tmp_path / "c.zarr")
    assert equal(model, straight)


def test_a_completely_damaged_checkpoint_is_refused(store, tmp_path):
    with pytest.raises(dem.Stopped):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=4))
    for generation in (tmp_path / "c.zarr" / "state").glob("generation-*"):
        damage(generation)
    with pytest.raises(ValueError, match="is damaged"):
        mixture().fit(store, checkpoint=tmp_path / "c.zarr")


@pytest.mark.parametrize("part", ["", pytest.param("scan", marks=pytest.mark.slow), "state"])
def test_a_checkpoint_with_a_truncated_document_is_damaged(part, store, tmp_path):
    with pytest.raises(dem.Stopped):
        mixture().fit(store, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=3))
    document = tmp_path / "c.zarr" / part / "zarr.json"
    document.write_text(document.read_text()[:40])
    message = "is damaged: its zarr.json cannot be read .*" if part else "its zarr.json cannot be read .*"
    with pytest.raises(
        (ValueError, FileExistsError), match=f"c.zarr/?{part}.*{message}remove the checkpoint to start again"
    ):
        mixture().fit(store, checkpoint=tmp_path / "c.zarr")
    assert len(document.read_text()) == 40


def test_anything_but_a_checkpoint_is_not_overwritten(store, straight, tmp_path):
    (tmp_path / "file").write_text("mine")
    zarr.create_group(tmp_path / "group.zarr", attributes={"mine": 1})
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    straight.save(tmp_path / "model.zarr")
    for name in ("file", "group.zarr", "folder", "model.zarr"):
        with pytest.raises(FileExistsError, match="is not a checkpoint saved by dem, so it is not overwritten"):
            mixture().fit(store, checkpoint=tmp_path / name)
    (tmp_path / "empty").mkdir()
    mixture().fit(store, checkpoint=tmp_path / "empty")
    checkpoint.remove(tmp_path / "empty")
    assert not (tmp_path / "empty").exists()
    checkpoint.remove(tmp_path / "nothing")


def test_a_run_stops_if_another_has_taken_over(place):
    with Checkpoint(place).journal(IDENTITY) as first:
        state = loop.State(np.arange(3.0))
        first.keep_state(state, 1)
        checkpoint.begin_run(place)  # as a run on another machine would
        with pytest.raises(RuntimeError, match=r"Another run \(process \d+ on .*\) has taken over the checkpoint"):
            first.keep_state(state, 2)
    kept = checkpoint.STATES.load(f"{place}/state")
    assert kept.attributes["n_passes"] == 1


class Full(LocalStore):
    """A disk that is full after so many writes."""

    left = 0

    async def set(self, key, value):
        Full.left -= 1
        if Full.left < 0:
            raise OSError(28, os.strerror(28))
        await super().set(key, value)


def test_a_full_disk_leaves_the_state_before(tmp_path, monkeypatch):
    states = [loop.State(np.full(3, float(i)), (), i) for i in range(3)]
    with Checkpoint(tmp_path / "c.zarr").journal(IDENTITY) as journal:
        journal.keep_state(states[0], 1)
        monkeypatch.setattr(atomic, "_store_or_path", lambda path: Full(Path(path)))
        failures = 0
        for writes in range(30):
            Full.left = writes
            try:
                journal.keep_state(states[1], 2)
            except OSError:
                failures += 1
            else:
                break
            finally:
                Full.left = 10**6
            kept = checkpoint.STATES.load(tmp_path / "c.zarr" / "state")
            assert kept.attributes["n_passes"] in ((1,) if writes < 3 else (1, 2))
        assert failures > 3
        assert checkpoint.STATES.load(tmp_path / "c.zarr" / "state").attributes["n_passes"] == 2


def test_a_newer_format_and_unknown_classes_are_refused(tmp_path):
    with Checkpoint(tmp_path / "c.zarr").journal(IDENTITY) as journal:
        identity = journal._attributes()
    document = {"class": "dem.scan.scanner:Gone", "fields": {}}
    checkpoint.SCANS.save(f"{tmp_path}/c.zarr/scan", GroupContents("Scan", {}, {"document": document, **identity}))
    with pytest.raises(
        ValueError, match=r"cannot read the checkpoint .* \(AttributeError.*Gone.*remove the checkpoint"
    ):
        checkpoint.read(tmp_path / "c.zarr", IDENTITY)
    with pytest.raises(ValueError, match=r"tol=0.001 in the checkpoint, tol=1 in this fit"):
        checkpoint.read(tmp_path / "c.zarr", replace(IDENTITY, settings={"tol": 1, "seed": 0}))
