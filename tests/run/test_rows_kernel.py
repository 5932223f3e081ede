"""Outputs on a cluster whose workers lack the kernel of the client are refused before any row is read."""

import numpy as np
import pytest
import zarr
from distributed import Client
from zarr.storage import LocalStore

import dem
from dem.core.blas import machine_kind
from dem.engine.cluster import workers
from engine.cluster import fake_clusters
from kernel.e_steps import NEEDS_LIBRARY
from run.counting import Counting
from shared import ENDS_AT_MAX_ITER

X = np.random.default_rng(3).normal(size=(400, 2))
MODELS = {
    "mixture": lambda: dem.GaussianMixture(2, max_iter=2, random_state=0),
    "bayesian": lambda: dem.BayesianGaussianMixture(2, max_iter=2, random_state=0),
    "kmeans": lambda: dem.KMeans(2, max_iter=2, random_state=0),
}
ASKS = {
    "fit": lambda model, data, path: model.fit(data),
    "mean": lambda model, data, path: model.mean_score(data),
    "write": lambda model, data, path: model.write(data, path, "label"),
}


def without_kernel():
    """Return what a worker says about itself that was installed without a compiler."""
    return lambda: ("node7", dem.__version__, machine_kind(), "")


@pytest.fixture(scope="module")
def client():
    with fake_clusters.Threads(n_workers=1) as cluster, Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def data(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=X, chunks=(100, 2))
    Counting.reads.clear()
    return zarr.open_array(Counting(LocalStore(tmp_path / "x.zarr", read_only=True)), mode="r")


@NEEDS_LIBRARY
@ENDS_AT_MAX_ITER
@pytest.mark.parametrize("name", MODELS)
def test_workers_without_the_kernel_are_refused_before_the_work(name, client, data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "native")
    model = MODELS[name]().fit(X)
    monkeypatch.setattr(workers, "_identify", without_kernel)
    said = r"^Worker [^ ]+ on host node7 has no native kernel .* set DEM_KERNEL=numpy for this process\.$"
    for ask in ASKS.values():
        with client.as_current(), pytest.raises(RuntimeError, match=said):
            ask(model, data, tmp_path / "out.zarr")
    assert not Counting.reads
    assert [path.name for path in tmp_path.iterdir()] == ["x.zarr"]


@ENDS_AT_MAX_ITER
def test_numpy_needs_no_kernel_there(client, data, tmp_path, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "numpy")
    monkeypatch.setattr(workers, "_identify", without_kernel)
    model = MODELS["kmeans"]().fit(X)
    with client.as_current():
        ASKS["write"](model, data, tmp_path / "out.zarr")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "out.zarr")[:], model.predict(X))
    assert len(Counting.reads) == 4
