"""The fitted parameters of an estimator as an xarray Dataset, to be plotted, compared and stored.

An array with one axis of columns is divided by variable if the columns have coordinates: `temperature_mean(component,
depth)`. Otherwise it is one array: `means(component, column)`. Covariances always are one array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Array
from dem.core.column_grid import ColumnGrid, column_grids, stacked_columns
from dem.core.columns import Columns
from dem.core.version import __version__
from dem.estimators.summary import columns_of

AxesOf = tuple[tuple[str, str], ...]
"""Attributes of an estimator, each with the names of its axes: ("means_", "component column"). If an array has fewer
axes, it has the last ones."""
COVARIANCE_AXES = {
    "full": ("component", "column", "column_2"),
    "tied": ("column", "column_2"),
    "diag": ("component", "column"),
    "spherical": ("component",),
}
"""The axes of the covariances of each type; "covariance" in an estimator's table of axes stands for them."""


@dataclass(frozen=True)
class About:
    """What a parameter is.

    Attributes
    ----------
    name : str
        Its name in the Dataset.
    word : str
        Its name after that of a variable: "mean" in temperature_mean.
    meaning : str
    power : int
        The power of the units of the columns that its units are; 0 for none.
    """

    name: str
    word: str
    meaning: str
    power: int = 0


PARAMETERS = {
    "weights_": About("weights", "weight", "the weight of each component"),
    "effective_counts_": About("effective_counts", "count", "the sum of the responsibilities of each component"),
    "means_": About("means", "mean", "the mean of each component", 1),
    "mean_": About("mean", "mean", "the mean of the rows", 1),
    "covariances_": About("covariances", "variance", "the covariance of each component", 2),
    "_loadings": About("loadings", "loading", "the change of the columns with each latent", 1),
    "loadings_": About("loadings", "loading", "the change of the columns with each latent", 1),
    "noise_variance_": About("noise_variance", "noise_variance", "the variance that no latent explains", 2),
    "components_": About("directions", "direction", "the principal directions, of length 1"),
    "explained_variance_": About("explained_variance", "", "the variance along each principal direction", 2),
    "explained_variance_ratio_": About("explained_variance_ratio", "", "its share of the total variance"),
    "alpha_": About("alpha", "", "the precision of the prior of each direction"),
    "cluster_centers_": About("centers", "center", "the centre of each cluster", 1),
    "cluster_counts_": About("cluster_counts", "", "the weight of the rows of each cluster"),
    "cluster_inertias_": About("cluster_inertias", "", "the share of each cluster in the inertia"),
    "mean_precision_": About("mean_precision", "", "the number of rows that the posterior of each mean counts as"),
    "degrees_of_freedom_": About("degrees_of_freedom", "", "the degrees of freedom of the posterior of the precisions"),
    "_concentration": About("weight_concentration", "", "the parameters of the posterior of the weights"),
}
"""The attributes of estimators that hold parameters."""
FAMILY_PARAMETERS = {
    "means": PARAMETERS["means_"],
    "mu": About("mu", "mu", "the mean of the logarithms"),
    "covariances": PARAMETERS["covariances_"],
}
"""The parameters of families that have more than a name."""


@dataclass(frozen=True)
class Parameter:
    """An array of parameters.

    Attributes
    ----------
    about : About
    values : array
    axes : tuple of str
        "component", "column", "column_2" and others.
    columns : tuple of int or None
        The columns along the axis "column"; None for all.
    """

    about: About
    values: Array
    axes: tuple[str, ...]
    columns: tuple[int, ...] | None = None


RESERVED = {"component", "column", "column_2", "latent", "direction", "beta"}
"""The names of axes that dimensions of the data may not have."""


class HasDataset:
    """The method `to_dataset` of estimators."""

    n_features_in_: int

    _axes: ClassVar[AxesOf] = ()
    """Each attribute that `to_dataset` gives, with its axes."""

    def to_dataset(self) -> Any:
        """Return the fitted parameters as an `xarray.Dataset`.

        Returns
        -------
        xarray.Dataset
            Arrays such as `weights`, `means`, `covariances` and `loadings` with the dimensions "component", "column"
            and "latent". If the columns have coordinates, arrays with one axis of columns are divided by variable:
            ``temperature_mean(component, depth)``. Units are those of the data. The attributes say which model it is
            and how the fit ended.

        Raises
        ------
        ImportError
            xarray is not installed.
        """
        try:
            import xarray
        except ModuleNotFoundError:
            raise ImportError("to_dataset needs xarray: pip install xarray") from None
        check_is_fitted(self)
        columns = columns_of(self, self.n_features_in_)
        grids = _own_dims(column_grids(columns)) if any(column.at for column in columns) else []
        found, labels = xarray.Dataset(attrs=_fit_attributes(self)), dict[str, Sequence[Any]]()
        for parameter in _parameters(self, columns):
            for name, (axes, values, attributes) in _arrays(parameter, columns, grids):
                found[name] = (axes, values, attributes)
            labels |= _part_labels(parameter, columns)
        names = stacked_columns(columns).labels[0]
        labels |= {dim: of for grid in grids for dim, of in zip(grid.dims, grid.labels, strict=True)}
        labels |= {"column": names, "column_2": names}
        labels |= {axis: range(found.sizes[axis]) for axis in ("component", "latent") if axis in found.sizes}
        found = found.assign_coords({axis: list(of) for axis, of in labels.items() if axis in found.sizes})
        return found.assign_coords(_along_columns(columns)) if "column" in found.sizes else found


def _own_dims(grids: Sequence[ColumnGrid]) -> list[ColumnGrid]:
    """Return the grids; dimensions of the same name and different coordinates get the name of the variable too."""
    found: list[ColumnGrid] = []
    taken: dict[str, tuple[Any, ...] | None] = dict.fromkeys(RESERVED)
    for grid in grids:
        pairs = zip(grid.dims, grid.labels, strict=True)
        dims = tuple(dim if taken.setdefault(dim, of) == of else f"{grid.variable}_{dim}" for dim, of in pairs)
        found.append(replace(grid, dims=dims))
    return found


def _fit_attributes(model: Any) -> dict[str, Any]:
    """Return the attributes of the Dataset: the kind of model, and how the fit ended."""
    names = ("n_iter", "n_passes", "stop_reason", "converged", "lower_bound", "inertia")
    ended = {name: getattr(model, f"{name}_") for name in names if hasattr(model, f"{name}_")}
    last: Any = (getattr(model, "history_", None) or [{}])[-1]
    ended["log_likelihood"] = last.get("log_likelihood")
    if ended.get("stop_reason") == "closed_form":
        ended["log_likelihood"] = ended["lower_bound"]
    plain = {name: int(value) if isinstance(value, bool | np.bool_) else value for name, value in ended.items()}
    known = {name: value for name, value in plain.items() if value is not None}
    return {"model": type(model).__name__, "description": model.describe(), "dem": __version__, **known}


def _parameters(model: Any, columns: Columns) -> Iterator[Parameter]:
    """Yield the parameters of an estimator, as its table of axes says; those of a family as the family names them."""
    for attribute, axes in dict(model._axes).items():
        if not hasattr(model, attribute):
            continue
        values = np.asarray(getattr(model, attribute))
        words = COVARIANCE_AXES[model.covariance_type] if axes == "covariance" else tuple(axes.split())
        yield Parameter(PARAMETERS[attribute], values, words[len(words) - values.ndim :])
    if hasattr(model, "family_"):
        yield from _of_family(model.family_, model.component_parameters_, columns, None)


def _of_family(family: Any, named: Any, columns: Columns, numbers: tuple[int, ...] | None) -> Iterator[Parameter]:
    """Yield the parameters of a family of the columns with these numbers (None: all)."""
    if hasattr(family, "parts"):
        for part, of_part in zip(family.parts, named.values(), strict=True):
            yield from _of_family(part.family, of_part, columns, part.columns)
        return
    of = tuple(range(len(columns))) if numbers is None else numbers
    for name, values in named.items():
        about = FAMILY_PARAMETERS.get(name, About(name, name, name.replace("_", " ")))
        if isinstance(values, list):  # of categorical columns, which may have different numbers of categories
            for j, own in zip(of, values, strict=True):
                column = _identifier(columns, (j,))
                of_column = replace(about, name=f"{column}_{name}")
                yield Parameter(of_column, np.asarray(own), ("component", f"{column}_category"))
            continue
        array = np.asarray(values)
        axes: tuple[str, ...] = () if name in getattr(family, "shared_parameters", ()) else ("component",)
        rest = array.shape[len(axes) :]
        if rest in ((), (len(of),), (len(of), len(of))):
            axes += ("column", "column_2")[: len(rest)]
        else:
            axes += tuple(f"{name}_axis_{i}" for i in range(len(rest)))
        yield Parameter(about, array, axes, numbers)


def _identifier(columns: Columns, numbers: Sequence[int]) -> str:
    """Return a name for some columns, to be part of names in a Dataset."""
    if columns.named and len(numbers) > 1:
        return "_".join([*columns.select(numbers).variables[:3], str(numbers[0])])
    names = "_".join(columns.names[j] for j in numbers[:3]) + ("_etc" if len(numbers) > 3 else "")
    return names if columns.named else f"column_{names}"


def _part_labels(parameter: Parameter, columns: Columns) -> dict[str, Sequence[Any]]:
    """Return the coordinates along the axis of the columns of a part of the data, if it has several."""
    if parameter.columns is None or len(parameter.columns) == 1:
        return {}
    names = stacked_columns(columns).labels[0]
    part, of_part = _identifier(columns, parameter.columns), [names[j] for j in parameter.columns]
    return {f"{part}_column": of_part, f"{part}_column_2": of_part}


Arrays = Iterator[tuple[str, tuple[tuple[str, ...], Array, dict[str, Any]]]]
"""Names of variables of a Dataset, each with its axes, values and attributes."""


def _arrays(parameter: Parameter, columns: Columns, grids: Sequence[ColumnGrid]) -> Arrays:
    """Yield the variables of the Dataset for a parameter: one, or one for each variable of the data (each grid)."""
    about, values, axes = parameter.about, parameter.values, parameter.axes
    if parameter.columns is not None:
        part, of_part = _identifier(columns, parameter.columns), columns.select(parameter.columns)
        if len(parameter.columns) == 1:
            kept = tuple(axis for axis in axes if not axis.startswith("column"))
            values, axes = values.reshape(values.shape[: len(kept)]), kept
        else:
            axes = tuple(f"{part}_{axis}" if axis.startswith("column") else axis for axis in axes)
        yield f"{part}_{about.name}", (axes, values, _attributes(about, of_part))
    elif not grids or "column" not in axes or "column_2" in axes:
        yield about.name, (axes, values, _attributes(about, columns))
    else:
        at = axes.index("column")
        for grid in grids:
            shape = values.shape[:at] + grid.shape + values.shape[at + 1 :]
            own = values[(slice(None),) * at + (grid.columns,)].reshape(shape)
            name = f"{grid.variable}_{about.word}" if grid.variable else about.name
            attributes = _attributes(about, Columns(columns.columns[grid.columns]))
            yield name, (axes[:at] + grid.dims + axes[at + 1 :], own, attributes)


def _attributes(about: About, columns: Columns) -> dict[str, Any]:
    """Return the attributes of a parameter of these columns; it has units if they all have the same."""
    units = {column.units for column in columns}
    found = {"long_name": about.meaning}
    if about.power and len(units) == 1 and (unit := units.pop()) is not None:
        found["units"] = unit if about.power == 1 or unit == "1" else f"({unit}){about.power}"
    return found


def _along_columns(columns: Columns) -> dict[str, Any]:
    """Return the coordinates along the axis "column": the variable, the units, and coordinates such as the depth."""
    if not columns.named:
        return {}
    found: dict[str, list[Any]] = {"variable": [column.variable for column in columns]}
    if any(column.units for column in columns):
        found["units"] = [column.units or "" for column in columns]
    for dim in dict.fromkeys(dim for column in columns for dim, _ in column.at):
        values = [dict(column.at).get(dim) for column in columns]
        texts = any(isinstance(value, str) for value in values)
        empty: Any = "" if texts else np.nan
        found[f"column_{dim}"] = [empty if value is None else value for value in values]
    return {name: ("column", values) for name, values in found.items()}
