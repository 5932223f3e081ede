"""K-means: no picture shows borders that are not those of the data."""

import numpy as np
import pytest

import dem
from dem import plot
from dem.plot.clusters import borders, principal_plane
from plot.models import clusters, fitted


def test_two_columns_have_the_true_borders():
    model, x = fitted("K-means, two columns")
    (ax,) = plot.kmeans(model, x).axes
    region = np.asarray(ax.images[0].get_array())
    low, high, bottom, top = ax.images[0].get_extent()
    grid = np.stack(np.meshgrid(np.linspace(low, high, 400), np.linspace(bottom, top, 400)), axis=-1).reshape(-1, 2)
    np.testing.assert_array_equal(region.ravel(), model.predict(grid))
    assert "borders" in ax.get_title()


@pytest.mark.parametrize("columns", [None, (3, 1)])
def test_more_columns_have_no_borders(columns):
    model, x = fitted("K-means of 10")
    (ax,) = plot.kmeans(model, x, columns=columns).axes
    assert not ax.images
    assert "borders" not in ax.get_title()
    if columns:
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("column 3", "column 1")
    else:
        assert "of the variance" in ax.get_xlabel()


def test_the_plane_has_the_principal_directions_of_the_centres(rng):
    centres = rng.normal(size=(7, 5)) * [9, 0.1, 4, 0.1, 0.1]
    origin, directions, share = principal_plane(centres, None, None)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-12)
    left = (centres - origin) - (centres - origin) @ directions.T @ directions
    np.testing.assert_allclose(1 - (left**2).sum() / ((centres - origin) ** 2).sum(), share.sum())


@pytest.mark.parametrize("k", [1, 2])
def test_few_centres_need_directions_of_the_rows(k):
    x = clusters(2, 5)
    model = dem.KMeans(k).fit(x)
    unit = principal_plane(model.cluster_centers_, model.cluster_counts_, x)[1]
    np.testing.assert_allclose(unit @ unit.T, np.eye(2), atol=1e-9)
    plot.kmeans(model)


def test_one_column_has_borders_half_way():
    model, x = fitted("K-means, one column")
    (ax,) = plot.kmeans(model, x).axes
    centres = np.sort(model.cluster_centers_[:, 0])
    drawn = [line.get_xdata()[0] for line in ax.lines]
    np.testing.assert_allclose(drawn, (centres[1:] + centres[:-1]) / 2)


def test_missing_values_come_from_the_centre():
    x = clusters(3, 4)
    x[::7, 2] = np.nan
    model = dem.KMeans(3).fit(x)
    (ax,) = plot.kmeans(model, x).axes
    assert sum(len(points.get_offsets()) for points in ax.collections) == len(x)


def test_distances_are_those_of_rows_and_centres():
    model, _ = fitted("K-means of 10")
    (ax,) = plot.distances(model).axes
    widths = [patch.get_width() for patch in ax.patches]
    np.testing.assert_allclose(widths, np.sqrt(model.cluster_inertias_ / model.cluster_counts_))
    with pytest.raises(ValueError, match="needs a K-means of two or more clusters"):
        plot.distances(fitted("2 components")[0])


def test_telling_columns_take_any_rows():
    model, x = fitted("K-means of 10")
    assert len(plot.telling_columns(model, 2, rows=x)) == 2


def test_borders_are_half_way_between_the_centres(rng):
    centres = rng.normal(size=(9, 2))
    lines = borders(centres, np.full(2, -3.0), np.full(2, 3.0))
    for line in lines:
        nearest = np.sort(np.linalg.norm(centres - line.mean(axis=0), axis=1))
        assert nearest[0] == pytest.approx(nearest[1])
    assert borders(np.zeros((1, 2)), np.full(2, -3.0), np.full(2, 3.0)) == []
