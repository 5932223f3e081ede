"""Pictures of fitted models, on Matplotlib axes, without pyplot and without global state.

Every picture is one function. It returns a `Picture`: a notebook shows it as the last line of a cell, `savefig` writes
it, `axes` and `artists` are Matplotlib's, and `text` says in one sentence what it shows, for readers who cannot see it.

    import dem
    model = dem.GaussianMixture(3).fit(x)
    dem.plot.mixture(model, x)                      # its own figure
    dem.plot.mixture(model, x, ax=ax)               # on your axes
    rows = dem.plot.rows(model, "floats.zarr")      # a sample from one pass, for any number of pictures
    for name in dem.plot.suitable(model, rows):
        dem.plot.draw(name, model, rows).savefig(f"{name}.png")

Arguments that the pictures share:

x : rows, optional
    An array, a data frame, an xarray object, a path of a store, or what `rows` returned. Anything but an array is
    sampled by one pass. Where a picture can do without rows it shows the model alone.
columns : numbers or names, optional
    The columns to show; by default the most telling ones, in which the components differ most.
labels : sequence of str, optional
    Names of all columns; by default the names and units of the training data.
ax : Axes, or a sequence of them where a picture has several panels, optional
    Where to draw; by default on a new figure.

A component has the same colour, line and marker in all pictures, by its number. Rows have the colour of their most
probable component. Numbers are those of `predict`.

============================================================  =======================================================
`rows(model, data, size=30_000, engine=None)`                 a sample of rows with their coordinates: `RowSample`
`suitable(model, x=None)`                                     the names of the pictures that suit a model and rows
`draw(name, model, x=None, columns=None, labels=None)`        a picture by its name, on a new figure
`figure(model, x=None, columns=None, labels=None)`            the picture of `dem plot`: the model beside its history
`mixture(model, x=None, columns=None, labels=None, ax=None)`  rows by class and numbered ellipses, in two columns
`pairs(model, x=None, columns=None, labels=None, ax=None)`    the same for each pair of some columns
`densities(model, x=None, columns=None, labels=None, ax=None)`  a panel a column: histogram, and each component's share
`profiles(model, x=None, quantiles=None, ax=None)`            mean and standard deviation, or quantiles, along depth, time
`class_map(model, x, latitude=None, longitude=None, ax=None)`  rows by class on a map
`sizes(model, ax=None)`                                       the weight and the number of rows of each class
`entropy(model, x, ax=None)`                                  how certain the classes of the rows are
`probabilities(model, columns=None, labels=None, ax=None)`    of values 0 and 1, and of codes, by class
`kmeans(model, x=None, columns=None, labels=None, ax=None)`   centres and rows; true borders where there are two columns
`distances(model, ax=None)`                                   how wide clusters are, and how far from the next one
`scree(model, ax=None)`                                       variances of the latents, and the noise
`loadings(model, labels=None, ax=None)`                       correlations of columns and latents
`latents(model, x, columns=(0, 1), classes=None, ax=None)`    rows in two latents, coloured by classes if given
`criterion(table, criterion="bic", ax=None)`                  a criterion over the number of components
`history(model, ax=None)`                                     the gains, from the start on the sample to the last pass
`staircase(model, ax=None)`                                   the bound after each E-step and M-step (two panels)
`missing(model, labels=None, ax=None)`                        the share of missing values of each column
`filled(model, x, row=None, labels=None, ax=None)`            a row: observed values, filled ones and their spread
============================================================  =======================================================
"""

from __future__ import annotations

from dem.plot.along import profiles
from dem.plot.canvas import Picture
from dem.plot.choice import PICTURES, draw, figure, suitable
from dem.plot.classes import entropy, sizes
from dem.plot.clusters import distances, kmeans
from dem.plot.colours import Style, style
from dem.plot.criteria_curve import criterion
from dem.plot.families import probabilities
from dem.plot.gaps import filled, missing
from dem.plot.histories import history, staircase
from dem.plot.latent import latents, loadings, scree
from dem.plot.maps import class_map
from dem.plot.mixtures import mixture, pairs
from dem.plot.one_column import densities
from dem.plot.sampled import RowSample, rows

__all__ = [
    "PICTURES",
    "Picture",
    "RowSample",
    "Style",
    "class_map",
    "criterion",
    "densities",
    "distances",
    "draw",
    "entropy",
    "figure",
    "filled",
    "history",
    "kmeans",
    "latents",
    "loadings",
    "missing",
    "mixture",
    "pairs",
    "probabilities",
    "profiles",
    "rows",
    "scree",
    "sizes",
    "staircase",
    "style",
    "suitable",
]
