"""A real S3 client and a server on this machine that is sometimes too busy, or far away."""

import threading
import time
from collections import Counter
from functools import partial

import numpy as np
import pytest
import zarr
from zarr.core.sync import sync

import dem
from dem.source import open_source, retry, zarr_rows
from dem.source.stores import array_location
from dem.source.zarr import REMOTE_READS
from shared import ENDS_AT_MAX_ITER

pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")
serving = pytest.importorskip("werkzeug.serving")

import s3fs  # noqa: E402

X = np.random.default_rng(0).normal(size=(1000, 4))
SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


class BusyServer:
    """An S3 server that answers 503 as many times as `busy` gives for the end of a key, and counts these answers.

    It answers requests for a part of a chunk or shard `pause` seconds late; `most` is how many of them waited at the
    same time.
    """

    def __init__(self):
        self.busy, self.refused = Counter(), Counter()
        self.pause, self.most = 0.0, 0
        self._waiting, self._lock = 0, threading.Lock()
        self._app = moto.DomainDispatcherApplication(moto.create_backend_app)

    def __call__(self, environ, start_response):
        path = environ["PATH_INFO"]
        for key in self.busy:
            if environ["REQUEST_METHOD"] == "GET" and path.endswith(key) and self.busy[key] > 0:
                self.busy[key] -= 1
                self.refused[key] += 1
                start_response("503 Slow Down", [("Content-Type", "application/xml")])
                return [SLOW_DOWN]
        if "HTTP_RANGE" in environ and "/c/" in path:
            self._wait()
        return self._app(environ, start_response)

    def _wait(self):
        with self._lock:
            self._waiting += 1
            self.most = max(self.most, self._waiting)
        time.sleep(self.pause)
        with self._lock:
            self._waiting -= 1


class Quiet(serving.WSGIRequestHandler):
    def log(self, *_, **__):
        pass


@pytest.fixture
def served(monkeypatch):
    """The server, and the options with which a client reaches it."""
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)  # the client's own attempts, so that dem's are seen
    monkeypatch.setattr(retry, "FIRST_PAUSE", 1e-3)
    app = BusyServer()
    server = serving.make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    options = {
        "key": "k",
        "secret": "s",
        "endpoint_url": f"http://127.0.0.1:{server.server_port}",
        "config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 10, "read_timeout": 10},
    }
    try:
        yield app, options
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def stored(options, **layout):
    """Return a store in a new bucket."""
    files = s3fs.S3FileSystem(**options)
    files.mkdir("bucket")
    zarr.create_array("s3://bucket/x.zarr", data=X, storage_options=options, **layout)
    return zarr.open_array("s3://bucket/x.zarr", mode="r", storage_options=options), files


def close(array, files):
    """Remove the bucket, which all servers of a process share, and close the connections of the clients."""
    files.rm("bucket", recursive=True)
    sync(array.store.fs._s3.close())
    s3fs.S3FileSystem.close_session(files.loop, files._s3)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow  # test_retry.py has the same with a store in memory
def test_temporary_503_answers_are_retried(served, request):
    app, options = served
    array, files = stored(options, chunks=(100, 4))
    source = open_source(array)
    request.addfinalizer(partial(close, array, files))
    assert array_location(array) == ("s3://bucket/x.zarr",)
    app.busy.update({"c/2/0": 1, "c/5/0": 3, "c/9/0": retry.ATTEMPTS - 1})
    rows = np.concatenate([block.x for p in source.partitions for block in p.blocks()])
    np.testing.assert_array_equal(rows, X)
    assert dict(app.refused) == {"c/2/0": 1, "c/5/0": 3, "c/9/0": retry.ATTEMPTS - 1}

    app.busy["c/2/0"] = 10**6
    app.refused.clear()
    with pytest.raises(
        OSError, match=r"Cannot read chunk c/2/0 \(rows 200 to 299\) of x.zarr after 6 attempts: .*rate"
    ):
        list(source.partitions[0].blocks())
    assert app.refused["c/2/0"] == retry.ATTEMPTS

    app.busy.clear()
    files.rm("bucket/x.zarr/c/2/0")
    block = next(iter(source.partitions[0].blocks()))
    assert block.absent == (2,)
    assert (block.x[200:300] == 0).all()
    app.busy["zarr.json"] = 10**6  # whether the array is there cannot be told: no fill value then
    with pytest.raises(OSError, match=r"Cannot read zarr.json after 6 attempts"):
        list(source.partitions[0].blocks())


@pytest.mark.slow  # the server's packages take seconds to import
@ENDS_AT_MAX_ITER
def test_parts_of_shards_are_read_at_the_same_time(served, request, tmp_path, monkeypatch):
    """Each block is one chunk of a shard, and all are in one partition. The fit has the bits of one from disk."""
    monkeypatch.setattr(zarr_rows, "READ_BYTES", 1)
    app, options = served
    layout = {"chunks": (50, 4), "shards": (250, 4)}
    array, files = stored(options, **layout)
    request.addfinalizer(partial(close, array, files))
    zarr.create_array(tmp_path / "x.zarr", data=X, **layout)
    app.pause = 0.02
    far, near = (open_source(place) for place in (array, zarr.open_array(tmp_path / "x.zarr", mode="r")))
    assert len(far.partitions) == 1
    settings = {"n_init": 1, "sample_size": 100, "max_iter": 2, "random_state": 0}
    fits = [dem.GaussianMixture(2, engine=dem.Engine(workers=1), **settings).fit(rows) for rows in (far, near)]
    assert 1 < app.most <= REMOTE_READS
    for name in ("weights_", "means_", "covariances_"):
        np.testing.assert_array_equal(*(getattr(fit, name) for fit in fits))
