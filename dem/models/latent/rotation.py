"""Orthogonal rotations of loadings that make them simpler to read; the model stays the same."""

from __future__ import annotations

import numpy as np

from dem.core.block import Float

ROTATIONS = {"varimax": 1.0, "quartimax": 0.0}
"""How much of the mean square of each factor's loadings is taken off, in the criterion."""
TOL, MAX_ITER = 1e-10, 1000


def rotation(loadings: Float, method: str) -> Float:
    """Return the orthogonal R (q, q) such that `loadings` R has the largest criterion.

    Varimax (Kaiser 1958) maximises the variance of the squared loadings within each factor, quartimax the sum
    of their fourth powers. At the maximum, R is the orthogonal factor of the polar decomposition of the
    criterion's gradient, which is iterated.

    Parameters
    ----------
    loadings : array of shape (d, q)
    method : {"varimax", "quartimax"}
    """
    d, q = loadings.shape
    turn, before = np.eye(q), 0.0
    for _ in range(MAX_ITER):
        turned = loadings @ turn
        gradient = loadings.T @ (turned**3 - ROTATIONS[method] / d * turned * (turned**2).sum(axis=0))
        left, values, right = np.linalg.svd(gradient)
        turn = left @ right
        if values.sum() <= before * (1 + TOL):
            break
        before = values.sum()
    return turn
