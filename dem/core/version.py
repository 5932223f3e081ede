"""The version of dem, in one place."""

__version__ = "0.2.0"
