"""A plugin of pytest (`make docs-test`) that runs the code blocks of README.md, CONTRIBUTING.md and docs/, by Sybil.

It runs blocks of Python, and indented blocks that begin with a command. Each page has two folders, one for its Python
and one for its commands, with small stores by the names that the pages use. A block that cannot run here has a comment
before it, which gives the reason: `<!-- skip: next "needs a Slurm cluster" -->`; for several there are `skip: start`
and `skip: end`.
"""

import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zarr
from sybil import Region, Sybil
from sybil.evaluators.python import PythonEvaluator
from sybil.parsers.markdown import CodeBlockParser, SkipParser

from lab_stores import write_cells, write_grid, write_image, write_profiles

COMMANDS = r"(?:\. |cp|dem|export|make|mv|pip|prefect|python3?)\b"
SHELL = re.compile(rf"(?<=\n\n)    {COMMANDS}[^\n]*\n(?:(?:    [^\n]*)?\n)*", re.MULTILINE)


def stores(folder):
    """Write the stores that the pages name: of few rows, with columns that suit the models fitted to them."""
    rng = np.random.default_rng(0)
    n = 4000

    def write(name, x):
        group, _, array = name.partition("/")
        chunks = (1000, x.shape[1])
        if array:
            zarr.open_group(folder / group).create_array(array, data=x, chunks=chunks)
        else:
            zarr.create_array(folder / group, data=x, chunks=chunks)

    centres = rng.uniform(-50, 50, size=(16, 3))
    write("floats.zarr/profiles", centres[rng.integers(16, size=n)] + rng.normal(size=(n, 3)))
    for name, q, d in (("spectra.zarr", 8, 20), ("answers.zarr", 5, 12), ("wide.zarr", 4, 60)):
        write(name, rng.normal(size=(n, q)) @ rng.normal(size=(q, d)) * 3 + rng.normal(size=(n, d)))
    write("counts.zarr", rng.poisson(np.array([[1, 5], [6, 2], [12, 9], [30, 1]])[rng.integers(4, size=n)]))
    which = rng.integers(3, size=n)
    days = [
        5 * which + rng.normal(size=n),
        rng.normal(size=n),
        rng.gamma(1 + 3 * which),
        (which + (rng.random(n) < 0.2)) % 5,
    ]
    write("weather.zarr/days", np.column_stack(days))
    write("images.zarr/pixels", rng.uniform(size=(n, 3)))
    profiles = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 12)) + rng.normal(size=(n, 12))
    profiles[rng.random(profiles.shape) < 0.1] = np.nan
    write("profiles.zarr/temperature", profiles)
    people = {"name": ["someone"] * n, "age": rng.normal(40, 10, n), "income": rng.gamma(3, 1000, n)}
    write_profiles(folder / "argo.zarr")
    write_grid(folder / "sst.zarr")
    write_cells(folder / "cells.zarr")
    write_image(folder / "image.zarr")
    pq.write_table(pa.table(people), folder / "people.parquet", row_group_size=1000)


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    stores(folder)
    return folder


@pytest.fixture(scope="module")
def folders(data, tmp_path_factory):
    """The folders of one page: for its Python, and for its commands."""
    made = tmp_path_factory.mktemp("python"), tmp_path_factory.mktemp("shell")
    for folder in made:
        for store in data.iterdir():
            (folder / store.name).symlink_to(store)
    return made


class Python(PythonEvaluator):
    """Runs a block in the folder of its page's Python."""

    def __call__(self, example):
        before = Path.cwd()
        os.chdir(example.namespace["folders"][0])
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")
                super().__call__(example)
        finally:
            os.chdir(before)


def shell(example):
    """Run a block by bash, in the folder of its page's commands; `dem` and `python` are those of this environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", example.parsed],
        cwd=example.namespace["folders"][1],
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return None if done.returncode == 0 else f"The commands ended with status {done.returncode}:\n{done.stdout}"


def indented(document):
    """Yield the indented blocks that begin with a command."""
    for found in SHELL.finditer(document.text):
        yield Region(found.start(), found.end(), textwrap.dedent(found.group()), shell)


pytest_collect_file = Sybil(
    [CodeBlockParser("python", Python()), indented, SkipParser()],
    path=str(Path(__file__).parents[1]),
    patterns=["README.md", "CONTRIBUTING.md", "docs/*.md"],
    fixtures=["folders"],
).pytest()
