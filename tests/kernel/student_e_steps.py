"""E-steps of mixtures of Student's t, and their sums in long double."""

import numpy as np

from dem.families import StudentT
from dem.families.student_form import student_form
from dem.families.student_t import StudentTs
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.precision import Precision
from kernel.e_steps import LONG, EStep, about_means, mixture_e_step, sums_of


def student_e_step(kind, d, k, rng, *, nu=3.0, n=250, spread=1.0, weighted=False):
    """Return the E-step of a random mixture with these degrees of freedom, on rows with outliers."""
    step = mixture_e_step(kind, d, k, Precision.CENTRED, rng, n=n, spread=spread, weighted=weighted)
    x = step.x + rng.standard_t(1.5, size=step.x.shape)
    theta = StudentTs(step.params.theta, np.full(k, nu))
    return EStep(StudentT(kind), MixtureParams(step.params.weights, theta), Precision.CENTRED, None, x, step.weight)


def student_in_long_double(step):
    """Return the sums of the same numbers that the kernels are given, straight from the formulas.

    NumPy's E log u is a difference, whose terms count as its magnitude.
    """
    weight = np.ones(len(step.x)) if step.weight is None else step.weight
    rows, weight = step.x[weight > 0].astype(LONG), weight[weight > 0].astype(LONG)
    found, d = student_form(step.family).student_map(step.params.theta), rows.shape[1]
    half, features = about_means(found.gaussians, rows)
    distance = 2 * half
    nu = found.degrees_of_freedom.astype(LONG)[:, None]
    constants = (found.gaussians.constants + step.params.log_weights).astype(LONG)[:, None]
    log = np.log1p(distance / nu)
    u, log_u = (nu + d) / (nu + distance), found.log_u.astype(LONG)[:, None] - log
    size = np.abs(np.log(nu / 2)) + np.abs(np.log((nu + distance) / 2)) + np.abs(found.log_u[:, None]) + log
    ones, weighted = np.ones_like(u), u[:, None] * features
    both = [np.stack([ones, part], axis=1) for part in (log_u, size)]
    return sums_of(
        weight,
        constants - (nu + d) / 2 * log,
        np.abs(constants) + (nu + d) / 2 * log,
        np.concatenate([both[0], weighted], axis=1),
        np.concatenate([both[1], np.abs(weighted)], axis=1),
    )
