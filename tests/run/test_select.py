"""Fits with common passes: each has the bits of its fit alone, and an interrupted selection continues with the same."""

from dataclasses import replace

import numpy as np
import pytest
import zarr

from crosses import mostly_slow
from dem import Engine
from dem.em.starts import Start
from dem.engine.passes import Passes
from dem.families import COVARIANCE_TYPES
from dem.kernel.choice import chosen_kernel
from dem.models.mixture.mixture import MixtureModel
from dem.models.selection import CriterionBounds
from dem.run.fit import Problem, fit_model
from dem.run.fit_settings import FitSettings
from dem.run.select import fit_candidates
from dem.source import open_source
from dem.storage.checkpoint import Checkpoint, Stopped
from laws import MODELS, assert_close, assert_same_bits

SETTINGS = FitSettings(tol=1e-3, max_iter=4, start=Start(2, 200))
FULL = COVARIANCE_TYPES["full"]()


def native(model):
    return model.with_kernel(chosen_kernel()) if getattr(model, "has_native_kernel", False) else model


def clusters(n=3000, d=3, k=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, d))[rng.integers(k, size=n)] * 6 + rng.normal(size=(n, d))


def gaussians(*numbers, settings=SETTINGS, kinds=("full",)):
    return {
        f"{kind} {k}": Problem(native(MixtureModel(k, COVARIANCE_TYPES[kind]())), settings)
        for kind in kinds
        for k in numbers
    }


def same_as_alone(fitted, problem, source, tolerance=None):
    """The fit of a candidate that was not dropped is its fit alone."""
    alone = fit_model(problem.model, source, problem.settings, params=problem.params)
    assert fitted.state.stop_reason == alone.state.stop_reason
    assert len(fitted.state.history) == len(alone.state.history)
    if tolerance is None:
        assert_same_bits(fitted.state.params, alone.state.params)
        assert fitted.state.history == alone.state.history
    else:
        assert_close(fitted.state.params, alone.state.params, tolerance)


STREAMING = {name: case for name, case in MODELS.items() if case.streams}
QUICK = ("full", "diag-missing", "kmeans", "kmeans-missing", "ppca", "fa-missing", "bayesian-tied", "studentt-full")


@pytest.mark.filterwarnings("ignore:.*differ in spread by a factor")
@mostly_slow("name", STREAMING, quick=[name for name in QUICK if name in STREAMING])
def test_every_model_ends_as_alone(name, tmp_path):
    """Two candidates of each model, of weighted rows; chunked, so that sums are trees."""
    case, x = name, np.asarray(name.x, np.float64)
    store = zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(53, x.shape[1]))
    source = open_source(store, np.arange(len(x)) % 3 / 2.0)
    model = native(case.model)
    tol = 0.0 if case.own_measure else SETTINGS.tol
    problems = {
        "long": Problem(model, replace(SETTINGS, tol=tol)),
        "short": Problem(model, replace(SETTINGS, tol=tol, max_iter=2)),
    }
    found = fit_candidates(problems, source, CriterionBounds("held_out", x.shape[1]), "held_out")
    for which, problem in problems.items():
        same_as_alone(found.fits[which], problem, source)
    assert found.n_passes == 1 + max(len(fit.state.history) for fit in found.fits.values())


def test_candidates_of_different_kinds_share_the_passes():
    x = clusters()
    x[::50] = np.nan
    source = open_source(x.astype(np.float32))
    problems = gaussians(1, 2, 3, 5, kinds=("full", "tied", "diag", "spherical"))
    found = fit_candidates(problems, source, CriterionBounds("bic", 3), "bic")
    ended = {c.name: c for c in found.candidates.of}
    for name, problem in problems.items():
        if not ended[name].dropped:
            same_as_alone(found.fits[name], problem, source)
    assert found.n_passes == 1 + max(len(fit.state.history) for fit in found.fits.values())
    assert any(c.dropped for c in found.candidates.of)


def test_numpy_ends_as_alone(monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    source, problems = open_source(clusters()), gaussians(2, 3, kinds=("full", "diag"))
    found = fit_candidates(problems, source, CriterionBounds("held_out", 3), "held_out")
    for name, problem in problems.items():
        same_as_alone(found.fits[name], problem, source, 1e-9)


def test_an_interrupted_selection_continues_with_the_same_bits(tmp_path):
    store = zarr.create_array(tmp_path / "x.zarr", data=clusters(), chunks=(500, 3))
    source, judge = open_source(store), CriterionBounds("bic", 3)
    whole = fit_candidates(gaussians(1, 2, 3, 4), source, judge, "bic")
    for stop_after in range(1, whole.n_passes):
        path = tmp_path / f"{stop_after}.zarr"

        def go_on(limit, path=path):
            settings = replace(SETTINGS, checkpoint=Checkpoint(path, max_passes=limit))
            return fit_candidates(gaussians(1, 2, 3, 4, settings=settings), source, judge, "bic")

        with pytest.raises(Stopped):
            go_on(stop_after)
        found = go_on(None)
        assert found.n_passes == whole.n_passes
        for one, other in zip(found.candidates.of, whole.candidates.of, strict=True):
            assert (one.name, one.value, one.ended_in, one.why) == (other.name, other.value, other.ended_in, other.why)
            assert_same_bits(one.state.params, other.state.params)
            assert one.state.history == other.state.history


def test_a_checkpoint_is_of_these_candidates_and_this_criterion(tmp_path):
    source = open_source(zarr.create_array(tmp_path / "x.zarr", data=clusters(), chunks=(500, 3)))
    settings = replace(SETTINGS, checkpoint=Checkpoint(tmp_path / "c.zarr", max_passes=2))
    with pytest.raises(Stopped):
        fit_candidates(gaussians(2, 3, settings=settings), source, CriterionBounds("bic", 3), "bic")
    with pytest.raises(ValueError, match="checkpoint of a fit with other settings"):
        fit_candidates(gaussians(2, 4, settings=settings), source, CriterionBounds("bic", 3), "bic")
    with pytest.raises(ValueError, match="criterion=bic in the checkpoint, criterion=aic in this fit"):
        fit_candidates(gaussians(2, 3, settings=settings), source, CriterionBounds("aic", 3), "aic")


def test_candidates_take_turns_where_memory_is_short(tmp_path, monkeypatch):
    """The bits are those of common passes; more passes are counted, and a note says so."""
    source, judge, problems = open_source(clusters()), CriterionBounds("held_out", 3), gaussians(2, 3, 4)
    together = fit_candidates(problems, source, judge, "held_out")
    space = max(problem.model.workspace_bytes(3) for problem in problems.values())
    planned = Passes.plan_for

    def refusing(self, workspace):
        if workspace > 1.5 * space:
            raise MemoryError("too much")
        planned(self, workspace)

    monkeypatch.setattr(Passes, "plan_for", refusing)
    notes = []
    monkeypatch.setattr("dem.em.progress.Silent.note", lambda self, text: notes.append(text))
    found = fit_candidates(problems, source, judge, "held_out")
    for name in problems:
        assert_same_bits(found.fits[name].state.params, together.fits[name].state.params)
    assert found.n_passes > together.n_passes
    assert any("take turns" in note for note in notes)


def test_a_start_that_fails_leaves_the_others(monkeypatch):
    started = MixtureModel.start

    def failing(self, sample, rng):
        if self.n_components == 3:
            raise ValueError("no start")
        return started(self, sample, rng)

    monkeypatch.setattr(MixtureModel, "start", failing)
    with pytest.warns(UserWarning, match="full 3 cannot be fitted: no start"):
        found = fit_candidates(gaussians(2, 3), open_source(clusters()), CriterionBounds("bic", 3), "bic")
    assert [c.failed for c in found.candidates.of] == [False, True]
    assert list(found.fits) == ["full 2"]
    with (
        pytest.warns(UserWarning, match="no start"),
        pytest.raises(ValueError, match="no candidate can be fitted; full 3: no start"),
    ):
        fit_candidates(gaussians(3), open_source(clusters()), CriterionBounds("bic", 3), "bic")


def test_the_memory_limit_is_kept(tmp_path):
    settings = replace(SETTINGS, engine=Engine(memory=1000))
    with pytest.raises(MemoryError):
        fit_candidates(gaussians(2, settings=settings), open_source(clusters()), CriterionBounds("bic", 3), "bic")
