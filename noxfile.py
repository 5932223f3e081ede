"""The test matrix: `make matrix`, or one session as in `nox -s lowest`. Interpreters that are not found are skipped.

Each session has its own environment. Bounds of versions come from pyproject.toml. Arguments after `--` go to pytest.
"""

import nox
from nox import project

PYPROJECT = project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
SELECTION = ("-q", "-m", "not slow and not cluster and not workflows", "-n", "auto", "--maxprocesses", "4")
OLD_BESIDE_NEW = (  # what pyparsing says of old Matplotlib, and pytest of old scikit-learn: neither is about dem
    *("-W", "ignore::pyparsing.warnings.PyparsingDeprecationWarning"),
    *("-W", "ignore::pytest.PytestRemovedIn10Warning"),
)
MATHS = (
    *("tests/core", "tests/kernel", "tests/scan", "tests/em", "tests/families", "tests/models"),
    "tests/test_layers.py::test_each_package_of_the_maths_can_be_imported_first",
)
READERS = ("pandas", "polars", "pyarrow", "s3fs", "xarray")
MATHS_NEEDS = ("numpy", "scipy", "scikit-learn", "threadpoolctl")

nox.needs_version = ">=2025.5"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(project.dependency_groups(PYPROJECT, name))


def lowest_versions() -> list[str]:
    """Return every direct dependency at its lower bound, and what dem reads data with if it is installed."""
    optional = [requirement for requirement in group("test") if requirement.split(">=")[0] in READERS]
    return [requirement.replace(">=", "==") for requirement in [*PYPROJECT["project"]["dependencies"], *optional]]


def run_tests(session: nox.Session, *arguments: str) -> None:
    """Run the selection of `make test`."""
    session.run("python", "-m", "pytest", *SELECTION, *arguments, *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session(python=PYTHONS)
def newest(session: nox.Session) -> None:
    """Run the tests with the newest version of every dependency."""
    session.install(".", *group("test"))
    run_tests(session)


@nox.session(python=PYTHONS[0])
def lowest(session: nox.Session) -> None:
    """Run the tests with every direct dependency at its lower bound."""
    session.install(".", *lowest_versions(), *group("test"))
    run_tests(session, *OLD_BESIDE_NEW)


@nox.session(python=PYTHONS[0])
def without_extras(session: nox.Session) -> None:
    """Run the tests where nothing optional is installed: no xarray, no s3fs."""
    session.install(".", *group("pytest"))
    run_tests(session)


@nox.session(python=PYTHONS[0])
def without_dask(session: nox.Session) -> None:
    """Run the tests of the maths where neither Dask nor Zarr is installed; tests that need them are skipped."""
    bounds = [bound for bound in PYPROJECT["project"]["dependencies"] if bound.split(">=")[0] in MATHS_NEEDS]
    session.install(*bounds, *group("pytest"))
    session.install("--no-deps", ".")
    run_tests(session, "-p", "without_dask", *MATHS)
