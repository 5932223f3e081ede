"""The contract of features t(x), and features that are computed by a Python function for each tile.

Most families have a `FeatureMap` (`dem.families.feature_map`): a value that other implementations of the E-step can
read too. Users' own families have a function instead. Both have the contract `Features`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from dem.core.block import Array


class Features(Protocol):
    """The features t(x) of a family, for a number of columns and a frame; small and picklable."""

    @property
    def n_features(self) -> int:
        """F, including the constant 1."""

    def write(self, rows: Array, out: Array) -> None:
        """Write the features of rows (n, d) into `out` (F - 1, n), in its precision, without the constant 1."""


@dataclass(frozen=True)
class PythonFeatures:
    """Features computed by a Python function.

    Attributes
    ----------
    function : callable
        From a tile (d, n) to arrays (m, n), which together have F - 1 rows.
    n_features : int
        F.
    """

    function: Callable[[Array], Sequence[Array]]
    n_features: int

    def write(self, rows: Array, out: Array) -> None:
        """Write the result of the function, in the precision of `out`."""
        x = np.array(rows.T, dtype=out.dtype, order="C")
        np.concatenate(self.function(x), out=out, casting="unsafe")


@dataclass(frozen=True)
class FeaturesWithIndicators:
    """Features of rows with missing values: an indicator for each column, then other features, 0 where x is missing.

    Attributes
    ----------
    of : Features
        NaN where a value that they need is missing.
    d : int
        The number of columns.
    """

    of: Features
    d: int

    @property
    def n_features(self) -> int:
        """F, including the constant 1."""
        return self.d + self.of.n_features

    def write(self, rows: Array, out: Array) -> None:
        """Write the indicators and the features."""
        observed, t = out[: self.d], out[self.d :]
        np.equal(rows.T, rows.T, out=observed)
        self.of.write(rows, t)
        if not observed.all():
            np.copyto(t, 0, where=np.isnan(t))


@dataclass(frozen=True)
class StackedFeatures:
    """The stacked features of blocks of columns; the constant comes first.

    Attributes
    ----------
    blocks : tuple of (index of columns, Features)
    """

    blocks: tuple[tuple[slice | list[int], Features], ...]

    @property
    def n_features(self) -> int:
        """F, including the constant 1."""
        return 1 + sum(features.n_features - 1 for _, features in self.blocks)

    def write(self, rows: Array, out: Array) -> None:
        """Write each block's features."""
        start = 0
        for at, features in self.blocks:
            stop = start + features.n_features - 1
            features.write(rows[:, at], out[start:stop])
            start = stop
