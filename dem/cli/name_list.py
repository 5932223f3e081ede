"""Names of columns on the command line."""

from __future__ import annotations

import csv


def split_names(text: str) -> list[str]:
    """Return names that are separated by commas; one that has a comma is in double quotes."""
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]
