"""What notebooks show: a table of facts, and a bar."""

import re
import sys
import types

import numpy as np

import dem
from dem.estimators import notebook_bar
from dem.estimators.iterations import engine_with_progress
from dem.estimators.notebook_bar import NotebookBar
from dem.estimators.progress_lines import Printed

X = np.random.default_rng(0).normal(size=(300, 2))


def test_fitted_estimators_have_a_small_table_of_facts():
    model = dem.GaussianMixture(2, n_init=1, random_state=0)
    assert "300 rows" not in model._repr_html_()
    shown = model.fit(X)._repr_html_()
    assert "array: 300 rows of 2 columns" in shown
    assert "array: 300 rows of 2 columns" in model._repr_mimebundle_()["text/html"]
    table = shown[shown.rindex("<table") :]
    assert len(table) < 4000
    assert re.findall(r">(component \d)<", table) in (["component 0", "component 1"], ["component 1", "component 0"])


def test_how_a_fit_ran_is_kept(tmp_path):
    model = dem.KMeans(2, random_state=0).fit(X)
    assert model.run_["seconds"] > 0
    assert model.run_["where"] == "this machine"
    assert model.run_["dem"] == dem.__version__
    model.save(tmp_path / "m.zarr")
    assert dem.load(tmp_path / "m.zarr").run_ == model.run_


def test_the_bar_shows_every_pass_in_one_output():
    shown = []

    def show(html):
        shown.append(html)
        return shown.append

    bar = NotebookBar(show=show)
    dem.GaussianMixture(2, n_init=1, random_state=0, verbose=1, engine=dem.Engine(progress=bar)).fit(X)
    assert "<progress" in "".join(shown)
    assert "<progress" not in shown[-1]
    for name in ("first scan", "start on 300 rows", "pass 1", "converged"):
        assert name in shown[-1]


def test_a_notebook_is_recognised(monkeypatch):
    model = dem.GaussianMixture(2, verbose=1)
    assert type(engine_with_progress(model).progress) is Printed
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert notebook_bar.in_notebook()
    assert type(engine_with_progress(model).progress) is NotebookBar
