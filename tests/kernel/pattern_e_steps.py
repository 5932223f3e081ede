"""E-steps of full and tied Gaussians of rows with missing values, and their sums in long double."""

from dataclasses import replace

import numpy as np

import reference
from dem.families.family import with_missing
from dem.families.gaussian.base import matrix_map
from dem.models.mixture.precision import Precision
from kernel.e_steps import LONG, mixture_e_step, sums_of


def pattern_e_step(kind, d, k, share, rng, *, n=60, weighted=False):
    """Return the E-step of a random mixture on rows that lack this share of their values, some all and some none."""
    step = mixture_e_step(kind, d, k, Precision.CENTRED, rng, n=n, spread=1.0, weighted=weighted)
    missing = rng.random(step.x.shape) < share
    missing[::11] = rng.random() < share
    return replace(step.on(np.where(missing, np.nan, step.x), step.weight), family=with_missing(step.family))


def missing_in_long_double(step):
    """Return the sums of the same numbers that the kernels are given, straight from the formulas.

    A value that is filled in is a sum of terms as large as the row's residuals, and a conditional covariance is a
    difference of two matrices as large as the covariance.
    """
    weight = np.ones(len(step.x)) if step.weight is None else step.weight
    rows, weight = step.x[weight > 0], weight[weight > 0].astype(LONG)
    theta, (k, d) = step.params.theta, step.params.theta.means.shape
    covariances = np.broadcast_to(theta.covariances, (k, d, d)).astype(LONG)
    joint, residuals, spreads = reference.conditionals(rows, theta.means, covariances)
    joint += step.params.log_weights[:, None]
    row, column = np.triu_indices(d)
    deviations = np.sqrt(np.einsum("kii->ki", covariances))[:, None]
    largest = np.repeat(np.abs(residuals).max(axis=2, keepdims=True), d, axis=2)
    entropies, size = entropies_of(spreads)
    ones = np.ones((k, len(rows), 1), LONG)
    products = residuals[..., row] * residuals[..., column] + spreads[..., row, column]
    sizes = largest[..., row] * largest[..., column] + deviations[..., row] * deviations[..., column]
    constants = np.abs(matrix_map(theta).constants + step.params.log_weights)[:, None]
    return sums_of(
        weight,
        joint,
        constants + np.abs(joint) + size,
        np.concatenate([ones, residuals, products, entropies[..., None]], axis=2).swapaxes(1, 2),
        np.concatenate([ones, largest, sizes, size[..., None]], axis=2).swapaxes(1, 2),
    )


def entropies_of(spreads):
    """Return the entropies (K, n) of what is missing, from its covariances (K, n, d, d), and the sizes of terms."""
    entropies, size = np.zeros((2, *spreads.shape[:2]), LONG)
    for at in np.ndindex(entropies.shape):
        m = np.flatnonzero(np.diag(spreads[at]) > 0)
        logs = np.log(np.diag(reference.cholesky(spreads[at][np.ix_(m, m)])))
        constant = len(m) * (1 + reference.LOG_2PI) / 2
        entropies[at], size[at] = constant + logs.sum(), constant + np.abs(logs).sum()
    return entropies, size
