"""Every model on a Dataset with land, missing values and weights, beside the same numbers as a matrix."""

import dask
import numpy as np
import pytest
import zarr

from clustered_rows import N
from crosses import mostly_slow
from dem.em.starts import Start
from dem.run.fit import fit_model, scan_of
from dem.run.fit_settings import FitSettings
from dem.run.latent import fit_moments
from dem.run.rows import RowRequest, compute_rows
from dem.source import open_source
from laws import MODELS, assert_close, assert_same_bits

xr = pytest.importorskip("xarray")

DIMS = ("time", "lat", "lon")
SHAPE = (60, 3, 2)
LAND = (2, 1)
"""The index of the place without data along lat and lon; all other rows have data."""
STEP = 20
"""Chunks have so many times."""
LAT_WEIGHT = np.array([0.5, 1.0, 0.75])
SETTINGS = FitSettings(tol=1e-3, max_iter=3, start=Start(n_init=1))


def rows_of_grid(case):
    """Return the rows (n, 3) of the grid in C order, those on land without any value."""
    x = np.full((*SHAPE, 3), np.nan)
    water = np.ones(SHAPE, bool)
    water[:, *LAND] = False
    assert water.sum() == N
    x[water] = case.x
    return x.reshape(-1, 3)


def write_dataset(path, x, inner):
    """Write the rows as two variables with the dimensions in different orders, `inner` being chunks along lat, lon."""
    grid = x.reshape(*SHAPE, 3)
    ds = xr.Dataset(
        {"a": ((*DIMS, "level"), grid[..., :2]), "b": (("lon", "time", "lat"), grid[..., 2].transpose(2, 0, 1))}
    )
    chunks = {"a": {"chunks": (STEP, *inner, 1)}, "b": {"chunks": (inner[1], STEP, inner[0])}}
    ds.to_zarr(path, zarr_format=3, consolidated=False, encoding=chunks, write_empty_chunks=True)
    return path


def sources(case, folder, inner):
    """Return the rows as a Dataset, and as a matrix with chunks of as many rows, both with weights."""
    x = rows_of_grid(case)
    dataset = write_dataset(folder / "ds.zarr", x, inner)
    matrix = zarr.create_array(folder / "x.zarr", data=x, chunks=(STEP * SHAPE[1] * SHAPE[2], 3))
    weight = np.broadcast_to(LAT_WEIGHT[:, None], SHAPE).reshape(-1)
    named = open_source(dataset, xr.DataArray(LAT_WEIGHT, dims="lat"), sample_dims=DIMS, variables=["a", "b"])
    return named, open_source(matrix, weight)


def fitted(case, source):
    """Return the model bound to the rows, and the parameters of a fit."""
    if case.streams:
        fit = fit_model(case.model, source, SETTINGS)
        return fit.model, fit.state.params
    scan = scan_of(source, SETTINGS, scatter=True)
    return case.model.bind(scan), fit_moments(case.model, scan, SETTINGS).params


def outputs(model, params, source):
    """Return the outputs of all rows, by name."""
    words = list(model.row_outputs(params))
    lazy = [compute_rows(RowRequest.of(model, params, source, word)) for word in words]
    return dict(zip(words, dask.compute(*lazy, scheduler="synchronous"), strict=True))


@mostly_slow(
    "case", MODELS, quick=("full-missing", "tied", "kmeans", "poisson-missing", "mixture-of-fa", "ppca", "fa-ecm")
)
def test_whole_slabs_give_the_bits_of_a_matrix(case, tmp_path):
    named, plain = sources(case, tmp_path, SHAPE[1:])
    assert named.row_chunks == plain.row_chunks
    (model, params), (other, expected) = (fitted(case, source) for source in (named, plain))
    assert_same_bits(params, expected)
    theirs = outputs(other, expected, plain)
    for word, found in outputs(model, params, named).items():
        assert found.shape[:3] == SHAPE
        np.testing.assert_array_equal(found.reshape(theirs[word].shape), theirs[word], err_msg=word)


@mostly_slow("case", MODELS, quick=("full-missing", "kmeans-missing", "ppca-moments"))
def test_boxes_inside_give_the_same_fit(case, tmp_path):
    named, plain = sources(case, tmp_path, (2, 1))
    assert len(named.handle.inner_boxes) == 4
    (model, params), (other, expected) = (fitted(case, source) for source in (named, plain))
    assert_close(params, expected, 1e-9)
    theirs = outputs(other, expected, plain)
    for word, found in outputs(model, params, named).items():
        one, two = found.reshape(theirs[word].shape), theirs[word]
        atol = 0 if two.dtype.kind in "iu" else 1e-9 * np.nanmax(np.abs(two))
        np.testing.assert_allclose(one, two, rtol=0, atol=atol, err_msg=word)
