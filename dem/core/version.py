"""The version of dem, in one place.

Every landing of a feature raises the minor number, a landing of repairs alone the last one. `CHANGELOG.md` has a
heading for each.
"""

__version__ = "0.13.0"
