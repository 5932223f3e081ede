"""Records that an estimator keeps of its fit, as numbers and strings: the history, and properties of the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from dem.em import loop
from dem.em.start_records import StartRecord
from dem.scan.scanner import Scan
from dem.source import Source


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
    """
    times = Counter(s.optimum for s in starts if not s.moves)
    return [{**asdict(s), "times": None if s.optimum is None else times[s.optimum]} for s in starts]


def source_record(source: Source, scan: Scan) -> dict[str, Any]:
    """Return the properties of the training data that are kept, in the form of JSON.

    "name", "shape" and "dtype"; "decoding", how entries were decoded (see `dem.source.decode`), or None; "missing", the
    number of missing values in each column, or an empty list if there are none; "incomplete_rows" and "empty_rows", the
    number of rows with some values missing, and without any value, whatever their weights. Empty rows are not used for
    anything else.
    """
    return {
        "name": source.name,
        "shape": [scan.rows, source.n_columns],
        "dtype": str(source.dtype),
        "decoding": None if source.decoding is None else source.decoding.fingerprint,
        "missing": scan.missing.tolist() if scan.missing.any() else [],
        "incomplete_rows": scan.incomplete_rows,
        "empty_rows": scan.empty_rows,
    }


def plain_settings(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments that JSON can hold; arrays of first parameters are left out."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name, value in params.items()
        if value is None or isinstance(value, bool | int | float | str | np.generic)
    }
