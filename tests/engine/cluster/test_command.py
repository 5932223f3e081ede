"""Clusters from the command line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import psutil
import pytest
import zarr

import dem
from command_line import run
from dem.core.blas import machine_kind

LOCAL = str(Path(dem.__file__).parents[1] / "cluster_configs" / "local.yaml")
DEM = str(Path(sys.executable).with_name("dem"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(8, 2, (600, 2))])
    path = tmp_path_factory.mktemp("data") / "x.zarr"
    zarr.create_array(path, data=x, chunks=(100, 2))
    return path


def gone(processes):
    return not psutil.wait_procs(processes, timeout=20)[1]


@pytest.mark.slow
def test_check_tells_what_a_cluster_has():
    before = set(psutil.Process().children(recursive=True))
    done = subprocess.run([DEM, "cluster", "check", LOCAL], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"local\.yaml +2 workers on 1 host, 2 threads, 2\.15 GB, up within ", done.stdout)
    assert re.search(
        r"small fit +4,000 rows, the first scan and \d+ passes in .*the same as on this machine, to the last bit",
        done.stdout,
    )
    assert re.search(r"tcp://127\.0\.0\.1:\d+ .* 1 +1\.07 GB +[\d.]+ [kMG]B/s", done.stdout)
    assert re.search(rf"versions +python 3\.\d+, .*dem {re.escape(dem.__version__)}, as here", done.stdout)
    assert re.search(rf"machines +{re.escape(machine_kind())}, as here", " ".join(done.stdout.split()))
    notes = done.stderr.splitlines()
    assert notes[0] == f"starting the cluster of {LOCAL} (LocalCluster)"
    assert notes[1].startswith(
        f"running on the cluster of {LOCAL} (LocalCluster): 2 workers on 1 host, 2 threads, 2.15 GB"
    )
    assert ("dashboard at http://127.0.0.1:" in notes[1]) == bool(find_spec("bokeh"))
    assert len(notes) == 2
    assert set(psutil.Process().children(recursive=True)) == before


def test_check_for_machines(tmp_path):
    (tmp_path / "c.yaml").write_text("version: 1\nmodule: engine.cluster.fake_clusters\nclass: Threads\nworkers: 2\n")
    done = run("cluster", "check", tmp_path / "c.yaml", "--json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["event"] == "result"
    assert len(record["workers"]) == 2
    assert [worker["bytes_per_second"] is None for worker in record["workers"]].count(False) == 1
    assert record["workers"][0]["versions"]["dem"] == dem.__version__
    assert {worker["machine_kind"] for worker in record["workers"]} == {record["machine_kind_here"]}
    assert record["fit"]["same_bits_as_here"] is True
    assert [json.loads(line)["event"] for line in done.stderr.splitlines()] == ["note", "note"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "version: 1\nmodule: dask.distributed\nclass: LocalClutser\n",
            "the module dask.distributed has no class Local",
        ),
        ("version: 1\nclass: LocalCluster\n", "the key 'module' is missing"),
        (
            "version: 1\nmodule: engine.cluster.fake_clusters\nclass: Lame\nworkers: 1\nwait: 0.1\n",
            "No worker of the cluster of",
        ),
    ],
)
def test_what_cannot_be_had_is_told_in_one_sentence(text, said, tmp_path):
    (tmp_path / "c.yaml").write_text(text)
    done = run("cluster", "check", tmp_path / "c.yaml")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith("dem: ")
    assert said in done.stderr.splitlines()[-1]


def test_two_ways_to_a_cluster_are_wrong_use(store, tmp_path):
    done = run("score", tmp_path / "m.zarr", store, "--scheduler", "tcp://x:1", "--cluster", LOCAL)
    assert done.exit_code == 2
    assert "--scheduler, --scheduler-file and --cluster each name a cluster: give only one of them." in done.stderr


@pytest.mark.parametrize("option", ["--cluster", "--scheduler-file"])
def test_a_file_that_is_not_there(option, store, tmp_path):
    done = run("fit", "gmm", store, "-k", 2, "-o", tmp_path / "m.zarr", option, tmp_path / "none")
    assert done.exit_code == 1
    assert re.search(r"^dem: There is no (cluster|scheduler) file at .*none", done.stderr.splitlines()[-1])
    assert os.listdir(tmp_path) == []


def test_a_fit_on_the_cluster_of_a_file_has_the_same_bits(store, tmp_path):
    settings = ["-k", 2, "--n-init", 2, "--sample-size", 500]
    (tmp_path / "c.yaml").write_text("version: 1\nmodule: engine.cluster.fake_clusters\nclass: Threads\nworkers: 2\n")
    there = run("fit", "gmm", store, *settings, "-o", tmp_path / "there.zarr", "--cluster", tmp_path / "c.yaml")
    here = run("fit", "gmm", store, *settings, "-o", tmp_path / "here.zarr")
    assert (there.exit_code, here.exit_code) == (0, 0), there.stderr
    assert "running on the cluster of" in there.stderr
    models = [dem.load(tmp_path / f"{name}.zarr") for name in ("there", "here")]
    np.testing.assert_array_equal(models[0].means_, models[1].means_)
    assert models[0].history_ == models[1].history_


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_what_was_started_is_ended_after(sent, tmp_path):
    """Ctrl-C, and what batch systems send."""
    zarr.create_array(tmp_path / "x.zarr", shape=(40_000_000, 4), chunks=(500, 4), dtype="f4")  # no chunk is there
    dem.GaussianMixture.from_parameters([0.5, 0.5], [[0.0] * 4, [3.0] * 4], [1.0, 1.0], "spherical").save(
        tmp_path / "m"
    )
    command = [DEM, "score", str(tmp_path / "m"), str(tmp_path / "x.zarr"), "--cluster", LOCAL]
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, start_new_session=True) as process:
        try:
            assert process.stderr.readline().startswith("starting")
            assert process.stderr.readline().startswith("running on")
            workers = psutil.Process(process.pid).children(recursive=True)
            time.sleep(1)  # into the pass
            assert process.poll() is None
            assert len(workers) >= 2
            os.kill(process.pid, sent)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.splitlines()[-1] == "dem: interrupted"  # before it, workers may complain of their scheduler's end
    assert gone(workers)
