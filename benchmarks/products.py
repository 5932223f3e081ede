"""The large matrix products of the kernel beside a 2048^3 product of the same dtype and thread count."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, send, side_by_side, timed
from dem.families import FullGaussian
from dem.models.mixture.kernel import tile_rows

D, K, BIG = 64, 32, 2048


def product_rows(dtype: str) -> list[Row]:
    """Return the rows of one dtype."""
    rng = np.random.default_rng(0)
    f = FullGaussian().n_features(D)
    n = tile_rows((f + K) * np.dtype(dtype).itemsize)
    eta, features, resp = (rng.random(shape).astype(dtype) for shape in ((K, f), (f, n), (K, n)))
    joint, sums = np.empty((K, n), dtype), np.empty((f, K), dtype)
    a = rng.random((BIG, BIG)).astype(dtype)
    b = np.empty_like(a)
    repeats = 50

    def both() -> None:
        for _ in range(repeats):
            np.matmul(eta, features, out=joint)
            np.matmul(features, resp.T, out=sums)

    with threadpool_limits(1):
        t, t_big = side_by_side([timed(both), timed(lambda: np.matmul(a, a, out=b))], rounds=5)
    speed, speed_big = repeats * 2 * (2 * f * K * n) / t / 1e9, 2 * BIG**3 / t_big / 1e9
    name = f"H T and T R' at D={D}, K={K}, tile {n}, {dtype}, 1 thread"
    return [Row(name, f"{BIG}^3 product", speed / speed_big, 0.5, True, f"{speed:.0f} of {speed_big:.0f} GFLOP/s")]


if __name__ == "__main__":
    send([row for dtype in ("float64", "float32") for row in product_rows(dtype)])
