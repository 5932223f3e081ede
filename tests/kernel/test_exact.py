"""E-step and M-step by each kernel against long double, where float64 has a hard time."""

from dataclasses import replace

import numpy as np
import pytest

import laws
import reference
from dem.core.block import Block
from dem.families import COVARIANCE_TYPES
from dem.kernel.kernel_id import NUMPY
from dem.models.mixture.native_kernel import NativeKernel
from dem.models.mixture.precision import Precision
from kernel.e_steps import NATIVE, NEEDS_LIBRARY
from models.problems import HARDSHIPS, D, Hardship, K, problem

TYPES = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
HARD = pytest.mark.parametrize("hard", HARDSHIPS.values(), ids=HARDSHIPS)
KERNELS = pytest.mark.parametrize("kernel", [NUMPY, pytest.param(NATIVE, marks=NEEDS_LIBRARY)], ids=["numpy", "native"])


def bound(p, kernel):
    return laws.bind(p.model, p.x).with_kernel(kernel)


@NEEDS_LIBRARY
@TYPES
@HARD
def test_each_row(kind, hard, rng):
    """Within 1e-9, relative; rows in the middle of nowhere too."""
    p = problem(kind, hard, rng, n=20)
    x = np.concatenate([p.x, p.between])
    model = laws.bind(p.model, x).with_kernel(NATIVE)
    # Products of tied Gaussians lack a term of each row: its mean over all rows is added to the mean of the rest.
    params = replace(p.params, floor=Precision.CENTRED) if kind == "tied" else p.params
    kernel = model.kernel(params)
    assert isinstance(kernel, NativeKernel)
    found = [model.log_likelihood(params, kernel(Block(x[i : i + 1]))) for i in range(len(x))]
    covariances = reference.dense(p.covariances, kind, K, D)
    assert reference.relative_error(found, reference.e_step(x, p.weights, p.means, covariances)[0]) < 1e-9


@KERNELS
@TYPES
@pytest.mark.parametrize("spread", 10.0 ** np.arange(7))
@pytest.mark.parametrize("floor", [Precision.DOUBLE, Precision.CENTRED])
def test_covariances_in_every_arithmetic_that_is_reported(kernel, kind, spread, floor, rng):
    """One step, with the arithmetic that the model chooses or a more exact one; relative to the deviations."""
    p = problem(kind, Hardship(spread=spread), rng)
    model, params = bound(p, kernel), replace(p.params, floor=floor)
    stats = model.kernel(params)(Block(p.x))
    assert (stats.kernel, stats.precision) == (kernel, max(floor, model.precision(params)))
    found = reference.dense(model.m_step(params, stats).params.theta.covariances, kind, K, D)
    dense = reference.dense(p.covariances, kind, K, D)
    resp = reference.e_step(p.x, p.weights, p.means, dense)[1]
    expected = reference.dense(reference.m_step(p.x, resp, kind)[2], kind, K, D)
    deviations = np.sqrt(np.einsum("kii->ki", expected))
    assert (np.abs(found - expected) < 1e-9 * deviations[:, :, None] * deviations[:, None, :]).all()


@TYPES
def test_both_arithmetics_are_chosen_over_these_spreads(kind, rng):
    near, far = (problem(kind, Hardship(spread=spread), rng) for spread in (1.0, 1e6))
    assert [bound(p, NUMPY).precision(p.params) for p in (near, far)] == [Precision.DOUBLE, Precision.CENTRED]
