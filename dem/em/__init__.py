"""The EM algorithm: what a model is, first parameters from a sample, and the loop."""

from __future__ import annotations

from dem.em.loop import OneBlock, Pass, State, advance, fit
from dem.em.model import Generative, Model, Rowwise, Step
from dem.em.progress import Progress, Silent
from dem.em.row_output import RowOutput

__all__ = [
    "Generative",
    "Model",
    "OneBlock",
    "Pass",
    "Progress",
    "RowOutput",
    "Rowwise",
    "Silent",
    "State",
    "Step",
    "advance",
    "fit",
]
