"""The EM algorithm: what a model is, first parameters from a sample, and the loop."""

from __future__ import annotations

from dem.em.loop import OneBlock, Pass, State, advance, fit
from dem.em.model import Generative, Model, Rowwise
from dem.em.progress import Progress, Silent

__all__ = ["Generative", "Model", "OneBlock", "Pass", "Progress", "Rowwise", "Silent", "State", "advance", "fit"]
