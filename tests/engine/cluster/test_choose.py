"""Which cluster is taken, and what is said of it."""

import json
from functools import partial
from importlib.util import find_spec

import dask
import numpy as np
import pytest
import tornado.web
import zarr
from distributed import Client, Security

import dem
from dem.em.progress import Silent
from dem.engine.cluster import ClusterRequest, connect, local_cluster, open_cluster
from dem.engine.cluster.choose import dashboard
from dem.engine.engine import Engine
from engine.cluster import fake_clusters

TLS = ("tls.ca-file", "tls.client.cert", "tls.client.key")
FILE = "version: 1\nmodule: engine.cluster.fake_clusters\nclass: Threads\n"


class Notes(Silent):
    """Progress that keeps what it is told."""

    def __init__(self):
        self.texts = []

    def note(self, text):
        self.texts.append(text)


@pytest.fixture(scope="module")
def client():
    with local_cluster(1) as client:
        yield client


@pytest.fixture
def address(client):
    return client.scheduler.address


@pytest.fixture
def scheduler_file(address, tmp_path):
    path = tmp_path / "scheduler.json"
    path.write_text(json.dumps({"address": address}))
    return path


@pytest.fixture
def notes():
    return []


def configured(key, value):
    return dask.config.set({key: str(value)})


def test_this_machine_is_the_last(notes):
    with open_cluster(ClusterRequest(), notes.append) as found:
        assert found is None
    assert notes == []


def test_an_address(address, notes):
    with open_cluster(ClusterRequest(scheduler=address), notes.append) as found:
        assert found.client.submit(abs, -3).result() == 3
        assert [worker.threads for worker in found.workers] == [1]
    assert found.client.status == "closed"
    assert notes[0].startswith(f"running on the Dask scheduler at {address}: 1 worker on 1 host, 1 thread")


def test_a_scheduler_file(address, scheduler_file, notes):
    with open_cluster(ClusterRequest(scheduler_file=scheduler_file), notes.append) as found:
        assert found.client.scheduler.address == address
    assert notes[0].startswith(f"running on the Dask scheduler at {address}: ")


def test_an_active_client_is_used_and_left_as_it_is(client, address, notes):
    with client.as_current(), open_cluster(ClusterRequest(), notes.append) as found:
        assert found.client is client
    assert client.status == "running"
    assert notes[0].startswith(f"running on the active Dask client's scheduler at {address}: ")


@pytest.mark.parametrize("key", ["scheduler-address", "scheduler-file"])
def test_dask_s_configuration(key, address, scheduler_file, notes):
    value = address if key == "scheduler-address" else scheduler_file
    with configured(key, value), open_cluster(ClusterRequest(), notes.append) as found:
        assert found.client.scheduler.address == address
    assert notes[0].startswith(f"running on the Dask scheduler at {address}, from Dask's configuration: ")


def test_a_file_is_brought_up_and_ended(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(fake_clusters, "LOG", [])
    path = tmp_path / "c.yaml"
    path.write_text(FILE + "workers: 2\ndask: {mine: {level: 3}}\n")
    with open_cluster(ClusterRequest(cluster=path), notes.append) as found:
        assert len(found.workers) == 2
        assert dask.config.get("mine.level") == 3
    assert fake_clusters.LOG == [("scale", 2), ("close", "threads")]
    assert dask.config.get("mine", None) is None
    assert notes[0] == f"starting the cluster of {path} (Threads)"
    assert notes[1].startswith(f"running on the cluster of {path} (Threads): 2 workers on 1 host, 2 threads, ")


def test_a_dashboard_is_named_only_where_one_is_served(tmp_path, notes):
    """Without bokeh the scheduler's web server has a link too, to a page that asks for bokeh."""
    with fake_clusters.Threads() as cluster, Client(cluster, set_as_default=False) as client:
        web = cluster.scheduler.http_application
        served = bool(find_spec("bokeh"))
        assert client.dashboard_link.startswith("http://")
        assert dashboard(client) == (client.dashboard_link if served else None)
        web.applications[:] = [tornado.web.Application()]
        assert dashboard(client) == client.dashboard_link
        web.applications.clear()
        assert dashboard(client) is None
    assert dashboard(client) is None


def test_the_order(address, tmp_path, client, notes):
    """What is named comes before an active client, that before a configuration."""
    nobody = "tcp://127.0.0.1:9"
    (tmp_path / "c.yaml").write_text(FILE + "workers: 1\n")
    with configured("scheduler-address", nobody), client.as_current():
        with open_cluster(ClusterRequest(scheduler=address), notes.append) as found:
            assert found.client is not client
        with open_cluster(ClusterRequest(cluster=tmp_path / "c.yaml"), notes.append) as found:
            assert found.client.cluster.label == "threads"
        with open_cluster(ClusterRequest(), notes.append) as found:
            assert found.client is client


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr("dem.engine.cluster.choose.connect", partial(connect, timeout=0.2))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("where", ["address", "file", "address in the configuration", "file in the configuration"])
def test_what_is_named_and_not_to_be_had_is_an_error(where, tmp_path, notes):
    nobody, nothing = "tcp://127.0.0.1:9", tmp_path / "none.json"
    names = ClusterRequest(nobody if where == "address" else None, nothing if where == "file" else None)
    settings = {"address in": ("scheduler-address", nobody), "file in": ("scheduler-file", nothing)}
    key, value = settings.get(" ".join(where.split()[:2]), ("mine", 0))
    said = "No Dask scheduler answers at tcp://127.0.0.1:9" if "address" in where else "There is no scheduler file at "
    with configured(key, value), pytest.raises(OSError, match=said), open_cluster(names, notes.append):
        pass
    assert notes == []


@pytest.mark.parametrize("text", ["nothing", "{}", "[1]", '"x"'])
def test_what_is_no_scheduler_file(text, tmp_path, notes):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ValueError, match=r"s\.json is not a scheduler file"):
        open_cluster(ClusterRequest(scheduler_file=tmp_path / "s.json"), notes.append).__enter__()


def test_two_names(notes):
    with pytest.raises(
        ValueError, match="scheduler and cluster are given, but each names a cluster: give only one of them"
    ):
        open_cluster(ClusterRequest(scheduler="tcp://x:1", cluster="c.yaml"), notes.append).__enter__()


def test_fewer_workers_than_asked_for(tmp_path, notes):
    path = tmp_path / "c.yaml"
    path.write_text(
        "version: 1\nmodule: engine.cluster.fake_clusters\nclass: Lame\nworkers: 3\nwait: 0.5\nkwargs: {n_workers: 1}\n"
    )
    with open_cluster(ClusterRequest(cluster=path), notes.append) as found:
        assert len(found.workers) == 1
    assert "(3 were requested; the others did not come within 0.5 s)" in notes[1]


def test_no_worker_at_all(tmp_path, notes, monkeypatch):
    monkeypatch.setattr(fake_clusters, "LOG", [])
    path = tmp_path / "c.yaml"
    path.write_text("version: 1\nmodule: engine.cluster.fake_clusters\nclass: Lame\nworkers: 3\nwait: 0.5\n")
    said = r"No worker of the cluster of .*c\.yaml \(Lame\) came within 0\.5 s: look at its queue .* 'workers' in"
    with pytest.raises(RuntimeError, match=said), open_cluster(ClusterRequest(cluster=path), notes.append):
        pass
    assert fake_clusters.LOG == [("scale", 3), ("close", "threads")]


def test_a_cluster_that_adapts_from_nothing_is_woken(tmp_path, notes):
    path = tmp_path / "c.yaml"
    path.write_text(FILE + "workers: {minimum: 0, maximum: 1}\nwait: 30\n")
    with open_cluster(ClusterRequest(cluster=path), notes.append) as found:
        assert len(found.workers) == 1


def test_tls_by_dask_s_configuration(tmp_path, notes):
    """Certificates in the file's dask block; a client without them is refused."""
    security = Security.temporary()
    for name in ("ca_file", "client_cert", "client_key"):
        own = getattr(security, "tls_" + name)
        (tmp_path / name).write_text(own if isinstance(own, str) else "\n".join(own))
    pair = f"{{cert: {tmp_path}/client_cert, key: {tmp_path}/client_key}}"
    path = tmp_path / "c.yaml"
    path.write_text(
        f"{FILE}workers: 1\nkwargs: {{protocol: 'tls://', host: 127.0.0.1}}\n"
        "dask: {distributed: {comm: {require-encryption: true, tls: {"
        f"ca-file: {tmp_path}/ca_file, scheduler: {pair}, worker: {pair}, client: {pair}}}}}}}}}\n"
    )
    with open_cluster(ClusterRequest(cluster=path), notes.append) as found:
        address = found.client.scheduler.address
        assert address.startswith("tls://")
        assert found.client.submit(abs, -3).result() == 3
        plain = {f"distributed.comm.{key}": None for key in ("require-encryption", *TLS)}
        with dask.config.set(plain):
            with pytest.raises(ConnectionError, match="requires TLS: name the certificates"):
                connect(address, timeout=5)
            with pytest.raises(ConnectionError, match="No Dask scheduler answers at tcp://"):
                connect(address.replace("tls://", "tcp://"), timeout=2)


SETTINGS = {"n_init": 1, "sample_size": 500, "random_state": 4}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 1, (300, 2)), rng.normal(8, 2, (600, 2))])
    path = tmp_path_factory.mktemp("data") / "x.zarr"
    zarr.create_array(path, data=x, chunks=(100, 2))
    return path


def test_a_started_engine_keeps_its_cluster(store, tmp_path, monkeypatch):
    monkeypatch.setattr(fake_clusters, "LOG", [])
    path = tmp_path / "c.yaml"
    path.write_text(FILE + "workers: 1\n")
    notes = Notes()
    assert not Engine(cluster=path).on_cluster
    with Engine(cluster=path, progress=notes).started() as engine:
        assert engine.on_cluster
        model = dem.GaussianMixture(2, **SETTINGS, engine=engine).fit(store)
        score = model.score(store)
    assert fake_clusters.LOG == [("scale", 1), ("close", "threads")]
    assert len(notes.texts) == 2
    here = dem.GaussianMixture(2, **SETTINGS).fit(store)
    np.testing.assert_array_equal(model.means_, here.means_)
    assert score == here.score(store)
    with pytest.raises(RuntimeError, match=r"The connection to the cluster of .*c\.yaml \(Threads\) has been closed"):
        model.score(store)


def test_an_engine_that_was_not_started_brings_it_up_for_each_call(store, tmp_path, monkeypatch):
    monkeypatch.setattr(fake_clusters, "LOG", [])
    path = tmp_path / "c.yaml"
    path.write_text(FILE + "workers: 1\n")
    dem.GaussianMixture(2, **SETTINGS, engine=Engine(cluster=path)).fit(store).score(store)
    assert fake_clusters.LOG == [("scale", 1), ("close", "threads")] * 2


def test_arrays_in_memory_stay_here_and_that_is_said(tmp_path):
    notes, x = Notes(), np.random.default_rng(0).normal(size=(200, 2))
    engine = Engine(cluster=tmp_path / "none.yaml", progress=notes)  # not even looked at
    dem.GaussianMixture(1, **SETTINGS, engine=engine).fit(x)
    assert notes.texts == ["the array is in memory: passes run in this process, not on the cluster"]


def test_this_machine_is_the_default(store):
    notes = Notes()
    with Engine(progress=notes).started() as engine:
        assert not engine.on_cluster
        with engine.open(dem.open_source(store), 0) as passes:
            assert not passes.on_cluster
            passes.check_visible(["/no/such/place"])
    assert notes.texts == []


def test_passes_on_a_cluster(store, client, address, tmp_path):
    with Engine(scheduler=address).open(dem.open_source(store), 0) as passes:
        assert passes.on_cluster
        passes.check_visible([str(store), "s3://bucket/is-not-looked-at"])


def test_a_copy_and_a_pickle(client, address):
    import copy
    import pickle

    with Engine(scheduler=address, progress=Notes()).started() as engine:
        assert copy.deepcopy(engine) is engine
        back = pickle.loads(pickle.dumps(engine))
    assert back == Engine(scheduler=address)
    assert back.backend is None
    assert not back.on_cluster


@pytest.mark.slow
def test_dask_scheduler_address_in_the_environment(address, tmp_path):
    import os
    import subprocess
    import sys

    code = "import dem\nwith dem.Engine().started() as engine: print(engine.backend.cluster.client.scheduler.address)"
    env = {**os.environ, "DASK_SCHEDULER_ADDRESS": address}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{address}\n", "")


def test_a_client_of_somebody_else_is_left_open(address):
    with Client(address, set_as_default=False) as other, open_cluster(ClusterRequest(scheduler=address), str):
        assert other.status == "running"
