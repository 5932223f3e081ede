"""The Gaussian families whose E-step is a value, which the native kernel reads: a `FeatureMap` and a `CentredMap`.

With missing values it is a `MissingMap`, or a `FeatureMap` if the columns are independent.

The table has exact types: a subclass may compute other densities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dem.families.gaussian.base import LOG_2PI, Gaussians, matrix_map
from dem.families.gaussian.centred_map import CentredMap
from dem.families.gaussian.diag import DiagonalGaussian
from dem.families.gaussian.full import FullGaussian, ObservedFull
from dem.families.gaussian.missing_map import MissingMap
from dem.families.gaussian.spherical import SphericalGaussian
from dem.families.gaussian.tied import ObservedTied, TiedGaussian


@dataclass(frozen=True)
class GaussianForm:
    """The form of a family's E-step.

    Attributes
    ----------
    centred_map : callable
        From parameters to the exact path as a value.
    has_matrices : bool
        Whether the factors of the exact path are matrices; otherwise the columns are independent.
    one_square : bool
        Whether the family needs only the sum of the squares of all columns.
    """

    centred_map: Callable[[Gaussians], CentredMap]
    has_matrices: bool
    one_square: bool = False


def independent_map(theta: Gaussians) -> CentredMap:
    """Return the exact path of Gaussians with a variance for each column, or one for all columns, as a value."""
    d = theta.means.shape[1]
    roots = theta.precisions_cholesky
    factors = np.broadcast_to(roots if roots.ndim == 2 else roots[:, None], theta.means.shape)
    return CentredMap(theta.means, factors, np.log(factors).sum(axis=1) - 0.5 * d * LOG_2PI)


FORMS: dict[type, GaussianForm] = {
    FullGaussian: GaussianForm(matrix_map, has_matrices=True),
    TiedGaussian: GaussianForm(matrix_map, has_matrices=True),
    DiagonalGaussian: GaussianForm(independent_map, has_matrices=False),
    SphericalGaussian: GaussianForm(independent_map, has_matrices=False, one_square=True),
}


def gaussian_form(family: Any) -> GaussianForm | None:
    """Return the form of a family's E-step; None if it is Python code only."""
    return FORMS.get(type(family))


def has_missing_map(family: Any) -> bool:
    """Whether the E-step of a family of rows with missing values is a `MissingMap`, for most parameters."""
    return type(family) in (ObservedFull, ObservedTied)


def missing_map(family: Any, theta: Any) -> MissingMap | None:
    """Return a family's E-step on rows with missing values; None if it is Python code only, for these parameters."""
    return MissingMap.of(theta) if has_missing_map(family) else None
