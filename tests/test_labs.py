"""The examples of docs/labs.md on stores in the forms of AnnData and OME-Zarr."""

import numpy as np
import pytest
import zarr
from sklearn.base import clone

import dem
from command_line import done, failed
from lab_stores import write_cells, write_image


def agree(labels, which):
    """Return the share of rows whose label is that of most rows of their true class."""
    table = np.array([np.bincount(labels[which == k], minlength=3) for k in range(3)])
    assert sorted(table.argmax(axis=1)) == [0, 1, 2]
    return table.max(axis=1).sum() / which.size


MODELS = {"obsm/X_pca": dem.GaussianMixture(3, random_state=0), "X": dem.PoissonMixture(3, random_state=0)}


@pytest.mark.parametrize("name", MODELS)
def test_cells(tmp_path, name):
    which = write_cells(tmp_path / "cells.zarr")
    data = f"{tmp_path}/cells.zarr/{name}"
    model = clone(MODELS[name]).fit(data)
    assert model.n_features_in_ == zarr.open_array(data).shape[1]
    assert agree(model.predict(data).compute(), which) > 0.95


@pytest.mark.parametrize("names", [{}, {"sample_dims": "cell"}])
@pytest.mark.parametrize("kind", ["csr_matrix", "csc_matrix"])
def test_a_sparse_matrix_is_refused_in_one_sentence(tmp_path, names, kind):
    write_cells(tmp_path / "cells.zarr")
    data = f"{tmp_path}/cells.zarr/layers/counts"
    zarr.open_group(data).attrs["encoding-type"] = kind
    with pytest.raises(ValueError, match=rf"counts is a sparse matrix \({kind}\), and dem reads dense arrays: pass"):
        dem.open_source(data, **names)
    said = failed("fit", "gmm", data, "-k", 2, "-o", tmp_path / "no.zarr")
    assert said.endswith("such as obsm/X_pca, or write the matrix as a dense Zarr array first.")


@pytest.mark.parametrize("level", [0, 1])
def test_pixels_of_an_image(tmp_path, level):
    which = write_image(tmp_path / "image.zarr")[:: 2**level, :: 2**level]
    data = f"{tmp_path}/image.zarr/{level}"
    source = dem.open_source(data, sample_dims=("y", "x"))
    assert source.rows.shape == which.shape
    assert source.columns.names == (f"{level}(c=0)", f"{level}(c=1)", f"{level}(c=2)")
    model = dem.GaussianMixture(3, random_state=0).fit(data, sample_dims=("y", "x"))
    labels = model.predict(data)
    assert labels.shape == which.shape
    assert agree(np.asarray(labels).ravel(), which.ravel()) > 0.99
    np.testing.assert_allclose(np.sort(model.means_[:, 1]), [120, 300, 2000], rtol=0.02)


def test_pixels_by_commands(tmp_path):
    which = write_image(tmp_path / "image.zarr")
    image = tmp_path / "image.zarr" / "0"
    done("fit", "kmeans", image, "-k", 3, "--sample-dims", "y,x", "-o", tmp_path / "model.zarr")
    done("predict", tmp_path / "model.zarr", image, "-o", tmp_path / "segments.zarr")
    labels = zarr.open_group(tmp_path / "segments.zarr")["label"][:]
    assert labels.shape == which.shape
    assert agree(labels.ravel(), which.ravel()) > 0.99
    assert "(3, 24, 24) c, y, x uint16" in " ".join(done("info", image.parent).split())
    said = " ".join(done("info", image).split())
    assert "dimensions c, y, x" in said
    assert said.endswith("(--sample-dims chooses rows; this array has 3 dimensions)")
