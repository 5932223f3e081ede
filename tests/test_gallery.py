"""The pictures of the documentation: scripts in docs/pictures draw them, and docs/gallery.md shows the scripts."""

import re
import runpy
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from plot.looks import problems
from shared import CSV, DATA

DOCS = Path(__file__).parents[1] / "docs"
GALLERY = DOCS / "gallery.md"
SCRIPTS = sorted((DOCS / "pictures").glob("*.py"))
IMAGES = sorted((DOCS / "images").iterdir())
NEEDS = {
    "argo_classes": DATA / "argo_profiles.zarr",
    "argo_gaps": DATA / "argo_profiles.zarr",
    "flights": DATA / "flights.zarr",
    "house_prices": CSV / "california_housing.csv",
    "oil_flow": CSV / "oilflow.csv",
}
"""The data of a script; the others need none."""
LARGEST, MOST = 150_000, 1_000_000
"""Bytes of a picture, and of all."""


def drawn_by(script):
    """Return the names of the pictures that a script writes."""
    return re.findall(r'savefig\("([\w.]+)"', script.read_text())


def test_every_picture_of_the_documentation_is_drawn_by_one_script_and_small():
    assert sorted(name for script in SCRIPTS for name in drawn_by(script)) == [path.name for path in IMAGES]
    sizes = [path.stat().st_size for path in IMAGES]
    assert max(sizes) < LARGEST
    assert sum(sizes) < MOST


def test_the_gallery_links_every_script_and_shows_those_of_its_pictures_with_words():
    page = GALLERY.read_text()
    assert [script.name for script in SCRIPTS if f"](pictures/{script.name})" not in page] == []
    shown = dict(re.findall(r"!\[(.*?)\]\(images/([\w.]+)\)", page))
    assert all(len(words) > 30 for words in shown)
    for script in SCRIPTS:
        code = script.read_text().split('"""', 2)[2].strip()
        assert (f"```python\n{code}\n```" in page) == bool(set(drawn_by(script)) & set(shown.values()))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_draws_its_pictures_without_texts_that_hide_one_another(script, tmp_path, monkeypatch):
    for package in ("pandas", "xarray"):
        if f"import {package}" in script.read_text():
            pytest.importorskip(package)
    data = NEEDS.get(script.stem)
    if data is not None and not data.exists():
        pytest.skip("the shared data are not here")
    figures, save = [], Figure.savefig

    def record(figure, *args, **settings):
        figures.append(figure)
        save(figure, *args, **settings)

    monkeypatch.setattr(Figure, "savefig", record)
    monkeypatch.setattr(sys, "argv", [str(script), *([] if data is None else [str(data)])])
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == set(drawn_by(script))
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < LARGEST
    assert [problem for figure in figures for problem in problems(figure)] == []
