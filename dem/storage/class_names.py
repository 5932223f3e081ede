"""The names of classes in saved files. They stay the same when code moves, so files of all versions can be read.

A name is "module:class". If a class has moved or was renamed since version 0.1.0, files still use its first name,
because the checksums and digests in old files were computed with it.
"""

from __future__ import annotations

MOVED_MODULES = {
    "dem.em": "dem.em.loop",
    "dem.families.factor_algebra": "dem.families.factors.algebra",
    "dem.families.factor_analysers": "dem.families.factors.family",
    "dem.families.factor_columns": "dem.families.factors.columns",
    "dem.families.factor_e_step": "dem.families.factors.e_step",
    "dem.families.factor_missing": "dem.families.factors.missing",
    "dem.families.factor_missing_algebra": "dem.families.factors.missing_algebra",
    "dem.families.factor_missing_e_step": "dem.families.factors.missing_e_step",
    "dem.families.factor_noise": "dem.families.factors.noise",
    "dem.families.gaussian": "dem.families.gaussian.base",
    "dem.families.gaussian_diag": "dem.families.gaussian.diag",
    "dem.families.gaussian_full": "dem.families.gaussian.full",
    "dem.families.gaussian_missing": "dem.families.gaussian.missing",
    "dem.families.gaussian_spherical": "dem.families.gaussian.spherical",
    "dem.families.gaussian_tied": "dem.families.gaussian.tied",
    "dem.families.marginal": "dem.families.gaussian.missing_patterns",
    "dem.families.observed_columns": "dem.families.gaussian.missing_columns",
    "dem.families.scattered": "dem.families.gaussian.missing_rows",
    "dem.frame": "dem.core.coordinate_frame",
    "dem.measure": "dem.scan.support",
    "dem.models.bayesian_mixture": "dem.models.mixture.bayesian",
    "dem.models.bayesian_pca": "dem.models.latent.bayesian_pca",
    "dem.models.factor_analysis": "dem.models.latent.factor_analysis",
    "dem.models.kmeans": "dem.models.kmeans.kmeans",
    "dem.models.kmeans_kernel": "dem.models.kmeans.kernel",
    "dem.models.kmeans_missing": "dem.models.kmeans.missing",
    "dem.models.latent_algebra": "dem.models.latent.algebra",
    "dem.models.latent_kernel": "dem.models.latent.kernel",
    "dem.models.latent_missing": "dem.models.latent.missing",
    "dem.models.linear_latent": "dem.models.latent.model",
    "dem.models.mixing": "dem.models.mixture.mixing",
    "dem.models.mixture": "dem.models.mixture.mixture",
    "dem.models.mixture_factors": "dem.models.mixture.factors",
    "dem.models.mixture_kernel": "dem.models.mixture.kernel",
    "dem.models.normal_wishart": "dem.models.mixture.normal_wishart",
    "dem.models.pattern_kernel": "dem.models.mixture.pattern_kernel",
    "dem.models.ppca": "dem.models.latent.ppca",
    "dem.models.ppca_algebra": "dem.models.latent.closed_form",
    "dem.models.prior": "dem.models.mixture.prior",
    "dem.moments": "dem.scan.moments",
    "dem.sample": "dem.scan.sample",
    "dem.scan": "dem.scan.scanner",
    "dem.seeding": "dem.em.seeding",
    "dem.start": "dem.em.starts",
    "dem.stats": "dem.core.stats",
}
"""From the name of a module in files to its current name."""
MOVED_CLASSES = {
    "dem.models.mixture_kernel:Precision": "dem.models.mixture.precision:Precision",
    "dem.moments:Columns": "dem.scan.moments:ColumnMoments",
}
"""From the name of a class in files to its current name, for classes that `MOVED_MODULES` does not cover."""
_MODULES_IN_FILES = {now: first for first, now in MOVED_MODULES.items()}
_CLASSES_IN_FILES = {now: first for first, now in MOVED_CLASSES.items()}


def name_in_files(kind: type) -> str:
    """Return the name of a class in files: "module:class"."""
    module, qualified = kind.__module__, kind.__qualname__
    return _CLASSES_IN_FILES.get(f"{module}:{qualified}", f"{_MODULES_IN_FILES.get(module, module)}:{qualified}")


def current_name(name: str) -> tuple[str, str]:
    """Return the current module and class, given the name of a class in files."""
    module, _, qualified = MOVED_CLASSES.get(name, name).partition(":")
    return MOVED_MODULES.get(module, module), qualified
