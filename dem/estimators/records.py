"""What an estimator keeps of its fit, as plain numbers and words: the history, and the training data's properties."""

from __future__ import annotations

from typing import Any

from dem.em import loop
from dem.scan.scanner import Scan
from dem.source import Source


def history(state: loop.State[Any]) -> list[dict[str, Any]]:
    """Return the history as plain records, one for each pass (PRML 9.4; figures 9.11 to 9.14).

    "pass"; "objective", what EM never lets fall; "log_likelihood", the same without priors; "elbo_e" and "elbo_m", the
    evidence lower bound after the E-step (where it touches the objective) and after the M-step that followed; "kl",
    KL(q || p(z | x, theta_new)) after that M-step, by which the next E-step raises the bound. All in nats a row; None
    where there is none.
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
    """Return what is remembered of the training data, as JSON has it.

    "name", "shape" and "dtype"; "decoding", what entries stood for (see `dem.source.decode`), or None; "missing", how
    many values each column lacks, an empty list where none lacks any; "incomplete_rows" and "empty_rows", how many rows
    lack some value, and how many lack all, whatever their weights. The latter are left out of all else.
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
