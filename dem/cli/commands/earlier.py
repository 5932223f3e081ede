"""The options --from, --keep-labels and --update: an earlier model to start from, or to keep the labels of."""

from __future__ import annotations

from typing import Any

from dem.cli.commands.job import Job
from dem.cli.commands.session import Session
from dem.estimators.base import RowwiseEstimator
from dem.estimators.earlier import EarlierModel, UnsuitedStartError, check_same_columns
from dem.estimators.loading import load
from dem.estimators.matching import Matchable, Matching, check_comparable
from dem.source import Source
from dem.storage.checkpoint import Checkpoint, OtherSettingsError


def beginning(
    job: Job, model: Any, source: Source, session: Session
) -> tuple[EarlierModel | None, RowwiseEstimator | None]:
    """Return the model to start from, and the one whose components give their numbers; None if there are none.

    With `update` the fit starts from nothing if the model does not suit it; the numbers are kept also then, if the
    components can be compared.

    Raises
    ------
    FileNotFoundError, ValueError
        A model of `start` or `keep_labels` is not there or does not suit the fit.
    """
    if job.update is None:
        begun = None if job.start is None else _suited(job.start, model, source)
        return begun, None if job.keep_labels is None else earlier_labels(job.keep_labels, model, source)
    if job.start is not None or job.keep_labels is not None:
        raise ValueError("--update is --from and --keep-labels together: leave those out")
    try:
        begun = _suited(job.update, model, source)
    except (FileNotFoundError, ValueError) as error:
        session.say(f"the fit starts from nothing: {error}")
        try:
            return None, earlier_labels(job.update, model, source)
        except (FileNotFoundError, ValueError):
            return None, None
    return begun, begun.model if isinstance(model, Matchable) else None


def _suited(path: str, model: Any, source: Source) -> EarlierModel:
    """Return the saved model at a path, to start from, after all checks that need no pass."""
    begun = EarlierModel.of(model, path)
    begun.check_columns(source)
    return begun


def fit_from(
    begun: EarlierModel | None, model: Any, source: Source, job: Job, session: Session, kept: Checkpoint | None
) -> None:
    """Fit a model, starting from an earlier one; with `update` from nothing if the rows turn out not to suit that.

    A checkpoint of such a fit from nothing is continued.
    """
    if begun is not None and job.update is not None:
        try:
            model.fit(source, checkpoint=kept, start=begun)
            return
        except UnsuitedStartError as error:
            session.say(f"the fit starts from nothing: {error}")
        except OtherSettingsError:
            session.say(f"the checkpoint is not of a fit that starts from {job.update}, which is left out")
        begun = None
    model.fit(source, checkpoint=kept, start=begun)


def labels_to_keep(job: Job, estimator: Any, source: Source, session: Session) -> RowwiseEstimator | None:
    """Return the model whose components give their numbers to the best model of a selection; None if there is none.

    Raises
    ------
    FileNotFoundError, ValueError
        The model of `keep_labels` is not there or cannot be compared. That of `update` is then left out.
    """
    if job.update is None:
        return None if job.keep_labels is None else earlier_labels(job.keep_labels, estimator, source)
    if job.keep_labels is not None:
        raise ValueError("--update also keeps the labels: leave out --keep-labels")
    try:
        return earlier_labels(job.update, estimator, source)
    except (FileNotFoundError, ValueError) as error:
        session.say(f"no labels are kept: {error}")
        return None


def earlier_labels(path: str, model: Any, source: Source) -> RowwiseEstimator:
    """Return the saved model at a path whose components give their numbers to those of a fit.

    Raises
    ------
    ValueError
        It has no components, or other columns.
    """
    earlier = load(path)
    try:
        check_comparable(model, earlier)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None
    check_same_columns(source, earlier, path, "or leave out --keep-labels")
    return earlier


def matching_with(earlier: RowwiseEstimator | None, model: Any, session: Session) -> Matching | None:
    """Return which components of a model are those of an earlier one; None without one.

    If that fails it is reported: the fit itself has not failed, and its model is saved.
    """
    if earlier is None:
        return None
    try:
        found: Matching = model.match(earlier)
        return found
    except Exception as error:  # a family may raise whatever it likes
        session.say(f"no labels are kept: {error}")
        return None
