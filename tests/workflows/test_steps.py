"""The steps that every workflow calls, without an engine: fit, score, label, report."""

import json
import sys
from pathlib import Path

import numpy as np
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
    assert json.loads((tmp_path / "runs" / "latest" / "report" / "report.json").read_text())["rows"] == 600
