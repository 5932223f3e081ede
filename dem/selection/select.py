"""`dem.select`: fit several models with common passes over the data, and choose one by a criterion."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from dem.core.error_state import default_error_state
from dem.em.aitken import remaining_gain
from dem.em.candidates import Candidate, Candidates
from dem.estimators import scaling
from dem.estimators.base import RowwiseEstimator
from dem.estimators.gaussian_mixture import GaussianMixture
from dem.estimators.iterations import run_record, warn_at_max_iter
from dem.models.criteria import criteria_of_score
from dem.models.selection import HELD_OUT, Evidence, criterion_value
from dem.run.fit_settings import FitSettings
from dem.run.score_together import Scores, scores_of_rows
from dem.selection.fits import Fits, fit_all
from dem.selection.grid import Entry, candidates_of, chosen_criterion
from dem.selection.result import CandidateResult, Selection
from dem.source import Source
from dem.source.dimensions import SampleDims
from dem.source.held_out import HeldOutRows, held_out_rows, only_held_out, without_held_out
from dem.storage.checkpoint import Checkpoint

OF_COLUMNS = ("n_features_in_", "feature_names_in_", "columns_", "sample_dims_", "variables_")
"""Attributes that opening the data sets, the same for all candidates."""
Entries = Mapping[str, Entry]


@default_error_state()
def select(
    X: Any,
    estimator: RowwiseEstimator | None = None,
    *,
    criterion: str | None = None,
    sample_weight: Any = None,
    groups: Any = None,
    callback: Callable[[Candidates], object] | None = None,
    checkpoint: str | Path | Checkpoint | None = None,
    columns: Sequence[str | int] | None = None,
    sample_dims: SampleDims = None,
    variables: str | Sequence[str] | None = None,
    **candidates: Any,
) -> Selection:
    """Fit a model for each combination of settings, and choose the best by a criterion.

    All candidates share the passes over the data. Each stops when its own fit has converged. A candidate is dropped as
    soon as its criterion, with all that its log-likelihood is expected to gain, stays behind the present criterion of
    another one. A candidate that is not dropped has the parameters of its fit alone.

    Parameters
    ----------
    X : str, Path, zarr.Array, dask.array.Array, data frame, xarray object or array-like of shape (n, d)
        As in `fit` of the estimators, and so are the arguments that are not listed here.
    estimator : estimator, default=GaussianMixture()
        Its settings are those of all candidates. It is not changed.
    criterion : str, optional
        "bic" (the default), "aic", "hqic"; for mixtures "icl"; "held_out": the log-likelihood of one tenth of the rows,
        which no fit sees; for variational models "bound" (the default) or "held_out". K-means has "bic", "aic" and
        "hqic" of a mixture of spheres of one variance (Pelleg and Moore 2000).
    groups : array-like, DataArray, Zarr array or path, of shape (n,), optional
        For "held_out": the group of each row, an integer or a string, such as a station or a patient. Whole groups are
        held out: neighbouring rows are not independent.
    callback : callable, optional
        Called after each pass with the `dem.em.candidates.Candidates`.
    **candidates
        Settings of the estimator with several values: ``n_components=range(1, 21), covariance_type=["full", "diag"]``.

    Returns
    -------
    Selection

    Raises
    ------
    dem.Stopped
        A limit of the checkpoint is reached; the same call continues.
    ValueError
        Wrong settings or unusable data; the message says what is wrong, where, and what to do.
    OSError, MemoryError
        As in `fit`.
    """
    started = time.perf_counter()
    template = GaussianMixture() if estimator is None else estimator
    entries = candidates_of(template, candidates)
    criterion = chosen_criterion(template, criterion)
    if groups is not None and criterion != HELD_OUT:
        raise ValueError(f"groups are used by criterion='held_out' alone, and the criterion is {criterion!r}")
    scaling.check_scale(template.scale)
    opening = {"columns": columns, "sample_dims": sample_dims, "variables": variables}
    first = next(iter(entries.values())).estimator
    source = first._open(X, sample_weight, reset=True, **opening)
    for entry in entries.values():
        scaling.copy_attributes(first, entry.estimator, OF_COLUMNS)
        if source.n_rows is not None:
            entry.estimator._check_size(source.n_rows, source.n_columns)
    settings = _settings(entries, callback, checkpoint)
    held = held_out_rows(groups, source, _seed(settings)) if criterion == HELD_OUT else None
    fitted_rows = source if held is None else without_held_out(source, held)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimators = {name: entry.estimator for name, entry in entries.items()}
        fits = fit_all(estimators, fitted_rows, settings, criterion)
    scores = _scored(entries, fits, source, held, criterion)
    found = _selection(entries, fits, scores, criterion, [held.note] if held is not None and held.note else [])
    for model in found.models.values():
        model.run_ = run_record(model, started)
    warn_at_max_iter(found.best_estimator_)
    return found


def _settings(
    entries: Entries, callback: Callable[[Candidates], object] | None, checkpoint: str | Path | Checkpoint | None
) -> dict[str, FitSettings]:
    """Return how each candidate's fit runs; all have the seed of the first, also if `random_state` is a generator."""
    found: dict[str, FitSettings] = {}
    for name, entry in entries.items():
        each = entry.estimator._fit_settings(callback, checkpoint)  # type: ignore[arg-type]
        shared = next(iter(found.values()), each)
        found[name] = replace(
            each, start=replace(each.start, seed=_seed(found) if found else each.start.seed), engine=shared.engine
        )
    return found


def _seed(settings: Mapping[str, FitSettings]) -> int:
    return next(iter(settings.values())).start.seed


def _scored(
    entries: Entries, fits: Fits, source: Source, held: HeldOutRows | None, criterion: str
) -> tuple[list[str], Scores] | None:
    """Return the sums of the rows' scores that the criterion needs, of the candidates that have finished.

    None if the passes of the fits have told all.
    """
    if criterion not in (HELD_OUT, "icl"):
        return None
    names = [c.name for c in fits.candidates.of if c.name in fits.evidence and not c.dropped]
    word, rows = ("complete", source) if held is None else ("score", only_held_out(source, held))
    requests = {name: entries[name].estimator._request(rows, word) for name in names}
    means = [fits.evidence[name].log_likelihood / fits.evidence[name].rows for name in names]
    try:
        scores = scores_of_rows(requests, rows, means, entries[names[0]].estimator.engine)
    except ValueError as error:
        if held is None:
            raise
        raise ValueError(
            f"the rows held out cannot be scored: {error}. If no other row has such a value, let the model know it "
            "(n_categories, of categories), or choose other groups or another criterion"
        ) from None
    if not scores.weight > 0:
        raise ValueError(
            f"no row of positive weight is held out of {source.name}: it has too few rows; choose another criterion"
        )
    return names, scores


def _selection(
    entries: Entries, fits: Fits, scored: tuple[list[str], Scores] | None, criterion: str, notes: Sequence[str]
) -> Selection:
    """Return the result, from the fits and the scores."""
    values: dict[str, Any] = {c.name: c.value for c in fits.candidates.of}
    if scored is not None:
        values = dict(_values_of_scores(scored, fits, criterion))
    table = [_row(c, entries[c.name], fits, values.get(c.name), criterion) for c in fits.candidates.of]
    if scored is not None and criterion == HELD_OUT:
        names, scores = scored
        best = min(names, key=values.__getitem__)
        noise = {name: 2 * scores.noise(names.index(name), names.index(best)) for name in names}
        table = [replace(row, noise=noise.get(row.name)) for row in table]
    models = {name: entries[name].estimator for name in fits.evidence}
    return Selection(table, criterion, models, fits.n_passes + (scored is not None), notes)


def _values_of_scores(scored: tuple[list[str], Scores], fits: Fits, criterion: str) -> dict[str, float]:
    """Return the criterion of each candidate that was scored."""
    names, scores = scored
    found = {}
    for name, total in zip(names, scores.totals.tolist(), strict=True):
        found[name] = criterion_value(criterion, Evidence(total, fits.evidence[name].n_parameters, scores.weight))
    return found


def _row(candidate: Candidate, entry: Entry, fits: Fits, value: float | None, criterion: str) -> CandidateResult:
    """Return a candidate's row of the table."""
    name, model = candidate.name, entry.estimator
    known, state = fits.evidence.get(name), candidate.state
    if known is None or state is None:
        return CandidateResult(
            name, entry.settings, None, None, None, {}, None, 0, "failed", candidate.ended_in or 0, candidate.why
        )
    counts = getattr(model, "effective_counts_", getattr(model, "cluster_counts_", None))
    criteria = {} if model.objective_name == "bound" else criteria_of_score(*known)
    criteria = {**criteria, **({} if value is None else {criterion: value})}
    return CandidateResult(
        name,
        entry.settings,
        value,
        known.log_likelihood / known.rows,
        known.n_parameters,
        criteria,
        None if counts is None else [float(count) for count in counts],
        len(state.history),
        str(state.stop_reason),
        candidate.ended_in or 0,
        candidate.why,
        None if criterion == HELD_OUT else _attainable(candidate, known, value),
    )


def _attainable(candidate: Candidate, known: Evidence, value: float | None) -> float | None:
    """Return the criterion after all that the fit may still gain; None if that is not known."""
    if value is None or candidate.state is None or not candidate.state.history:
        return value
    history = candidate.state.history
    if history[-1].log_likelihood is None:  # of K-means and bounds
        return None
    gain = remaining_gain([entry.objective for entry in history])
    return None if gain is None or not math.isfinite(gain) else value - 2 * gain * known.rows
