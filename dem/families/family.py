"""The contract of a component family whose densities are of the exponential form.

log p(x | k) = eta_k . t(x): with the features t(x) of a tile as rows of T, the log-densities of all
components are H @ T and the expected sufficient statistics T @ R.T. That is the fast path. Far from
the frame's origin the products lose digits, and the centred path takes over: each component is
evaluated about its own centre, and its statistics are the same features, taken about that centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

import numpy as np

from dem.frame import Frame
from dem.model import Array, Float
from dem.scan import Scan

T = TypeVar("T")

EMPTY = float(np.finfo(np.float64).eps)
"""Components with a smaller share of the rows' weight than this keep their parameters."""


def safe_counts(counts: Float) -> Float:
    """Return the components' expected weights (K,), none too small to divide by."""
    return np.asarray(np.maximum(counts, EMPTY * counts.sum()))


@dataclass(frozen=True)
class Given:
    """First parameters that the user has set; None where the sample is to tell them.

    Attributes
    ----------
    weights : array of shape (K,) or None
    means : array of shape (K, d) or None
    precisions_cholesky : array or None
        In the family's shape.
    """

    weights: Float | None = None
    means: Float | None = None
    precisions_cholesky: Float | None = None


class Family(Protocol[T]):
    """The densities of all K components at once; `theta` holds all K."""

    @property
    def isotropic(self) -> bool:
        """Whether all columns must share one scale."""

    @property
    def needs_scatter(self) -> bool:
        """Whether `bind` wants the (d, d) scatter of all rows."""

    @property
    def complete(self) -> bool:
        """Whether eta . t(x) is all of log p; if not, `shared` has the rest, as a mean over all rows."""

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with what it needs of the whole data."""

    def n_features(self, d: int) -> int:
        """Return F, the number of features of a row of d columns, the constant 1 included."""

    def n_centred(self, d: int) -> int:
        """Return F', the number of features of the centred path."""

    def fill(self, features: Array, d: int) -> None:
        """Complete `features` (F, n) in place: row 0 is 1 and rows 1 to d are x already."""

    def natural(self, theta: T, frame: Frame) -> Float:
        """Return eta (K, F) for features in `frame`, the log-normaliser in column 0."""

    def shared(self, theta: T) -> float:
        """Return the mean over all rows of what log p has beside eta . t(x), in nats."""

    def shared_size(self, theta: T) -> float:
        """Return the sum of the magnitudes of what `shared` adds up: its roundings are of these."""

    def log_density(self, theta: T, x: Float, out: Float) -> None:
        """Write the log-densities of the columns of `x` (d, n) into `out` (K, n), centred, in nats."""

    def sums(self, theta: T, x: Float, resp: Float, out: Float) -> None:
        """Add the features of x about each component's centre, weighted by `resp` (K, n), to `out` (F', K)."""

    def initial(self, x: Float, resp: Float, centres: Float) -> T:
        """Return parameters from responsibilities (K, n) of the columns of `x` (d, n), about `centres` (K, d)."""

    def override(self, theta: T, given: Given) -> T:
        """Return `theta` with what the user has set."""

    def known(self, given: Given) -> T | None:
        """Return the parameters that the user has set, if they are all there."""

    def estimate(self, sums: Float, frame: Frame, previous: T | None) -> T:
        """Return the parameters that maximise the expected log density given sums taken in `frame`."""

    def centres(self, theta: T) -> Float:
        """Return the points (K, d) about which the centred path takes its features."""

    def expected(self, theta: T, sums: Float, frame: Frame) -> float:
        """Return the sum over rows and components of r log p(x | k), from sums taken in `frame`."""

    def draw(self, theta: T, component: int, n: int, rng: np.random.Generator) -> Float:
        """Return n rows (n, d) of one component."""

    def factor_size(self, k: int, d: int) -> int:
        """Return how many numbers the largest array of K components' parameters holds."""

    def n_parameters(self, k: int, d: int) -> int:
        """Return the number of free parameters of K components, the weights aside."""
