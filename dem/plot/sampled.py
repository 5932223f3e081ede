"""The rows that pictures show: an array, or a sample of any data with its coordinates, from one pass."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Float
from dem.core.columns import Columns
from dem.engine.engine import Engine
from dem.estimators.named_dims import open_for
from dem.estimators.summary import columns_of
from dem.run.fit import scan
from dem.scan.sample import unhash
from dem.scan.scanner import Scan
from dem.source import Source
from dem.source.coordinates import StoredCoordinates, XarrayCoordinates
from dem.source.in_memory import open_memory

SAMPLE_ROWS = 30_000
LARGEST_COORDINATE = 2**28
"""The most bytes of a coordinate that is read for a map."""
MOST_POINTS = 5000
"""The most rows that are drawn as points; more would hide one another."""
SEED = 0


@dataclass(frozen=True)
class RowSample:
    """Rows that pictures show, with their classes, which are computed once.

    Attributes
    ----------
    model : estimator
    x : array of shape (n, d)
    whole : int
        The number of rows of the data that they are a sample of.
    coordinates : mapping of str to array of shape (n,)
        The coordinates of the rows, such as latitude, by name.
    name : str
        The name of the data.
    drawn : bool
        The rows were drawn from the model.
    numbers : array of shape (n,), optional
        The number of each row in the data, rising; by default 0, 1, ...
    """

    model: Any = field(repr=False)
    x: Float = field(repr=False)
    whole: int
    coordinates: Mapping[str, Any] = field(default_factory=dict)
    name: str = "array"
    drawn: bool = False
    numbers: NDArray[np.int64] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.x)

    @cached_property
    def classes(self) -> NDArray[np.int64] | None:
        """The most probable component of each row, -1 where there is none; None if the model has no classes."""
        if not hasattr(self.model, "predict"):
            return None
        return np.asarray(self.of_model("predict"), dtype=np.int64)

    def of_model(self, method: str) -> Any:
        """Return the result of a method of the model for these rows."""
        return apply(self.model, method, self.x)

    def deviations(self) -> Float:
        """Return the conditional standard deviations of the missing values, and 0 for the others."""
        return np.asarray(apply(self.model, "impute", self.x, True)[1], dtype=np.float64)

    def take(self, rows: NDArray[Any]) -> RowSample:
        """Return some of the rows, given their numbers or a mask."""
        coordinates = {name: values[rows] for name, values in self.coordinates.items()}
        numbers = None if self.numbers is None else self.numbers[rows]
        taken = replace(self, x=self.x[rows], coordinates=coordinates, numbers=numbers)
        if "classes" in self.__dict__:
            classes = self.classes
            taken.__dict__["classes"] = None if classes is None else classes[rows]
        return taken

    def place_of(self, row: int) -> int:
        """Return where a row of the data is among these rows.

        Raises
        ------
        ValueError
            There is no such row, it has no value, or the sample does not have it.
        """
        if self.numbers is None:
            if not 0 <= row < len(self):
                raise ValueError(f"row must be from 0 to {len(self) - 1}, got {row}")
            return row
        found = np.flatnonzero(self.numbers == row)
        if not len(found):
            raise ValueError(
                f"row {row} is not among the {self.in_words} of {self.name}: it does not exist, has no value, or is "
                "not in the sample; give a row of a large store as an array"
            )
        return int(found[0])

    def points(self, most: int = MOST_POINTS) -> RowSample:
        """Return at most so many of the rows, chosen at random."""
        if len(self) <= most:
            return self
        return self.take(np.sort(np.random.default_rng(SEED).choice(len(self), most, replace=False)))

    @property
    def in_words(self) -> str:
        """How many rows these are, as text: "30,000 of 3,000,000 rows"."""
        return self.as_points(len(self))

    def as_points(self, most: int = MOST_POINTS) -> str:
        """Return how many rows are drawn as points, as text, if these are at most so many."""
        n = min(len(self), most)
        if self.drawn:
            return f"{n:,} rows drawn from the model"
        return f"{n:,} rows" if n >= self.whole else f"{n:,} of {self.whole:,} rows"


def rows(model: Any, data: Any, size: int = SAMPLE_ROWS, engine: Engine | None = None) -> RowSample:
    """Return a uniform sample of the rows of any data, with their coordinates, from one pass over the data.

    The rows have the order of the data. Rows without any value are left out.

    Parameters
    ----------
    model : estimator
        The fitted model that pictures will show the rows with.
    data : str, Path, array, data frame, xarray object
        Anything that the model's methods take.
    size : int
        The most rows of the sample.
    engine : dem.Engine, optional
        Where the pass runs.

    Raises
    ------
    ValueError
        The data have other columns than the model.
    """
    source = open_for(model, data)
    if source.n_columns != n_columns(model):
        raise ValueError(
            f"{source.name} has {source.n_columns} columns, but the model was fitted to {n_columns(model)}: "
            "give it data with the same columns"
        )
    found = scan(source, engine=engine or getattr(model, "engine", None), sample_size=size, seed=SEED)
    return sample_of(model, source, found)


def sample_of(model: Any, source: Source, found: Scan) -> RowSample:
    """Return the sample of a scan with the seed `SEED`, with the coordinates of its rows.

    Raises
    ------
    ValueError
        The data have other columns than the model.
    """
    keys = unhash(found.sample.keys, SEED).astype(np.int64)
    order = np.argsort(keys)  # as in the data, so that what a user gives for each row belongs to it
    x, keys = np.asarray(found.sample.x, dtype=np.float64)[order], keys[order]
    return RowSample(model, x, found.rows, _coordinates(source, keys), source.name, numbers=keys)


def row_sample(model: Any, x: Any) -> RowSample | None:
    """Return the rows that a user gave, in any form, as a sample; None for none."""
    if isinstance(x, RowSample):
        return x if x.model is model else replace(x, model=model)
    if x is None:
        return None
    if isinstance(x, list | tuple | np.ndarray):
        array = np.ma.filled(np.ma.asarray(x, dtype=np.float64), np.nan)
        d = n_columns(model)
        if array.ndim != 2 or array.shape[1] != d:
            raise ValueError(f"x must have the shape (rows, {d}), got {array.shape}")
        value = getattr(model, "missing_value", None)
        if value is not None:
            array = np.where(array == value, np.nan, array)
        return RowSample(model, array, len(array))
    return rows(model, x)


def rows_needed(model: Any, x: Any, what: str) -> RowSample:
    """Return the rows that a user gave.

    Raises
    ------
    ValueError
        There are none: the picture cannot do without.
    """
    found = row_sample(model, x)
    if found is None:
        raise ValueError(f"{what} needs rows: give them as x, or on the command line with --data")
    return found


def rows_or_drawn(model: Any, x: Any, n: int) -> RowSample:
    """Return the rows that a user gave, or if there are none n rows drawn from the model."""
    found = row_sample(model, x)
    if found is not None:
        return found
    drawn = model.sample(n)
    return RowSample(model, np.asarray(drawn[0] if isinstance(drawn, tuple) else drawn), n, drawn=True)


def check_mixture(model: Any, what: str) -> None:
    """Raise ValueError if a model is no mixture."""
    if not hasattr(model, "weights_"):
        raise ValueError(f"{what} needs a fitted mixture, got a {type(model).__name__}: see `dem.plot.suitable`")


def n_columns(model: Any) -> int:
    """Return the number of columns that a model was fitted to; models made by hand have only their parameters."""
    if hasattr(model, "n_features_in_"):
        return int(model.n_features_in_)
    for name in ("means_", "cluster_centers_", "components_"):
        if hasattr(model, name):
            return int(np.asarray(getattr(model, name)).shape[1])
    return len(model.mean_)


def n_classes(model: Any) -> int:
    """Return the number of classes of a model; 0 if it has none."""
    if hasattr(model, "cluster_centers_"):
        return len(model.cluster_centers_)
    return len(model.weights_) if hasattr(model, "weights_") else 0


def apply(model: Any, method: str, x: Float, *args: Any) -> Any:
    """Return the result of a method of a model for rows in memory; missing values are never an error here."""
    if getattr(model, "missing", None) == "error":
        model = copy.copy(model)
        model.missing = "marginalize"
    if hasattr(model, "feature_names_in_") and hasattr(model, "columns_"):  # scikit-learn warns of rows without names
        columns: Columns = columns_of(model, x.shape[1])
        given: Any = replace(open_memory(np.asarray(x, dtype=np.float64)), given_columns=columns)
        return getattr(model, method)(given, *args)
    return getattr(model, method)(np.asarray(x, dtype=np.float64), *args)


def _coordinates(source: Source, keys: NDArray[np.int64]) -> dict[str, Any]:
    """Return the coordinates of the rows with these keys, as far as they are numbers or times."""
    where = source.rows
    if where is None or where.dims is None:
        return {}
    index = dict(zip(where.dims, np.unravel_index(keys, where.shape), strict=True))
    found: dict[str, Any] = {}
    for name in source.coordinates.names:
        dims = source.coordinates.dims(name)
        if not dims or not all(dim in index for dim in dims):
            continue
        values = _values(source.coordinates, name)
        if values is not None and values.dtype.kind in "fiuM":
            found[name] = values[tuple(index[str(dim)] for dim in dims)]
    return found


def _values(coordinates: Any, name: str) -> NDArray[Any] | None:
    """Return the values of a coordinate; None if they are too many, or are kept in a form that is not known here."""
    if isinstance(coordinates, StoredCoordinates):
        array = coordinates.arrays[name]
        if array.nbytes > LARGEST_COORDINATE:
            return None
        return np.asarray(array[...])
    if isinstance(coordinates, XarrayCoordinates):
        return np.asarray(coordinates.dataset[name].values)
    return None
