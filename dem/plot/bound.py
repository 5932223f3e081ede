"""The drawings of `dem.plot.staircase`: expectation-maximisation as coordinate ascent on the evidence lower bound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dem.plot.axes import PALETTE

E_COLOUR, M_COLOUR = PALETTE[0], PALETTE[1]
Entries = Sequence[Mapping[str, Any]]


def draw_staircase(ax: Axes, history: Entries) -> None:
    """Draw the bound after the E-step (at i) and after the M-step (at i + 1/2) of each iteration i."""
    whole = [entry for entry in history if entry["kl"] is not None]
    for entry in whole:
        i, low, high = entry["pass"], entry["elbo_e"], entry["elbo_m"]
        top = high + entry["kl"]
        ax.plot(
            [i, i + 0.5], [low, high], "-", color=M_COLOUR, linewidth=2, label="M-step" if entry is whole[0] else None
        )
        ax.plot(
            [i + 0.5, i + 1],
            [high, top],
            "-",
            color=E_COLOUR,
            linewidth=2,
            label="E-step" if entry is whole[0] else None,
        )
        gap = "KL(q || posterior)" if entry is whole[0] else None
        ax.fill_between([i + 0.5, i + 1], [high, top], [top, top], color=E_COLOUR, alpha=0.18, linewidth=0, label=gap)
        ax.plot(
            [i, i + 0.5, i + 1],
            [low, top, top],
            ":",
            color="0.35",
            label=_upper_curve(entry) if entry is whole[0] else None,
        )
    ax.plot([e["pass"] for e in history], [e["elbo_e"] for e in history], "o", color=E_COLOUR, markersize=4)
    ax.plot([e["pass"] + 0.5 for e in whole], [e["elbo_m"] for e in whole], "s", color=M_COLOUR, markersize=4)
    ax.set(xlabel="iteration", ylabel="nats a row" if _has_likelihood(history[0]) else "objective a row")
    ax.set_title("lower bound after each step", fontsize="medium")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.ticklabel_format(axis="y", useOffset=False, style="plain")
    ax.legend(frameon=False, loc="lower right")
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def draw_gains(ax: Axes, entries: Entries) -> None:
    """Draw the gain of each M-step and each E-step on a logarithmic scale."""
    passes = [entry["pass"] for entry in entries]
    steps = {
        "M-step": (M_COLOUR, [entry["elbo_m"] - entry["elbo_e"] for entry in entries]),
        "E-step (= the KL)": (E_COLOUR, [entry["kl"] for entry in entries]),
    }
    for label, (colour, gains) in steps.items():
        shown = np.where(np.asarray(gains) > 0, gains, np.nan)  # a logarithmic scale cannot show 0
        ax.plot(passes, shown, "o-", color=colour, markersize=4, label=label)
    if any(gain > 0 for _, gains in steps.values() for gain in gains):
        ax.set_yscale("log")
    ax.set_xlim(passes[0] - 0.5, passes[-1] + 0.5)
    ax.set(xlabel="iteration", ylabel="gain (nats a row)" if _has_likelihood(entries[0]) else "gain a row")
    ax.set_title("gain of each step", fontsize="medium")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    ax.grid(color="0.92")
    ax.set_axisbelow(True)


def _has_likelihood(entry: Mapping[str, Any]) -> bool:
    return entry.get("log_likelihood") is not None


def _upper_curve(entry: Mapping[str, Any]) -> str:
    """Return the name of the curve that the E-step raises the bound to."""
    if not _has_likelihood(entry):
        return "objective"
    return "log-likelihood" if entry["log_likelihood"] == entry["objective"] else "log-likelihood + log prior"
