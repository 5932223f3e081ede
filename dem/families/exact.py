"""What families without a fast path share: their densities are no products of features."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, Self

import numpy as np

from dem.families.family import Given
from dem.frame import Frame
from dem.model import Array, Float
from dem.scan import Scan


class ExactFamily:
    """Base of families whose `linear` is False; see `dem.families.family.Family` for what each method is."""

    wants: ClassVar[str] = "finite numbers"
    linear: ClassVar[bool] = False
    complete: ClassVar[bool] = True
    needs_scatter: ClassVar[bool] = False

    def check_columns(self, d: int) -> None:
        """Take any number of columns."""
        return

    def outside(self, x: Float) -> None:
        """Return None: all finite numbers are taken."""
        return

    def log_base(self, x: Float) -> None:
        """Return None: all of log p is in `log_density`."""
        return

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

    def override(self, theta: Any, given: Given) -> Any:
        """Return `theta`: the user sets all parameters or none."""
        return theta

    def known(self, given: Given) -> None:
        """Return None: what `Given` holds are means and precisions."""
        return

    def shared(self, theta: Any) -> float:
        """Return 0: all of log p is in `log_density`."""
        return 0.0

    def shared_size(self, theta: Any) -> float:
        """Return 0."""
        return 0.0

    def n_features(self, d: int) -> NoReturn:
        """Refuse: there are no features; so do the four that follow."""
        raise NotImplementedError("this family is not linear: it has no features")

    def features(self, rows: Array, frame: Frame, out: Array) -> None:
        """Refuse."""
        self.n_features(len(out))

    def natural(self, theta: Any, frame: Frame) -> Float:
        """Refuse."""
        self.n_features(len(frame.scale))

    def largest(self, low: Float, high: Float, frame: Frame) -> Float:
        """Refuse."""
        self.n_features(len(low))

    def typical(self, scan: Scan, frame: Frame) -> Float:
        """Refuse."""
        self.n_features(len(frame.scale))
