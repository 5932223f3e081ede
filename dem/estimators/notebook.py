"""How a fitted estimator looks in a notebook: a small table of facts below scikit-learn's diagram."""

from __future__ import annotations

from html import escape
from typing import Any

from dem.core import human
from dem.estimators import objectives, telling

MOST_COMPONENTS = 6


class ShownInNotebooks:
    """The part of an estimator that a notebook shows."""

    run_: dict[str, Any]
    """How long the last fit took, in seconds, and where it ran; see `dem.estimators.iterations.recorded_run`."""

    def _html_repr(self) -> str:
        """Return scikit-learn's diagram and, of a fitted model, a table of facts, as HTML."""
        diagram: str = super()._html_repr()  # type: ignore[misc]
        return diagram + facts_table(self) if hasattr(self, "stop_reason_") else diagram


def facts_table(model: Any) -> str:
    """Return the facts about a fitted model as a small table of HTML."""
    rows = "".join(
        f'<tr><th style="text-align:left;padding:0 1em 0 0;font-weight:600">{escape(name)}</th>'
        f'<td style="text-align:left;padding:0">{escape(value)}</td></tr>'
        for name, value in short_facts(model).items()
    )
    return f'<table style="margin:.5em 0;border:none">{rows}</table>'


def short_facts(model: Any) -> dict[str, str]:
    """Return the facts that a few lines have room for: model, data, end of the fit, objective, components."""
    source = model.source_
    rows, columns = source["shape"]
    reached = objectives.objectives_in_words(objectives.final_objective(model))
    lines = telling.component_lines(model, MOST_COMPONENTS)
    return {
        "model": model.describe(),
        "data": f"{source['name']}: {human.plural(rows, 'row')} of {human.plural(columns, 'column')}",
        "ended": objectives.how_it_ended(model),
        **reached,
        **{telling.named(model, key): line for key, line in lines.items()},
    }
