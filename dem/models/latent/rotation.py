"""Orthogonal rotations of loadings, which make them easier to interpret; the model stays the same."""

from __future__ import annotations

import numpy as np

from dem.core.block import Float

ROTATIONS = {"varimax": 1.0, "quartimax": 0.0}
"""Weight gamma of the term with the mean square of each factor's loadings in the orthomax criterion."""
TOL, MAX_ITER = 1e-10, 1000


def rotation(loadings: Float, method: str) -> Float:
    """Return the orthogonal R (q, q) that maximises the criterion of `loadings` R.

    Varimax (Kaiser 1958) maximises the variance of the squared loadings within each factor, quartimax the sum of the
    fourth powers. At the maximum, R is the orthogonal factor in the polar decomposition of the gradient; each iteration
    sets R to this factor.

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
