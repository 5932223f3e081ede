"""Densities, moments and free vectors of single components, by SciPy: nothing of dem is used here.

Groups such as CATEGORICAL are log_pdf, moments, free and bound of `Known` (kinds.py), functions of one component's
parameters, a dict of arrays; `columns` gives the first two, `entries` the last two.
"""

import numpy as np
from scipy import stats
from scipy.special import expit, logit, softmax


def log_density(distribution, x):
    """Return SciPy's log-density of each value, whether it is of numbers or of counts."""
    return distribution.logpmf(x) if hasattr(distribution.dist, "pmf") else distribution.logpdf(x)


def columns(distribution):
    """Return log-density and moments of independent columns of a SciPy distribution."""

    def log_pdf(c, x):
        return log_density(distribution(c), x).sum(axis=1)

    return log_pdf, lambda c: (distribution(c).mean(), np.diag(distribution(c).var()))


def entries(**forms):
    """Return `free` and `bound` of parameters that are each mapped entry by entry."""
    there = {"log": np.log, "logit": logit, "real": np.asarray}
    back = {"log": np.exp, "logit": expit, "real": np.asarray}

    def free(c):
        return np.concatenate([np.ravel(there[form](c[name])) for name, form in forms.items()])

    def bound(v):
        return dict(zip(forms, (back[f](p) for f, p in zip(forms.values(), np.split(v, len(forms)), strict=True)),
                        strict=True))  # fmt: skip

    return free, bound


SIZES = (2, 3, 4)


def categories(p):
    return np.split(np.asarray(p), np.cumsum(SIZES)[:-1])


def categorical_moments(c):
    codes = [np.arange(len(p)) for p in categories(c["probabilities"])]
    mean = np.array([p @ k for p, k in zip(categories(c["probabilities"]), codes, strict=True)])
    second = np.array([p @ k**2 for p, k in zip(categories(c["probabilities"]), codes, strict=True)])
    return mean, np.diag(second - mean**2)


CATEGORICAL = (
    lambda c, x: sum(np.log(p)[x[:, j].astype(int)] for j, p in enumerate(categories(c["probabilities"]))),
    categorical_moments,
    lambda c: np.log(c["probabilities"]),
    lambda v: {"probabilities": np.concatenate([softmax(p) for p in categories(v)])},
)
MULTINOMIAL = (
    lambda c, x: stats.multinomial.logpmf(x, x.sum(axis=1).astype(int), c["probabilities"]),
    lambda c: (20 * c["probabilities"], stats.multinomial(20, c["probabilities"]).cov()),
    lambda c: np.log(c["probabilities"]),
    lambda v: {"probabilities": softmax(v)},
)


def von_mises_moments(c):
    """Of cos x: SciPy's mean of an angle is not that of the numbers."""
    angles = np.linspace(-np.pi, np.pi, 20001)[1:, None]
    p = stats.vonmises(c["concentration"], c["mean_direction"]).pdf(angles)
    p /= p.sum(axis=0)
    mean = (p * np.cos(angles)).sum(axis=0)
    return mean, np.diag((p * np.cos(angles) ** 2).sum(axis=0) - mean**2)


def from_pairs(v):
    a, b = np.split(v, 2)
    return {"mean_direction": np.arctan2(b, a), "concentration": np.hypot(a, b)}


def von_mises(c):
    return stats.vonmises(c["concentration"], c["mean_direction"])


VON_MISES = (
    columns(von_mises)[0],
    von_mises_moments,
    lambda c: np.concatenate([c["concentration"] * f(c["mean_direction"]) for f in (np.cos, np.sin)]),
    from_pairs,
)


def fisher_moments(c):
    """In three dimensions: the length of the mean is coth kappa - 1 / kappa (Mardia and Jupp 2000, 9.3.9)."""
    kappa, mu = c["concentration"], c["mean_direction"]
    length = 1 / np.tanh(kappa) - 1 / kappa
    along = 1 - 2 * length / kappa - length**2
    return length * mu, along * np.outer(mu, mu) + length / kappa * (np.eye(3) - np.outer(mu, mu))


FISHER = (
    lambda c, x: stats.vonmises_fisher(c["mean_direction"], c["concentration"]).logpdf(x),
    fisher_moments,
    lambda c: c["concentration"] * c["mean_direction"],
    lambda v: {"mean_direction": v / np.linalg.norm(v), "concentration": np.linalg.norm(v)},
)
LOWER = np.tril_indices(2)


def free_gaussian(c):
    return np.concatenate([c["means"], np.linalg.cholesky(c["covariances"])[LOWER]])


def bound_gaussian(v):
    factor = np.zeros((2, 2))
    factor[LOWER] = v[2:5]
    return {"means": v[:2], "covariances": factor @ factor.T}


FULL_GAUSSIAN = (
    lambda c, x: stats.multivariate_normal(c["means"], c["covariances"]).logpdf(x),
    lambda c: (c["means"], c["covariances"]),
    free_gaussian,
    bound_gaussian,
)
STUDENT_T = (
    lambda c, x: stats.multivariate_t(c["means"], c["covariances"], df=c["degrees_of_freedom"]).logpdf(x),
    lambda c: (c["means"], c["covariances"] * c["degrees_of_freedom"] / (c["degrees_of_freedom"] - 2)),
    lambda c: np.append(free_gaussian(c), np.log(c["degrees_of_freedom"])),
    lambda v: {**bound_gaussian(v), "degrees_of_freedom": np.exp(v[5])},
)


def of(**parameters):
    return {name: np.array(value) for name, value in parameters.items()}


def unit(*values):
    return np.array(values) / np.linalg.norm(values)


def normal(c):
    return stats.norm(c["means"], np.sqrt(c["covariances"]))


def log_normal(c):
    return stats.lognorm(c["sigma"], scale=np.exp(c["mu"]))


def bernoulli(c):
    return stats.bernoulli(c["probability"])


def exponential(c):
    return stats.expon(scale=1 / c["rate"])


def gamma(c):
    return stats.gamma(c["shape"], scale=1 / c["rate"])


def trials(c):
    return stats.geom(c["probability"])


def failures(c):
    return stats.geom(c["probability"], loc=-1)


def poisson(c):
    return stats.poisson(c["rate"])


def spherical_from(v):
    return {"means": v[:2], "covariances": np.exp(v[2])}
