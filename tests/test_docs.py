"""What README and docs say of the project's own files is true."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "cluster_configs" / "README.md",
]
PLACES = [ROOT / folder for folder in (".", "dem", "tests", "workflows", "cluster_configs")]
"""A path in a page may begin at any of them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_are_there(page):
    named = set(re.findall(r"`([\w/-]+\.(?:py|sh|yaml))`", page.read_text()))
    assert {name for name in named if not any((place / name).exists() for place in PLACES)} <= {"families/NAME.py"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_links_are_there(page):
    linked = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text())
    assert [link for link in linked if not (page.parent / link).exists()] == []
