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

A component has the same colour, line and marker in all pictures, by its number (`style`). Rows have the colour of their
most probable component. Numbers are those of `predict`.

Rows and the choice of pictures:

- `rows(model, data, size, engine)`: a sample of the rows with their coordinates, a `RowSample`
- `telling_columns(model, n, rows)`: the numbers of the columns in which the classes differ most
- `suitable(model, x)`: the names of the pictures that suit a model and its rows
- `draw(name, model, x, columns, labels)`: a picture by its name
- `figure(model, x, columns, labels)`: the picture that says most, beside the history of the fit

Mixtures:

- `mixture(model, x, columns, labels, ax)`: rows by class and numbered ellipses, in two columns
- `pairs(model, x, columns, labels, ax)`: the same for each pair of some columns
- `densities(model, x, columns, labels, ax)`: a panel for each column, with its histogram and each component's share
- `probabilities(model, columns, labels, ax)`: of the values 0 and 1, and of codes, by class
- `entropy(model, x, ax)`: how certain the classes of the rows are

Classes of mixtures and of K-means:

- `profiles(model, x, quantiles, ax)`: mean and standard deviation, or quantiles, along depth, wavelength, time
- `class_map(model, x, latitude, longitude, ax)`: rows by class on a map
- `sizes(model, ax)`: the share and the number of rows of each class
- `kmeans(model, x, columns, labels, ax)`: centres and rows, with true borders where there are two columns
- `distances(model, ax)`: how wide clusters are, and how far from the next one

PPCA and factor analysis:

- `scree(model, ax)`: the variances of the latents, and the noise
- `loadings(model, labels, ax)`: the correlations of columns and latents
- `latents(model, x, columns, classes, ax)`: rows in two latents, coloured by classes if given

Fits and data:

- `criterion(table, criterion, ax)`: a criterion over the number of components
- `history(model, ax)`: the gains, from the start on the sample to the last pass
- `staircase(model, ax)`: the bound after each E-step and M-step, in two panels
- `missing(model, labels, ax)`: the share of missing values of each column
- `filled(model, x, row, labels, ax)`: a row with its observed values, filled ones and their spread
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
from dem.plot.telling import telling_columns

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
    "telling_columns",
]
