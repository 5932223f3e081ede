"""Rows on a map, coloured by their classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dem.core import human
from dem.core.block import Float
from dem.core.columns import Columns
from dem.estimators.summary import columns_of
from dem.plot.canvas import MOST_IN_LEGEND, Picture, canvas, height_of, quiet_grid, set_title, width_of
from dem.plot.labels import MOST_NUMBERED, Numbers, class_word, legend_of_classes
from dem.plot.points import draw_points
from dem.plot.sampled import RowSample, n_classes, n_columns, rows_needed

LATITUDES = ("latitude", "lat", "nav_lat", "y_lat", "ylat")
LONGITUDES = ("longitude", "lon", "long", "lng", "nav_lon", "x_lon", "xlon")
MOST_ON_MAP = 20_000


def class_map(model: Any, x: Any, latitude: Any = None, longitude: Any = None, ax: Any = None) -> Picture:
    """Draw the rows at their places, coloured by their most probable component.

    Parameters
    ----------
    model : estimator
        A fitted mixture or K-means.
    x : rows
        See `dem.plot`.
    latitude, longitude : arrays of shape (n,), optional
        By default the coordinates of the rows with such names, or the columns of the data.
    ax : Axes, optional
        On axes of cartopy the places are transformed to their projection. Otherwise plain axes are used.

    Raises
    ------
    ValueError
        The rows have no latitude and longitude.
    """
    sample = rows_needed(model, x, "a map")
    given = None if latitude is None or longitude is None else (latitude, longitude)
    places = given or places_of(sample)
    if places is None:
        raise ValueError(
            "a map needs the latitude and the longitude of each row: give them as latitude= and longitude="
        )
    lat, lon = (np.asarray(values, dtype=np.float64) for values in places)
    if lat.shape != (len(sample),) or lon.shape != lat.shape:
        raise ValueError(
            f"latitude and longitude must have the shape ({len(sample)},), got {lat.shape} and {lon.shape}"
        )
    if np.isfinite(lon).any():
        lon = narrower(lon)
    place = canvas(ax, _size(lat, lon, n_classes(model)))
    axes: Any = place.ax
    geographic = hasattr(axes, "projection") and hasattr(axes, "add_feature")
    xy = np.column_stack([lon, lat])
    if geographic:
        xy = axes.projection.transform_points(axes.projection.as_geodetic(), lon, lat)[:, :2]
    points = draw_points(axes, xy, sample.classes, MOST_ON_MAP)
    numbers = _numbered(axes, xy, sample.classes)
    if not geographic:
        axes.set_aspect(1 / max(0.2, float(np.cos(np.radians(np.nanmean(lat))))))
        axes.set(xlabel="longitude (degrees east)", ylabel="latitude (degrees north)")
        quiet_grid(axes)
    which = "nearest" if class_word(model) == "cluster" else "most probable"
    set_title(axes, f"{sample.as_points(MOST_ON_MAP)} by {which} {class_word(model)}")
    high = axes.get_window_extent().height / 72 if geographic else width_of(axes) * _ratio(lat, lon)
    most = int(max(2, min(height_of(axes), high) / 0.165))
    legend = legend_of_classes(axes, model, most=most if ax is not None else None)
    text = f"A map of {sample.as_points(MOST_ON_MAP)}, coloured by {human.plural(n_classes(model), 'class')}."
    return place.picture(text, points=points, numbers=numbers, legend=legend)


def _numbered(axes: Any, xy: Float, classes: Any) -> Numbers:
    """Write the number of each of the largest classes at its row that is nearest to its median place."""
    seen = np.isfinite(xy).all(axis=1) & (classes >= 0)
    kinds, counts = np.unique(classes[seen], return_counts=True)
    largest = kinds[np.argsort(-counts, kind="stable")][:MOST_NUMBERED].tolist()
    places = []
    for k in largest:
        own = xy[seen & (classes == k)]
        places.append(own[np.argmin(((own - np.median(own, axis=0)) ** 2).sum(axis=1))])
    return Numbers(axes, places, largest)


def narrower(lon: Float) -> Float:
    """Return longitudes as they are, or from 0 to 360 if rows on both sides of the date line are nearer so."""
    east = np.mod(lon, 360.0)
    return east if np.ptp(lon[np.isfinite(lon)]) > max(180.0, np.ptp(east[np.isfinite(lon)])) else lon


def _size(lat: Float, lon: Float, k: int) -> tuple[float, float]:
    """Return the size of a figure that a map of these places fills, with room for the legend of k classes."""
    legend = 1.3 + 0.165 * (min(k, MOST_IN_LEGEND) + 1)
    return 7.0, max(0.9 + 5.4 * float(np.clip(_ratio(lat, lon), 0.2, 1.3)), legend)


def _ratio(lat: Float, lon: Float) -> float:
    """Return the height of a map of these places, divided by its width."""
    width = max(1e-9, float(np.nanmax(lon) - np.nanmin(lon)) * np.cos(np.radians(float(np.nanmean(lat)))))
    height = max(1e-9, float(np.nanmax(lat) - np.nanmin(lat)))
    return height / width


def places_of(sample: RowSample) -> tuple[Any, Any] | None:
    """Return the latitudes and longitudes of rows: of their coordinates, or of columns of the data; None without."""
    found = []
    columns = columns_of(sample.model, n_columns(sample.model))
    for names in (LATITUDES, LONGITUDES):
        known = next((values for name, values in sample.coordinates.items() if name.lower() in names), None)
        if known is None:
            j = _column(columns, names)
            known = None if j is None else sample.x[:, j]
        found.append(known)
    return None if any(values is None for values in found) else (found[0], found[1])


def _column(columns: Columns, names: tuple[str, ...]) -> int | None:
    return next((j for j, column in enumerate(columns) if column.name.lower() in names), None)
