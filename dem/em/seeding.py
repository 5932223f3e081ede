"""First responsibilities on the in-memory sample, by scikit-learn's K-means and k-means++.

scikit-learn is imported inside functions: workers import this file but make no starts, and save 60 MB each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dem.core.block import Float

METHODS = ("kmeans", "k-means++", "random", "random_from_data")
"""Methods of starting, by scikit-learn's names."""

MOST_COLUMNS, MOST_DIRECTIONS = 256, 64
"""With more columns than the first number, only the leading directions are whitened, as many as the second number:
(d, d) matrices would be too large."""
ROWS_A_DIRECTION = 8
"""With fewer rows than `MOST_DIRECTIONS`, one direction for each 8 rows is used: if all directions were whitened, all
rows would be equally far from each other."""

LEAST_SPREAD = 1e-12
"""Smallest variance of a direction, as a share of the largest variance: less than this is rounding."""


@dataclass(frozen=True)
class Seeding:
    """How the first responsibilities are made.

    Attributes
    ----------
    method : str
        "k-means++": rows chosen far from each other as centres; "kmeans": Lloyd's algorithm from these;
        "random_from_data": rows drawn at random as centres (all three give each row to its nearest
        centre, in whitened coordinates); "random": random responsibilities.
    """

    method: str = "k-means++"

    def responsibilities(self, x: Float, weight: Float, k: int, rng: np.random.Generator) -> Float:
        """Return responsibilities (k, n) for rows x (n, d) with weights (n,)."""
        if self.method == "random":
            resp = rng.random((k, len(x)))
            return np.asarray(resp / resp.sum(axis=0))
        from sklearn.cluster import KMeans, kmeans_plusplus
        from sklearn.metrics import pairwise_distances_argmin

        z = whitened(x)
        seed = int(rng.integers(2**31 - 1))
        if self.method == "kmeans":
            labels = KMeans(k, n_init=1, max_iter=50, random_state=seed).fit(z, sample_weight=weight).labels_
        elif self.method == "k-means++":
            centres, _ = kmeans_plusplus(z, k, sample_weight=weight, random_state=seed)
            labels = pairwise_distances_argmin(z, centres)
        else:
            chosen = rng.choice(len(z), k, replace=False, p=weight / weight.sum())
            labels = pairwise_distances_argmin(z, z[chosen])
        return np.asarray(np.arange(k)[:, None] == labels, dtype=np.float64)


def whitened(x: Float) -> Float:
    """Return x (n, d) rotated and scaled to unit covariance, without directions that have no variance."""
    n, d = x.shape
    if d > MOST_COLUMNS and n > MOST_DIRECTIONS:
        from sklearn.decomposition import PCA

        leading = PCA(MOST_DIRECTIONS, svd_solver="randomized", random_state=0)
        x = leading.fit_transform(x)
    centred: Float = x - x.mean(axis=0)
    scale = np.abs(centred).max(axis=0)
    centred /= np.where(scale > 0, scale, 1.0)
    if d > MOST_COLUMNS and n <= MOST_DIRECTIONS:
        return whitened_rows(centred)
    values, vectors = np.linalg.eigh(centred.T @ centred / n)
    keep = values > LEAST_SPREAD * values.max(initial=0.0)
    if not keep.any():
        return centred
    return np.asarray(centred @ (vectors[:, keep] / np.sqrt(values[keep])))


def whitened_rows(centred: Float) -> Float:
    """Return whitened coordinates of few rows with many columns, `centred` (n, d), from the (n, n) matrix of products.

    The eigenvectors of this matrix are the left singular vectors: coordinates of the rows, with variance 1 / n each.
    """
    n = len(centred)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    leading = np.argsort(-values)[: max(1, n // ROWS_A_DIRECTION)]
    keep = leading[values[leading] > LEAST_SPREAD * values.max(initial=0.0)]
    return np.asarray(vectors[:, keep] * np.sqrt(n)) if len(keep) else np.zeros((n, 1))
