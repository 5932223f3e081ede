"""workflows/prefect_fit.py by a real Prefect server, with a database of its own."""

import json
import time
import urllib.error
import urllib.request

import pytest
import zarr

from real.fits import assert_same_bits
from real.processes import answers, daemon, free_ports, wait_until
from workflows.conftest import COMPONENTS, TOL
from workflows.engines import PATIENCE, WORKFLOWS, Fault, done_run, programs, run, within

pytestmark = pytest.mark.workflows


class Server:
    """A Prefect server: `env` is the environment in which its programs reach it."""

    def __init__(self, folder, port):
        self.url = f"http://127.0.0.1:{port}/api"
        quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}
        self.env = within("prefect", PREFECT_HOME=str(folder), PREFECT_API_URL=self.url, **quiet)

    def ask(self, path, question=None):
        """Return the answer of its API."""
        body = None if question is None else json.dumps(question).encode()
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"})
        for patience in range(10, -1, -1):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 503 or not patience:  # its database is busy: Prefect's own client asks again, too
                    raise
                time.sleep(1)
        raise AssertionError

    def runs(self, *states):
        """Return the runs in some states, in the order of their ends."""
        found = self.ask("/flow_runs/filter", {"flow_runs": {"state": {"name": {"any_": list(states)}}}})
        return sorted(found, key=lambda run: run["end_time"])

    def wait_for(self, n, *states):
        """Wait until so many runs are in some states; return the last one."""
        wait_until(
            lambda: len(self.runs(*states)) >= n, PATIENCE,
            lambda: [(run["name"], run["state"]) for run in self.ask("/flow_runs/filter", {})],
        )  # fmt: skip
        return self.runs(*states)[n - 1]

    def artifacts(self, run):
        """Return what a run has shown, by its key."""
        found = self.ask("/artifacts/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}})
        return {artifact["key"]: artifact for artifact in found}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prefect")
    (port,) = free_ports()
    server = Server(folder, port)
    command = [programs("prefect") / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    env = {name: value for name, value in server.env.items() if name != "PREFECT_API_URL"}
    with daemon(command, folder / "server.log", lambda: answers(port), env, seconds=120):
        wait_until(lambda: server.ask("/health"), 60, "a healthy server")
        yield server


def words(data, folder, *more):
    settings = ["--folder", folder, "-k", COMPONENTS, "--tol", TOL]
    return [programs("prefect") / "python", WORKFLOWS / "prefect_fit.py", data, *settings, *more]


def test_a_schedule_a_fault_an_unchanged_store_and_a_failure(server, data, straight, tmp_path):
    """In one story, since each part waits for the schedule: it runs every minute."""
    folder, fault = tmp_path / "runs", Fault("fail", 4, tmp_path / "fault")
    serve = words(data, folder, "--serve", "--cron", "* * * * *")
    log = tmp_path / "serve.log"
    with daemon(serve, log, lambda: "nightly" in log.read_text(), {**server.env, **fault.env}, seconds=60) as served:
        # A run that begins by itself, fails in the middle of its fit, is tried again and goes on.
        first = server.wait_for(1, "Completed")
        assert first["auto_scheduled"]
        done = done_run(folder)
        fault.assert_resumed(done / "model.zarr")
        tasks = server.ask("/task_runs/filter", {"flow_runs": {"id": {"any_": [first["id"]]}}})
        counts = {task["name"].rsplit("-", 1)[0]: task["run_count"] for task in tasks}
        assert counts == {"fingerprint": 1, "fit": 2, "score": 1, "label": 1, "report": 1}
        assert_same_bits(done / "model.zarr", straight("prefect"))

        # Its artifacts: the numbers and the picture.
        shown = server.artifacts(first)
        numbers = json.loads((done / "report.json").read_text())
        assert f"{numbers['log_likelihood']:.6f}" in shown["dem-report"]["data"]
        assert shown["dem-picture"]["data"].startswith("data:image/png;base64,")

        # The next run, by itself too, finds the store unchanged.
        skipped = server.wait_for(1, "Skipped")
        assert skipped["auto_scheduled"]
        assert "has not changed" in skipped["state"]["message"]
        assert [path.name for path in folder.iterdir() if path.is_dir() and not path.is_symlink()] == [done.name]

        # A run that fails, with an error that is not worth trying again, is told.
        wrong = ["--param", f"store={tmp_path}/nothing.zarr"]
        run([programs("prefect") / "prefect", "deployment", "run", "dem-fit/nightly", *wrong], server.env)
        failed = server.wait_for(1, "Failed")
        wait_until((folder / "failed.json").exists, 60, "the failure hook's file")
        record = json.loads((folder / "failed.json").read_text())
        assert record["run"] == failed["name"]
        assert record["store"].endswith("nothing.zarr")
        assert "No Zarr store" in record["message"]

        # A changed store is fitted again, and the file that told of the failure goes.
        zarr.open_array(data)[:5000] += 1.0
        server.wait_for(2, "Completed")
        assert done_run(folder) != done
        assert not (folder / "failed.json").exists()
        assert served.poll() is None


def test_once_by_hand_and_its_process_killed(server, data, straight, tmp_path):
    folder, fault = tmp_path / "runs", Fault("kill", 4, tmp_path / "fault")
    run(words(data, folder), {**server.env, **fault.env}, tmp_path, status=-9)
    assert fault.befell
    said = run(words(data, folder), {**server.env, **fault.env}, tmp_path)
    assert "The report is" in said
    fault.assert_resumed(done_run(folder) / "model.zarr")
    assert_same_bits(done_run(folder) / "model.zarr", straight("prefect"))
    assert "Skipped" in run(words(data, folder), server.env, tmp_path)
