"""Pictures of fitted models."""

from __future__ import annotations

from dem.plot.pictures import figure, history, kmeans, mixture, staircase

__all__ = ["figure", "history", "kmeans", "mixture", "staircase"]
