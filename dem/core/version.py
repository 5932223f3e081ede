"""The version of dem. It is defined only here."""

__version__ = "0.2.0"
