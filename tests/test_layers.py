"""Imports go one way: each package imports only from packages below it, and the maths needs no Dask."""

import ast
import subprocess
import sys
import textwrap
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dem

ROOT = Path(dem.__file__).parent

ORDER = [
    "__main__",
    "cli",
    "reports",
    "plot",
    "selection",
    "estimators",
    "run",
    "results",
    "engine",
    "models",
    "storage",
    "families",
    "em",
    "source",
    "scan",
    "kernel",
    "core",
]
"""From the top: a package imports only from those after it. docs/architecture.md draws it."""
WITHOUT_DASK = {"models", "families", "em", "scan", "kernel", "core"}

WEB = {"dask", "distributed", "zarr", "click", "rich", "matplotlib", "psutil"}
LONGEST = 450


def module(path):
    """Return the name that a file is imported by."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path): path for path in sorted(ROOT.rglob("*.py"))}
FILES = {name: path for name, path in MODULES.items() if name != "dem"}


def imports(path):
    """Yield the names of the modules that a file imports, for the type checker alone or inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module


IMPORTS = {name: set(imports(path)) for name, path in FILES.items()}


def package(name):
    return name.split(".")[1]


def in_package(names):
    return [name for name in FILES if package(name) in names]


def test_no_file_is_long():
    lengths = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in lengths.items() if n > LONGEST} == {}


def test_every_package_has_its_place():
    assert {package(name) for name in FILES} == set(ORDER)
    assert len(ORDER) <= 17


def test_imports_come_from_packages_below():
    arrows = {(name, other) for name in FILES for other in IMPORTS[name] if other.startswith("dem.")}
    assert {arrow for arrow in arrows if ORDER.index(package(arrow[1])) < ORDER.index(package(arrow[0]))} == set()


def test_no_files_import_each_other_in_a_circle():
    graph = {name: (IMPORTS[name] & FILES.keys()) - {name} for name in FILES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_no_file_imports_the_package_itself():
    """Its `__init__` hands out names of all files: a file that took one from there would be tied to all of them."""
    assert [name for name in FILES if "dem" in IMPORTS[name]] == []


@pytest.mark.parametrize(
    ("packages", "kept_out"),
    [(WITHOUT_DASK, WEB), ({"estimators"}, {"dask", "distributed", "zarr"})],
    ids=["maths", "estimators"],
)
def test_what_packages_do_not_import(packages, kept_out):
    """The maths knows neither Dask nor Zarr nor a terminal, the estimators no Dask."""
    used = {name: {other.split(".")[0] for other in IMPORTS[name]} & kept_out for name in in_package(packages)}
    assert {name: found for name, found in used.items() if found} == {}


def test_no_imports_of_dem_are_hidden_in_functions():
    """Imports inside functions hide circles. The command line alone has them, since `dask` loads it at every call."""
    for name in in_package(set(ORDER) - {"cli"}):
        functions = [n for n in ast.walk(ast.parse(FILES[name].read_text())) if isinstance(n, ast.FunctionDef)]
        hidden = [n for f in functions for n in ast.walk(f) if isinstance(n, ast.Import | ast.ImportFrom)]
        assert [ast.unparse(n) for n in hidden if ast.unparse(n).split()[1].split(".")[0] == "dem"] == [], name


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True)


@pytest.mark.slow
def test_models_fit_where_dask_and_zarr_are_not_installed():
    done = run(
        """
        import sys

        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("dask", "distributed", "zarr", "click", "rich"):
                    raise ModuleNotFoundError(name)

        sys.meta_path.insert(0, Absent())
        import numpy as np

        from dem.core.block import Block
        from dem.em.starts import Start, best_start
        from dem.families import COVARIANCE_TYPES
        from dem.models.latent.ppca import PPCAModel
        from dem.models.mixture.mixture import MixtureModel

        x = np.random.default_rng(0).normal(size=(500, 2))
        x[:250] += 9
        sample = Block(x)
        for kind, family in COVARIANCE_TYPES.items():
            params = best_start(MixtureModel(2, family()), sample, Start()).params
            means = sorted(params.theta.means[:, 0])
            assert abs(means[0]) < 0.3 and abs(means[1] - 9) < 0.3, (kind, means)
        best_start(PPCAModel(1), sample, Start(1))
        assert "dask" not in sys.modules and "zarr" not in sys.modules
        """
    )
    assert done.returncode == 0, done.stderr


def test_each_package_of_the_maths_can_be_imported_first():
    """No circle hides behind the order of the imports. (scikit-learn itself may import rich.)"""
    packages = [name for name in in_package(WITHOUT_DASK) if FILES[name].name == "__init__.py"]
    done = run(
        f"""
        import importlib, sys

        for name in {packages}:
            for loaded in [other for other in sys.modules if other.split(".")[0] == "dem"]:
                del sys.modules[loaded]
            importlib.import_module(name)
        assert not set(sys.modules) & {{"dask", "distributed", "zarr", "click"}}
        """
    )
    assert done.returncode == 0, done.stderr


def test_the_package_loads_its_names_lazily():
    done = run("import dem, sys; assert not set(sys.modules) & {'dask', 'numpy'}; dem.GaussianMixture")
    assert done.returncode == 0, done.stderr


def test_public_names():
    assert set(dem.__all__) <= set(dir(dem))
    for name in dem.__all__:
        assert getattr(dem, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dem.nothing  # noqa: B018


def test_workers_load_no_more_than_they_need():
    """Each process of a cluster pays for what it imports: see `IDLE_WORKER_BYTES`. Kernels of all models are loaded."""
    loaded = [*in_package(WITHOUT_DASK), "dem.engine.sweep.graph", "dem.results.row_outputs"]
    done = run(
        f"""
        import importlib, sys

        for name in {loaded}:
            importlib.import_module(name)
        found = {{"pydantic", "sklearn", "rich", "scipy.stats", "scipy.optimize"}} & set(sys.modules)
        assert not found, found
        """
    )
    assert done.returncode == 0, done.stderr
