"""How the command line is called: words, options, statuses, and what is loaded for it."""

import re
import subprocess
import sys
from importlib.metadata import entry_points

import click
import pytest
from click.testing import CliRunner

import dem
from dem.cli import fit_options, main, options
from dem.cli.commands.rows import predict_outputs
from dem.families import COVARIANCE_TYPES


def run(*words):
    return CliRunner().invoke(main.main, words)


def done(*words):
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "gmm", "x.zarr", "-o", "m.zarr"],
        ["fit", "gmm", "x.zarr", "-k", "0", "-o", "m.zarr"],
        ["fit", "gmm", "x.zarr", "-k", "2", "--memory", "much", "-o", "m.zarr"],
        ["fit", "gmm", "x.zarr", "-k", "2", "--covariance", "round", "-o", "m.zarr"],
        ["fit", "ppca", "x.zarr", "-q", "few", "-o", "m.zarr"],
        ["plot", "gmm.zarr", "--columns", "0", "-o", "p.png"],
        ["predict", "gmm.zarr", "x.zarr", "--what", "odds", "-o", "o.zarr"],
        ["nothing"],
    ],
)
def test_wrong_use(words):
    result = run(*words)
    assert result.exit_code == 2
    assert "Usage" in result.stderr


def test_the_outputs_of_predict_are_those_of_the_models():
    listed = done("predict", "--help").split("Outputs:")[1]
    assert [line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line)] == list(predict_outputs())
    assert {"labels", "distance", "top-index"} <= set(predict_outputs())
    found = options.PredictOutputs().shell_complete(None, None, "top")
    assert [item.value for item in found] == ["top-index", "top-weight"]


def test_version_and_help():
    assert dem.__version__ in done("--version")
    for name in ("fit", "predict", "transform", "score", "sample", "info", "plot", "doctor", "demo"):
        assert name in done("--help")
        assert "Usage" in done(name, "-h")


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt, 130), (OSError("no  disk\nat all"), 1)])
def test_how_a_command_ends(monkeypatch, error, status):
    def fail(**options):
        raise error

    monkeypatch.setattr("dem.cli.commands.info.show_info", fail)
    result = run("info", "x")
    assert result.exit_code == status
    assert result.stderr == ("dem: interrupted\n" if status == 130 else "dem: no disk at all\n")


def test_a_traceback_can_be_asked_for(monkeypatch):
    monkeypatch.setenv("DEM_TRACEBACK", "1")
    assert isinstance(run("info", "nowhere").exception, FileNotFoundError)


def test_sizes():
    size = options.Bytes()
    assert (size.convert("1GB", None, None), size.convert("1GiB", None, None)) == (10**9, 2**30)
    assert size.convert(5, None, None) == 5


def test_dask_knows_the_command():
    (entry,) = entry_points(group="dask_cli", name="dem")
    dask = click.Group("dask")
    dask.add_command(entry.load())  # as Dask's own command line does
    result = CliRunner().invoke(dask, ["dem", "info", "nowhere"])
    assert result.exit_code == 1
    assert result.stderr == "dem: No Zarr store at nowhere: check the path.\n"


def test_covariance_types_are_those_of_the_families():
    assert list(COVARIANCE_TYPES) == fit_options.COVARIANCES


def test_every_option_says_what_it_is():
    def commands(group):
        for command in group.commands.values():
            yield from commands(command) if isinstance(command, click.Group) else [command]

    options = [o for command in commands(main.main) for o in command.params if isinstance(o, click.Option)]
    assert [o.name for o in options if not o.help] == []


@pytest.mark.slow
def test_pictures_are_loaded_where_they_are_drawn():
    code = (
        "import sys, dem.cli.commands.fit, dem.cli.commands.info, dem.cli.commands.rows;"
        "print('matplotlib' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_the_module_is_light_for_dask_to_import():
    heavy = ("numpy", "dask", "zarr", "rich", "scipy")
    code = f"import sys, dem.cli.main; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
