"""The table of families by name, with the settings that users can give.

The estimators, the command line, its help texts and the tests all read this table. A new family gets one line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, get_type_hints

from dem.families.bernoulli import Bernoulli
from dem.families.categorical import Categorical
from dem.families.exponential import Exponential
from dem.families.family import Family
from dem.families.gamma import Gamma
from dem.families.gaussian.base import GaussianFamily
from dem.families.gaussian.diag import DiagonalGaussian
from dem.families.gaussian.full import FullGaussian
from dem.families.gaussian.spherical import SphericalGaussian
from dem.families.gaussian.tied import TiedGaussian
from dem.families.geometric import Geometric
from dem.families.lognormal import LogNormal
from dem.families.multinomial import Multinomial
from dem.families.poisson import Poisson
from dem.families.reg_covar import check_given_reg_covar
from dem.families.student_t import StudentT
from dem.families.vonmises import VonMises
from dem.families.vonmises_fisher import VonMisesFisher

COVARIANCE_TYPES: dict[str, type[GaussianFamily]] = {
    "full": FullGaussian,
    "tied": TiedGaussian,
    "diag": DiagonalGaussian,
    "spherical": SphericalGaussian,
}
"""scikit-learn's names of the Gaussian families."""


def Gaussian(covariance_type: str = "full", reg_covar: float | None = None) -> GaussianFamily:  # noqa: N802
    """Return the Gaussian family of a covariance type: "full", "tied", "diag" or "spherical".

    Parameters
    ----------
    covariance_type : str
    reg_covar : float or None
        Added to the diagonal of the covariances after the M-step, in squared units of the data. None: 1e-6 times the
        variance of each column (spherical: times their mean), and 1e-6 for a constant column.

    Raises
    ------
    ValueError
        If there is no such type, or `reg_covar` is negative or infinite.
    """
    if covariance_type not in COVARIANCE_TYPES:
        raise ValueError(f"covariance_type must be one of {', '.join(COVARIANCE_TYPES)}, got {covariance_type!r}")
    check_given_reg_covar(reg_covar)
    return COVARIANCE_TYPES[covariance_type](reg_covar)


@dataclass(frozen=True)
class Setting:
    """A setting of a family: a parameter of its constructor that users can give as text.

    Attributes
    ----------
    name : str
    kind : type
        The type of its values, as declared by the constructor, such as ``int | None``.
    default : object
    description : str
    """

    name: str
    kind: Any
    default: Any
    description: str

    def __str__(self) -> str:
        """Return the setting with its default, as users write it: "first=1"."""
        return f"{self.name}={'none' if self.default is None else self.default}"


@dataclass(frozen=True)
class NamedFamily:
    """A line of the table. Calling it makes the family, like the constructor.

    Attributes
    ----------
    make : callable
        The constructor.
    description : str
        The values that the family is for.
    settings : tuple of Setting
        The first one can be given without its name: "studentt:diag" is "studentt:covariance_type=diag".
    """

    make: Callable[..., Family[Any]]
    description: str
    settings: tuple[Setting, ...]

    def __call__(self, *args: Any, **settings: Any) -> Family[Any]:
        """Return the family with these settings."""
        return self.make(*args, **settings)


def table_line(make: Callable[..., Family[Any]], description: str, **settings: str) -> NamedFamily:
    """Return a line of the table.

    Parameters
    ----------
    make : callable
        The family's constructor. Types and defaults of the settings are taken from it.
    description : str
        The values that the family is for.
    **settings : str
        For each parameter of `make` that users can give: its description.

    Raises
    ------
    TypeError
        A parameter has no default: the name alone must make a family.
    """
    parameters = signature(make).parameters
    if bare := [name for name, parameter in parameters.items() if parameter.default is Parameter.empty]:
        raise TypeError(f"{make.__name__} needs a default for {', '.join(bare)}: its name alone must make a family")
    if not settings:
        return NamedFamily(make, description, ())
    kinds = get_type_hints(make)
    known = (Setting(name, kinds[name], parameters[name].default, words) for name, words in settings.items())
    return NamedFamily(make, description, tuple(known))


_REG_COVAR = "added to variances, in squared units; none: 1e-6 of each column's variance"

FAMILIES: dict[str, NamedFamily] = {
    "bernoulli": table_line(Bernoulli, "0 or 1"),
    "categorical": table_line(
        Categorical,
        "codes 0, 1, 2, ... without order",
        n_categories="how many, of all columns or of each, as in 2,5,5; none: counted in the data",
    ),
    "exponential": table_line(Exponential, "numbers >= 0, such as waiting times"),
    "gamma": table_line(Gamma, "numbers > 0, of any skewness"),
    "gaussian": table_line(
        Gaussian, "real numbers", covariance_type=f"one of {', '.join(COVARIANCE_TYPES)}", reg_covar=_REG_COVAR
    ),
    "geometric": table_line(
        Geometric, "numbers of trials until a success", first="1: the success counts as a trial; 0: it does not"
    ),
    "lognormal": table_line(LogNormal, "numbers > 0 whose logarithms are normal"),
    "multinomial": table_line(
        Multinomial,
        "counts that share a total, all columns together",
        n_trials="the total of a drawn row; none: the mean total of the data",
    ),
    "poisson": table_line(Poisson, "counts 0, 1, 2, ... of rare events"),
    "studentt": table_line(
        StudentT,
        "real numbers with outliers, all columns together",
        covariance_type="one of full, diag",
        degrees_of_freedom="of all components; none: estimated for each",
        reg_covar=_REG_COVAR,
    ),
    "vonmises": table_line(VonMises, "angles in radians"),
    "vonmisesfisher": table_line(VonMisesFisher, "directions: rows of length 1"),
}
"""The families by name."""
