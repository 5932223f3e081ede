"""Component distributions: the densities of all K components at once, one file each."""

from __future__ import annotations

from dem.families.gaussian import Gaussian, Gaussians
from dem.families.gaussian_diag import DiagonalGaussian
from dem.families.gaussian_full import FullGaussian
from dem.families.gaussian_spherical import SphericalGaussian
from dem.families.gaussian_tied import TiedGaussian

COVARIANCE_TYPES: dict[str, type[Gaussian]] = {
    "full": FullGaussian,
    "tied": TiedGaussian,
    "diag": DiagonalGaussian,
    "spherical": SphericalGaussian,
}
"""scikit-learn's names of the Gaussian families."""

__all__ = [
    "COVARIANCE_TYPES",
    "DiagonalGaussian",
    "FullGaussian",
    "Gaussian",
    "Gaussians",
    "SphericalGaussian",
    "TiedGaussian",
]
