"""Reports of fitted models: one page of HTML for people, a record for machines."""

from __future__ import annotations

from dem.reports.make import Report, report

__all__ = ["Report", "report"]
