"""Gaussians of full or shared covariance where values are missing at random: conditional moments.

The density of a component is that of the observed columns, N(x_o | mu_o, S_oo). Its expected sufficient statistics are
those of completed rows (Dempster, Laird and Rubin 1977): x_m is replaced by E[x_m | x_o], and cov[x_m | x_o] is added
to the products. They have the form of complete rows' sums about the means, so the M-step is the same. And

    sum of r log p(x | theta) + r H[x_m | x_o]

is a lower bound of the observed rows' log-density, exact at the parameters of the pass. The last row of the sums is
r H. The rows of a tile are split: `PatternRows` has the patterns with many rows, `RowBatch` all other rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.core.coordinate_frame import Frame
from dem.families.family import Filling
from dem.families.gaussian.base import LOG_2PI, GaussianFamily, Gaussians
from dem.families.gaussian.missing_patterns import PatternRows, precision_factors
from dem.families.gaussian.missing_rows import (
    CHUNK_BYTES,
    LARGEST_INFLATION,
    FewMissing,
    FewMissingStable,
    FewObserved,
    RowBatch,
    variance_inflation,
)
from dem.families.patterns import PATTERN_CACHE_BYTES, PatternGroups, group_by_pattern

MIN_PATTERN_ROWS = 64
"""A pattern with at least this number of rows in a tile is computed separately (`PatternRows`)."""
SYSTEM_OPERATIONS = 40.0
"""Operations for a row of a rare pattern, for each entry of a component's covariance (measured)."""
CHUNKS_HELD = 10
"""The number of arrays of CHUNK_BYTES that rows of rare patterns need at the same time."""


@dataclass(frozen=True)
class Parts:
    """The rows of a tile, split by pattern."""

    parts: list[PatternRows | RowBatch]


class ObservedGaussian(GaussianFamily):
    """Mixin that makes `FullGaussian` or `TiedGaussian` accept missing values.

    The sums are the family's sums about the means, and a last row: the entropies of the missing values.
    """

    needs_scatter: ClassVar[bool] = False

    @property
    def linear(self) -> None:
        """None: the natural parameters depend on the pattern of missing values."""
        return

    @property
    def filling(self) -> Filling[Gaussians]:
        """The family itself."""
        return self

    def with_missing(self) -> GaussianFamily:
        """Return the family itself."""
        return self

    def n_exact_sums(self, d: int) -> int:
        """Return the number of sums of the family, plus 1."""
        return super().n_exact_sums(d) + 1

    def work(self, x: Array, k: int) -> float:
        """Return the operations for complete rows, plus those of the small linear systems of rare patterns."""
        sizes = group_by_pattern(np.isnan(x)).sizes
        rare = float(sizes[sizes < MIN_PATTERN_ROWS].sum())
        return super().work(x, k) + float(SYSTEM_OPERATIONS * k * x.shape[1] ** 2 * rare)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write the log-densities of the observed values; return the rows split by pattern, or None if complete."""
        missing = np.isnan(x)
        if not missing.any():
            super().log_density(theta, x, out)  # type: ignore[safe-super]
            return None
        groups = group_by_pattern(missing.T)
        frequent = groups.sizes >= MIN_PATTERN_ROWS
        frequent |= groups.missing.all(axis=1)
        parts: list[PatternRows | RowBatch] = [
            PatternRows.of(theta, x, groups.rows(i), groups.missing[i], out) for i in np.flatnonzero(frequent).tolist()
        ]
        for kind, rows, index, first in chunks(theta, groups, ~frequent):
            parts.append(kind.of(theta, x, rows, index, first, out))
        return Parts(parts)

    def add_sums(self, theta: Gaussians, x: Float, reuse: Parts | None, resp: Float, out: Float) -> None:
        """Add the sums of the completed rows about the means, and the entropies."""
        self.add(theta, x, reuse, resp, resp, out)

    def add(self, theta: Gaussians, x: Float, reuse: Parts | None, weights: Float, counts: Float, out: Float) -> None:
        """Add the sums: residuals with `weights` (K, n), conditional covariances with `counts` (K, n)."""
        if reuse is None:
            super().add_sums(theta, x, None, weights, out[:-1])  # type: ignore[safe-super]
            return
        for part in reuse.parts:
            part.add(weights[:, part.rows], counts[:, part.rows], out)

    def constant(self, theta: Gaussians, x: Float, reuse: Parts | None) -> Float:
        """Return the log-densities, (K, n) or (K, 1), without the squared distances."""
        if reuse is None:
            log_root = np.log(np.einsum("gii->gi", precision_factors(theta))).sum(axis=1)
            return np.broadcast_to(log_root - 0.5 * len(x) * LOG_2PI, len(theta.means))[:, None]
        out = np.empty((len(theta.means), x.shape[1]))
        for part in reuse.parts:
            out[:, part.rows] = part.constant
        return out

    def conditional_moments(self, theta: Gaussians, x: Float, reuse: Parts | None, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each value of x (d, n), given responsibilities (K, n)."""
        return self.scaled_conditional_moments(theta, x, reuse, resp, np.ones_like(resp))

    def scaled_conditional_moments(
        self, theta: Gaussians, x: Float, reuse: Parts | None, resp: Float, spread: Float
    ) -> tuple[Float, Float]:
        """Return the conditional mean and variance of x (d, n); variances are multiplied by `spread` (K, n)."""
        mean, variance = x.copy(), np.zeros_like(x)
        centre = theta.means.mean(axis=0)  # squares of differences from it lose no digits
        for part in [] if reuse is None else reuse.parts:
            missing = np.isnan(x[:, part.rows])
            residuals, variances = part.moments()
            offsets = residuals + (theta.means - centre)[:, :, None]
            r = resp[:, part.rows]
            first = np.einsum("kn,kdn->dn", r, offsets)
            second = np.einsum("kn,kdn->dn", r, (offsets - first) ** 2)
            within = np.einsum("kn,kdn->dn", r * spread[:, part.rows], variances)
            mean[:, part.rows] = np.where(missing, centre[:, None] + first, x[:, part.rows])
            variance[:, part.rows] = np.where(missing, second + within, 0.0)
        return mean, variance

    def estimate(self, sums: Float, frame: Frame, previous: Gaussians | None) -> Gaussians:
        """Return the parameters from the completed rows' sums.

        Raises
        ------
        ValueError
            If a covariance is not positive definite.
        """
        return super().estimate(sums[:-1], frame, previous)

    def expected(self, theta: Gaussians, sums: Float, frame: Frame, previous: Gaussians) -> float:
        """Return the bound: the expected log-density of the completed rows, plus the entropies at `previous`."""
        return super().expected(theta, sums[:-1], frame, previous) + float(sums[-1].sum())

    def completed_sums(self, sums: Float, frame: Frame, theta: Gaussians) -> Float:
        """Return the sums without the entropies; they are already those of completed rows."""
        return sums[:-1]

    def tile_width(self, k: int, d: int) -> int:
        """Return the width for complete rows, plus the residuals of each component."""
        return super().tile_width(k, d) + (k + 1) * d + 2 * k

    def parameter_size(self, k: int, d: int) -> int:
        """Return the size of the marginals of a pattern, plus a share of the cache of patterns."""
        return 3 * super().parameter_size(k, d) + (PATTERN_CACHE_BYTES + CHUNKS_HELD * CHUNK_BYTES) // 32


def chunks(
    theta: Gaussians, groups: PatternGroups, chosen: NDArray[np.bool_]
) -> Iterator[tuple[type[RowBatch], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]:
    """Yield batches: the class, rows, columns of the linear systems and first rows of patterns (see `RowBatch.of`).

    The rows have the chosen patterns of a tile. A batch has as many rows as CHUNK_BYTES allows for their inverses.
    """
    k, d = theta.means.shape
    kinds = (
        (FewMissingStable, FewMissingStable)
        if variance_inflation(theta) > LARGEST_INFLATION
        else (FewMissing, FewObserved)
    )
    rows = groups.order[np.repeat(chosen, groups.sizes)]
    missing, sizes = groups.missing[chosen], groups.sizes[chosen]
    which = np.repeat(np.arange(len(sizes)), sizes)
    lacking = missing.sum(axis=1)[which]
    start = 0
    while start < len(rows):
        m = int(lacking[start])
        kind = kinds[2 * m > d]
        columns = kind.system_columns(missing)
        size = int(columns[which[start]].sum())
        most = max(1, CHUNK_BYTES // (8 * k * max(size**2, d)))
        stop = min(start + most, int(np.searchsorted(lacking, m, side="right")))
        patterns = np.arange(which[start], which[stop - 1] + 1)
        index = np.nonzero(columns[patterns])[1].reshape(len(patterns), size).T
        yield kind, rows[start:stop], index, np.searchsorted(which[start:stop], patterns)
        start = stop
