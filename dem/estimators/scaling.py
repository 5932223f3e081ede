"""The setting `scale`: a fit on scaled columns, whose results are in the data's units.

The fit is that of a second estimator without the setting, on rows (x - shift) / scale: the inner one. The outer one
keeps it for row outputs, and has its results in the data's units. Quantities that all columns share, such as the
variance of a spherical component, have no unit of a column: they stay in scaled units.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from dem.core.block import Float
from dem.engine.engine import Engine
from dem.estimators.records import in_data_units
from dem.models.scaled import InDataUnits
from dem.run.fit import scan_of
from dem.run.fit_settings import FitSettings
from dem.scan.scaling import SCALINGS, Scaling, scaling_of
from dem.source import Source
from dem.source.scaled import scaled
from dem.storage.document import GroupContents

E = TypeVar("E")

ARRAYS = "scaled_"
"""The beginning of the names under which the inner estimator's arrays are saved."""
TRAINING = ("_training", "_labels")
"""Attributes that belong to the rows of the fit, which the inner estimator keeps."""


@dataclass(frozen=True)
class ColumnUnit:
    """How the units of the columns enter an array.

    Attributes
    ----------
    power : int
        The power of the columns' scales by which each entry grows.
    axes : tuple of int
        The axes of the array that are the columns; covariances have two.
    shifted : bool
        Whether entries are positions, to which the shift is added, and not differences.
    """

    power: int = 1
    axes: tuple[int, ...] = (-1,)
    shifted: bool = False

    def in_data_units(self, values: Any, scaling: Scaling) -> Float:
        """Return an array in the data's units, given that of scaled rows."""
        out = np.asarray(values, dtype=np.float64)
        for axis in self.axes:
            out = out * self._factor(scaling, axis, out.ndim)
        return out + scaling.shift if self.shifted else out

    def in_scaled_units(self, values: Any, scaling: Scaling) -> Float:
        """Return the array of scaled rows, given that in the data's units."""
        out = np.asarray(values, dtype=np.float64)
        out = out - scaling.shift if self.shifted else out
        for axis in self.axes:
            out = out / self._factor(scaling, axis, out.ndim)
        return out

    def _factor(self, scaling: Scaling, axis: int, ndim: int) -> Float:
        return (scaling.scale**self.power).reshape(-1, *[1] * (ndim - 1 - axis % ndim))


POSITION = ColumnUnit(shifted=True)
LENGTH = ColumnUnit()
VARIANCE = ColumnUnit(power=2)
LOADINGS = ColumnUnit(axes=(-2,))

_MATRICES = {
    "covariance": ColumnUnit(axes=(-1, -2)),
    "precision": ColumnUnit(power=-1, axes=(-1, -2)),
    "factor": ColumnUnit(power=-1, axes=(-2,)),
    "reg_covar": VARIANCE,
}
_VARIANCES = {
    "covariance": VARIANCE,
    "precision": ColumnUnit(power=-2),
    "factor": ColumnUnit(power=-1),
    "reg_covar": VARIANCE,
}


def gaussian_units(covariance_type: str, **kinds: str) -> dict[str, ColumnUnit]:
    """Return the units of attributes of Gaussians: by name "covariance", "precision", "factor" of it or "reg_covar".

    A spherical component has one variance for all columns, which has no unit of a column.
    """
    if covariance_type == "spherical":
        return {}
    units = _MATRICES if covariance_type in ("full", "tied") else _VARIANCES
    return {name: units[kind] for name, kind in kinds.items()}


class Scalable:
    """The part of an estimator that knows whether its columns are scaled."""

    scale: str | None = None
    """How columns are scaled; estimators without the setting scale nothing."""
    scale_: Float
    shift_: Float
    _inner: Self
    _in_data_units: ClassVar[Any] = InDataUnits
    """Makes the model of rows in the data's units, of a model of scaled rows."""

    _fitted: Callable[[], tuple[Any, Any]]

    @property
    def _depends_on_units(self) -> bool:
        """Whether the model depends on the units of the columns."""
        return False

    def _scans_scatter(self, d: int) -> bool:
        """Whether the first pass over d columns gathers the whole scatter."""
        raise NotImplementedError

    def _check_parameters(self, d: int) -> None:
        """Raise ValueError if first parameters are not those of d columns, before any data are read."""

    def _column_units(self) -> Mapping[str, ColumnUnit]:
        """Return the units of the fitted attributes and settings that have those of the columns."""
        return {}

    @property
    def _own(self) -> Self:
        """The estimator whose attributes are those of the model: after a fit with `scale`, that of scaled rows."""
        inner: Self | None = inner_of(self)
        return self if inner is None else inner

    def _model_of_rows(self) -> tuple[Any, Any]:
        """Return the model of rows in the data's units, and its parameters."""
        model, params = self._own._fitted()
        if self._own is self:
            return model, params
        return self._in_data_units(model, Scaling(self.shift_, self.scale_)), params


def check_scale(scale: Any) -> None:
    """Raise ValueError if the setting `scale` is none of its values."""
    if scale is not None and scale not in tuple(SCALINGS):
        raise ValueError(f"scale must be one of {', '.join(SCALINGS)} or None, got {scale!r}")


def fit_scaled(estimator: Any, source: Source, settings: FitSettings, begun: Any = None) -> None:
    """Fit an estimator with the setting `scale`, with as many passes as without it.

    From an earlier model its scaling is taken, so that its parameters mean the same.

    Parameters
    ----------
    estimator : RowwiseEstimator
    source : Source
    settings : FitSettings
    begun : EarlierModel, optional
    """
    kept = settings.checkpoint
    if kept is not None:  # the limit of time is that of the scan and the fit together
        settings = replace(settings, checkpoint=replace(kept, begun=kept.begun or time.monotonic()))
    engine = settings.engine or Engine()
    with nullcontext(engine) if source.in_memory else engine.started() as started:
        settings = replace(settings, engine=started)
        if begun is None:
            scaling, settings = _scaling_of_rows(estimator, source, settings)
        else:
            scaling = Scaling(begun.model.shift_, begun.model.scale_)
        inner = inner_estimator(estimator, scaling, source.n_columns)
        inner._fit_opened(scaled(source, scaling), settings, begun)
    adopt(estimator, inner, scaling)
    columns = in_data_units(inner.source_["columns"], scaling.scale, scaling.shift)
    estimator.source_ = {**inner.source_, "dtype": str(source.dtype), "columns": columns}


def _scaling_of_rows(estimator: Any, source: Source, settings: FitSettings) -> tuple[Scaling, FitSettings]:
    """Return the scaling, from a first scan, and the settings of the fit of scaled rows that follows."""
    d = source.n_columns
    estimator._check_parameters(d)
    scan = scan_of(source, settings, scatter=estimator._scans_scatter(d), scale=estimator.scale)
    estimator._check_size(scan.rows_with_value, d)
    scaling = scaling_of(estimator.scale, scan, [column.variable for column in source.columns])
    return scaling, settings.after_scan(scaling.of_scan(scan))


def inner_estimator(estimator: E, scaling: Scaling, d: int) -> E:
    """Return the estimator of scaled rows, to be fitted: with the user's first parameters, or those of the last fit."""
    outer: Any = estimator
    settings = outer.get_params(deep=False)
    units = outer._column_units()
    for name, value in settings.items():
        if name in units and not (value is None or isinstance(value, str | int | float)):
            settings[name] = units[name].in_scaled_units(value, scaling)
    inner: Any = type(estimator)(**{**settings, "scale": None})
    copy_attributes(outer, inner, ("n_features_in_", "feature_names_in_"))
    if settings.get("warm_start") and (earlier := inner_of(outer)) is not None and outer._can_warm_start(d):
        copy_attributes(earlier, inner, (*earlier._saved, *earlier._saved_numbers))
        if not same_scaling(scaling, outer):
            for name, unit in units.items():
                if hasattr(earlier, name) and hasattr(outer, name) and name not in settings:
                    setattr(inner, name, unit.in_scaled_units(getattr(outer, name), scaling))
    found: E = inner
    return found


def same_scaling(scaling: Scaling, estimator: Any) -> bool:
    """Whether a scaling is that of the estimator's last fit."""
    return np.array_equal(scaling.shift, estimator.shift_) and np.array_equal(scaling.scale, estimator.scale_)


def adopt(estimator: Any, inner: Any, scaling: Scaling) -> None:
    """Give an estimator the results of the inner one, in the data's units."""
    units, settings = estimator._column_units(), estimator.get_params(deep=False)
    for name in TRAINING:
        estimator.__dict__.pop(name, None)
    for name, value in vars(inner).items():
        if name in settings or name in TRAINING:
            continue
        if name in units and np.ndim(value):  # a number is one that the columns share
            value = units[name].in_data_units(value, scaling)
        setattr(estimator, name, value)
    estimator.scale_, estimator.shift_ = scaling.scale, scaling.shift
    estimator._inner = inner


def inner_of(estimator: Any) -> Any:
    """Return the estimator of scaled rows of the last fit; None if that had no `scale`."""
    return estimator.__dict__.get("_inner")


def forget_scaling(estimator: Any) -> None:
    """Remove what a fit with `scale` has set."""
    for name in ("_inner", "scale_", "shift_"):
        estimator.__dict__.pop(name, None)


def split_arrays(saved: GroupContents) -> tuple[GroupContents | None, dict[str, Any]]:
    """Return the contents of the inner estimator of a saved one, if it has one, and its own arrays."""
    own = {name: array for name, array in saved.arrays.items() if not name.startswith(ARRAYS)}
    arrays = {name.removeprefix(ARRAYS): array for name, array in saved.arrays.items() if name not in own}
    if not arrays:
        return None, own
    attributes = {**saved.attributes, "settings": {**saved.attributes["settings"], "scale": None}}
    return replace(saved, arrays=arrays, attributes=attributes), own


def copy_attributes(source: Any, target: Any, names: tuple[str, ...]) -> None:
    """Copy the attributes with these names that `source` has."""
    for name in names:
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def refuse_scaled(estimator: Any, why: str) -> None:
    """Raise a ValueError with a reason if the estimator was fitted with `scale`.

    Raises
    ------
    ValueError
    """
    if inner_of(estimator) is not None:
        raise ValueError(f"a {type(estimator).__name__} that was fitted with scale cannot be converted: {why}")
