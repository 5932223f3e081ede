"""E-steps of Gaussian mixtures: by the native kernel, by NumPy, and in long double."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.core.linalg import triangle
from dem.families import COVARIANCE_TYPES
from dem.families.gaussian.forms import gaussian_form
from dem.kernel.digest import source_digest
from dem.kernel.kernel_id import KernelId
from dem.kernel.library import library, reason
from dem.models.mixture.kernel import MixtureKernel, MixtureParams, densities_of, eta_of
from dem.models.mixture.native_kernel import native_kernel
from dem.models.mixture.precision import Precision

LONG = np.longdouble
NATIVE = KernelId("native", source_digest())
NEEDS_LIBRARY = pytest.mark.skipif(library() is None, reason=reason())
TOLERANCES = {Precision.SINGLE: 1e-5, Precision.DOUBLE: 1e-12, Precision.CENTRED: 1e-12}
"""Largest errors of sums, relative to the sums of the terms' magnitudes."""
LEFT_OUT = 1e-18
"""Responsibilities below this may be left out of sums."""


@dataclass(frozen=True)
class EStep:
    """A mixture, the arithmetic, and rows."""

    family: Any
    params: MixtureParams
    precision: Precision
    frame: Frame
    x: np.ndarray
    weight: np.ndarray | None = None

    def native(self):
        """Return the native kernel."""
        found = native_kernel(self.family, self.params, self.precision, self.frame, NATIVE)
        assert found is not None
        return found

    def numpy(self):
        """Return NumPy's kernel."""
        densities = densities_of(self.family, self.params, self.precision, self.frame)
        return MixtureKernel(densities, len(self.params.weights))

    def stats(self, kernel=None):
        """Return the statistics of the rows by a kernel, the native one if none is given."""
        return (kernel or self.native())(Block(self.x, self.weight))

    def on(self, x, weight=None):
        """Return the same E-step on other rows."""
        return replace(self, x=x, weight=weight)


@dataclass(frozen=True)
class Sums:
    """Sums in long double, and the sums of the magnitudes of their terms.

    `responsibilities` are the sums of these magnitudes times that of the row's log-densities: a rounding of a
    log-density changes a responsibility by so much. `features` are sums over all rows, without responsibilities (F, 1).
    """

    log_likelihood: Any
    sums: np.ndarray
    log_likelihood_size: Any
    sums_size: np.ndarray
    responsibilities: np.ndarray
    features: np.ndarray


def mixture_e_step(kind, d, k, precision, rng, *, n=250, spread=2.0, weighted=False):
    """Return the E-step of a random mixture on rows drawn about its means; variances are about 1."""
    family = COVARIANCE_TYPES[kind]()
    means = 3 + spread * rng.normal(size=(k, d))
    roots = np.eye(d) + 0.3 * rng.normal(size=(k, d, d)) / np.sqrt(d)
    full = roots @ np.swapaxes(roots, 1, 2)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": rng.uniform(0.5, 2, (k, d)),
        "spherical": rng.uniform(0.5, 2, k),
    }[kind]
    x = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    x = x.astype(precision.dtype)
    params = MixtureParams(rng.dirichlet(np.full(k, 5.0)), family.from_covariances(means, covariances))
    weight = rng.exponential(size=n) * (rng.random(n) < 0.9) if weighted else None
    return EStep(family, params, precision, family.frame(x), x, weight)


def in_long_double(step):
    """Return the sums of the same numbers that the kernels are given, straight from the formulas."""
    rows, weight = step.x, np.ones(len(step.x)) if step.weight is None else step.weight
    rows, weight = rows[weight > 0].astype(LONG), weight[weight > 0].astype(LONG)
    joint, size, features = centred(step, rows) if step.precision == Precision.CENTRED else linear(step, rows)
    return sums_of(weight, joint, size, features, np.abs(features))


def sums_of(weight, joint, size, features, magnitudes):
    """Return the sums of features, given the joint log-densities (K, n), and the magnitudes of both."""
    largest = joint.max(axis=0)
    resp = np.exp(joint - largest)
    total = resp.sum(axis=0)
    resp *= weight / total
    size = size.max(axis=0)
    each = magnitudes.max(axis=0) if features.ndim == 3 else magnitudes
    return Sums(
        log_likelihood=(weight * (largest + np.log(total))).sum(),
        sums=weighted_sums(resp, features),
        log_likelihood_size=(weight * size).sum(),
        sums_size=weighted_sums(resp, magnitudes),
        responsibilities=weighted_sums(resp * size, magnitudes),
        features=(each * weight).sum(axis=1)[:, None],
    )


def weighted_sums(resp, features):
    """Return the sums (F, K) of features (F, n), or (K, F, n) if each component has its own."""
    return np.einsum("kn,fn->fk" if features.ndim == 2 else "kn,kfn->fk", resp, features)


def linear(step, rows):
    """Return H T (K, n), |H| |T|, and T (F, n), with H and the frame in the precision of the arithmetic."""
    dtype = step.precision.dtype
    t = features_in_long_double(step, rows, dtype)
    eta = eta_of(step.family.linear, step.params.theta, step.params.log_weights, step.frame)
    eta = eta.astype(dtype).astype(LONG)
    return eta @ t, np.abs(eta) @ np.abs(t), t


def features_in_long_double(step, rows, dtype):
    """Return T (F, n): of Gaussians in long double; of other families as NumPy writes it in float64."""
    features, x = step.family.linear.features(rows.shape[1], step.frame), rows.astype(dtype)
    if gaussian_form(step.family) is None:
        t = np.ones((features.n_features, len(rows)))
        features.write(x.astype(np.float64), t[1:])
        return t.astype(LONG)
    shift, scale = (a.astype(dtype).astype(LONG) for a in (step.frame.shift, step.frame.scale))
    z = ((x - shift) * scale).T
    columns = np.concatenate([np.ones_like(z[:1]), z, (z**2).sum(axis=0, keepdims=True)])[: len(features.columns)]
    return columns[features.pairs[:, 0]] * columns[features.pairs[:, 1]]


def centred(step, rows):
    """Return log-densities (K, n), their size, and the features about the means (K, F, n)."""
    form = gaussian_form(step.family)
    assert form is not None
    found = form.centred_map(step.params.theta)
    constants = (found.constants + step.params.log_weights).astype(LONG)[:, None]
    half, t = about_means(found, rows)
    d = rows.shape[1]
    if step.family.n_exact_sums(d) < t.shape[1]:  # one sum of all squares
        t = np.concatenate([t[:, : 1 + d], t[:, 1 + d :].sum(axis=1, keepdims=True)], axis=1)
    return constants - half, np.abs(constants) + half, t


def about_means(found, rows):
    """Return half the squared distances (K, n) of a `CentredMap`, and the features about the means (K, F, n)."""
    y = rows.T - found.means.astype(LONG)[:, :, None]
    u = found.factors.astype(LONG)
    white = u[:, :, None] * y if u.ndim == 2 else np.einsum("kij,kin->kjn", u, y)
    half = (white**2).sum(axis=1) / 2
    row, column = triangle(y.shape[1]) if u.ndim == 3 else (np.arange(y.shape[1]),) * 2
    return half, np.concatenate([np.ones_like(y[:, :1]), y, y[:, row] * y[:, column]], axis=1)


def assert_sums(stats, expected, tolerance, roundings=0.0):
    """Compare sums and log-likelihood with long double, relative to the magnitudes of their terms.

    `roundings` are those of log-densities, relative to their magnitudes.
    """
    assert stats.sums.shape == expected.sums.shape
    allowed = tolerance * expected.sums_size + roundings * expected.responsibilities + LEFT_OUT * expected.features
    assert (np.abs(stats.sums - expected.sums) <= allowed).all()
    assert abs(stats.log_likelihood - expected.log_likelihood) <= tolerance * expected.log_likelihood_size


def assert_like(stats, other, expected, tolerance, roundings=0.0):
    """Compare the statistics of two kernels, or of two orders of the sums, in the same way."""
    as_expected = replace(expected, sums=other.sums, log_likelihood=other.log_likelihood)
    assert_sums(stats, as_expected, tolerance, roundings)
    assert (stats.rows, stats.weight) == (other.rows, pytest.approx(other.weight, rel=1e-14))


def assert_centred_kernels_agree(step, expected):
    """Compare the native kernel with long double and with NumPy, where both sum about the means."""
    native, by_numpy = step.stats(), step.stats(step.numpy())
    assert_sums(native, expected, 1e-12)
    assert_like(native, by_numpy, expected, 1e-12)
    assert native.kernel == NATIVE
    assert native.frame.same(by_numpy.frame)
    assert native.precision == by_numpy.precision == Precision.CENTRED
