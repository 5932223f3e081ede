"""The steps that every workflow calls, without an engine: fit, score, label, report."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import dem

sys.path.insert(0, str(Path(__file__).parents[2] / "workflows"))
import steps


def test_the_steps_one_after_the_other(tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(8, 1, (300, 2))])
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(200, 2))
    store, settings = str(tmp_path / "x.zarr"), {"n_components": 2}
    run = steps.begin(store, str(tmp_path / "runs"), settings)
    model = dem.load(steps.fit(store, run, settings, {}))
    assert steps.score(store, run, {})["log_likelihood"] == model.score(store)
    np.testing.assert_array_equal(zarr.open_array(steps.label(store, run, {}))[...], model.predict(store).compute())
    numbers = steps.report(store, run, settings, {})
    assert numbers["bic"] == model.bic(store)
    assert json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())["rows"] == 600
    assert "Gaussian mixture" in (tmp_path / "runs" / "latest" / "report.html").read_text()
    assert steps.is_done(run)


def test_the_folder_of_the_runs(tmp_path, monkeypatch):
    zarr.create_array(tmp_path / "x.zarr", data=np.ones((6, 2)))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert steps.begin("~/x.zarr", "~/runs", {}) == steps.begin(str(tmp_path / "x.zarr"), f"{tmp_path}/runs", {})
    steps.failed("~/runs", {"run": "1"})
    assert json.loads((tmp_path / "runs" / "failed.json").read_text()) == {"run": "1"}
    for place in ("s3://bucket/runs", "memory://runs"):
        with pytest.raises(ValueError, match="is a URL, but the folder of the runs must be on a disk"):
            steps.begin("~/x.zarr", place, {})


@pytest.mark.slow
def test_a_second_night(tmp_path):
    """The fit starts from the last model, labels are kept, and the changes are counted; other settings start anew."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, 1, (3000, 2)) for m in (0, 8)])
    array = zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(1000, 2))
    store, folder = str(tmp_path / "x.zarr"), str(tmp_path / "runs")

    def night(settings):
        run = steps.begin(store, folder, settings)
        model = dem.load(steps.fit(store, run, settings, {}))
        steps.score(store, run, {})
        steps.label(store, run, {})
        return model, steps.report(store, run, settings, {})

    first, numbers = night({"n_components": 2})
    assert numbers["label_changes"] == {}
    array.append(np.concatenate([rng.normal(m, 1, (100, 2)) for m in (0, 8)]))
    second, numbers = night({"n_components": 2})
    assert second.n_passes_ == 2 < first.n_passes_
    np.testing.assert_allclose(second.means_, first.means_, atol=0.2)
    assert numbers["label_changes"] == {"compared": 6000, "changed": 0, "added": 200, "removed": 0}
    assert "| other label than before | 0 of 6,000 rows |" in steps.table(numbers)
    third, numbers = night({"n_components": 3})
    assert third.n_passes_ > 2
    assert numbers["label_changes"]["changed"] < 6000 * 0.6  # two components have kept their numbers


def test_several_numbers_of_components_are_selected_among(tmp_path):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(8, 1, (300, 2))])
    store = str(tmp_path / "x.zarr")
    zarr.create_array(store, data=x, chunks=(200, 2))
    settings = steps.settings("1:3")
    assert steps.settings("3") == steps.settings(3)
    run = steps.begin(store, str(tmp_path / "runs"), settings)
    model = dem.load(steps.fit(store, run, settings, {}))
    assert model.selection_["best"] == "n_components=2"
    assert steps.score(store, run, {})["bic"] == model.bic(store)
