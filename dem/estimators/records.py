"""Records that an estimator keeps of its fit, as numbers and strings: the history, and properties of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dem.em import loop
from dem.scan.scanner import Scan
from dem.source import Source

CONVERGED_REASONS = ("converged", "closed_form")
"""The values of `stop_reason_` that mean convergence."""
FIT_ATTRIBUTES = (
    "converged_", "stop_reason_", "n_iter_", "n_passes_", "lower_bound_", "lower_bounds_", "history_", "source_",
)  # fmt: skip
"""Fitted attributes that every estimator has."""


def history_records(state: loop.State[Any]) -> list[dict[str, Any]]:
    """Return the history as plain records, one for each pass (PRML 9.4; figures 9.11 to 9.14).

    "pass"; "objective", which EM never lowers; "log_likelihood", the same without priors; "elbo_e" and "elbo_m", the
    evidence lower bound after the E-step (where it equals the objective) and after the M-step that followed; "kl",
    KL(q || p(z | x, theta_new)) after that M-step: the next E-step raises the bound by this. All in nats a row; None if
    a value does not exist.
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
        }
        for i, (p, after) in enumerate(zip(passes, following, strict=False), start=1)
    ]


def source_record(source: Source, scan: Scan) -> dict[str, Any]:
    """Return the properties of the training data that are kept, in the form of JSON.

    "name", "shape" and "dtype"; "decoding", how entries were decoded (see `dem.source.decode`), or None; "missing", the
    number of missing values in each column, or an empty list if there are none; "incomplete_rows" and "empty_rows", the
    number of rows with some values missing, and without any value, whatever their weights. Empty rows are not used for
    anything else. "low" and "high", the range of each column; with `scale` of the scaled columns.
    """
    return {
        "name": source.name,
        "shape": [scan.rows, source.n_columns],
        "dtype": str(source.dtype),
        "decoding": None if source.decoding is None else source.decoding.fingerprint,
        "missing": scan.missing.tolist() if scan.missing.any() else [],
        "incomplete_rows": scan.incomplete_rows,
        "empty_rows": scan.empty_rows,
        "low": scan.low.tolist(),
        "high": scan.high.tolist(),
    }


def plain_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that JSON can hold; arrays of first parameters are left out."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in params.items()
        if value is None or isinstance(value, bool | int | float | str | np.generic)
    }
