"""Saved estimators: the method `save`, and how an estimator is made of what was saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from dem.core.columns import Columns
from dem.estimators import scaling
from dem.estimators.columns import names_as_json, restore_names
from dem.estimators.records import CONVERGED_REASONS, FIT_ATTRIBUTES, plain_settings
from dem.estimators.summary import columns_of
from dem.storage.atomic import save_model
from dem.storage.document import GroupContents
from dem.storage.encoding import ForeignClassError

E = TypeVar("E", bound="Saveable")

NOT_IN_OLD_MODELS = ("reg_covar_", "run_")
"""Attributes that models saved by earlier versions may not have: `reg_covar_` since 0.2.0, `run_` since 0.18.0."""


class Saveable:
    """The part of an estimator that is saved and read."""

    _saved: ClassVar[tuple[str, ...]]
    """Names of the fitted arrays that are saved."""
    _saved_numbers: ClassVar[tuple[str, ...]] = ()
    """Names of the fitted numbers and strings that are saved, in addition to those of all estimators."""
    _start_settings: ClassVar[tuple[str, ...]] = ()
    """Names of the settings in which an earlier model must agree that a fit starts from."""
    _first_parameters: ClassVar[tuple[str, ...]] = ()
    """Names of the settings by which users give first parameters."""
    _own: Any
    get_params: Callable[..., dict[str, Any]]
    describe: Callable[[], str]
    _bounds_of_history: Callable[[], list[float]]
    columns_: Columns
    converged_: bool
    lower_bound_: float
    lower_bounds_: list[float]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the fitted model as a Zarr group, whole or not at all; `dem.load` reads it.

        Parameters
        ----------
        path : str or Path
            A path or URL.
        overwrite : bool
            Replace an existing model. Anything else at `path` is never replaced.

        Raises
        ------
        FileExistsError
            If `path` exists and `overwrite` is not set, or `path` is inside a Zarr array.
        ValueError
            The name in `path` is that of a file of another format.
        """
        check_is_fitted(self)
        save_model(path, GroupContents(type(self).__name__, self._arrays(), self._attributes()), overwrite=overwrite)

    def _check_start(self, begun: Self, where: str) -> None:
        """Raise ValueError if an earlier model does not suit this fit; `where` is its name in messages."""

    def _arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that make up the fitted model."""
        names = (*self._saved, "scale_", "shift_")
        arrays = {name: np.asarray(getattr(self, name)) for name in names if hasattr(self, name)}
        if self._own is not self:
            arrays.update({scaling.ARRAYS + name: array for name, array in self._own._arrays().items()})
        return arrays

    def _attributes(self) -> dict[str, Any]:
        """Return everything else, in the form of JSON."""
        names = ("n_features_in_", *FIT_ATTRIBUTES, "selection_", "starts_", "remaining_gain_", *self._saved_numbers)
        fitted = {name: getattr(self, name) for name in names if hasattr(self, name)}
        fitted |= names_as_json(self)
        return {"settings": plain_settings(self.get_params(deep=False)), "fitted": fitted}

    @classmethod
    def _restore(cls, saved: GroupContents, modules: tuple[str, ...] = ()) -> Self:
        """Return the estimator that `save` wrote; `modules` may define classes of the user."""
        estimator: Any = cls(**saved.attributes["settings"])
        inner, arrays = scaling.split_arrays(saved)
        if inner is not None:
            estimator._inner = cls._restore(inner, modules)
        for name, value in {**saved.attributes["fitted"], **arrays}.items():
            number = isinstance(value, np.ndarray) and value.ndim == 0
            setattr(estimator, name, value[()] if number else value)
        restore_names(estimator)
        estimator._derive_missing()
        restored: Self = estimator
        return restored

    def _derive_missing(self) -> None:
        """Compute the attributes that models saved by earlier versions do not have."""
        if hasattr(self, "stop_reason_") and not hasattr(self, "converged_"):
            self.converged_ = self.stop_reason_ in CONVERGED_REASONS
        if hasattr(self, "history_") and not hasattr(self, "lower_bounds_"):
            self.lower_bounds_ = self._bounds_of_history() or [self.lower_bound_]
        if hasattr(self, "n_features_in_") and not hasattr(self, "columns_"):
            self.columns_ = columns_of(self, self.n_features_in_)
        if hasattr(self, "lower_bounds_") and not hasattr(self, "lower_bound_"):
            self.lower_bound_ = self.lower_bounds_[-1]


def restore(kind: type[E], saved: GroupContents, path: str | Path, modules: tuple[str, ...] = ()) -> E:
    """Return the estimator of a class, given what was read from a path.

    Raises
    ------
    ValueError
        It cannot be read; the message says what to do.
    """
    unreadable = f"{path} cannot be read as a {saved.model}: a newer version of dem wrote it, or it was changed by hand"
    remedy = "upgrade dem, or fit and save the model again"
    try:
        model = kind._restore(saved, modules)
        if not (absent := [name for name in _names_of_a_fit(model) if not hasattr(model, name)]):
            model.describe()
    except ForeignClassError as error:
        raise ValueError(f"{path} {error}: name the module, in Python, as in dem.load(path, modules=[...])") from None
    except (AttributeError, ImportError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{unreadable} ({type(error).__name__}: {error}); {remedy}") from error
    if absent:
        raise ValueError(f"{unreadable} (it has no {', '.join(absent)}); {remedy}")
    return model


def _names_of_a_fit(model: Saveable) -> tuple[str, ...]:
    """Return the attributes that the model must have: none if it was made from parameters and not fitted."""
    every = [name for name in (*FIT_ATTRIBUTES, *model._saved, *model._saved_numbers) if name not in NOT_IN_OLD_MODELS]
    return tuple(every) if any(hasattr(model, name) for name in FIT_ATTRIBUTES) else ()
