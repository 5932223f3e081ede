"""Pictures of fitted models."""

from __future__ import annotations

from dem.plot.pictures import column_pair, figure, history, kmeans, mixture, staircase
from dem.plot.selection_curve import criterion

__all__ = ["column_pair", "criterion", "figure", "history", "kmeans", "mixture", "staircase"]
