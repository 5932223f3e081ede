"""dem match and dem compare-labels: what has changed since an earlier model, and since its labels."""

from __future__ import annotations

from typing import Any

from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts, grid
from dem.estimators import load
from dem.estimators.matching import check_comparable
from dem.results.compare_labels import compare_labels


def show_matching(model: str, earlier: str, session: Session) -> None:
    """Print which components of a saved model are those of an earlier one."""
    own: Any = load(model)
    other = load(earlier)
    check_comparable(own, other)
    found = own.match(other)
    rows = [
        (str(place), str(component), "new" if partner < 0 else str(partner), f"{overlap:.3f}")
        for place, (component, partner, overlap) in enumerate(
            zip(found.order, found.partner, found.overlap, strict=True)
        )
    ]
    header = ("number to keep labels", f"component of {model}", f"component of {earlier}", "overlap")
    record = {"model": model, "earlier": earlier, "order": found.order.tolist(), **found.record()}
    session.result(record, grid(header, rows), str(found), summary=False)


def show_changes(old: str, new: str, session: Session) -> None:
    """Print how many rows have another label than before."""
    found = compare_labels(old, new)
    session.result({"old": old, "new": new, **found.record()}, facts({"labels": str(found)}), summary=False)
