"""Features of rows as the native kernel computes them, and E-steps of every linear family."""

from dataclasses import replace

import numpy as np

from dem.core.block import Block
from dem.families.family import with_missing
from dem.kernel.estep import LinearEStep
from dem.kernel.runner import NativeEStep
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.native_columns import columns_first, columns_of
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from kernel.e_steps import NATIVE, EStep


def native_features(features, x, dtype=np.float64):
    """Return the features (F, n) of a map: the sums of each row alone, of one component, which add nothing to 0."""
    dtype, f = np.dtype(dtype), features.n_features
    order = columns_first(features.pairs)
    pairs = np.ascontiguousarray(features.pairs[order].T, dtype=np.int32)
    step = LinearEStep(np.zeros((1, f), dtype), columns_of(features, x.shape[1], dtype), pairs)
    e_step, out = NativeEStep(step, NATIVE), np.zeros((f, len(x)))
    for i in range(len(x)):
        sums = np.zeros((f, 1))
        e_step(x[i : i + 1], None, sums)
        out[order, i] = sums[:, 0]
    return out


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
