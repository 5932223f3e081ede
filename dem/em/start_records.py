"""What the starts on the sample have reached: the objective of each, and how often each optimum came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from dem.core.human import plural

SAME_OPTIMUM = 1e-3
"""Starts whose objectives differ by less, in nats a row, count as the same optimum: they stop before its very top."""


@dataclass(frozen=True)
class StartRecord:
    """The end of one start.

    Attributes
    ----------
    start : int
        Its number, from 1.
    objective : float or None
        What it reached, in nats a row of the sample; None if it failed, for example because a component collapsed.
    n_iter : int
        Its iterations.
    rows : int
        The rows of the sample that it used: objectives on fewer rows cannot be compared.
    moves : int
        Of the best start, the rounds in which components were joined and split; that has an entry of its own.
    optimum : int or None
        Equal numbers are the same optimum, 1 is the best; None for a start that failed, or used fewer rows.
    course : tuple of float
        The objective after each iteration on the whole sample, of a start that was one of the best and was carried on.
    """

    start: int
    objective: float | None
    n_iter: int
    rows: int
    moves: int = 0
    optimum: int | None = None
    course: tuple[float, ...] = ()


def with_optima(records: Sequence[StartRecord]) -> tuple[StartRecord, ...]:
    """Return the records with the numbers of their optima. Between two optima there is a gap of `SAME_OPTIMUM`."""
    most = max((r.rows for r in records), default=0)
    seen = sorted((r for r in records if r.objective is not None and r.rows == most), key=_height)
    if not seen:
        return tuple(records)
    numbers = {id(seen[0]): 1}
    for above, below in pairwise(seen):
        numbers[id(below)] = numbers[id(above)] + (_height(below) - _height(above) >= SAME_OPTIMUM)
    return tuple(replace(r, optimum=numbers.get(id(r))) for r in records)


def _height(record: StartRecord) -> float:
    """Return minus the objective: the best is the first."""
    assert record.objective is not None
    return -record.objective


def doubt(records: Sequence[StartRecord]) -> str | None:
    """Return a sentence if only one of several starts has found the best optimum; else None."""
    starts = [r for r in records if not r.moves]
    if len(starts) < 2 or (found := sum(r.optimum == 1 for r in starts)) > 1:
        return None
    if len({r.rows for r in starts}) > 1 and found == 1:  # the other starts were not carried on, so nobody knows
        return None
    who = "only one" if found == 1 else "none"
    how = "" if found == 1 else ", which joining and splitting components has found"
    return f"{who} of {plural(len(starts), 'start')} came to the best optimum{how}: more starts may find a better one"
