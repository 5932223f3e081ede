"""Run the fits of all candidates: from the moments of one scan where these tell all, else by passes that they share."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace

from dem.core.blas import single_threaded_blas
from dem.em.candidates import Candidate, Candidates
from dem.engine.engine import Engine
from dem.estimators import scaling
from dem.estimators.base import RowwiseEstimator
from dem.estimators.linear_latent import LinearLatent, with_scatter
from dem.models.selection import CriterionBounds, Evidence, criterion_value, evidence
from dem.run.fit import scan_of
from dem.run.fit_settings import FitSettings
from dem.run.select import fit_candidates
from dem.scan.scanner import Scan
from dem.source import Source

Estimators = Mapping[str, RowwiseEstimator]
Settings = Mapping[str, FitSettings]


@dataclass(frozen=True)
class Fits:
    """The candidates after their fits; the estimators of those whose fit has not failed are fitted.

    Attributes
    ----------
    candidates : Candidates
    evidence : mapping of str to Evidence
        Of the candidates whose fit has not failed.
    n_passes : int
        Passes over the data.
    """

    candidates: Candidates
    evidence: Mapping[str, Evidence]
    n_passes: int


def fit_all(estimators: Estimators, source: Source, settings: Settings, criterion: str) -> Fits:
    """Fit all candidates to the rows of a source.

    Parameters
    ----------
    estimators : mapping of str to estimator
        By name, all of one class and with the same `scale`.
    source : Source
    settings : mapping of str to FitSettings
        By name. They differ in `tol`, `max_iter` and the number of starts.
    criterion : str
    """
    first = next(iter(estimators.values()))
    if first.scale is None:
        fits = _fit_opened(estimators, source, settings, criterion)
        for estimator in estimators.values():
            scaling.forget_scaling(estimator)
        return fits
    return _fit_scaled(estimators, source, settings, criterion)


def _fit_scaled(estimators: Estimators, source: Source, settings: Settings, criterion: str) -> Fits:
    """Fit all candidates to scaled rows, as `dem.estimators.scaling.fit_scaled` fits one."""
    begun = time.monotonic()
    settings = {name: _begun(each, begun) for name, each in settings.items()}
    shared = next(iter(settings.values()))
    engine, d = shared.engine or Engine(), source.n_columns
    first = next(iter(estimators.values()))
    with nullcontext(engine) if source.in_memory else engine.started() as started:
        shared = replace(shared, engine=started)
        scatter = any(estimator._scans_scatter(d) for estimator in estimators.values())
        scan = scan_of(source, shared, scatter=scatter, scale=first.scale)
        for estimator in estimators.values():
            estimator._check_size(scan.rows_with_value, d)
        found = scaling.scaling_of(str(first.scale), scan, [column.variable for column in source.columns])
        scaled_scan = found.of_scan(scan)
        inside = {name: replace(each, engine=started).after_scan(scaled_scan) for name, each in settings.items()}
        inner = {name: scaling.inner_estimator(estimator, found, d) for name, estimator in estimators.items()}
        fits = _fit_opened(inner, scaling.scaled(source, found), inside, criterion)
    for name in fits.evidence:
        scaling.adopt(estimators[name], inner[name], found)
        estimators[name].source_ = {**inner[name].source_, "dtype": str(source.dtype)}
    return fits


def _begun(settings: FitSettings, begun: float) -> FitSettings:
    """Return the settings whose limit of time counts from `begun`, for the scan and the fits together."""
    kept = settings.checkpoint
    return settings if kept is None else replace(settings, checkpoint=replace(kept, begun=kept.begun or begun))


def _fit_opened(estimators: Estimators, source: Source, settings: Settings, criterion: str) -> Fits:
    """Fit all candidates to the rows as they are."""
    first, shared, d = next(iter(estimators.values())), next(iter(settings.values())), source.n_columns
    if isinstance(first, LinearLatent):
        scan = shared.scan
        if scan is None and first._scans_scatter(d):
            scan = scan_of(source, shared, scatter=True)
            for estimator in estimators.values():
                estimator._check_size(scan.rows_with_value, d)
            settings = {name: each.after_scan(scan) for name, each in settings.items()}
        whole = with_scatter(scan)
        if whole is not None and not whole.incomplete.rows > 0:
            return _fit_moments(estimators, source, whole, settings, criterion)
    problems = {name: estimator._problem(source, settings[name]) for name, estimator in estimators.items()}
    selected = fit_candidates(problems, source, CriterionBounds(criterion, d), criterion)
    found = {}
    for name, fitted in selected.fits.items():
        state = fitted.state
        found[name] = evidence(fitted.model, state.params, state.stats, d)
        estimators[name]._keep_result(estimators[name]._result(fitted), source)
    return Fits(selected.candidates, found, selected.n_passes)


@single_threaded_blas()
def _fit_moments(estimators: Estimators, source: Source, scan: Scan, settings: Settings, criterion: str) -> Fits:
    """Fit all candidates to the moments of one scan, without another pass."""
    candidates, found = [], {}
    for name, estimator in estimators.items():
        assert isinstance(estimator, LinearLatent)
        try:
            fitted = estimator._fit_moments(scan, settings[name])
        except (ValueError, ArithmeticError) as error:
            candidates.append(Candidate(name, ended_in=0, why=str(error)))
            continue
        estimator._keep_result(fitted, source)
        n = float(scan.moments.weight)
        found[name] = Evidence(fitted.log_likelihood * n, estimator.n_parameters_, n)
        value = criterion_value(criterion, found[name])
        if value != value:
            found.pop(name)
            candidates.append(Candidate(name, ended_in=0, why="it has no density: see lower_bound_"))
            continue
        candidates.append(Candidate(name, fitted.state, value, value, 0))
    if not found:
        raise ValueError(f"no candidate can be fitted; {candidates[0].name}: {candidates[0].why}")
    return Fits(Candidates(tuple(candidates)), found, 1)
