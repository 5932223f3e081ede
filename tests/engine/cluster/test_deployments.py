"""Clusters are brought up, asked for workers, and taken down whatever happens."""

import logging
import signal

import dask
import pytest

from dem.engine.cluster.cluster_file import Adapt, ClusterFile
from dem.engine.cluster.deployments import Managed, MPIRanks, Ranks, configured
from dem.engine.cluster.factory import deployment
from engine.cluster import fake_clusters


@pytest.fixture(autouse=True)
def log(monkeypatch):
    log = []
    monkeypatch.setattr(fake_clusters, "LOG", log)
    return log


def test_workers_are_asked_for_and_the_cluster_is_closed(log):
    with Managed(fake_clusters.Threads, 2).up(str) as (client, wanted):
        assert wanted == 2
        assert len(client.scheduler_info(n_workers=-1)["workers"]) == 2
    assert client.status == "closed"
    assert log == [("scale", 2), ("close", "threads")]


def test_bounds_adapt(log):
    with Managed(fake_clusters.Threads, Adapt(minimum=1, maximum=2)).up(str) as (_, wanted):
        assert wanted == 1
    assert log[0] == ("adapt", {"minimum": 1, "maximum": 2})
    assert log[-1] == ("close", "threads")


def test_a_cluster_that_has_its_workers_by_itself(log):
    with Managed(lambda: fake_clusters.Threads(n_workers=3)).up(str) as (_, wanted):
        assert wanted == 3
    assert log == [("close", "threads")]


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_the_cluster_is_closed_after(error, log):
    with pytest.raises(error), Managed(fake_clusters.Threads, 1).up(str):
        raise error
    assert log[-1] == ("close", "threads")


def test_the_cluster_is_closed_when_asking_for_workers_fails(log):
    def refuse(cluster, n):
        raise ValueError("no more jobs for you")

    kind = type("Full", (fake_clusters.Threads,), {"scale": refuse})
    with (
        pytest.raises(RuntimeError, match="The cluster could not start the workers: no more jobs for you"),
        Managed(kind, 1).up(str),
    ):
        pass
    assert log == [("close", "threads")]


def test_workers_that_cannot_be_started_are_told_of_at_once(log, capfd):
    said = "The cluster could not start the workers: sbatch: invalid partition specified"
    with pytest.raises(RuntimeError, match=said), Managed(fake_clusters.NoQueue, 2).up(str):
        pass
    assert log == [("scale", 2), ("close", "threads")]
    assert "Traceback" not in capfd.readouterr().err


def test_a_close_that_fails_is_logged_and_hides_no_error(caplog, monkeypatch):
    class Sticky(fake_clusters.Threads):
        def close(self, timeout=None):
            super().close(timeout)
            raise OSError("the queue does not answer")

    monkeypatch.setattr(logging.getLogger("distributed"), "handlers", [caplog.handler])  # one handler for both
    with Managed(Sticky, 1).up(str):
        pass
    assert "The cluster could not be closed: the queue does not answer" in caplog.text
    with pytest.raises(ZeroDivisionError), Managed(Sticky, 1).up(str):
        raise ZeroDivisionError


def test_what_the_constructor_says_is_told_with_the_file():
    file = ClusterFile.model_validate(
        {"version": 1, "module": "engine.cluster.fake_clusters", "class": "Threads", "args": [1, 2, 3]}
    )
    up = deployment(file, "c.yaml").up(str)
    with pytest.raises(RuntimeError, match=r"^c\.yaml: Threads could not be started: .* 4 were given$"), up:
        pass


def test_the_client_of_a_runner(log):
    before = signal.getsignal(signal.SIGINT)
    with Ranks(fake_clusters.Runner).up(str) as (client, wanted):
        assert signal.getsignal(signal.SIGINT) is before
        assert wanted == 1
        assert client.submit(abs, -3).result() == 3
    assert log == [("part", "client"), ("close", "threads")]


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_the_other_ranks_of_a_runner_leave(part, log):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as left, Ranks(lambda: fake_clusters.Runner(part)).up(str):
        pytest.fail("only the client comes here")
    assert left.value.code is None
    assert signal.getsignal(signal.SIGINT) is before


def test_the_client_of_mpi(log):
    mpi = fake_clusters.MPI(is_client=True)
    with MPIRanks(mpi, workers=1).up(str) as (client, wanted):
        assert wanted == 1
        assert client.submit(abs, -3).result() == 3
    assert log[0] == ("initialize", False)
    assert not client.cluster
    assert dask.config.get("scheduler-address", None) is None
    mpi.others.join(timeout=20)
    assert not mpi.others.is_alive()


def test_the_other_ranks_of_mpi_leave(log):
    with pytest.raises(SystemExit) as left, MPIRanks(fake_clusters.MPI(is_client=False)).up(str):
        pytest.fail("only the client comes here")
    assert left.value.code is None
    assert dask.config.get("scheduler-address", None) is None


def test_settings_are_merged_and_taken_back():
    before = dask.config.get("distributed.comm.timeouts")
    with configured({"distributed": {"comm": {"timeouts": {"connect": "77s"}}}, "mine": {"a_b": 1}}):
        assert dask.config.get("distributed.comm.timeouts") == {**before, "connect": "77s"}
        assert dask.config.get("mine.a-b") == 1
    assert dask.config.get("distributed.comm.timeouts") == before
    assert dask.config.get("mine", None) is None
