"""One EM iteration in memory, by each kernel and width of vectors, beside scikit-learn's and oneDAL's."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import daal4py
import numpy as np
from sklearn.mixture import GaussianMixture as Sklearn
from threadpoolctl import threadpool_limits

from benchmarks.common import Row, mixture_data, send, side_by_side, timed
from dem.core.blas import machine_kind
from dem.core.block import Block
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.families import COVARIANCE_TYPES
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.kernel.library import library, limit_vectors
from dem.kernel.runner import NativeEStep
from dem.models.mixture.mixture import MixtureModel, MixtureParams
from dem.models.mixture.native_kernel import NativeKernel
from dem.models.mixture.precision import Precision
from dem.scan.scanner import Scanner
from dem.source import open_source

ONEDAL_ITERATIONS = 4
SKLEARN_SHARE = 8
"""scikit-learn gets one row in so many: its time grows with the rows, and it needs minutes for all."""
BIG = 2048
ON_AMD = "AMD" in machine_kind()
WIDEST, AVX2, TWO_THREADS = (4, 2.5, 3) if ON_AMD else (2, 2, 2)
"""Bars beside oneDAL: those of AMD processors, or the goal on others."""


@dataclass(frozen=True)
class Case:
    """A mixture, and the bar of its share of the GFLOP/s of a matrix product.

    Attributes
    ----------
    kind : str
        The type of covariance.
    n, d, k : int
    dtype : str
    share : float or None
    """

    kind: str
    n: int
    d: int
    k: int
    dtype: str = "float64"
    share: float | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.n / 1e6:g}M x {self.d}, K={self.k}, {self.dtype}"


CASES = (
    Case("full", 1_000_000, 16, 16, share=0.8),
    Case("full", 200_000, 64, 32, share=0.9),
    Case("diag", 1_000_000, 32, 64, share=0.75),
    Case("full", 5_000_000, 2, 8),
    Case("full", 1_000_000, 16, 16, "float32", share=0.7),
)
FEW = (
    Case("full", 1_000_000, 16, 3, "float32"),
    Case("diag", 500_000, 64, 10),
    Case("full", 50_000, 128, 8),
)
"""Few components, which do not fill the vectors."""


@dataclass(frozen=True)
class Mixture:
    """The data and first parameters of a case."""

    case: Case
    x: np.ndarray
    means: np.ndarray

    @classmethod
    def of(cls, case: Case) -> Mixture:
        """Return a mixture of unit Gaussians."""
        x, means = mixture_data(case.n, case.d, case.k, seed=0)
        return cls(case, np.ascontiguousarray(x.astype(case.dtype)), means)

    @property
    def precisions(self) -> np.ndarray:
        """Unit precisions, in the shape of the case's kind."""
        k, d = self.means.shape
        return np.repeat(np.eye(d)[None], k, 0) if self.case.kind == "full" else np.ones((k, d))

    def model(self, kernel: KernelId) -> tuple[MixtureModel, MixtureParams]:
        """Return dem's model, bound to the data, and its first parameters."""
        k, d = self.means.shape
        model = MixtureModel(k, COVARIANCE_TYPES[self.case.kind](1e-6)).with_kernel(kernel)
        bound = model.bind(Scanner(d, False, 30_000, 0, None)()(Block(self.x[:100_000])))
        theta = bound.family.from_covariances(self.means, self.precisions)
        return bound, MixtureParams(np.full(k, 1 / k), theta)

    def iteration(self, kernel: KernelId, threads: int, floor: Precision = Precision.SINGLE) -> Callable[[], object]:
        """Return one E-step and M-step of dem."""
        model, params = self.model(kernel)
        source = open_source(self.x)
        sweep = SerialSweep(source) if threads == 1 else ThreadSweep(source, threads)
        params = replace(params, floor=floor)
        return lambda: model.m_step(params, sweep(partial(model.kernel, params)))

    def operations(self, rows: int = 19_200) -> float:
        """Return about how many operations a row takes: both products, without responsibilities that are left out."""
        model, params = self.model(native())
        kernel = model.kernel(params)
        assert isinstance(kernel, NativeKernel)
        assert isinstance(kernel.e_step, NativeEStep)
        f, k, d = kernel.e_step.step.shape
        share = 1.0
        if self.case.kind == "full" and d >= 24:  # from here on the second product may be sparse
            resp = model.rows(params, model.row_outputs(params)["proba"])(Block(self.x[:rows]))
            tile = 768 // self.x.dtype.itemsize
            kept = (resp[: len(resp) // tile * tile] > 1e-18).reshape(-1, tile * k).mean(axis=1)
            share = float(np.where(kept <= 0.5, kept, 1.0).mean())
        return 2.0 * f * k * (1 + share)

    def sklearn(self) -> Callable[[], object]:
        """Return one E-step and M-step of scikit-learn, on some of the rows."""
        k, x = len(self.means), self.x[: self.case.n // SKLEARN_SHARE]
        model = Sklearn(k, covariance_type=self.case.kind, max_iter=1, weights_init=np.full(k, 1 / k),
                        means_init=self.means, precisions_init=self.precisions, init_params="random_from_data",
                        random_state=0)  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x[: 50 * k])
        return lambda: model._m_step(x, model._e_step(x)[1])

    def onedal(self, iterations: int) -> Callable[[], object]:
        """Return so many iterations of oneDAL; two numbers of them give one without the overhead."""
        k, d = self.means.shape
        covariances = [np.eye(d) if self.case.kind == "full" else np.ones((1, d)) for _ in range(k)]
        settings = {
            "nComponents": k,
            "maxIterations": iterations,
            "accuracyThreshold": 1e-30,
            "covarianceStorage": "full" if self.case.kind == "full" else "diagonal",
            "fptype": {"float64": "double", "float32": "float"}[self.case.dtype],
        }
        weights = np.full((1, k), 1 / k)
        return lambda: daal4py.em_gmm(**settings).compute(self.x, weights, self.means, covariances)


def native() -> KernelId:
    """Return the native kernel of this machine."""
    found = library()
    assert found is not None, "the native kernel is not built"
    return KernelId("native", found.digest)


def widths() -> list[str]:
    """Return the vectors that this processor has, the widest first."""
    found = []
    for name in ("AVX-512", "AVX2", "NEON"):
        limit_vectors(name)
        if (has := library()) is not None and has.vectors == name:
            found.append(name)
    limit_vectors(None)
    return found


def with_vectors(name: str, work: Callable[[], object]) -> Callable[[], object]:
    """Return the work with vectors of at most this width."""

    def run() -> None:
        limit_vectors(name)
        work()
        limit_vectors(None)

    return run


def times(mixture: Mixture, threads: int, *, exact: bool) -> dict[str, float]:
    """Return the seconds of an iteration of all rows, by name of the kernel or the peer; measured side by side."""
    runs = {name: with_vectors(name, mixture.iteration(native(), threads)) for name in widths()}
    runs["NumPy"] = mixture.iteration(NUMPY, threads)
    if threads > 1:
        runs["1 thread"] = mixture.iteration(native(), 1)
    if exact:
        runs["exact"] = mixture.iteration(native(), threads, Precision.CENTRED)
    runs["scikit-learn"] = mixture.sklearn()
    runs |= {str(i): mixture.onedal(i) for i in (1, 1 + ONEDAL_ITERATIONS)}
    big = np.random.default_rng(0).random((BIG, BIG)).astype(mixture.case.dtype)
    runs["product"] = partial(np.matmul, big, big)
    with threadpool_limits(threads):
        measured = dict(zip(runs, side_by_side([timed(run) for run in runs.values()]), strict=True))
    measured["oneDAL"] = (measured.pop(str(1 + ONEDAL_ITERATIONS)) - measured.pop("1")) / ONEDAL_ITERATIONS
    measured["scikit-learn"] *= SKLEARN_SHARE
    return measured


def case_rows(case: Case, threads: int, *, few: bool = False) -> Iterator[Row]:
    """Yield the rows of a case."""
    mixture, exact = Mixture.of(case), case.dtype == "float64" and threads == 1
    seconds = times(mixture, threads, exact=exact)
    name = f"{case}, {threads} thread{'s' if threads > 1 else ''}"
    speed = {key: case.n / t / 1e6 for key, t in seconds.items()}
    print(name, {key: f"{value:.2f} M rows/s" for key, value in speed.items()}, file=sys.stderr)
    widest, *others = widths()
    bars = {widest: TWO_THREADS if threads > 1 else 2 if few else WIDEST} | dict.fromkeys(others, 2 if few else AVX2)
    note = f"{speed[widest]:.2f} M rows/s"
    for vectors in (widest, *(others if threads == 1 else ())):
        yield Row(f"{name}, {vectors}", "oneDAL", seconds["oneDAL"] / seconds[vectors], bars[vectors], True,
                  f"{speed[vectors]:.2f} M rows/s")  # fmt: skip
    yield Row(f"{name}, {widest}", "dem with NumPy", seconds["NumPy"] / seconds[widest], 1, True, note)
    yield Row(f"{name}, {widest}", "scikit-learn", seconds["scikit-learn"] / seconds[widest], 5, True, note)
    if threads > 1:
        yield Row(f"{name}, {widest}", "1 thread", seconds["1 thread"] / seconds[widest], 1.7, True, note)
    elif case.share is not None:
        product = 2 * BIG**3 / seconds["product"] / 1e9
        ours = mixture.operations() * case.n / seconds[widest] / 1e9
        yield Row(f"{name}, {widest}", f"{BIG}^3 product", ours / product, case.share, True,
                  f"{ours:.0f} of {product:.0f} GFLOP/s")  # fmt: skip
    if exact:
        yield Row(f"{name}, exact arithmetic", "fast arithmetic", seconds["exact"] / seconds[widest], 1.3, False, "")


def main() -> None:
    """Measure with one number of threads, in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("threads", type=int)
    threads = parser.parse_args().threads
    daal4py.daalinit(threads)
    rows = [row for case in CASES for row in case_rows(case, threads)]
    if threads == 1:
        rows += [row for case in FEW for row in case_rows(case, threads, few=True)]
    send(rows)


if __name__ == "__main__":
    main()
