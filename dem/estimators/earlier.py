"""An earlier model that a fit starts from: what it must agree in, and what it tells of data that are not yet read."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from dem.core.block import Float
from dem.core.dtypes import float_dtype
from dem.estimators.saving import Saveable, restore
from dem.estimators.summary import columns_of
from dem.run.first_pass import GUESSED_BYTES, GUESSED_ROWS, Guess, guess_of
from dem.source import Source
from dem.storage.atomic import SAVED_MODELS

LEAVE_OUT = "or leave out the start"


class UnsuitedStartError(ValueError):
    """The rows do not suit an earlier model, but would suit a fit from nothing."""


@dataclass(frozen=True)
class EarlierModel:
    """A fitted model that a fit starts from.

    Attributes
    ----------
    model : fitted estimator
    where : str
        Its name in messages: the path, or "start".
    missing : str
        The setting `missing` of the fit.
    """

    model: Any
    where: str
    missing: str

    @classmethod
    def of(cls, estimator: Any, start: Any) -> EarlierModel:
        """Return the model of the argument `start` of an estimator's fit, after checks that it suits the settings.

        An `EarlierModel` has been checked.

        Raises
        ------
        FileNotFoundError
            No model is at the path.
        TypeError
            It is neither a model nor a path.
        ValueError
            It is not fitted, of another kind, or has other settings.
        """
        if isinstance(start, EarlierModel):
            return start
        kind, where = type(estimator), "start"
        if isinstance(start, str | os.PathLike):
            where, saved = str(start), SAVED_MODELS.load(os.fspath(start))
            _check_kind(saved.model, kind, where)
            found: Any = restore(kind, saved, where)
        elif isinstance(start, Saveable):
            _check_kind(type(start).__name__, kind, where)
            found = copy.copy(start)  # it may be the estimator itself
        else:
            raise TypeError(f"start must be a fitted {kind.__name__} or the path of a saved one, got {start!r}")
        try:
            check_is_fitted(found)
        except NotFittedError:
            raise ValueError(f"{where} is a {kind.__name__} that is not fitted: fit it first, {LEAVE_OUT}") from None
        _check_agreement(estimator, found, where)
        return cls(found, where, estimator.missing)

    @property
    def own(self) -> Any:
        """The model itself; after a fit with `scale`, that of scaled rows."""
        return self.model._own

    @property
    def holes(self) -> bool:
        """Whether values were missing in its training data, in rows with a value."""
        record = getattr(self.own, "source_", {})
        return self.missing != "error" and any(n > record["empty_rows"] for n in record.get("missing", ()))

    def check_columns(self, source: Source) -> None:
        """Check that data have the columns of the model.

        Raises
        ------
        ValueError
        """
        check_same_columns(source, self.model, self.where, LEAVE_OUT)

    def guess(self, model: Any, params: Any, source: Source) -> Guess[Any, Any] | None:
        """Return what the model expects of the data, for the first pass; None if it cannot tell.

        Parameters
        ----------
        model : Model
            That of the fit, not yet bound to data.
        params
            The first parameters.
        source : Source
            The data, scaled if the model is one of scaled rows.
        """
        d, record = source.n_columns, getattr(self.own, "source_", {})
        rows = self.own._likely_rows(max(2, min(GUESSED_ROWS, GUESSED_BYTES // (8 * d))), np.random.default_rng(0))
        ranges: tuple[Float, Float] | None = None
        if "low" in record:
            ranges = np.asarray(record["low"], dtype=np.float64), np.asarray(record["high"], dtype=np.float64)
        return guess_of(model, params, rows.astype(float_dtype(source.dtype)), ranges, holes=self.holes)


def check_same_columns(source: Source, model: Any, where: str, otherwise: str) -> None:
    """Check that data have the columns of a fitted model.

    Parameters
    ----------
    source : Source
    model : fitted estimator
    where : str
        Its name in messages.
    otherwise : str
        What else can be done, in words.

    Raises
    ------
    ValueError
    """
    d, advice = model.n_features_in_, f"give data with the same columns in the same order, {otherwise}"
    if source.n_columns != d:
        raise ValueError(f"{source.name} has {source.n_columns} columns, but {where} was fitted on {d}: {advice}")
    if (names := source.columns.first_other_name(columns_of(model, d))) is not None:
        raise ValueError(f"{source.name} has the column {names[0]!r} where {where} has {names[1]!r}: {advice}")


def _check_kind(found: str, kind: type, where: str) -> None:
    if found != kind.__name__:
        raise ValueError(
            f"{where} is a {found}, but this is the fit of a {kind.__name__}: give a model of the same "
            f"kind, {LEAVE_OUT}"
        )


def _check_agreement(estimator: Any, begun: Any, where: str) -> None:
    """Raise ValueError if an earlier model has other settings than an estimator, where they must be the same."""
    for name in estimator._first_parameters:
        value = getattr(estimator, name)
        if not (value is None or isinstance(value, str)):
            raise ValueError(f"start and {name} both give first parameters: leave out one of them")
    for name in (*estimator._start_settings, "scale"):
        asked, there = getattr(estimator, name), getattr(begun, name)
        if asked != there:
            raise ValueError(
                f"{where} has {name}={there!r}, but this fit has {name}={asked!r}: a start needs the same; set it, "
                f"{LEAVE_OUT}"
            )
    estimator._check_start(begun, where)
