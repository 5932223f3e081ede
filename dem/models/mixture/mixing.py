"""Prior and posterior distributions of the mixing proportions pi in variational Bayes.

A Dirichlet distribution (PRML 10.39), or the stick-breaking of a Dirichlet process, truncated after K pieces (Blei
and Jordan 2006): pi_k = v_k prod over j < k of (1 - v_j), with v_k ~ Beta. A Beta is a Dirichlet of two proportions, so
both use the same expectation and divergence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from scipy.special import digamma, gammaln

from dem.core.block import Array, Float


class Mixing(Protocol):
    """A distribution of K mixing proportions; prior and posterior have the same class."""

    @property
    def concentration(self) -> Float:
        """The distribution's parameters."""

    def posterior(self, counts: Float) -> Self:
        """Return the posterior, given expected numbers of rows (K,)."""

    @property
    def mean(self) -> Float:
        """E[pi] (K,), summing to 1."""

    @property
    def log_mean(self) -> Float:
        """E[log pi] (K,)."""

    def divergence(self, prior: Self) -> float:
        """Return KL(self || prior), in nats."""

    def best_order(self, counts: Float) -> Array:
        """Return the order of the components (K,) in which the prior suits their expected numbers of rows best."""


@dataclass(frozen=True)
class Dirichlet:
    """pi ~ Dir(alpha).

    Attributes
    ----------
    concentration : array of shape (K,)
        alpha.
    """

    concentration: Float

    @classmethod
    def prior(cls, k: int, concentration: float) -> Dirichlet:
        """Return the symmetric distribution of k proportions."""
        return cls(np.full(k, concentration))

    def posterior(self, counts: Float) -> Dirichlet:
        """Return alpha + N   (PRML 10.58)."""
        return Dirichlet(self.concentration + counts)

    @property
    def mean(self) -> Float:
        """E[pi] = alpha / sum of alpha   (PRML 10.69)."""
        return np.asarray(self.concentration / self.concentration.sum())

    @property
    def log_mean(self) -> Float:
        """E[log pi]   (PRML 10.66)."""
        return _log_mean(self.concentration)

    def divergence(self, prior: Dirichlet) -> float:
        """Return KL(self || prior)."""
        return float(_divergence(self.concentration, prior.concentration))

    def best_order(self, counts: Float) -> Array:
        """Return the order as it is: this prior has none."""
        return np.arange(len(counts))


@dataclass(frozen=True)
class StickBreaking:
    """v_k ~ Beta(a_k, b_k); the rest of the stick after K pieces belongs to components without rows.

    Attributes
    ----------
    concentration : array of shape (2, K)
        a and b.
    """

    concentration: Float

    @classmethod
    def prior(cls, k: int, concentration: float) -> StickBreaking:
        """Return Beta(1, concentration) for k pieces."""
        return cls(np.stack([np.ones(k), np.full(k, concentration)]))

    def posterior(self, counts: Float) -> StickBreaking:
        """Return a + N_k and b + the rows of all later components   (Blei and Jordan 2006, eq. 18 and 19)."""
        later = np.append(np.cumsum(counts[::-1])[-2::-1], 0.0)
        return StickBreaking(self.concentration + np.stack([counts, later]))

    @property
    def mean(self) -> Float:
        """The proportions at E[v], scaled to sum to 1 as in scikit-learn."""
        a, b = self.concentration
        pieces = a / (a + b) * np.append(1.0, np.cumprod(b / (a + b))[:-1])
        return np.asarray(pieces / pieces.sum())

    @property
    def log_mean(self) -> Float:
        """E[log pi_k] = E[log v_k] + sum over j < k of E[log (1 - v_j)]."""
        here, rest = _log_mean(self.concentration)
        return np.asarray(here + np.append(0.0, np.cumsum(rest)[:-1]))

    def divergence(self, prior: StickBreaking) -> float:
        """Return KL(self || prior), summed over the pieces."""
        return float(_divergence(self.concentration, prior.concentration).sum())

    def best_order(self, counts: Float) -> Array:
        """Return the largest component first: so the empty ones stand at the end of the stick, and get no rows.

        An empty component before others would have E[log pi] of about half a row (Kurihara, Welling and Teh 2007).
        """
        return np.argsort(-counts, kind="stable")


def _log_mean(a: Float) -> Float:
    """Return E[log pi] under Dirichlets along the first axis of their parameters."""
    return np.asarray(digamma(a) - digamma(a.sum(axis=0)))


def _divergence(a: Float, b: Float) -> Float:
    """Return KL(Dir(a) || Dir(b)) along the first axis."""
    norms = gammaln(a.sum(axis=0)) - gammaln(a).sum(axis=0) - gammaln(b.sum(axis=0)) + gammaln(b).sum(axis=0)
    return np.asarray(norms + ((a - b) * _log_mean(a)).sum(axis=0))
