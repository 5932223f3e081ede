"""Gaussians of full or shared covariance where values are missing at random: conditional moments.

A component's density is that of the observed columns, N(x_o | mu_o, S_oo). Its expected sufficient statistics are those
of the completed rows (Dempster, Laird and Rubin 1977): with x_m replaced by E[x_m | x_o], and cov[x_m | x_o] added to
the products. They have the form of complete rows' sums about the means, so that the M-step is the same, and

    sum of r log p(x | theta) + r H[x_m | x_o]

is the lower bound of the observed rows' log-density that touches it at the parameters of the pass: the last row of the
sums is r H. Two ways lead through a tile: `PatternRows` for patterns of many rows, `RowBatch` for all others.
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
from dem.families.patterns import CACHE_BYTES, PatternGroups, group_by_pattern

RETURNS = 64
"""Rows of a tile from which on a pattern is taken on its own."""
SYSTEMS = 40.0
"""Operations for each entry of a component's covariance that a row of a rare pattern takes (measured)."""
CHUNKS = 10
"""Arrays of CHUNK_BYTES that scattered rows take at a time."""


@dataclass(frozen=True)
class Parts:
    """The rows of a tile, by the way that they are taken."""

    parts: list[PatternRows | RowBatch]


class ObservedGaussian(GaussianFamily):
    """Mixed into `FullGaussian` or `TiedGaussian`, makes it one of rows with missing values.

    The sums are the family's sums about the means, and a last row, the entropies of what is missing.
    """

    needs_scatter: ClassVar[bool] = False

    @property
    def linear(self) -> None:
        """None: a row's density depends on its pattern of missing values."""
        return

    @property
    def filling(self) -> Filling[Gaussians]:
        """The family itself."""
        return self

    def with_missing(self) -> GaussianFamily:
        """Return the family itself."""
        return self

    def n_centred(self, d: int) -> int:
        """Return one more than the family has."""
        return super().n_centred(d) + 1

    def work(self, x: Array, k: int) -> float:
        """Return what complete rows take, and the small systems of rows whose patterns are too rare to be shared."""
        sizes = group_by_pattern(np.isnan(x)).sizes
        rare = float(sizes[sizes < RETURNS].sum())
        return super().work(x, k) + float(SYSTEMS * k * x.shape[1] ** 2 * rare)

    def log_density(self, theta: Gaussians, x: Float, out: Float) -> Any:
        """Write the log-densities of the observed entries; return the tile's rows in parts, None if none is missing."""
        missing = np.isnan(x)
        if not missing.any():
            super().log_density(theta, x, out)  # type: ignore[safe-super]
            return None
        groups = group_by_pattern(missing.T)
        returns = groups.sizes >= RETURNS
        returns |= groups.missing.all(axis=1)
        parts: list[PatternRows | RowBatch] = [
            PatternRows.of(theta, x, groups.rows(i), groups.missing[i], out) for i in np.flatnonzero(returns).tolist()
        ]
        for kind, rows, index, first in chunks(theta, groups, ~returns):
            parts.append(kind.of(theta, x, rows, index, first, out))
        return Parts(parts)

    def sums(self, theta: Gaussians, x: Float, reuse: Parts | None, resp: Float, out: Float) -> None:
        """Add the sums of the completed rows about the means, and the entropies."""
        self.add(theta, x, reuse, resp, resp, out)

    def add(self, theta: Gaussians, x: Float, reuse: Parts | None, weights: Float, counts: Float, out: Float) -> None:
        """Add the sums, residuals weighted by `weights` (K, n), conditional covariances by `counts` (K, n)."""
        if reuse is None:
            super().sums(theta, x, None, weights, out[:-1])  # type: ignore[safe-super]
            return
        for part in reuse.parts:
            part.add(weights[:, part.rows], counts[:, part.rows], out)

    def constant(self, theta: Gaussians, x: Float, reuse: Parts | None) -> Float:
        """Return the log-densities, (K, n) or (K, 1), but for the squared distances."""
        if reuse is None:
            log_root = np.log(np.einsum("gii->gi", precision_factors(theta))).sum(axis=1)
            return np.broadcast_to(log_root - 0.5 * len(x) * LOG_2PI, len(theta.means))[:, None]
        out = np.empty((len(theta.means), x.shape[1]))
        for part in reuse.parts:
            out[:, part.rows] = part.constant
        return out

    def fill(self, theta: Gaussians, x: Float, reuse: Parts | None, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each entry of x (d, n), given responsibilities (K, n)."""
        return self.filled(theta, x, reuse, resp, np.ones_like(resp))

    def filled(
        self, theta: Gaussians, x: Float, reuse: Parts | None, resp: Float, spread: Float
    ) -> tuple[Float, Float]:
        """Return the same, each component's conditional variance times `spread` (K, n)."""
        mean, variance = x.copy(), np.zeros_like(x)
        middle = theta.means.mean(axis=0)  # about which squares keep their digits
        for part in [] if reuse is None else reuse.parts:
            missing = np.isnan(x[:, part.rows])
            residuals, variances = part.moments()
            offsets = residuals + (theta.means - middle)[:, :, None]
            r = resp[:, part.rows]
            first = np.einsum("kn,kdn->dn", r, offsets)
            second = np.einsum("kn,kdn->dn", r, (offsets - first) ** 2)
            within = np.einsum("kn,kdn->dn", r * spread[:, part.rows], variances)
            mean[:, part.rows] = np.where(missing, middle[:, None] + first, x[:, part.rows])
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
        """Return the bound: the completed rows' expected log-density, and the entropies at `previous`."""
        return super().expected(theta, sums[:-1], frame, previous) + float(sums[-1].sum())

    def completed(self, sums: Float, frame: Frame, theta: Gaussians) -> Float:
        """Return the sums without the entropies: they are of completed rows already."""
        return sums[:-1]

    def tile_width(self, k: int, d: int) -> int:
        """Return what complete rows take, and each component's residuals."""
        return super().tile_width(k, d) + (k + 1) * d + 2 * k

    def factor_size(self, k: int, d: int) -> int:
        """Return the size of a pattern's marginals, with a share of what is remembered of patterns."""
        return 3 * super().factor_size(k, d) + (CACHE_BYTES + CHUNKS * CHUNK_BYTES) // 32


def chunks(
    theta: Gaussians, groups: PatternGroups, chosen: NDArray[np.bool_]
) -> Iterator[tuple[type[RowBatch], NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]]:
    """Yield kinds, rows, indices of their patterns' systems, and where each pattern begins: what `RowBatch.of` takes.

    The rows are those of the chosen patterns of a tile, as many at a time as there is room for inverses.
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
