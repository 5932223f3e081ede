"""Rows of counts, such as words of documents: log p(x) = sum of x_j log p_j + log n! - sum of log x_j!, n their total.

The totals are given: the model describes how a total is divided among the columns. If values are missing, it describes
how the total n_o of the observed columns is divided among these. This is multinomial too. With o_j = 1 if column j is
observed and 0 if not,

    log p(x_o) = sum of x_j log p_j - n_o log(o . p) + log n_o! - sum of log x_j!   (x_j = 0 where missing)

It is the density given n_o, as that of a complete row is given n. So the pattern of missing values must not depend on
how the counts are divided.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from dem.core.block import Float
from dem.core.coordinate_frame import Frame
from dem.families.exponential_family import OpFamily, Theta, log, not_counts
from dem.families.family import Filling, safe_counts
from dem.scan.scanner import Scan

MOST_TRIALS = 2**53
"""Larger totals are not whole numbers in float64."""


@dataclass(frozen=True)
class Multinomial(OpFamily):
    """All columns together are multinomial: "probabilities" (K, d).

    Attributes
    ----------
    n_trials : int or None
        The total of random rows; None: the mean total of the data.
    """

    n_trials: int | None = None

    wants: ClassVar[str] = "the counts 0, 1, 2, ..."
    takes_squares: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the setting."""
        if self.n_trials is not None and not 0 <= self.n_trials <= MOST_TRIALS:
            raise ValueError(f"n_trials must be None or from 0 to 2^53, got {self.n_trials!r}")

    def bind(self, scan: Scan, frame: Frame) -> Self:
        """Return the family with `n_trials`: the mean total of the data, if it is not set."""
        return self if self.n_trials is not None else replace(self, n_trials=round(float(scan.moments.mean.sum())))

    def natural_parameters(self, theta: Theta) -> tuple[Float, ...]:
        """Return 0 and log p."""
        return np.zeros(len(theta["probabilities"])), log(theta["probabilities"])

    def from_means(self, *means: Float) -> Theta:
        """Return each column's share of the total; equal shares if the total is 0."""
        total = means[0].sum(axis=1, keepdims=True)
        shares = means[0] / np.where(total > 0, total, 1)
        return {"probabilities": np.where(total > 0, shares, 1 / means[0].shape[1])}

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> Float:
        """Return random rows of counts with the total `n_trials`."""
        share = theta["probabilities"] / theta["probabilities"].sum()
        return rng.multinomial(1 if self.n_trials is None else self.n_trials, share, size=n).astype(np.float64)

    def log_base(self, x: Float) -> Float:
        """Return log n! - sum of log x_j!."""
        return np.asarray(gammaln(x.sum(axis=0) + 1) - gammaln(x + 1).sum(axis=0))

    def observed_log_base(self, x: Float) -> Float:
        """Return log n_o! - sum of log x_j! over the observed columns."""
        return Multinomial.log_base(self, np.nan_to_num(x))

    def with_missing(self) -> Any:
        """Return the family for rows with missing values."""
        return ObservedMultinomial(self.n_trials)

    def outside(self, x: Float) -> NDArray[np.bool_]:
        """Return a mask: True where x is not a count."""
        return not_counts(x)

    def seeding_points(self, x: Float) -> Float:
        """Return the square roots of the shares: their distances are Hellinger distances."""
        return np.asarray(np.sqrt(x / np.maximum(x.sum(axis=1, keepdims=True), 1)))

    def n_parameters(self, k: int, d: int) -> int:
        """Return K (d - 1): probabilities sum to 1."""
        return k * (d - 1)


LEAST_PROBABILITY = 1e-100
"""Smallest probability with missing values, because counts are divided by the sum of a few probabilities."""


class ObservedCounts(NamedTuple):
    """The result of `log_density` for rows with missing values, which `add_sums` uses again.

    Attributes
    ----------
    x : array of shape (d, n)
        The counts, 0 where missing.
    observed : array of shape (d, n)
        1 where there is a count, 0 where it is missing.
    share : array of shape (K, n)
        o . p, the total probability of the observed columns; 1 for rows without values.
    total : array of shape (n,)
        n_o.
    """

    x: Float
    observed: Float
    share: Float
    total: Float


class ObservedMultinomial(Multinomial):
    """The multinomial for rows with missing values.

    The likelihood is that of choices among the observed columns (Luce's axiom). The M-step is the MM algorithm of
    Hunter (2004, "MM algorithms for generalized Bradley-Terry models", section 5), weighted by responsibilities r:

        p_j  in proportion to  sum of r x_j / sum of r o_j n_o / (o . p)

    from the bound  -log(o . p') >= 1 - log(o . p) - (o . p') / (o . p).  For complete rows it gives the exact maximum.
    The sums are those of r, of r x (d), of r o n_o / (o . p) (d), and of r n_o log(o . p).
    """

    @property
    def linear(self) -> None:
        """None: log(o . p) is not a product of parameters and features."""
        return

    @property
    def filling(self) -> Filling[Theta]:
        """The family itself."""
        return self

    def with_missing(self) -> Any:
        """Return the family itself."""
        return self

    def log_base(self, x: Float) -> Float:
        """Return log h of the observed columns."""
        return self.observed_log_base(x)

    def n_exact_sums(self, d: int) -> int:
        """Return 2 d + 2."""
        return 2 * d + 2

    def initial(self, x: Float, resp: Float) -> Theta:
        """Return first parameters from rows that are complete."""
        return Multinomial(self.n_trials).initial(x, resp)

    def log_density(self, theta: Theta, x: Float, out: Float) -> Any:
        """Write log p(x_o | k) - log h(x_o), by two products; 0 for rows without values; return `ObservedCounts`."""
        p = np.maximum(theta["probabilities"], LEAST_PROBABILITY)
        missing = np.isnan(x)
        counts, observed = np.where(missing, 0.0, x), (~missing).astype(np.float64)
        share, total = p @ observed, counts.sum(axis=0)
        share[:, missing.all(axis=0)] = 1
        np.matmul(np.log(p), counts, out=out)
        out -= total * np.log(share)
        return ObservedCounts(counts, observed, share, total)

    def add_sums(self, theta: Theta, x: Float, reuse: Any, resp: Float, out: Float) -> None:
        """Add the sums, by two products."""
        d = len(x)
        out[0] += resp.sum(axis=1)
        out[1 : d + 1] += reuse.x @ resp.T
        out[d + 1 : -1] += reuse.observed @ (resp * reuse.total / reuse.share).T
        out[-1] += (resp * np.log(reuse.share)) @ reuse.total

    def estimate(self, sums: Float, frame: Frame, previous: Theta | None) -> Theta:
        """Return the probabilities of the MM step; empty components keep those of `previous`."""
        counts, chances = self._split_sums(sums)
        odds = np.divide(counts, chances, out=np.zeros_like(counts), where=chances > 0)
        if previous is not None:
            old = previous["probabilities"]
            unchanged = (sums[0] < safe_counts(sums[0])) | ~counts.any(axis=1)
            odds = np.where(unchanged[:, None] | (chances == 0), old, odds)
        return self.from_means(odds)

    def expected(self, theta: Theta, sums: Float, frame: Frame, previous: Theta) -> float:
        """Return the lower bound, maximised over the scale of p: log p(x_o) does not depend on this scale."""
        p = np.maximum(theta["probabilities"], LEAST_PROBABILITY)
        counts, chances = self._split_sums(sums)
        totals, spread = counts.sum(axis=1), np.einsum("kj,kj->k", chances, p)
        rest = totals * np.log(np.where(totals > 0, totals, 1.0) / np.where(totals > 0, spread, 1.0))
        return float((counts * np.log(p)).sum() + rest.sum() - sums[-1].sum())

    def conditional_moments(self, theta: Theta, x: Float, reuse: Any, resp: Float) -> tuple[Float, Float]:
        """Return the conditional mean and variance of each count of x (d, n): negative multinomial given n_o.

        Given the n_o counts in the observed columns, the expected count in column j is n_o p_j / (o . p). Rows without
        values get the moments of a complete row with the total `n_trials`.
        """
        p, none = theta["probabilities"].T, ~reuse.observed.any(axis=0)
        rate = resp * reuse.total / reuse.share
        mean = p @ rate
        second = p @ rate + p**2 @ (rate / reuse.share) + p**2 @ (rate * reuse.total / reuse.share)
        n = 1 if self.n_trials is None else self.n_trials
        mean[:, none] = n * p @ resp[:, none]
        second[:, none] = mean[:, none] + n * (n - 1) * (p**2 @ resp[:, none])
        missing = np.isnan(x)
        return np.where(missing, mean, x), np.where(missing, np.maximum(second - mean**2, 0.0), 0.0)

    def tile_width(self, k: int, d: int) -> int:
        """Return 4 d + 3 K: x, three arrays computed from it, and three numbers for each component."""
        return 4 * d + 3 * k

    def parameter_size(self, k: int, d: int) -> int:
        """Return the size of the probabilities."""
        return k * d

    @staticmethod
    def _split_sums(sums: Float) -> tuple[Float, Float]:
        """Return the sums of x and of o n_o / (o . p), each (K, d)."""
        d = len(sums) // 2 - 1
        return sums[1 : d + 1].T, sums[d + 1 : -1].T
