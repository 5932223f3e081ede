"""The whole way of an oceanographer, in 12 lines of Python and in 4 commands: classes of profiles, with coordinates.

Both variables are scaled and reduced by PPCA, a mixture of the latents gives classes, and labels and posteriors are in
the Dataset of the profiles.
"""

import warnings

import numpy as np
import pytest

import dem
from command_line import done, failed
from lab_stores import write_profiles

xr = pytest.importorskip("xarray")

COORDINATES = {"latitude", "longitude", "time", "platform"}
PYTHON = """
ds = xr.open_zarr("profiles.zarr")
both = ["temperature", "salinity"]
ppca = dem.PPCA(2, scale="variable").fit(ds[both], sample_dims="profile")
pcs = ppca.transform(ds)
gmm = dem.GaussianMixture(3, random_state=0).fit(pcs, sample_dims="profile")
ds["label"], ds["posterior"] = gmm.predict(pcs), gmm.predict_proba(pcs)
ds.to_zarr("classes.zarr")
again = xr.open_zarr("classes.zarr")
profiles = again[both].groupby(again.label.compute()).mean()
"""
COMMANDS = """
dem fit ppca profiles.zarr -q 2 --variables temperature,salinity --sample-dims profile --scale variable -o ppca.zarr
dem transform ppca.zarr profiles.zarr -o pcs.zarr
dem fit gmm pcs.zarr -k 3 --sample-dims profile -o gmm.zarr
dem predict gmm.zarr pcs.zarr --what labels,proba -o profiles.zarr
"""


@pytest.fixture
def which(tmp_path, monkeypatch):
    """Write the store, twice (one is only compared with); go to its folder, and return the true classes."""
    monkeypatch.chdir(tmp_path)
    write_profiles("before.zarr")
    return write_profiles("profiles.zarr")


def check(ds, posterior, which):
    """Check labels and posteriors in a Dataset: the classes are the true ones, and all coordinates are there."""
    labels = ds.label.values.astype(int)
    table = np.array([[np.sum((labels == a) & (which == b)) for b in range(3)] for a in range(3)])
    assert table.max(axis=1).sum() == len(which)
    assert sorted(table.argmax(axis=1)) == [0, 1, 2]
    assert set(ds.label.coords) == COORDINATES
    assert ds[posterior].dims == ("profile", "component")
    np.testing.assert_allclose(ds[posterior].sum("component"), 1, rtol=1e-12)
    np.testing.assert_array_equal(ds[posterior].argmax("component"), labels)
    assert {"depth", *COORDINATES} <= set(ds.coords)
    assert ds.attrs["title"] == "made-up profiles"
    before = xr.open_zarr("before.zarr").compute()
    for name in before.variables:
        np.testing.assert_array_equal(ds[name], before[name])


def test_in_python(which):
    assert len(("import dem, xarray as xr" + PYTHON).splitlines()) <= 12
    names = {"dem": dem, "xr": xr}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Consolidated metadata is currently not part")  # of zarr, when it writes them
        exec(PYTHON, names)
    check(names["again"].compute(), "posterior", which)
    warm = names["profiles"].temperature.sel(depth=10).values
    np.testing.assert_allclose(np.sort(warm), np.array([4, 14, 26]) * np.exp(-10 / 400), rtol=0.05)


def test_by_commands(which):
    commands = COMMANDS.strip().splitlines()
    assert len(commands) <= 4
    for command in commands:
        done(*command.split()[1:])
    check(xr.open_zarr("profiles.zarr").compute(), "proba", which)
    assert failed(*commands[-1].split()[1:]).startswith("dem: profiles.zarr/label exists already")
    done(*commands[-1].split()[1:], "--overwrite")
    said = " ".join(done("info", "profiles.zarr").split())
    assert "--variables salinity, temperature" in said
    assert "--sample-dims some of profile (240), depth (5)" in said
    assert "variables temperature, salinity rows along profile" in " ".join(done("info", "ppca.zarr").split())


def test_several_outputs_need_a_group(which):
    done("fit", "kmeans", "profiles.zarr", "-k", 1, "--sample-dims", "profile", "--n-init", 1, "-o", "kmeans.zarr")
    for place in ("nothing.zarr", "kmeans.zarr", "profiles.zarr/depth"):
        said = failed("predict", "kmeans.zarr", "profiles.zarr", "--what", "labels,score,labels", "-o", place)
        assert said.startswith("dem: Several outputs are written into a Zarr group that exists")
        assert f"{place} is no such group" in said
