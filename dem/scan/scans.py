"""The scans of several models from one pass: models may ask for different moments, and check the rows differently."""

from __future__ import annotations

from dataclasses import dataclass

from dem.kernel.kernel_id import KernelId
from dem.scan.sample import Sample
from dem.scan.scanner import Scan


@dataclass(frozen=True)
class Scans:
    """Scans of the same rows with the same sample.

    Attributes
    ----------
    of : tuple of Scan
    """

    of: tuple[Scan, ...]

    @property
    def first(self) -> Scan:
        """One of them, for what is the same in all."""
        return self.of[0]

    @property
    def sample(self) -> Sample:
        """The sample of the rows."""
        return self.first.sample

    @property
    def kernel(self) -> KernelId:
        """What computed the first scan."""
        return self.first.kernel
