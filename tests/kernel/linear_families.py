"""All linear families with rows that suit them, and E-steps of them."""

from dataclasses import replace

import numpy as np

from clustered_rows import positive, with_holes
from dem.core.block import Block
from dem.families import Categorical, DiagonalGaussian, Gamma, Poisson
from dem.families.family import with_missing
from dem.families.product import product
from dem.models.mixture.kernel import MixtureParams
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from families.kinds import KINDS
from kernel.e_steps import EStep
from own_family import Rayleigh


def mixed(seed=0, n=300):
    """Return positive numbers and codes: columns of a Gaussian, gamma, Poisson and categorical part."""
    x = positive(seed, n)
    return np.column_stack([x, np.floor(x[:, ::-1]), np.clip(np.floor(x[:, 0]), 0, 3)])


def stacked(*more):
    """Return a product of families for the columns of `mixed`, and more parts."""
    parts = [("a", (0, 4), DiagonalGaussian()), ("b", (1,), Gamma()), ("c", (3, 5), Poisson()), *more]
    return product(parts)


OWN = product([("own", (1, 2), Rayleigh()), ("normal", (0,), DiagonalGaussian())])
PRODUCTS = {
    "product": (stacked(("d", (2,), Gamma()), ("e", (6,), Categorical(4))), mixed),
    "own": (Rayleigh(), positive),
    "product-with-own": (OWN, positive),
}
LINEAR = {name: (kind.fitted, kind.values) for name, kind in KINDS.items() if kind.fitted.linear is not None} | PRODUCTS
MISSING = [name for name in LINEAR if name in PRODUCTS or KINDS[name].takes_missing]
"""Those whose values may be missing."""


def e_step(name, precision, *, missing=False, n=300):
    """Return the E-step of a family of `LINEAR` on n rows of its own."""
    family, rows = LINEAR[name]
    x = with_holes(rows, n=n) if missing else rows(0, n)
    return family_e_step(family, x.astype(precision.dtype), precision)


def family_e_step(family, x, precision, k=3, seed=0):
    """Return the E-step of k components of a family, from random responsibilities of the rows x (n, d)."""
    rng = np.random.default_rng(seed)
    scan = completed_scan(Scanner(x.shape[1], family.needs_scatter, len(x), 0, None, family)()(Block(x)))
    frame = family.frame(scan.sample.x)
    bound = family.bind(scan, frame)
    resp = rng.dirichlet(np.full(k, 0.5), size=len(scan.sample.x)).T
    theta = bound.initial(np.ascontiguousarray(scan.sample.x.T), resp)
    params = MixtureParams(rng.dirichlet(np.full(k, 5.0)), theta)
    used = with_missing(bound) if np.isnan(x).any() else bound
    return EStep(used, params, precision, frame, x)


def weighted(step, seed=1):
    """Return the E-step with weights, of which some are 0."""
    rng = np.random.default_rng(seed)
    n = len(step.x)
    return replace(step, weight=rng.exponential(size=n) * (rng.random(n) < 0.8))
