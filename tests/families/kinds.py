"""The table of families for all tests: rows that suit each, and SciPy's densities beside it.

A new family gets one entry in KINDS, under its name in `FAMILIES`. The laws of all models (`laws.py`), the comparisons
with SciPy and the tests with missing values take their cases from there. Where all columns are independent, `columns`
and `entries` give the functions of `Known`. The rows come from `clustered_rows.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from clustered_rows import angles, binary, codes, counts, counts_from_zero, data, directions, positive
from dem.families import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Exponential,
    FullGaussian,
    Gamma,
    GaussianFamily,
    Geometric,
    LogNormal,
    Multinomial,
    Poisson,
    SphericalGaussian,
    StudentT,
    TiedGaussian,
    VonMises,
    VonMisesFisher,
)
from dem.families.gaussian.base import Gaussians
from dem.families.student_t import StudentTs
from families.densities import (
    CATEGORICAL,
    FISHER,
    FULL_GAUSSIAN,
    MULTINOMIAL,
    SIZES,
    STUDENT_T,
    VON_MISES,
    bernoulli,
    columns,
    entries,
    exponential,
    failures,
    gamma,
    log_density,
    log_normal,
    normal,
    of,
    poisson,
    spherical_from,
    trials,
    unit,
    von_mises,
)


@dataclass(frozen=True)
class Known:
    """Two components with known parameters, and what SciPy says of them.

    Attributes
    ----------
    components : tuple of dict
        Their parameters by name, without the components' axis.
    log_pdf : callable
        From a component's parameters and rows (n, d) to log-densities (n,).
    moments : callable
        From a component's parameters to the rows' mean and covariance.
    free, bound : callable
        From a component's parameters to a vector without bounds, and back.
    n_parameters : int
        Free ones of one component.
    constant : list of float or None
        A row: copies of it leave nothing to spread, and the family has a finite estimate all the same.
    wrong : tuple of float and str, or None
        A value of column 1 that the family refuses, and the values that it takes, in words.
    """

    components: tuple[dict, ...]
    log_pdf: Callable
    moments: Callable
    free: Callable
    bound: Callable
    n_parameters: int
    constant: list[float] | None = None
    wrong: tuple[float, str] | None = None


@dataclass(frozen=True)
class Kind:
    """A family, and what the tests need to know of it.

    Attributes
    ----------
    family : Family
        As it is compared with SciPy.
    values : callable
        From a seed and n to rows (n, 3) in clusters, of values that the family takes.
    known : Known or None
        None for a family of which a component alone has no density: another kind of the same name has one.
    distribution : callable or None
        From a component's parameters to SciPy's distribution of each column; None where columns depend on each other.
    of_values : Family or None
        The family that is fitted to `values`, where it is not `family`.
    move : callable or None
        From parameters theta, a shift and a scale to those of (x + shift) * scale; None where values have no unit.
    shifts, column_scales : bool
        Whether shifted data, and data scaled by column, give a model of the same kind.
    takes_missing : bool
        Whether values may be missing.
    """

    family: Any
    values: Callable
    known: Known | None = None
    distribution: Callable | None = None
    of_values: Any = None
    move: Callable | None = None
    shifts: bool = False
    column_scales: bool = True
    takes_missing: bool = True

    @property
    def fitted(self):
        """The family of three columns that is fitted to `values`."""
        return self.family if self.of_values is None else self.of_values

    @property
    def theta(self):
        return self.stacked(self.known.components)

    def stacked(self, components):
        """Return the parameters as the family has them."""
        arrays = {name: np.array([c[name] for c in components]) for name in components[0]}
        if isinstance(self.family, LogNormal):
            return Gaussians(arrays["mu"], arrays["sigma"] ** 2, 1 / arrays["sigma"])
        if isinstance(self.family, GaussianFamily):
            return self.family.from_covariances(arrays["means"], arrays["covariances"])
        if isinstance(self.family, StudentT):
            gaussians = self.family.gaussian.from_covariances(arrays["means"], arrays["covariances"])
            return StudentTs(gaussians, arrays["degrees_of_freedom"])
        return arrays

    def apart(self, theta):
        """Return each component's parameters, given those of all as the family has them."""
        named = theta if isinstance(theta, dict) else self.family.named_parameters(theta)
        return [{name: values[k] for name, values in named.items()} for k in range(len(next(iter(named.values()))))]

    def rows(self, n, rng):
        """Return n rows, half of each known component."""
        return np.concatenate([self.family.draw(self.theta, k, n // 2, rng) for k in (0, 1)])

    def log_densities(self, theta, x):
        """Return SciPy's log-density (K, n, d) of each value, where the columns are independent."""
        return np.array([log_density(self.distribution(c), x) for c in self.apart(theta)])


def rates_moved(theta, shift, scale):
    return {**theta, "rate": theta["rate"] / scale}


def logs_moved(theta, shift, scale):
    return replace(theta, means=theta.means + np.log(scale))


def gaussians_moved(theta, shift, scale):
    """Return the Gaussians of (x + shift) * scale, given those of x; `scale` may be one per column."""
    d = theta.means.shape[1]
    s = np.broadcast_to(np.asarray(scale, float), d)
    matrices = (theta.covariances.shape[-2:] == (d, d) and theta.covariances.ndim == 3) or (
        theta.covariances.shape == (d, d) and theta.precisions_cholesky[1:, 0].max() == 0
    )
    if matrices:
        covariances, factor = theta.covariances * s[:, None] * s, theta.precisions_cholesky / s[:, None]
    else:
        s = s if theta.covariances.ndim == 2 else s[0]
        covariances, factor = theta.covariances * s**2, theta.precisions_cholesky / s
    return replace(theta, means=(theta.means + shift) * scale, covariances=covariances, precisions_cholesky=factor)


def students_moved(theta, shift, scale):
    return replace(theta, gaussians=gaussians_moved(theta.gaussians, shift, scale))


KINDS = {
    "gaussian-full": Kind(
        FullGaussian(),
        data,
        Known(
            (of(means=[1.0, -2.0], covariances=[[2.0, 0.5], [0.5, 1.0]]),
             of(means=[-3.0, 2.0], covariances=[[1.0, -0.3], [-0.3, 0.5]])),
            *FULL_GAUSSIAN, n_parameters=2 + 3,
        ),
        move=gaussians_moved, shifts=True,
    ),
    "gaussian-tied": Kind(TiedGaussian(), data, move=gaussians_moved, shifts=True),
    "gaussian-diag": Kind(
        DiagonalGaussian(),
        data,
        Known(
            (of(means=[1.0, -2.0], covariances=[2.0, 1.0]), of(means=[-3.0, 2.0], covariances=[1.0, 0.5])),
            *columns(normal), *entries(means="real", covariances="log"), n_parameters=2 + 2,
        ),
        normal, move=gaussians_moved, shifts=True,
    ),
    "gaussian-spherical": Kind(
        SphericalGaussian(),
        data,
        Known(
            (of(means=[1.0, -2.0], covariances=2.0), of(means=[-3.0, 2.0], covariances=0.5)),
            *columns(normal), lambda c: np.append(c["means"], np.log(c["covariances"])), spherical_from,
            n_parameters=2 + 1,
        ),
        normal, move=gaussians_moved, shifts=True, column_scales=False,
    ),
    "bernoulli": Kind(
        Bernoulli(),
        binary,
        Known(
            (of(probability=[0.2, 0.7, 0.1, 0.8, 0.3]), of(probability=[0.6, 0.3, 0.9, 0.4, 0.8])),
            *columns(bernoulli), *entries(probability="logit"),
            n_parameters=5, constant=[0, 1, 1, 0, 0], wrong=(2.0, "0 or 1"),
        ),
        bernoulli,
    ),
    "categorical": Kind(
        Categorical(SIZES),
        codes,
        Known(
            (of(probabilities=[0.2, 0.8, 0.5, 0.3, 0.2, 0.1, 0.2, 0.3, 0.4]),
             of(probabilities=[0.7, 0.3, 0.1, 0.1, 0.8, 0.5, 0.3, 0.1, 0.1])),
            *CATEGORICAL, n_parameters=1 + 2 + 3, constant=[0, 2, 1], wrong=(3.0, "the codes 0 to 2"),
        ),
        of_values=Categorical((2, 5, 5)),
    ),
    "exponential": Kind(
        Exponential(),
        positive,
        Known(
            (of(rate=[0.1, 3.0]), of(rate=[1.0, 20.0])),
            *columns(exponential), *entries(rate="log"),
            n_parameters=2, constant=[0, 3.0], wrong=(-1.0, "numbers >= 0"),
        ),
        exponential, move=rates_moved,
    ),
    "gamma": Kind(
        Gamma(np.array([2.0, 30.0])),
        positive,
        Known(
            (of(shape=[2.0, 0.5], rate=[3.0, 0.01]), of(shape=[5.0, 40.0], rate=[1.0, 0.5])),
            *columns(gamma), *entries(shape="log", rate="log"),
            n_parameters=4, constant=[0.1, 300.0], wrong=(0.0, "numbers > 0"),
        ),
        gamma, of_values=Gamma(), move=rates_moved,
    ),
    "geometric": Kind(
        Geometric(),
        counts,
        Known(
            (of(probability=[0.1, 0.7]), of(probability=[0.5, 0.2])),
            *columns(trials), *entries(probability="logit"),
            n_parameters=2, constant=[1, 4], wrong=(0.0, "the counts 1, 2, 3, ..."),
        ),
        trials,
    ),
    "geometric-failures": Kind(
        Geometric(first=0),
        counts_from_zero,
        Known(
            (of(probability=[0.1, 0.7]), of(probability=[0.5, 0.2])),
            *columns(failures), *entries(probability="logit"),
            n_parameters=2, constant=[0, 3], wrong=(1.5, "the counts 0, 1, 2, ..."),
        ),
        failures,
    ),
    "lognormal": Kind(
        LogNormal(),
        positive,
        Known(
            (of(mu=[0.5, -3.0], sigma=[0.3, 0.7]), of(mu=[2.0, -2.0], sigma=[0.5, 0.2])),
            *columns(log_normal), *entries(mu="real", sigma="log"),
            n_parameters=4, constant=[0.1, 300.0], wrong=(-2.0, "numbers > 0"),
        ),
        log_normal, move=logs_moved,
    ),
    "multinomial": Kind(
        Multinomial(20),
        counts,
        Known(
            (of(probabilities=[0.2, 0.5, 0.3]), of(probabilities=[0.6, 0.1, 0.3])),
            *MULTINOMIAL, n_parameters=2, constant=[0, 0, 0], wrong=(-1.0, "the counts 0, 1, 2, ..."),
        ),
    ),
    "poisson": Kind(
        Poisson(),
        counts,
        Known(
            (of(rate=[2.0, 0.3, 50.0]), of(rate=[6.0, 1.0, 40.0])),
            *columns(poisson), *entries(rate="log"),
            n_parameters=3, constant=[0, 7, 1], wrong=(0.5, "the counts 0, 1, 2, ..."),
        ),
        poisson,
    ),
    "studentt": Kind(
        StudentT(reg_covar=0),
        data,
        Known(
            (of(means=[1.0, -2.0], covariances=[[2.0, 0.5], [0.5, 1.0]], degrees_of_freedom=6.0),
             of(means=[-3.0, 2.0], covariances=[[1.0, -0.3], [-0.3, 0.5]], degrees_of_freedom=5.0)),
            *STUDENT_T, n_parameters=2 + 3 + 1, constant=[1.0, -3.0],
        ),
        move=students_moved, shifts=True,
    ),
    "studentt-diag": Kind(StudentT("diag", reg_covar=0), data, move=students_moved, shifts=True),
    "vonmises": Kind(
        VonMises(),
        angles,
        Known(
            (of(mean_direction=[0.5, -3.0], concentration=[3.0, 0.7]),
             of(mean_direction=[2.5, 1.0], concentration=[8.0, 5.0])),
            *VON_MISES, n_parameters=4, constant=[0.0, 3.0],
        ),
        von_mises,
    ),
    "vonmisesfisher": Kind(
        VonMisesFisher(),
        directions,
        Known(
            ({"mean_direction": unit(1.0, 2, 3), "concentration": 7.0},
             {"mean_direction": unit(-1.0, 1, 0), "concentration": 2.0}),
            *FISHER, n_parameters=3, constant=[0.0, 1.0, 0.0],
        ),
        takes_missing=False,
    ),
}  # fmt: skip
"""The library's families by name, some in several kinds: "geometric-failures" is one of "geometric"."""
VALUES = {name.split("-")[0]: kind.values for name, kind in reversed(KINDS.items())}
"""Rows that suit each family of the library with its default settings."""
KNOWN = {name: kind for name, kind in KINDS.items() if kind.known}
"""Those that are compared with SciPy's densities."""
