"""The families of Student's t whose E-step is a value, which the native kernel reads: a `StudentMap`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import digamma

from dem.core.block import Float
from dem.families.gaussian.centred_map import CentredMap
from dem.families.gaussian.forms import GaussianForm, gaussian_form
from dem.families.student_t import StudentT, StudentTs


@dataclass(frozen=True, eq=False)
class StudentMap:
    """K Student's t distributions: log t(x) = constant - (nu + d) / 2 log(1 + D / nu), with D = |U' (x - mu)|^2.

    Attributes
    ----------
    gaussians : CentredMap
        The means and U, with the constants of Student's t.
    degrees_of_freedom : array of shape (K,)
        nu.
    log_u : array of shape (K,)
        E log u where D is 0: E log u = log_u - log(1 + D / nu).
    """

    gaussians: CentredMap
    degrees_of_freedom: Float
    log_u: Float


@dataclass(frozen=True)
class StudentForm:
    """The form of a family's E-step.

    Attributes
    ----------
    family : StudentT
    gaussian : GaussianForm
        That of the Gaussians given u.
    """

    family: StudentT
    gaussian: GaussianForm

    def student_map(self, theta: StudentTs) -> StudentMap:
        """Return the exact path as a value."""
        nu, d = theta.degrees_of_freedom, theta.gaussians.means.shape[1]
        found = replace(self.gaussian.centred_map(theta.gaussians), constants=self.family.log_normalisers(theta))
        return StudentMap(found, nu, digamma((nu + d) / 2) - np.log(nu / 2))


def student_form(family: Any) -> StudentForm | None:
    """Return the form of a family's E-step; None if it is Python code only: a subclass may compute other densities."""
    form = gaussian_form(family.gaussian) if type(family) is StudentT else None
    return None if form is None else StudentForm(family, form)
