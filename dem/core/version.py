"""The version of dem. It is defined only here.

Every landing of a feature raises the minor number, a landing of repairs alone the last one. `CHANGELOG.md` has a
heading for each.
"""

__version__ = "0.18.2"
