"""The result of a selection: a table of the candidates, the best one, and what to make of it in plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from dem.estimators.base import RowwiseEstimator
from dem.estimators.records import CONVERGED_REASONS
from dem.models.selection import HELD_OUT

DECISIVE = 10.0
"""Differences of BIC of less are not decisive (Kass and Raftery 1995); other criteria are on the same scale."""
EQUAL = 1e-9
"""A relative difference of less is rounding."""
NOISES = 2.0
"""Scores on held-out rows are within noise if they differ by less than so many standard errors."""


@dataclass(frozen=True)
class CandidateResult:
    """One row of the table of a selection.

    Attributes
    ----------
    name : str
        Such as "n_components=3, covariance_type=full".
    settings : dict
        The settings that tell it from the others.
    value : float or None
        The criterion that the candidates were selected by; less is better. Of a dropped candidate that of its last
        pass; None if its fit has failed, or if the criterion needs the end of the fit, which it has not reached.
    log_likelihood : float or None
        In nats a row, of the rows of the fit; of variational models the bound; of K-means see
        `dem.models.selection.kmeans_evidence`.
    n_parameters : int or None
    criteria : dict of str to float
        BIC, AIC and HQIC where the model has them, and `value`.
    effective_counts : list of float or None
        The weight of the rows that each component has; None for models without components.
    passes : int
        The passes of EM that it took part in; iterations, of a fit in memory.
    ended : str
        "converged", "closed_form", "max_iter", "fell", "dropped" or "failed".
    ended_in : int
        The number of the pass of EM after which it left; 0 if none was needed.
    why : str
        Why it was dropped, or why its fit failed.
    attainable : float or None
        What `value` would be after all that the fit may still gain (see `dem.em.aitken`); None if this is not known.
    noise : float or None
        The standard error of the difference of `value` to that of the best, where it is known.
    """

    name: str
    settings: dict[str, Any]
    value: float | None
    log_likelihood: float | None
    n_parameters: int | None
    criteria: dict[str, float]
    effective_counts: list[float] | None
    passes: int
    ended: str
    ended_in: int
    why: str = ""
    attainable: float | None = None
    noise: float | None = None


class Selection:
    """The result of `dem.select`.

    Attributes
    ----------
    table : tuple of CandidateResult
        In the order in which the candidates were given.
    criterion : str
    best : CandidateResult
    best_estimator_ : estimator
        The best model, fitted. Its attribute `selection_` has the table, also after `dem.load`.
    models : dict of str to estimator
        The fitted models of all candidates by name, dropped ones with the parameters of their last pass.
    n_passes_ : int
        Passes over the data for all candidates together.
    notes : tuple of str
        What to know about the rows held out; part of the sentences.
    sentences : tuple of str
        What to know about the choice.
    """

    def __init__(
        self,
        table: Sequence[CandidateResult],
        criterion: str,
        models: Mapping[str, RowwiseEstimator],
        n_passes: int,
        notes: Sequence[str] = (),
    ) -> None:
        self.notes = tuple(notes)
        self.table, self.criterion, self.models, self.n_passes_ = tuple(table), criterion, dict(models), n_passes
        self.best = best_of(self.table)
        self.best_estimator_ = self.models[self.best.name]
        self.sentences = (*self.notes, *sentences_about(self.table, criterion, self.best))
        self.best_estimator_.n_passes_ = n_passes
        self.best_estimator_.selection_ = self.as_json()

    def __repr__(self) -> str:
        return f"Selection of {len(self.table)} candidates by {self.criterion}: {self.best.name}"

    def as_json(self) -> dict[str, Any]:
        """Return the table and the sentences, valid in JSON."""
        return {
            "criterion": self.criterion,
            "best": self.best.name,
            "passes": self.n_passes_,
            "sentences": list(self.sentences),
            "table": [_plain(asdict(row)) for row in self.table],
        }

    def to_frame(self) -> Any:
        """Return the table as a data frame of pandas, with a column for each setting and each criterion.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            pandas: Any = import_module("pandas")
        except ImportError:
            raise ImportError("to_frame needs pandas: pip install pandas") from None
        return pandas.DataFrame(
            [
                {**row.settings, **row.criteria, **{name: getattr(row, name) for name in FRAME_COLUMNS}}
                for row in self.table
            ],
            index=[row.name for row in self.table],
        )

    def reordered(self, order: Any) -> Selection:
        """Return the same selection, in which the components of the best model have another order.

        Parameters
        ----------
        order : sequence of int, of shape (K,)
            See the method `reordered` of mixtures and K-means.

        Raises
        ------
        TypeError
            The models have no components.
        ValueError
            Wrong numbers.
        """
        model: Any = self.best_estimator_
        if not hasattr(model, "reordered"):
            raise TypeError(f"a {type(model).__name__} has no components to put in another order")
        turned = model.reordered(order)
        counts = self.best.effective_counts
        best = replace(self.best, effective_counts=counts and [counts[k] for k in order])
        table = [best if row is self.best else row for row in self.table]
        return Selection(table, self.criterion, {**self.models, best.name: turned}, self.n_passes_, self.notes)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the best model, with the table; `dem.load` reads it as any other model."""
        self.best_estimator_.save(path, overwrite=overwrite)


FRAME_COLUMNS = ("log_likelihood", "n_parameters", "passes", "ended", "ended_in", "why")


def finished(table: Sequence[CandidateResult]) -> list[Any]:
    """Return the candidates that can be the best: neither dropped nor failed."""
    return [row for row in table if row.ended not in ("dropped", "failed") and row.value is not None]


def best_of(table: Sequence[CandidateResult]) -> CandidateResult:
    """Return the candidate of the least criterion; of those that are equal to rounding, that of fewest parameters."""
    rows = finished(table)
    least = min(row.value for row in rows)
    equal = [row for row in rows if row.value - least <= EQUAL * max(1.0, abs(least))]
    best: CandidateResult = min(equal, key=lambda row: row.n_parameters or 0)
    return best


def sentences_about(table: Sequence[CandidateResult], criterion: str, best: CandidateResult) -> list[str]:
    """Return what to know about the choice, in plain sentences."""
    found = list(_at_the_edge(table, best))
    assert best.value is not None
    close = [
        row
        for row in finished(table)
        if row is not best and row.value - best.value < (DECISIVE if row.noise is None else NOISES * row.noise)
    ]
    if close:
        how = "by less than two standard errors" if criterion == HELD_OUT else f"by less than {DECISIVE:g}"
        listed = "; ".join(f"{row.name} ({row.value - best.value:.3g} more)" for row in close)
        found.append(f"Within noise of the best, {how} of {criterion}: {listed}.")
    if unsettled := _may_overtake(table, best):
        found.append(
            f"Fitted further, these may still overtake the best: {'; '.join(unsettled)}. A smaller tol would tell."
        )
    if best.ended == "fell":
        found.append(f"The fit of the best, {best.name}, stopped as its likelihood fell, which reg_covar can cause.")
    elif best.ended not in CONVERGED_REASONS:
        found.append(f"The best, {best.name}, has not converged ({best.ended}): set a larger max_iter.")
    if failed := [row for row in table if row.ended == "failed"]:
        found.append("These could not be fitted: " + "; ".join(f"{row.name} ({row.why})" for row in failed) + ".")
    return found


def _at_the_edge(table: Sequence[CandidateResult], best: CandidateResult) -> list[str]:
    """Return a sentence for each setting whose best value is the least or the largest of three or more numbers."""
    found = []
    for name, value in best.settings.items():
        values = sorted({row.settings[name] for row in table if _is_number(row.settings[name])})
        if len(values) < 3 or not _is_number(value) or value not in (values[0], values[-1]):
            continue
        if value == values[0] and isinstance(value, int) and value == 1:
            continue  # there is nothing below
        side = "largest" if value == values[-1] else "least"
        found.append(f"The best {name}, {value}, is the {side} that was tried: try values beyond it.")
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _may_overtake(table: Sequence[CandidateResult], best: CandidateResult) -> list[str]:
    """Return the candidates that would be better than the best with all that their fits may still gain."""
    assert best.value is not None
    others = [row for row in finished(table) if row is not best]
    return [row.name for row in others if row.attainable is not None and row.attainable < best.value]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the table, valid in JSON."""
    plain = (str, int, float, type(None))
    settings = {name: value if isinstance(value, plain) else str(value) for name, value in row["settings"].items()}
    return {**row, "settings": settings}
