"""What families without a fast path share: their densities are no products of features."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from dem.families.plain import Plain
from dem.frame import Frame
from dem.model import Array, Float
from dem.scan import Scan


class ExactFamily(Plain):
    """Base of families whose `linear` is False; the five methods that only the fast path asks for refuse."""

    linear: ClassVar[bool] = False

    def n_features(self, d: int) -> NoReturn:
        """Refuse: there are no features."""
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
