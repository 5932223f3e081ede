"""Cluster files: what is read from them, and what is said of those that are wrong."""

from pathlib import Path

import pytest

import dem
from dem.engine.cluster.cluster_file import Adapt, read_cluster_file
from dem.engine.cluster.deployments import Managed, MPIRanks, Ranks
from dem.engine.cluster.factory import deployment

CONFIGS = sorted((Path(dem.__file__).parents[1] / "cluster_configs").glob("*.yaml"))

FAKES = "engine.cluster.fake_clusters"
SMALL = {"version": "1", "module": FAKES, "class": "Threads"}


def write(path, **keys):
    path.write_text("".join(f"{key}: {value}\n" for key, value in {**SMALL, **keys}.items() if value is not None))
    return path


def test_what_is_left_out(tmp_path):
    file = read_cluster_file(write(tmp_path / "c.yaml"))
    assert (file.module, file.class_, file.args, file.kwargs, file.dask) == (
        "engine.cluster.fake_clusters",
        "Threads",
        [],
        {},
        {},
    )
    assert file.workers is None
    assert file.wait == 300


def test_what_is_given(tmp_path):
    file = read_cluster_file(
        write(tmp_path / "c.yaml", workers="{minimum: 0, maximum: 3}", wait="7.5", kwargs="{label: x}")
    )
    assert file.workers == Adapt(minimum=0, maximum=3)
    assert file.wait == 7.5
    assert file.kwargs == {"label": "x"}


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"version": "2"}, r"'version' must be 1, got 2"),
        ({"version": None}, r"the key 'version' is missing: it must be 1"),
        ({"module": None}, r"the key 'module' is missing: it must be the name of a Python module, such as"),
        ({"module": "3"}, r"'module' must be the name of a Python module, such as dask.distributed, got 3"),
        ({"class": None}, r"the key 'class' is missing: it must be the name of a class, such as LocalCluster"),
        ({"class": "''"}, r"'class' must be the name of a class, such as LocalCluster, got ''"),
        ({"args": "{a: 1}"}, r"'args' must be a list of arguments, got {'a': 1}"),
        ({"kwargs": "[1]"}, r"'kwargs' must be arguments by name, such as {cores: 4}, got \[1\]"),
        ({"kwargs": "{1: 2}"}, r"'kwargs' must be arguments by name"),
        ({"dask": "loud"}, r"'dask' must be Dask settings by name, got 'loud'"),
        ({"workers": "0"}, r"'workers' must be an integer >= 1, or a range such as .* got 0"),
        ({"workers": "'4'"}, r"'workers' must be an integer >= 1, .* got '4'"),
        ({"workers": "2.5"}, r"'workers' must be an integer >= 1, .* got 2.5"),
        ({"workers": "true"}, r"'workers' must be an integer >= 1, .* got True"),
        (
            {"workers": "{minimum: 1}"},
            r"'workers' must be .* or a range such as {minimum: 1, maximum: 8} .* got {'minimum': 1}",
        ),
        ({"workers": "{minimum: 3, maximum: 2}"}, r"'workers' must be .* with minimum <= maximum, got {"),
        ({"workers": "{minimum: 1, maximum: 2, most: 3}"}, r"'workers' must be .* got {"),
        ({"wait": "0"}, r"'wait' must be a number of seconds above 0, got 0"),
        ({"wait": "5 min"}, r"'wait' must be a number of seconds above 0, got '5 min'"),
        ({"wait": ".inf"}, r"'wait' must be a number of seconds above 0, got inf"),
        (
            {"nworkers": "4"},
            r"unknown key 'nworkers': the keys are version, module, class, args, kwargs, dask, workers, wait",
        ),
    ],
)
def test_a_wrong_key_is_named_with_the_file(keys, said, tmp_path):
    path = write(tmp_path / "wrong.yaml", **keys)
    with pytest.raises(ValueError, match=rf"^.*wrong\.yaml: {said}") as raised:
        read_cluster_file(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nkwargs: {a: [}\n", r"c\.yaml is not valid YAML in line 2: "),
        ("just words\n", r"c\.yaml is not a cluster file: its keys are version, module"),
        ("", r"c\.yaml is not a cluster file"),
    ],
)
def test_what_is_no_cluster_file(text, said, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=said):
        read_cluster_file(tmp_path / "c.yaml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no cluster file at .*none\.yaml"):
        read_cluster_file(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match="cannot be read"):
        read_cluster_file(tmp_path)


@pytest.mark.parametrize(
    ("module", "name", "error", "said"),
    [
        ("no_such_thing", "Cluster", ImportError, r"needs the module no_such_thing, which is not installed\.$"),
        (
            "engine.cluster.fake_clusters",
            "Thread",
            ValueError,
            r"the module engine.cluster.fake_clusters has no class Thread\.$",
        ),
        ("pathlib", "Path", ValueError, r"'class' must be a Dask cluster or a runner, but pathlib\.Path is neither"),
        ("dem", "__version__", ValueError, r"'class' must be a Dask cluster or a runner"),
        ("os", "system", ValueError, r"but os\.system is neither"),
        (FAKES, "by_function_without_a_word", ValueError, r"is neither"),
    ],
)
def test_a_class_that_cannot_be_had(module, name, error, said, tmp_path):
    path = write(tmp_path / "c.yaml", **{"module": module, "class": name})
    with pytest.raises(error, match=said) as raised:
        deployment(read_cluster_file(path), "c.yaml")
    assert str(raised.value).startswith("c.yaml: ")


@pytest.mark.parametrize(
    ("module", "name", "missing", "extra"),
    [
        ("dask_jobqueue", "SLURMCluster", "dask_jobqueue", "slurm"),
        ("dask_mpi", "initialize", "dask_mpi", "mpi"),
        ("dask_gateway", "GatewayCluster", "dask_gateway", "gateway"),
        ("dask_kubernetes.operator", "KubeCluster", "dask_kubernetes", "kubernetes"),
        ("distributed", "SSHCluster", "asyncssh", "ssh"),
    ],
)
def test_what_to_install(module, name, missing, extra, tmp_path, monkeypatch):
    for loaded in (missing, module):
        if loaded != "distributed":
            monkeypatch.setitem(__import__("sys").modules, loaded, None)
    monkeypatch.setattr("dem.engine.cluster.factory.is_installed", lambda module: module != missing)
    path = write(tmp_path / "c.yaml", **{"module": module, "class": name})
    with pytest.raises(ImportError, match=rf"needs the module {missing}.*: pip install 'distributed-em\[{extra}\]'\.$"):
        deployment(read_cluster_file(path), "c.yaml")


def test_kinds(tmp_path):
    for name, kind in [("Threads", Managed), ("by_function", Managed), ("Runner", Ranks)]:
        assert type(deployment(read_cluster_file(write(tmp_path / "c.yaml", **{"class": name})), "c.yaml")) is kind


def test_a_runner_takes_no_bounds(tmp_path):
    path = write(tmp_path / "c.yaml", workers="{minimum: 1, maximum: 2}", **{"class": "Runner"})
    with pytest.raises(
        ValueError, match="'workers' must be a number or left out: Runner starts no workers, its launcher does"
    ):
        deployment(read_cluster_file(path), "c.yaml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_files_that_come_with_dem(path):
    file = read_cluster_file(path)
    try:
        found = deployment(file, path.name)
    except ImportError as error:
        assert "pip install 'distributed-em[" in str(error)  # noqa: PT017
    else:
        assert type(found) is {"SLURMRunner": Ranks, "initialize": MPIRanks}.get(file.class_, Managed)


def test_every_line_of_them_says_what_it_is_for():
    assert len(CONFIGS) >= 8
    for path in CONFIGS:
        assert path.read_text().startswith("# ")
