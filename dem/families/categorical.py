"""Codes without order: log p(x) = log p_x. Mixtures of them are latent class analysis (Lazarsfeld and Henry 1968)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import OpFamily, Theta, features_of, log, not_counts
from dem.families.feature_columns import Column, Op
from dem.scan.scanner import Scan

MAX_COUNTED = 1024
"""Largest number of categories that is counted from the data: with more, the column is probably not a code."""
MOST_CATEGORIES = 100_000
"""Most categories of a column: each is a feature."""
ASSUMED_CATEGORIES = 64
"""Number of categories that the memory plan assumes before they are counted."""


@dataclass(frozen=True)
class Categorical(OpFamily):
    """Each column is a code 0, 1, ..., C - 1: "probabilities", a list of d arrays (K, C_j).

    Attributes
    ----------
    n_categories : int, tuple of int or None
        C, for all columns or for each; None: computed from the largest code in the data.
    """

    n_categories: int | tuple[int, ...] | None = None
    takes_squares: ClassVar[bool] = False

    def __post_init__(self) -> None:
        given = self.n_categories if isinstance(self.n_categories, tuple) else (self.n_categories,)
        if not all(c is None or (isinstance(c, int | np.integer) and 0 < c <= MOST_CATEGORIES) for c in given):
            got = ", ".join(map(repr, given))
            raise ValueError(
                f"n_categories must be None, or from 1 to {MOST_CATEGORIES:,} (one for each column), got {got}"
            )

    @property
    def wants(self) -> str:  # type: ignore[override]
        """The supported codes, as text."""
        return (
            f"the codes 0 to {self.n_categories - 1}"
            if isinstance(self.n_categories, int)
            else "the codes 0, 1, 2, ..."
        )

    def wants_in_column(self, column: int) -> str:
        """Return the supported codes of one column, as text."""
        return f"the codes 0 to {self.n_categories[column] - 1}" if isinstance(self.n_categories, tuple) else self.wants

    def check_columns(self, d: int) -> None:
        """Raise a ValueError if `n_categories` has an entry for each column, but not d entries."""
        if isinstance(self.n_categories, tuple) and len(self.n_categories) != d:
            raise ValueError(
                f"n_categories has {len(self.n_categories)} entries for {d} columns: give one entry for each column"
            )

    def categories(self, d: int) -> tuple[int, ...]:
        """Return C_j of each column; `ASSUMED_CATEGORIES` if they are not known yet."""
        if isinstance(self.n_categories, tuple):
            return self.n_categories
        return (self.n_categories or ASSUMED_CATEGORIES,) * d

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with the number of categories of each column, counted in the data if it is not set."""
        if self.n_categories is not None:
            return replace(self, n_categories=self.categories(scan.n_columns))
        sizes = tuple(int(code) + 1 for code in np.maximum(scan.high, 0))
        if max(sizes) > MAX_COUNTED:
            column = int(np.argmax(sizes))
            raise ValueError(
                f"column {column} has codes up to {sizes[column] - 1}: if they are categories, set n_categories"
            )
        return replace(self, n_categories=sizes)

    def columns(self, d: int) -> tuple[tuple[Column, ...], ...]:
        """Return the indicators [x = c] of the categories c of each column."""
        sizes = enumerate(self.categories(d))
        return (tuple(Column(Op.EQUALS, j, argument=float(code)) for j, size in sizes for code in range(size)),)

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return 0 and log p."""
        return np.zeros((len(theta["probabilities"]), self.n_columns(theta))), log(theta["probabilities"])

    def from_means(self, *means: Float) -> Theta:
        """Return p, the share of each category."""
        return {"probabilities": means[0]}

    @property
    def can_fill(self) -> bool:
        """True: `moments_of_missing` does not need `moments`."""
        return True

    def moments_of_missing(self, theta: Theta, x: Float, resp: Float) -> tuple[Float, Float]:
        """Return the most probable code as mean; as variance, the probability of all other codes."""
        shares = self.split((theta["probabilities"].T @ resp).T)
        codes = np.stack([share.argmax(axis=1) for share in shares])
        others = np.stack([1 - share.max(axis=1) for share in shares])
        missing = np.isnan(x)
        return np.where(missing, codes, x), np.where(missing, np.maximum(others, 0.0), 0.0)

    def repeat_columns(self, values: Array, target: Array) -> Array:
        """Return one value for each column (K, d), repeated for each of its categories."""
        return np.repeat(values, self.categories(values.shape[1]), axis=1)

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random codes, by inversion of the cumulative probabilities."""
        parts = self.split(theta["probabilities"])
        u = rng.random((n, len(parts)))
        codes = [np.searchsorted(p.cumsum()[:-1] / p.sum(), u[:, j], side="right") for j, p in enumerate(parts)]
        return np.stack(codes, axis=1).astype(np.float64)

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x is not a code of its column."""
        bad = not_counts(x)
        return bad if self.n_categories is None else bad | (x >= np.array(self.categories(len(x)))[:, None])

    def seeding_points(self, x: Float) -> Float:
        """Return the indicators, because codes have no order."""
        return np.ascontiguousarray(features_of(self, x.T).T)

    def pseudo_rows(self, x: Float) -> Float:
        """Return rows with all codes equally often: so a prior keeps probabilities away from 0."""
        row = np.arange(len(x))[:, None]
        return np.asarray(row * np.array(self.categories(x.shape[1])) // len(x), dtype=np.float64)

    def split(self, values: Float) -> list[Float]:
        """Split an array along its last axis, the categories of all columns; return one array for each column."""
        assert isinstance(self.n_categories, tuple)
        return np.split(values, np.cumsum(self.n_categories)[:-1], axis=-1)

    def named_parameters(self, theta: Theta) -> dict[str, list[Float]]:
        """Return the probabilities, an array (K, C_j) for each column."""
        return {"probabilities": self.split(theta["probabilities"])}

    def n_columns(self, theta: Theta) -> int:
        """Return d, the number of columns of the data."""
        return len(self.split(theta["probabilities"]))

    def n_parameters(self, k: int, d: int) -> int:
        """Return K times the sum of C_j - 1."""
        return k * (sum(self.categories(d)) - d)
