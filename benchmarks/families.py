"""One EM iteration of every linear family beside the diagonal Gaussian's, with as many components and features.

And the E-step of Student's t by the native kernel beside NumPy's.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import numpy as np
from scipy.special import gammaln
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, send, side_by_side, timed
from dem.core.block import Block
from dem.engine.sweep.serial import SerialSweep
from dem.families import (
    Bernoulli,
    Categorical,
    DiagonalGaussian,
    Exponential,
    Gamma,
    Geometric,
    LogNormal,
    Multinomial,
    Poisson,
    StudentT,
    VonMises,
    VonMisesFisher,
)
from dem.families.exponential_family import ExponentialFamily, Theta
from dem.families.gamma import shape_of
from dem.families.product import product
from dem.kernel.choice import chosen_kernel
from dem.kernel.kernel_id import NUMPY
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from dem.source import open_source

N, K, FEATURES = 500_000, 16, 32
ROUNDS = 9
BAR, OWN_BAR, STUDENT_BAR = 1.3, 2.0, 2.0
STUDENT_N, STUDENT_D = 50_000, 16
OWN = "a user's gamma"


class OwnGamma(ExponentialFamily):
    """A family as a user writes it: Python computes its features."""

    def statistics(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return x and log x."""
        return x, np.log(x)

    def natural_parameters(self, theta: Theta) -> tuple[np.ndarray, ...]:
        """Return the log-normaliser, -rate and shape - 1."""
        shape, rate = theta["shape"], theta["rate"]
        return shape * np.log(rate) - gammaln(shape), -rate, shape - 1

    def from_means(self, *means: np.ndarray) -> Theta:
        """Return the maximum-likelihood shape and rate."""
        shape = shape_of(np.log(means[0]) - means[1])
        return {"shape": shape, "rate": shape / means[0]}

    def sample(self, theta: Theta, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return random values."""
        return rng.gamma(theta["shape"], 1 / theta["rate"], size=(n, len(theta["shape"])))


def cases(rng: np.random.Generator) -> dict[str, tuple[Any, np.ndarray]]:
    """Return families, each with rows for which it has `FEATURES` features beside the constant."""
    group = rng.integers(K, size=(N, 1))
    half, whole = FEATURES // 2, FEATURES
    rate = rng.uniform(1, 9, (K, whole))[group[:, 0]]
    counts = rng.poisson(rate).astype(float)
    positive = rng.gamma(rate[:, :half])
    normal = rng.standard_normal((N, whole)) + rate
    bits = (rng.random((N, whole)) < rate / 10).astype(float)
    codes = np.floor(rng.random((N, whole // 4)) * rate[:, : whole // 4] / 9 * 4)
    mixed = np.hstack([normal[:, :4], positive[:, :4], counts[:, :8], codes[:, :2]])
    of_columns = (range(4), range(4, 8), range(8, 16), range(16, 18))
    parts = (DiagonalGaussian(1e-6), Gamma(), Poisson(), Categorical((4, 4)))
    return {
        "diagonal Gaussian": (DiagonalGaussian(1e-6), normal[:, :half]),
        "Bernoulli": (Bernoulli(), bits),
        "categorical, 4 codes": (Categorical(4), codes),
        "exponential": (Exponential(), rng.exponential(1 / rate)),
        "gamma": (Gamma(), positive),
        OWN: (OwnGamma(), positive),
        "geometric": (Geometric(), counts + 1),
        "log-normal": (LogNormal(), positive),
        "multinomial": (Multinomial(), counts),
        "Poisson": (Poisson(), counts),
        "von Mises": (VonMises(), normal[:, :half] % (2 * np.pi)),
        "von Mises-Fisher": (VonMisesFisher(), normal / np.linalg.norm(normal, axis=1, keepdims=True)),
        "Gaussian x gamma x Poisson x categorical": (
            product([(str(i), columns, part) for i, (columns, part) in enumerate(zip(of_columns, parts, strict=True))]),
            mixed,
        ),
    }


def started(family: Any, x: np.ndarray):
    """Return a sweep over the rows, a model bound to them, and its first parameters."""
    sweep = SerialSweep(open_source(np.ascontiguousarray(x)))
    model = MixtureModel(K, family).with_kernel(chosen_kernel())
    bound = model.bind(sweep(Scanner(x.shape[1], False, 5000, 0, len(x), family)))
    return sweep, bound, bound.start(Block(x[:5000]), np.random.default_rng(0))


def iteration(family: Any, x: np.ndarray):
    """Return one E-step and M-step."""
    sweep, bound, params = started(family, x)
    assert bound.family.linear.n_features(x.shape[1]) == FEATURES + 1
    assert bound.precision(params).name == "DOUBLE"

    def iterate() -> None:
        bound.m_step(params, sweep(partial(bound.kernel, params)))

    return iterate


def student_rows(rng: np.random.Generator) -> list[Row]:
    """Return how many times as fast the native E-step of Student's t is as NumPy's."""
    x = 2 * rng.standard_normal((K, STUDENT_D))[rng.integers(K, size=STUDENT_N)]
    x += rng.standard_t(4, size=x.shape)
    rows = []
    for kind in ("full", "diag"):
        _, model, params = started(StudentT(kind, reg_covar=1e-6), x)
        kernels = [model.with_kernel(kernel_id).kernel(params) for kernel_id in (NUMPY, chosen_kernel())]
        by_numpy, native = side_by_side([timed(partial(kernel, Block(x))) for kernel in kernels])
        case = f"E-step of Student's t ({kind}) {STUDENT_N / 1e6:g}M x {STUDENT_D}, K={K}"
        note = f"{STUDENT_N / native / 1e6:.2f} M rows/s"
        rows.append(Row(case, "its NumPy kernel", by_numpy / native, STUDENT_BAR, True, note))
        print(f"{case}: {by_numpy / native:.2f}, {note}", file=sys.stderr)
    return rows


def main() -> None:
    """Measure, in this process."""
    rng = np.random.default_rng(0)
    with threadpool_limits(1):
        found = cases(rng)
        runs = {name: iteration(*case) for name, case in found.items()}
        times = dict(zip(runs, side_by_side([timed(run) for run in runs.values()], ROUNDS), strict=True))
    peer = "diagonal Gaussian"
    rows = []
    for name, t in times.items():
        print(f"{name}: {t:.3f} s, {N / t / 1e6:.2f} M rows/s, {t / times[peer]:.2f}", file=sys.stderr)
        if name != peer:
            case, bar = f"{name} {N / 1e6:g}M, K={K}, {FEATURES} features", OWN_BAR if name == OWN else BAR
            rows.append(Row(case, peer, t / times[peer], bar, False, f"{N / t / 1e6:.2f} M rows/s"))
    with threadpool_limits(1):
        rows += student_rows(rng)
    send(rows)


if __name__ == "__main__":
    main()
