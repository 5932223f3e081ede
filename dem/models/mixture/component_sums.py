"""The sums of K Gaussian components in the form that can be merged: how many rows each has, their mean and scatter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Array, Float
from dem.models.mixture.normal_wishart import FullScale


@dataclass(frozen=True)
class ComponentSums:
    """Expected rows of each component.

    Attributes
    ----------
    counts : array of shape (K,)
        N_k, the sums of the responsibilities.
    means : array of shape (K, d)
        The means of the rows.
    scatter : array
        N_k S_k, about these means: (K, d, d) full, (K, d) diagonal, (K,) spherical; (d, d) tied: their mean over k.
    scale : FullScale
        The shape of the scatter.
    """

    counts: Float
    means: Float
    scatter: Float
    scale: FullScale

    def merged(self, i: int, j: int) -> ComponentSums:
        """Return the sums after component i has got all rows of j. They are exact: sums of rows add."""
        n_i, n_j = self.counts[[i, j]]
        counts, means, between = self.counts.copy(), self.means.copy(), np.zeros_like(self.means)
        weight = np.zeros_like(counts)
        counts[i], counts[j] = n_i + n_j, 0.0
        means[i] = (n_i * self.means[i] + n_j * self.means[j]) / counts[i]
        between[i], weight[i] = self.means[i] - self.means[j], n_i * n_j / counts[i]
        scatter = self.scatter + self.scale.scatter(weight, between)
        if not self.scale.shared:
            scatter[i] += scatter[j]
            scatter[j] = 0.0
        return ComponentSums(counts, means, scatter, self.scale)

    def without(self, j: int) -> ComponentSums:
        """Return the sums without the rows of component j; of a shared scatter, j is taken to have its share."""
        counts = self.counts.copy()
        counts[j] = 0.0
        if self.scale.shared:
            return ComponentSums(counts, self.means, self.scatter * (counts.sum() / self.counts.sum()), self.scale)
        scatter = self.scatter.copy()
        scatter[j] = 0.0
        return ComponentSums(counts, self.means, scatter, self.scale)

    def ordered(self, order: Array) -> ComponentSums:
        """Return the sums of the components in another order, (K,) of their numbers."""
        scatter = self.scatter if self.scale.shared else self.scatter[order]
        return ComponentSums(self.counts[order], self.means[order], scatter, self.scale)
