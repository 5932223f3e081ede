"""The laws that every model obeys, and the table of all models.

A new model gets one line in MODELS, and `test_laws.py` holds it to all of this.
"""

import pickle
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import zarr

from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.em import loop
from dem.em.seeding import Seeding
from dem.em.starts import Start
from dem.families import COVARIANCE_TYPES, FAMILIES, FactorAnalysers, FactorAnalysisFamily, PPCAFamily, StudentT
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.latent.bayesian_pca import BayesianPCAModel, MomentsBayesianPCAModel
from dem.models.latent.factor_analysis import ECMFactorModel, FactorModel, MomentsFactorModel
from dem.models.latent.ppca import MomentsPPCAModel, PPCAModel
from dem.models.mixture.bayesian import BayesianMixtureModel
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixing import Dirichlet, StickBreaking
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.prior import WEAK
from dem.run.fit import fit_model
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from dem.source import open_source

N, D, K = 300, 3, 3
WHOLE = 2**30
"""Coordinates are multiples of 1 / WHOLE, so that a shift by a power of two is exact."""


def data(seed=0, n=N):
    """Return overlapping clusters of different shapes (n, D), on a grid of 1 / WHOLE."""
    rng = np.random.default_rng(seed)
    centres = np.array([[0.0, 0, 0], [3, 1, -2], [-2, 4, 1]])
    shapes = rng.normal(size=(K, D, D)) + np.eye(D)
    label = rng.integers(K, size=n)
    x = centres[label] + np.einsum("nij,nj->ni", shapes[label], rng.normal(size=(n, D)))
    return np.round(x * WHOLE) / WHOLE


def positive(seed=0, n=N):
    """Return positive numbers, of three scales."""
    return np.exp(data(seed, n) / 2)


def counts(seed=0, n=N):
    """Return counts from 1 on."""
    return 1 + np.floor(positive(seed, n))


def codes(seed=0, n=N):
    """Return codes 0 to 4 (0 and 1 in the first column)."""
    return np.clip(np.round(data(seed, n)), 0, [1, 4, 4])


def binary(seed=0, n=N):
    return np.clip(codes(seed, n), 0, 1)


def directions(seed=0, n=N):
    x = data(seed, n)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@dataclass(frozen=True)
class Case:
    """A model, and what is particular about it."""

    name: str
    model: Any
    streams: bool = True  # its kernel reads rows; False where the first pass told all
    column_scales: bool = True  # a scale per column gives a model of the same kind
    own_kernel: bool = True  # False where it is that of another line
    density: bool = True  # its objective is in nats; False where it is in the data's units squared
    weight_scales: bool = True  # a scale of all weights changes nothing; it does beside a prior
    data: Any = data
    shifts: bool = True  # shifted data give a model of the same kind
    scales: bool = True  # scaled data do
    move: Any = None  # parameters of (x + shift) * scale, given those of x; None for `moved`

    @property
    def x(self):
        """Rows of the kind that the model takes."""
        return self.data()


def mixture(covariance_type, method="kmeans", prior=None):
    return MixtureModel(K, COVARIANCE_TYPES[covariance_type](), Seeding(method), prior=prior)


def map_estimate(covariance_type, **kind):
    model = mixture(covariance_type, prior=WEAK)
    return Case(f"{covariance_type}-prior", model, own_kernel=False, weight_scales=False, **kind)


def bayesian(covariance_type, mixing, **kind):
    model = BayesianMixtureModel(mixture(covariance_type), mixing.prior(K, 1 / K))
    return Case(f"bayesian-{covariance_type}", model, own_kernel=False, weight_scales=False, **kind)


def of_family(name, rows, move=None, **settings):
    """Return the case of a mixture of one of the families of particular values; `move` is that of scaled data."""
    model = MixtureModel(K, FAMILIES[name](**settings), Seeding("kmeans"))
    scales = move is not None
    return Case(name, model, column_scales=scales, data=rows, shifts=False, scales=scales, move=move)


def rates_moved(params, shift, scale):
    return replace(params, theta={**params.theta, "rate": params.theta["rate"] / scale})


def logs_moved(params, shift, scale):
    return replace(params, theta=replace(params.theta, means=params.theta.means + np.log(scale)))


def lacking(case):
    """Return the case of the same rows with holes: every fourth value, but never all of a row: a fit leaves it out."""
    return replace(case, name=f"{case.name}-missing", data=partial(with_holes, case.data))


def with_holes(rows, seed=0, n=N):
    x = np.array(rows(seed, n))
    rng = np.random.default_rng(seed + 7)
    holes = rng.random(x.shape) < 0.25
    holes[: n // 10, 0] = True
    holes[holes.all(axis=1), 2] = False
    x[holes] = np.nan
    return x


COMPLETE = (
    Case("full", mixture("full")),
    Case("tied", mixture("tied")),
    Case("diag", mixture("diag")),
    Case("spherical", mixture("spherical"), column_scales=False),
    map_estimate("full"),
    map_estimate("tied"),
    map_estimate("diag"),
    map_estimate("spherical", column_scales=False),
    bayesian("full", StickBreaking),
    bayesian("tied", Dirichlet),
    bayesian("diag", StickBreaking),
    bayesian("spherical", Dirichlet, column_scales=False),
    Case("mixture-of-ppca", MixtureModel(K, PPCAFamily(1), Seeding("kmeans")), column_scales=False),
    Case("mixture-of-fa", MixtureModel(K, FactorAnalysisFamily(1), Seeding("kmeans"))),
    Case("kmeans", KMeansModel(K), column_scales=False, density=False),
    Case("ppca", PPCAModel(2), column_scales=False),
    Case("ppca-moments", MomentsPPCAModel(2), streams=False, column_scales=False),
    Case("bpca", BayesianPCAModel(2), column_scales=False, weight_scales=False),
    Case("bpca-moments", MomentsBayesianPCAModel(2), streams=False, column_scales=False, weight_scales=False),
    Case("fa", FactorModel(1)),
    Case("fa-moments", MomentsFactorModel(1), streams=False),
    Case("fa-ecm", ECMFactorModel(1), streams=False),
    of_family("bernoulli", binary),
    of_family("categorical", codes, n_categories=(2, 5, 5)),
    of_family("exponential", positive, rates_moved),
    of_family("gamma", positive, rates_moved),
    of_family("geometric", counts),
    of_family("lognormal", positive, logs_moved),
    of_family("multinomial", counts),
    of_family("poisson", counts),
    of_family("vonmises", data),
    of_family("vonmisesfisher", directions),
    Case("studentt", MixtureModel(K, StudentT(reg_covar=0), Seeding("kmeans"))),
    Case("studentt-diag", MixtureModel(K, StudentT("diag", reg_covar=0), Seeding("kmeans"))),
)
ALWAYS_WHOLE = ("vonmisesfisher",)
"""Models that take no missing values."""
ON_MOMENTS = ("ppca-moments", "bpca-moments", "fa-moments", "fa-ecm")
"""Models of moments, which rows with missing values do not have."""
MODELS = {case.name: case for case in COMPLETE}
MODELS |= {
    case.name: case
    for case in map(lacking, COMPLETE)
    if case.name.removesuffix("-missing") not in (*ALWAYS_WHOLE, *ON_MOMENTS)
}


def scan(model, x, weight=None):
    """Return the scan that models are bound to."""
    return completed_scan(Scanner(x.shape[1], model.needs_scatter, len(x), 0, None, model.measure)()(Block(x, weight)))


def bind(model, x, weight=None):
    return model.bind(scan(model, x, weight))


def begin(model, x, weight=None, seed=0):
    """Return first parameters; after one M-step, so that no symmetry of the start is left."""
    whole = Block(x, weight)
    if np.isnan(x).any():
        sample = scan(model, x, weight).sample
        whole = Block(sample.x, sample.weight)
    seen = 4 * K if isinstance(model, KMeansModel) else len(x)  # its start ends at an optimum of the rows that it sees
    params = model.start(whole.part(0, seen), np.random.default_rng(seed))
    return model.m_step(params, total(model, params, x, weight))


@cache
def begun(name, *, weighted):
    """Return a case's model bound to its rows, first parameters, the rows and their weights, made once."""
    case = MODELS[name]
    weight = np.random.default_rng(1).integers(0, 8, N) / 2.0 if weighted else None
    model = bind(case.model, case.x, weight)
    return model, begin(model, case.x, weight), case.x, weight


def total(model, params, x, weight=None):
    return model.kernel(params)(Block(x, weight))


def run(model, params, x, weight=None, *, n_iter=30):
    return loop.fit(model, params, loop.OneBlock(Block(x, weight)), tol=0, max_iter=n_iter)


def moved(params, shift, scale):
    """Return the parameters of (x + shift) * scale, given those of x; `scale` may be one per column."""
    if isinstance(params, KMeansParams):
        return KMeansParams.at((params.centers + shift) * scale)
    if not isinstance(params, MixtureParams):
        noise, scale = params.noise_variance, np.asarray(scale, float)
        prior = {"alpha": params.alpha / scale**2} if hasattr(params, "alpha") else {}
        return replace(
            params,
            mean=(params.mean + shift) * scale,
            loadings=params.loadings * np.broadcast_to(scale, len(params.mean))[:, None],
            noise_variance=float(noise * scale**2) if np.ndim(noise) == 0 else noise * scale**2,
            **prior,
        )
    theta = params.theta
    if hasattr(theta, "gaussians"):
        inner = moved(replace(params, theta=theta.gaussians), shift, scale).theta
        return replace(params, theta=replace(theta, gaussians=inner))
    if isinstance(theta, FactorAnalysers):
        s = np.asarray(scale, float)
        loadings, noise = theta.loadings * s.reshape(-1, 1), theta.noise_variances * s**2
        return replace(params, theta=FactorAnalysers((theta.means + shift) * s, loadings, noise))
    d = theta.means.shape[1]
    s = np.broadcast_to(np.asarray(scale, float), d)
    matrices = (theta.covariances.shape[-2:] == (d, d) and theta.covariances.ndim == 3) or (
        theta.covariances.shape == (d, d) and theta.precisions_cholesky[1:, 0].max() == 0
    )
    if matrices:
        covariances, factor = theta.covariances * s[:, None] * s, theta.precisions_cholesky / s[:, None]
    else:
        s = s if theta.covariances.ndim == 2 else s[0]
        covariances, factor = theta.covariances * s**2, theta.precisions_cholesky / s
    there = replace(theta, means=(theta.means + shift) * scale, covariances=covariances, precisions_cholesky=factor)
    return replace(params, theta=there)


def numbers(value):
    """Return the numbers and arrays of a value, in a fixed order."""
    if isinstance(value, Enum | Frame) or value is None:
        return []
    if is_dataclass(value):
        return [a for f in fields(value) for a in numbers(getattr(value, f.name))]
    if isinstance(value, dict):
        return [a for name in sorted(value) for a in numbers(value[name])]
    return [np.asarray(value)]


def assert_close(found, expected, tolerance):
    """Compare two values field by field, relative to each field's largest entry."""
    for a, b in zip(numbers(found), numbers(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.nanmax(np.abs(b), initial=0))


def assert_same_bits(found, expected):
    for a, b in zip(numbers(found), numbers(expected), strict=True):
        assert a.dtype == b.dtype
        if a.dtype == np.longdouble:  # its padding is arbitrary
            np.testing.assert_array_equal(a, b)
        else:
            assert a.tobytes() == b.tobytes()


def adds_over_any_chunking(model, params, x, weight, cuts):
    """Statistics add: over any cut, empty blocks included; the order does not matter."""
    edges = [0, *sorted(cuts), len(x)]
    kernel = model.kernel(params)
    parts = [kernel(Block(x, weight).part(a, b)) for a, b in pairwise(edges)]
    whole = total(model, params, x, weight)
    forward, backward = parts[0], parts[-1]
    for part in parts[1:]:
        assert_same_bits(forward + part, part + forward)
        forward = forward + part
    for part in parts[-2::-1]:
        backward = backward + part
    assert forward.rows == backward.rows == whole.rows == len(x)
    assert_close(forward, whole, 1e-10)
    assert_close(backward, whole, 1e-10)


def empty_block_is_zero(model, params, x):
    zero, stats = total(model, params, x[:0]), total(model, params, x)
    assert all((value == 0).all() for value in numbers(zero))
    assert_same_bits(stats + zero, stats)
    assert_same_bits(zero + stats, stats)
    assert_same_bits(total(model, params, x[:0], np.empty(0)), zero)


def objective_never_falls(model, params, x, weight=None):
    """Exact at reg_covar=0: over 30 iterations, no fall beyond rounding. Return the state."""
    state = run(model, params, x, weight)
    objectives = np.array([p.objective for p in state.history])
    assert len(objectives) > 2
    assert (np.diff(objectives) >= -1e-12 * np.maximum(1, np.abs(objectives[1:]))).all()
    return state


def bound_lies_between(state):
    """ELBO ascent: objective(old) <= bound after the M-step <= objective(new)   (PRML 9.4)."""
    assert state.history[0].bound is not None
    for old, new in pairwise(state.history):
        rounding = 1e-12 * max(1, abs(new.objective))
        assert old.objective - rounding <= old.bound <= new.objective + rounding


def moves_with_the_data(case, x, shift, scale, tolerance):
    """EM in other units finds the same model; the objective differs by the log of the Jacobian."""
    model, move = bind(case.model, x), case.move or moved
    params = begin(model, x)
    y = (x + shift) * scale
    other = bind(case.model, y)
    here = run(model, params, x, n_iter=5)
    there = run(other, move(params, shift, scale), y, n_iter=5)
    jacobian = float((~np.isnan(x)).mean(axis=0) @ np.log(np.broadcast_to(np.abs(scale), x.shape[1])))
    for a, b in zip(here.history, there.history, strict=True):
        same = b.objective + jacobian if case.density else b.objective / scale**2
        assert abs(same - a.objective) <= tolerance * max(1, abs(a.objective))
    back = move(move(there.params, 0.0, 1 / np.asarray(scale)), -shift, 1.0)
    assert_close(back, here.params, tolerance)
    what = "latent" if hasattr(params, "loadings") else "label"
    rows = model.rows(here.params, what)(Block(x)), other.rows(there.params, what)(Block(y))
    np.testing.assert_allclose(*rows, rtol=0, atol=0 if what == "label" else tolerance * np.abs(rows[0]).max())


def same_step(case, params, one, two, tolerance=1e-11):
    """Two data sets (rows and weights) that say the same give the same objective and M-step."""
    steps = []
    for x, weight in (one, two):
        model = bind(case.model, x, weight)
        stats = total(model, params, x, weight)
        new = model.m_step(params, stats)
        steps.append((model.objective(params, stats), new, model.expected(params, stats, params)))
    (a, p, q), (b, r, s) = steps
    assert abs(a - b) <= tolerance * max(1, abs(a))
    assert_close(r, p, tolerance)
    assert (q is None) == (s is None)
    assert q is None or abs(q - s) <= tolerance * max(1, abs(q))


def with_empty_rows(x):
    """Return rows x (n, d) among three times as many without any value."""
    y = np.full((4 * len(x), x.shape[1]), np.nan)
    half = len(x) // 2
    y[: 2 * half : 2] = x[:half]  # one by one, and then a run of them
    y[3 * half : 3 * half + len(x) - half] = x[half:]
    return y


def empty_rows_are_left_out(case, params, x, path):
    """Rows without any value among the others leave the fit as it is: in memory and in a store."""
    y = with_empty_rows(x)

    def fit(rows):
        return fit_model(case.model, open_source(rows), start=Start(), params=params, tol=1e-3, max_iter=4)

    alone = fit(x)
    for found in (fit(y), fit(zarr.create_array(path, data=y, chunks=(97, 2)))):
        assert (found.n_passes, found.state.stop_reason) == (alone.n_passes, alone.state.stop_reason)
        assert found.scan.rows_with_value == found.state.stats.weight == len(x)
        assert_close(found.state.params, alone.state.params, 1e-9)
        objectives = [[p.objective for p in fitted.state.history] for fitted in (found, alone)]
        np.testing.assert_allclose(*objectives, rtol=1e-10)


def statistics_do_not_grow(case):
    """What a task returns does not depend on how many rows it has seen."""
    sizes = []
    for n in (50, 1000):
        x = case.data(n=n)
        model = bind(case.model, x)
        sizes.append(len(pickle.dumps(total(model, begin(model, x), x))))
    assert abs(sizes[0] - sizes[1]) <= 16  # a count may take a few bytes more


def everything_travels(case, x):
    """Models, parameters, statistics and kernels' makers pickle, and give the same bits afterwards."""
    model = bind(case.model, x)
    params = begin(model, x)
    stats = total(model, params, x)
    assert_same_bits(pickle.loads(pickle.dumps(case.model)), case.model)
    travelled, same_params, same_stats = pickle.loads(pickle.dumps((model, params, stats)))
    assert_same_bits(same_params, params)
    assert_same_bits(same_stats, stats)
    assert_same_bits(total(travelled, same_params, x), stats)
    make = pickle.loads(pickle.dumps(partial(model.kernel, params)))
    assert_same_bits(make()(Block(x)), stats)
