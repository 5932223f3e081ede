"""Choose among models: several candidates are fitted with common passes over the data, and compared by a criterion."""

from __future__ import annotations

from dem.selection.result import CandidateResult, Selection
from dem.selection.select import select

__all__ = ["CandidateResult", "Selection", "select"]
