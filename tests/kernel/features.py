"""Features of rows as the native kernel computes them."""

import numpy as np

from dem.kernel.estep import LinearEStep
from dem.kernel.runner import NativeEStep
from dem.models.mixture.native_columns import columns_first, columns_of
from kernel.e_steps import NATIVE


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
