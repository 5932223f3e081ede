"""Imports go one way: each file imports only from layers above its own, and the maths needs no Dask."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import dem

ROOT = Path(dem.__file__).parent

MATHS = [
    "stats",
    "model",
    "linalg",
    "frame",
    "measure",
    "sample",
    "moments",
    "scan",
    "completion",
    "seeding",
    "families",
    "models",
    "em",
    "blas",
    "start",
    "encoding",
]
ENGINE = [
    "human",
    "source",
    "fingerprint",
    "claim",
    "sweep",
    "cluster",
    "place",
    "passes",
    "engine",
    "regions",
    "new_array",
    "outputs",
    "saved",
    "generations",
    "store",
    "journal",
    "checkpoint",
    "resume",
    "constancy",
    "values",
    "run",
    "run_rows",
    "run_draw",
    "run_latent",
    "estimators",
]
PICTURES = ["plot_axes", "plot_components", "plot_staircase", "plot"]
FACES = [*PICTURES, "progress", "commands", "demo", "cli_options", "cli_fit", "cli", "__main__"]
LAYERS = [*MATHS, *ENGINE, *FACES]
"""From the top: a file imports from its own layer and from those before it."""

FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")
WEB = {"dask", "distributed", "zarr", "click", "rich", "matplotlib", "psutil"}


def layer(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def is_for_types_only(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(path):
    """Yield the names of the modules that a file imports when it runs; for `from dem import x`, dem.x."""
    nodes = [ast.parse(path.read_text())]
    while nodes:
        for node in ast.iter_child_nodes(nodes.pop()):
            if is_for_types_only(node):
                continue
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                if node.module == "dem":
                    yield from (f"dem.{alias.name}" for alias in node.names if not alias.name.startswith("__"))
                else:
                    yield node.module
            else:
                nodes.append(node)


def own(path):
    return {name.split(".")[1] for name in imports(path) if name.startswith("dem.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path):
    assert len(path.read_text().splitlines()) <= 300


def test_every_layer_has_its_place():
    assert {layer(path) for path in FILES} <= set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_come_from_layers_above(path):
    place = LAYERS.index(layer(path))
    assert {name for name in own(path) if LAYERS.index(name) > place} == set()


@pytest.mark.parametrize(
    "path", [path for path in FILES if layer(path) in MATHS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_the_maths_imports_neither_dask_nor_zarr_nor_a_terminal(path):
    assert {name.split(".")[0] for name in imports(path)} & WEB == set()


@pytest.mark.parametrize("path", sorted((ROOT / "estimators").glob("*.py")), ids=lambda path: path.name)
def test_the_estimators_import_no_dask(path):
    assert {name.split(".")[0] for name in imports(path)} & {"dask", "distributed", "zarr"} == set()


def test_no_imports_are_hidden_in_functions_of_the_maths():
    """Imports inside functions hide circles."""
    for path in FILES:
        if layer(path) in MATHS:
            tree = ast.parse(path.read_text())
            top = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom | ast.If)]
            inner = [n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)]
            assert len(inner) == sum(isinstance(n, ast.Import | ast.ImportFrom) for t in top for n in ast.walk(t)), path


def run(code):
    return subprocess.run([sys.executable, "-W", "error", "-c", textwrap.dedent(code)], capture_output=True, text=True)


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

        import dem.em, dem.families, dem.models.mixture, dem.models.ppca, dem.start
        from dem.model import Block

        x = np.random.default_rng(0).normal(size=(500, 2))
        x[:250] += 9
        sample = Block(x)
        for kind, family in dem.families.COVARIANCE_TYPES.items():
            model = dem.models.mixture.MixtureModel(2, family())
            params = dem.start.best_start(model, sample, dem.start.Start())
            means = sorted(params.theta.means[:, 0])
            assert abs(means[0]) < 0.3 and abs(means[1] - 9) < 0.3, (kind, means)
        dem.start.best_start(dem.models.ppca.PPCAModel(1), sample, dem.start.Start(1))
        assert "dask" not in sys.modules and "zarr" not in sys.modules
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("module", [f"dem.{name}" for name in MATHS])
def test_each_layer_of_the_maths_can_be_imported_first(module):
    """No circle hides behind the order of the imports. (scikit-learn itself may import rich.)"""
    done = run(f"import sys, {module}; assert not set(sys.modules) & {{'dask', 'distributed', 'zarr', 'click'}}")
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
