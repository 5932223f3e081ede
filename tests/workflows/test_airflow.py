"""workflows/airflow_dag.py by `airflow dags test`, with a database of its own."""

import json

import pytest
import zarr

from real.fits import assert_same_bits
from workflows.conftest import COMPONENTS, TOL
from workflows.engines import WORKFLOWS, Fault, done_run, programs, run, within

pytestmark = pytest.mark.workflows


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    settings = {"AIRFLOW__CORE__DAGS_FOLDER": str(WORKFLOWS), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    env = within("airflow", AIRFLOW_HOME=str(tmp_path_factory.mktemp("airflow")), NO_COLOR="1", **settings)
    run([programs("airflow") / "airflow", "db", "migrate"], env)
    return env


def words(data, folder):
    params = {"store": str(data), "folder": str(folder), "components": COMPONENTS, "tol": TOL}
    return [programs("airflow") / "airflow", "dags", "test", "dem_fit", "-c", json.dumps(params)]


def test_a_fault_an_unchanged_store_a_changed_one_and_a_failure(env, data, straight, tmp_path):
    folder, fault = tmp_path / "runs", Fault("fail", 4, tmp_path / "fault")
    run(words(data, folder), {**env, **fault.env})
    done = done_run(folder)
    fault.assert_resumed(done / "model.zarr")
    assert_same_bits(done / "model.zarr", straight("airflow"))

    assert "Skipping downstream tasks" in run(words(data, folder), env)
    assert done_run(folder) == done

    said = run(words(tmp_path / "nothing.zarr", folder), env, status=1)
    assert f"No Zarr store at {tmp_path}/nothing.zarr" in said
    assert json.loads((folder / "failed.json").read_text())["store"].endswith("nothing.zarr")

    zarr.open_array(data)[:5000] += 1.0
    run(words(data, folder), env)
    assert done_run(folder) != done
    assert not (folder / "failed.json").exists()
