"""What families answer that ask nothing particular."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dem.families.family import Given
from dem.frame import Frame
from dem.model import Array, Float
from dem.scan import Scan


class Plain:
    """Base of families that take any numbers, and whose features are taken in the data's own coordinates."""

    wants: ClassVar[str] = "finite numbers"
    complete: ClassVar[bool] = True
    needs_scatter: ClassVar[bool] = False

    def check_columns(self, d: int) -> None:
        """Take any number of columns."""
        return

    def outside(self, x: Float) -> NDArray[np.bool_] | None:
        """Return which entries of a tile x (d, n) the family does not take; None where it takes all."""
        return None

    def log_base(self, x: Float) -> Float | None:
        """Return log h(x) of a tile x (d, n), as (n,); None where it is 0."""
        return None

    def frame(self, x: Float) -> Frame:
        """Return the data's own coordinates."""
        return Frame.at(np.zeros(x.shape[1]))

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family itself."""
        return self

    def coordinates(self, x: Float) -> Float:
        """Return the rows as they are."""
        return x

    def pseudo_rows(self, x: Float) -> Float:
        """Return the sample as it is."""
        return x

    def shared(self, theta: Any) -> float:
        """Return 0: all of log p is in the features."""
        return 0.0

    def shared_size(self, theta: Any) -> float:
        """Return 0."""
        return 0.0

    def override(self, theta: Any, given: Given) -> Any:
        """Return `theta`: the user sets all parameters or none."""
        return theta

    def known(self, given: Given) -> None:
        """Return None: what `Given` holds are means and precisions."""
        return


class Exact(Plain, ABC):
    """Base of families that have only the exact path: no features, whose products would be the log-densities."""

    linear: ClassVar[bool] = False

    @abstractmethod
    def n_centred(self, d: int) -> int:
        """Return the number of sums of the exact path, the counts included."""

    def n_features(self, d: int) -> int:
        """Return the same number, to plan the memory."""
        return self.n_centred(d)

    def features(self, rows: Array, frame: Frame, out: Array) -> None:
        """Refuse: the contract never asks."""
        raise NotImplementedError(ONLY_EXACT)

    def natural(self, theta: Any, frame: Frame) -> Float:
        """Refuse: the contract never asks."""
        raise NotImplementedError(ONLY_EXACT)

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Refuse: the contract never asks."""
        raise NotImplementedError(ONLY_EXACT)

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Refuse: the contract never asks."""
        raise NotImplementedError(ONLY_EXACT)


ONLY_EXACT = "this family has no features: it is not linear"
