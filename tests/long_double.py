"""References in long double: eigenvalues, and densities of Gaussians with missing values."""

from __future__ import annotations

import numpy as np

LONG = np.longdouble


def cholesky(matrix):
    """Return the lower triangular factor."""
    lower = np.zeros_like(matrix)
    for j in range(len(matrix)):
        lower[j, j] = np.sqrt(matrix[j, j] - (lower[j, :j] ** 2).sum())
        lower[j + 1 :, j] = (matrix[j + 1 :, j] - lower[j + 1 :, :j] @ lower[j, :j]) / lower[j, j]
    return lower


def eigenvalues(covariance):
    """Return the eigenvalues of a positive definite matrix, the largest first, by Hestenes' rotations of its factor."""
    g = cholesky(covariance.astype(LONG))
    for _ in range(60):
        worst = LONG(0)
        for i in range(len(g) - 1):
            for j in range(i + 1, len(g)):
                a, b, c = g[:, i] @ g[:, i], g[:, j] @ g[:, j], g[:, i] @ g[:, j]
                worst = max(worst, abs(c) / np.sqrt(a * b))
                if c == 0:
                    continue
                slope = (b - a) / (2 * c)
                tangent = (1 if slope >= 0 else -1) / (abs(slope) + np.sqrt(1 + slope**2))
                cosine = 1 / np.sqrt(1 + tangent**2)
                turn = np.array([[cosine, tangent * cosine], [-tangent * cosine, cosine]])
                g[:, [i, j]] = g[:, [i, j]] @ turn
        if worst < 1e-17:
            break
    return np.sort((g**2).sum(axis=0))[::-1]


def log_densities(x, mean, loadings, noise):
    """Return log N(x_o | mean, W W' + Psi) of the observed entries of each row."""
    w = np.asarray(loadings, LONG)
    covariance = w @ w.T + np.diag(np.broadcast_to(np.asarray(noise, LONG), len(w)))
    out = np.zeros(len(x), LONG)
    for seen in np.unique(~np.isnan(x), axis=0):
        rows, at = (~np.isnan(x) == seen).all(axis=1), np.flatnonzero(seen)
        lower = cholesky(covariance[np.ix_(at, at)])
        rest = (x[np.ix_(rows, at)].astype(LONG) - np.asarray(mean, LONG)[at]).T
        white = np.zeros_like(rest)
        for i in range(len(at)):
            white[i] = (rest[i] - lower[i, :i] @ white[:i]) / lower[i, i]
        out[rows] = -0.5 * ((white**2).sum(axis=0) + len(at) * np.log(2 * LONG(np.pi)))
        out[rows] -= np.log(np.diag(lower)).sum()
    return out
