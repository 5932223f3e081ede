"""The history of a fit: gains from the start on the sample to the last pass; the staircase of E-steps and M-steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dem.core import human
from dem.em.loop import FALL_ROUNDING, rounding_of
from dem.estimators import summary
from dem.plot.canvas import Picture, canvas, legend_beside, log_axis, quiet_grid, set_labels, set_title, whole_numbers
from dem.plot.colours import PALETTE

E_COLOUR, M_COLOUR = PALETTE[0], PALETTE[1]
SAMPLE_COLOUR = PALETTE[2]
MOST_DOTS = 60
Entries = Sequence[Mapping[str, Any]]


def history(model: Any, ax: Any = None) -> Picture:
    """Draw the gain of each pass on a logarithmic axis, from the start on the sample to the last pass.

    The gain is the rise of the log-likelihood (of variational models: of the bound), in nats a row; of K-means the fall
    of the inertia, as a share of the last one. Where the model knows the course of its best start on the sample, this
    comes first; or how far its other starts ended below the best.

    Parameters
    ----------
    model : estimator
    ax : Axes, optional

    Raises
    ------
    ValueError
        The model has no history.
    """
    if not getattr(model, "history_", ()):
        raise ValueError("The model has no history: fit it to data first.")
    name, unit, values = summary.objective_history(model)
    word, last = summary.history_unit(model), max(len(values), 2)
    steps, (before, what) = gains(name, values), _on_sample(model, name)
    place = canvas(ax, (5.6, 4.0))
    axes = place.ax
    drawn = {"passes": _draw_gains(axes, np.arange(2, len(values) + 1), steps, PALETTE[0], f"each {word}")}
    nothing = not any(value > 0 for value in (*np.abs(steps), *before))
    tols = [] if nothing else _tol(model, name)
    if not nothing:
        log_axis(axes, [*np.abs(steps), *before, *tols])
    width = min(len(before), 2 + len(values) // 2)
    for tol in tols:
        axes.axhline(tol, color="0.35", linestyle=":", linewidth=1.3, zorder=2, label=f"tol = {tol:g}")
    if width:
        axes.axvspan(0.5 - width, 0.5, color="0.95", zorder=0)
        at = 0.5 - width + width * (np.arange(len(before)) + 0.5) / len(before)
        dots = "D" if len(before) <= MOST_DOTS else "-"
        up = before > 0
        drawn["sample"] = axes.plot(at[up], before[up], dots, color=SAMPLE_COLOUR, markersize=4.5, label=what)
    _finish_history(axes, (name, unit, values), word, nothing=nothing)
    axes.set_xlim(0.5 - width, last + 0.5)
    if width:
        axes.set_xticks([tick for tick in axes.get_xticks() if 1 <= tick <= last])
    if width or tols:
        drawn["legend"] = legend_beside(axes)
    text = f"{summary.why_stopped(model)}; {summary.iterations_and_passes(model)}{_starts(model)}"
    set_title(axes, text)
    return place.picture(f"The gain of each {word}: {text}.", **drawn)


def has_gains(model: Any) -> bool:
    """Whether the history of a model has a gain that could be seen."""
    if not getattr(model, "history_", ()):
        return False
    name, _, values = summary.objective_history(model)
    return any(value != 0 for value in (*gains(name, values), *_on_sample(model, name)[0]))


def _on_sample(model: Any, name: str) -> tuple[Any, str]:
    """Return what is known of the work on the sample, and what that is: gains of the best start, or gaps of others."""
    course = gains(name, sample_course(model))
    if len(course):
        return course, "iterations\non the\nsample"
    gaps = np.zeros(0) if name == "inertia" else start_gaps(model)
    return gaps, "starts on the\nsample: below\nthe best one"


def start_gaps(model: Any) -> Any:
    """Return how far starts on the sample ended below the best of them, in nats a row; without those that reached it.

    Starts on fewer rows of the sample are left out: their objectives cannot be compared. Those of the best optimum have
    reached it, as the title counts them, also if they ended a little below.
    """
    known = [s for s in _records(model) if _entry(s, "objective") is not None and not _entry(s, "moves")]
    most = max((_entry(s, "rows") or 0 for s in known), default=0)
    reached = np.array([float(_entry(s, "objective")) for s in known if (_entry(s, "rows") or 0) == most])
    if len(reached) < 2:
        return np.zeros(0)
    best = np.array([_entry(s, "optimum") == 1 for s in known if (_entry(s, "rows") or 0) == most])
    gaps = np.sort((reached.max() - reached)[~best])[::-1]
    return gaps[gaps > rounding_of(float(np.abs(reached).max()))]


def _records(model: Any) -> Sequence[Any]:
    """Return what a model keeps of its starts on the sample."""
    return getattr(model, "starts_", None) or ()


def gains(name: str, values: Sequence[float]) -> Any:
    """Return the gain of each value over the one before, 0 for rounding; of inertias the fall, divided by the last."""
    steps = np.diff(np.asarray(values, dtype=np.float64))
    if not len(steps):
        return steps
    steps = np.where(np.abs(steps) <= FALL_ROUNDING * np.maximum(1.0, np.abs(values[1:])), 0.0, steps)
    return -steps / (values[-1] or 1.0) if name == "inertia" else steps


def sample_course(model: Any) -> Sequence[float]:
    """Return the objective of the best start on the sample after each iteration, if the model has it."""
    known = [s for s in _records(model) if _entry(s, "objective") is not None]
    best = max(known, key=lambda s: _entry(s, "objective"), default=None)
    return [] if best is None else _entry(best, "course") or []


def _entry(start: Any, name: str) -> Any:
    """Return an entry of what a model keeps of a start; None if it has none."""
    return start.get(name) if isinstance(start, Mapping) else getattr(start, name, None)


def _starts(model: Any) -> str:
    """Return how many starts were made on the sample, and how many came to the best optimum; nothing if not known."""
    starts = [s for s in _records(model) if not _entry(s, "moves")]
    if len(starts) < 2:
        return ""
    times = sum(_entry(s, "optimum") == 1 for s in starts)
    return f"; best of {human.plural(len(starts), 'start')} on the sample{f', reached by {times}' if times else ''}"


def _draw_gains(ax: Axes, at: Any, steps: Any, colour: str, label: str) -> list[Any]:
    """Draw gains as dots; falls as hollow triangles."""
    up = steps > 0
    dots = "o-" if len(steps) <= MOST_DOTS else "-"
    drawn: list[Any] = list(ax.plot(at[up], steps[up], dots, color=colour, markersize=5, label=label, zorder=3))
    if (steps < 0).any():
        down = steps < 0
        drawn += ax.plot(
            at[down], -steps[down], "v", color=colour, markerfacecolor="white", markersize=6, label="a fall"
        )
    return drawn


def _tol(model: Any, name: str) -> list[float]:
    """Return the tolerance of the fit, if its history shows what it is compared with; that of K-means does not."""
    tol = getattr(model, "tol", None)
    return [] if name == "inertia" or not isinstance(tol, int | float) or tol <= 0 else [float(tol)]


def _finish_history(ax: Axes, objective: tuple[str, str, Sequence[float]], word: str, *, nothing: bool) -> None:
    """Set the axes of a history; say so where there is no gain to show."""
    name, unit, values = objective
    last = f"{name} at the end: {values[-1]:.5g}{' ' + unit if unit else ''}"
    whole_numbers(ax)
    if nothing:
        ax.set_yticks([])
        ax.set_ylim(0, 1)
        words = "nothing was gained\nafter the start" if len(values) > 1 else f"one {word}:\nno gain to show"
        ax.text(0.5, 0.5, words, transform=ax.transAxes, ha="center", va="center", color="0.3")
        set_labels(ax, f"{word}\n{last}")
        return
    how = "fall of the inertia (share)" if name == "inertia" else f"gain of the {name} ({unit})" if unit else "gain"
    set_labels(ax, f"{word}\n{last}", how)
    quiet_grid(ax)


def staircase(model: Any, ax: Any = None) -> Picture:
    """Draw EM as coordinate ascent: the bound after each E-step and M-step, and the log-likelihood.

    The E-step raises the bound to the log-likelihood (KL = 0). The M-step raises the bound, and raises the
    log-likelihood by the bound's gain plus the new KL (PRML 9.4, figures 9.11 to 9.14). For variational models the
    picture shows their bound, for K-means minus the inertia per row. The right panel shows the gain of each step on a
    logarithmic scale.

    Parameters
    ----------
    model : estimator
    ax : two Axes, optional

    Raises
    ------
    ValueError
        If the model's history does not have the bound after the M-steps.
    """
    entries = [entry for entry in getattr(model, "history_", ()) if entry.get("kl") is not None]
    if not entries:
        raise ValueError(
            f"the history of this {type(model).__name__} has no bound: fit it by EM, with at least one M-step"
        )
    place = canvas(ax, (10.4, 4.4), (1, 2), width_ratios=(6, 4))
    left, right = place.axes
    _draw_staircase(left, model.history_)
    _draw_steps(right, entries)
    legend = legend_beside(right, [
        Line2D([], [], color=M_COLOUR, marker="s", markersize=4, label="M-step"),
        Line2D([], [], color=E_COLOUR, marker="o", markersize=4, label="E-step"),
        Line2D([], [], color=E_COLOUR, alpha=0.18, linewidth=7, label="KL(q || posterior)"),
        Line2D([], [], color="0.35", linestyle=":", label=_upper_curve(entries[0])),
    ])  # fmt: skip
    text = f"The lower bound after each of {human.plural(2 * len(entries), 'step')} of EM, and the gain of each."
    return place.picture(text, legend=legend)


def _draw_staircase(ax: Axes, entries: Entries) -> None:
    """Draw the bound after the E-step (at i) and after the M-step (at i + 1/2) of each iteration i."""
    whole = [entry for entry in entries if entry["kl"] is not None]
    for entry in whole:
        i, low, high = entry["pass"], entry["elbo_e"], entry["elbo_m"]
        top = high + entry["kl"]
        ax.plot([i, i + 0.5], [low, high], "-", color=M_COLOUR, linewidth=2)
        ax.plot([i + 0.5, i + 1], [high, top], "-", color=E_COLOUR, linewidth=2)
        ax.fill_between([i + 0.5, i + 1], [high, top], [top, top], color=E_COLOUR, alpha=0.18, linewidth=0)
        ax.plot([i, i + 0.5, i + 1], [low, top, top], ":", color="0.35")
    ax.plot([e["pass"] for e in entries], [e["elbo_e"] for e in entries], "o", color=E_COLOUR, markersize=4)
    ax.plot([e["pass"] + 0.5 for e in whole], [e["elbo_m"] for e in whole], "s", color=M_COLOUR, markersize=4)
    set_labels(ax, "iteration", "nats a row" if _has_likelihood(entries[0]) else "objective a row")
    whole_numbers(ax)
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    set_title(ax, "lower bound after each step")
    quiet_grid(ax)


def _draw_steps(ax: Axes, entries: Entries) -> None:
    """Draw the gain of each M-step and each E-step on a logarithmic scale."""
    passes = [entry["pass"] for entry in entries]
    steps = {
        "M-step": (M_COLOUR, "s", [entry["elbo_m"] - entry["elbo_e"] for entry in entries]),
        "E-step": (E_COLOUR, "o", [entry["kl"] for entry in entries]),
    }
    for label, (colour, marker, found) in steps.items():
        shown = np.where(np.asarray(found) > 0, found, np.nan)  # a logarithmic scale cannot show 0
        ax.plot(passes, shown, marker + "-", color=colour, markersize=4, label=label)
    if positive := [gain for _, _, found in steps.values() for gain in found if gain > 0]:
        log_axis(ax, positive)
    ax.set_xlim(passes[0] - 0.5, passes[-1] + 0.5)
    set_labels(ax, "iteration", "gain (nats a row)" if _has_likelihood(entries[0]) else "gain a row")
    whole_numbers(ax)
    set_title(ax, "gain of each step")
    quiet_grid(ax)


def _has_likelihood(entry: Mapping[str, Any]) -> bool:
    return entry.get("log_likelihood") is not None


def _upper_curve(entry: Mapping[str, Any]) -> str:
    """Return the name of the curve that the E-step raises the bound to."""
    if not _has_likelihood(entry):
        return "objective"
    return "log-likelihood" if entry["log_likelihood"] == entry["objective"] else "log-likelihood\n+ log prior"
