"""Records that an estimator keeps of its fit, as numbers and strings: the history, and properties of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.em import loop
from dem.em.start_records import StartRecord
from dem.scan.scanner import Scan
from dem.source import Source

CONVERGED_REASONS = ("converged", "closed_form")
"""The values of `stop_reason_` that mean convergence."""
FIT_ATTRIBUTES = (
    "converged_", "stop_reason_", "n_iter_", "n_passes_", "lower_bound_", "lower_bounds_", "history_", "source_",
    "run_",
)  # fmt: skip
"""Fitted attributes that every estimator has."""


def history_records(state: loop.State[Any]) -> list[dict[str, Any]]:
    """Return the history as plain records, one for each pass (PRML 9.4; figures 9.11 to 9.14).

    "pass"; "objective", which EM never lowers; "log_likelihood", the same without priors; "elbo_e" and "elbo_m", the
    evidence lower bound after the E-step (where it equals the objective) and after the M-step that followed; "kl",
    KL(q || p(z | x, theta_new)) after that M-step: the next E-step raises the bound by this; "remaining_gain", how
    much the objective would still gain by Aitken's estimate. All in nats a row; None if a value does not exist.
    """
    passes = state.history
    following = [*passes[1:], None]  # without any pass, as in a closed form, there is no record
    return [
        {
            "pass": i,
            "objective": p.objective,
            "log_likelihood": p.log_likelihood,
            "elbo_e": p.objective,
            "elbo_m": p.bound,
            "kl": None if p.bound is None or after is None else after.objective - p.bound,
            "remaining_gain": loop.gain_left(passes[max(0, i - 3) : i]),
        }
        for i, (p, after) in enumerate(zip(passes, following, strict=False), start=1)
    ]


def start_records(starts: Sequence[StartRecord]) -> list[dict[str, Any]]:
    """Return what the starts on the sample reached as plain records, one for each start.

    "start", its number; "objective", in nats a row of the sample, or None if the start failed; "n_iter"; "rows", how
    many rows of the sample it used (objectives on fewer rows cannot be compared); "optimum", the number of the optimum,
    1 for the best, or None; "times", how many starts came to that optimum; "moves", 0. If joining and splitting
    components has improved the best start, it has one more record at the end; there "moves" is the rounds of it.
    "course", of the best starts, which are carried on: the objective after each iteration on the whole sample.
    """
    times = Counter(s.optimum for s in starts if not s.moves)
    return [
        {**asdict(s), "course": list(s.course), "times": None if s.optimum is None else times[s.optimum]}
        for s in starts
    ]


def source_record(source: Source, scan: Scan) -> dict[str, Any]:
    """Return the properties of the training data that are kept, in the form of JSON.

    "name", "shape" and "dtype"; "decoding", how entries were decoded (see `dem.source.decode`), or None; "missing", the
    number of missing values in each column, or an empty list if there are none; "incomplete_rows" and "empty_rows", the
    number of rows with some values missing, and without any value, whatever their weights. Empty rows are not used for
    anything else. "low" and "high", the range of each column; with `scale` of the scaled columns. "columns": see
    `column_record`.
    """
    return {
        "name": source.name,
        "shape": [scan.rows, source.n_columns],
        "dtype": str(source.dtype),
        "decoding": None if source.decoding is None else source.decoding.fingerprint,
        "missing": scan.missing.tolist() if scan.missing.any() else [],
        "incomplete_rows": scan.incomplete_rows,
        "empty_rows": scan.empty_rows,
        "columns": column_record(scan),
        "low": scan.low.tolist(),
        "high": scan.high.tolist(),
    }


ColumnRecord = dict[str, list[float | None]]
MOST_DESCRIBED = 1000
"""The most columns whose means and ranges are kept."""


def column_record(scan: Scan) -> ColumnRecord:
    """Return the "mean", "deviation", "low" and "high" of the observed values of each column.

    None where a column has no value; empty lists for very many columns.
    """
    if scan.n_columns > MOST_DESCRIBED:
        return {"mean": [], "deviation": [], "low": [], "high": []}
    moments = scan.observed
    with np.errstate(invalid="ignore"):
        deviation = np.sqrt(moments.variances)
    found = {
        "mean": np.asarray(moments.centre, dtype=np.float64),
        "deviation": deviation,
        "low": scan.low,
        "high": scan.high,
    }
    empty = scan.missing >= scan.rows
    return {name: _listed(np.where(empty, np.nan, values)) for name, values in found.items()}


def in_data_units(scaled: ColumnRecord, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> ColumnRecord:
    """Return the record of rows x, given that of scaled rows (x - shift) / scale, with arrays of shape (d,)."""
    arrays = {name: np.array(values, dtype=np.float64) for name, values in scaled.items()}
    places = {name: 0.0 if name == "deviation" else shift for name in arrays}
    return {name: _listed(a * scale + places[name]) if len(a) else [] for name, a in arrays.items()}


def _listed(values: NDArray[np.float64]) -> list[float | None]:
    """Return numbers in the form of JSON."""
    return [float(value) if np.isfinite(value) else None for value in values]


def plain_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that JSON can hold; arrays of first parameters are left out."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in params.items()
        if value is None or isinstance(value, bool | int | float | str | np.generic)
    }
