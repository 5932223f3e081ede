"""Pictures of fitted models."""

from __future__ import annotations

from dem.plot.pictures import column_pair, figure, history, kmeans, mixture, staircase

__all__ = ["column_pair", "figure", "history", "kmeans", "mixture", "staircase"]
