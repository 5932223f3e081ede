"""Each family beside SciPy's densities: parameters of single components, and the same as free vectors.

Nothing of dem is used for the densities, so that likelihoods written with these are independent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats
from scipy.special import expit, logit, softmax

from dem.families import (
    Bernoulli,
    Categorical,
    Exponential,
    Gamma,
    Geometric,
    LogNormal,
    Multinomial,
    Poisson,
    StudentT,
    VonMises,
    VonMisesFisher,
)
from dem.families.gaussian.base import Gaussians
from dem.families.student_t import StudentTs


@dataclass(frozen=True)
class Kind:
    """A family, two components, and what SciPy says of them.

    Attributes
    ----------
    family : Family
    components : tuple of dict
        Their parameters by name, without the components' axis.
    log_pdf : callable
        From a component's parameters and rows (n, d) to log-densities (n,).
    moments : callable
        From a component's parameters to the rows' mean and covariance.
    free, bound : callable
        From a component's parameters to a vector without bounds, and back.
    """

    family: Any
    components: tuple[dict, ...]
    log_pdf: Callable
    moments: Callable
    free: Callable
    bound: Callable

    @property
    def theta(self):
        return self.stacked(self.components)

    def stacked(self, components):
        """Return the parameters as the family has them."""
        arrays = {name: np.array([c[name] for c in components]) for name in components[0]}
        if isinstance(self.family, LogNormal):
            return Gaussians(arrays["mu"], arrays["sigma"] ** 2, 1 / arrays["sigma"])
        if isinstance(self.family, StudentT):
            gaussians = self.family.gaussian.from_covariances(arrays["means"], arrays["covariances"])
            return StudentTs(gaussians, arrays["degrees_of_freedom"])
        return arrays

    def apart(self, theta):
        """Return each component's parameters, given those of all as the family has them."""
        named = theta if isinstance(theta, dict) else self.family.named(theta)
        return [{name: values[k] for name, values in named.items()} for k in range(len(next(iter(named.values()))))]

    def rows(self, n, rng):
        """Return n rows, half of each component."""
        return np.concatenate([self.family.draw(self.theta, k, n // 2, rng) for k in (0, 1)])


def columns(distribution):
    """Return log-density and moments of independent columns of a SciPy distribution."""

    def log_pdf(c, x):
        of = distribution(c)
        return (of.logpmf(x) if hasattr(of.dist, "pmf") else of.logpdf(x)).sum(axis=1)

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


VON_MISES = (
    columns(lambda c: stats.vonmises(c["concentration"], c["mean_direction"]))[0],
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


def free_t(c):
    factor = np.linalg.cholesky(c["covariances"])
    return np.concatenate([c["means"], factor[LOWER], [np.log(c["degrees_of_freedom"])]])


def bound_t(v):
    factor = np.zeros((2, 2))
    factor[LOWER] = v[2:5]
    return {"means": v[:2], "covariances": factor @ factor.T, "degrees_of_freedom": np.exp(v[5])}


def log_pdf_t(c, x):
    return stats.multivariate_t(c["means"], c["covariances"], df=c["degrees_of_freedom"]).logpdf(x)


STUDENT_T = (
    log_pdf_t,
    lambda c: (c["means"], c["covariances"] * c["degrees_of_freedom"] / (c["degrees_of_freedom"] - 2)),
    free_t,
    bound_t,
)


def of(**parameters):
    return {name: np.array(value) for name, value in parameters.items()}


def unit(*values):
    return np.array(values) / np.linalg.norm(values)


def log_normal(c):
    return stats.lognorm(c["sigma"], scale=np.exp(c["mu"]))


KINDS = {
    "bernoulli": Kind(
        Bernoulli(),
        (of(probability=[0.2, 0.7, 0.1, 0.8, 0.3]), of(probability=[0.6, 0.3, 0.9, 0.4, 0.8])),
        *columns(lambda c: stats.bernoulli(c["probability"])),
        *entries(probability="logit"),
    ),
    "categorical": Kind(
        Categorical(SIZES),
        (of(probabilities=[0.2, 0.8, 0.5, 0.3, 0.2, 0.1, 0.2, 0.3, 0.4]),
         of(probabilities=[0.7, 0.3, 0.1, 0.1, 0.8, 0.5, 0.3, 0.1, 0.1])),
        *CATEGORICAL,
    ),
    "exponential": Kind(
        Exponential(),
        (of(rate=[0.1, 3.0]), of(rate=[1.0, 20.0])),
        *columns(lambda c: stats.expon(scale=1 / c["rate"])),
        *entries(rate="log"),
    ),
    "gamma": Kind(
        Gamma(np.array([2.0, 30.0])),
        (of(shape=[2.0, 0.5], rate=[3.0, 0.01]), of(shape=[5.0, 40.0], rate=[1.0, 0.5])),
        *columns(lambda c: stats.gamma(c["shape"], scale=1 / c["rate"])),
        *entries(shape="log", rate="log"),
    ),
    "geometric": Kind(
        Geometric(),
        (of(probability=[0.1, 0.7]), of(probability=[0.5, 0.2])),
        *columns(lambda c: stats.geom(c["probability"])),
        *entries(probability="logit"),
    ),
    "geometric-failures": Kind(
        Geometric(first=0),
        (of(probability=[0.1, 0.7]), of(probability=[0.5, 0.2])),
        *columns(lambda c: stats.geom(c["probability"], loc=-1)),
        *entries(probability="logit"),
    ),
    "lognormal": Kind(
        LogNormal(),
        (of(mu=[0.5, -3.0], sigma=[0.3, 0.7]), of(mu=[2.0, -2.0], sigma=[0.5, 0.2])),
        *columns(log_normal),
        *entries(mu="real", sigma="log"),
    ),
    "multinomial": Kind(
        Multinomial(20),
        (of(probabilities=[0.2, 0.5, 0.3]), of(probabilities=[0.6, 0.1, 0.3])),
        *MULTINOMIAL,
    ),
    "poisson": Kind(
        Poisson(),
        (of(rate=[2.0, 0.3, 50.0]), of(rate=[6.0, 1.0, 40.0])),
        *columns(lambda c: stats.poisson(c["rate"])),
        *entries(rate="log"),
    ),
    "studentt": Kind(
        StudentT(reg_covar=0),
        (of(means=[1.0, -2.0], covariances=[[2.0, 0.5], [0.5, 1.0]], degrees_of_freedom=6.0),
         of(means=[-3.0, 2.0], covariances=[[1.0, -0.3], [-0.3, 0.5]], degrees_of_freedom=5.0)),
        *STUDENT_T,
    ),
    "vonmises": Kind(
        VonMises(),
        (of(mean_direction=[0.5, -3.0], concentration=[3.0, 0.7]),
         of(mean_direction=[2.5, 1.0], concentration=[8.0, 5.0])),
        *VON_MISES,
    ),
    "vonmisesfisher": Kind(
        VonMisesFisher(),
        ({"mean_direction": unit(1.0, 2, 3), "concentration": 7.0},
         {"mean_direction": unit(-1.0, 1, 0), "concentration": 2.0}),
        *FISHER,
    ),
}  # fmt: skip
"""All families that are not Gaussian."""
