"""The laws that every model obeys, and the table of all models.

A new model gets one line in COMPLETE, and `test_laws.py` holds it to all of this. Mixtures of families have theirs in
`families/kinds.py`.
"""

import pickle
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import Enum
from functools import cache, partial
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest
import zarr

from clustered_rows import K, N, data, with_holes
from dem.core.block import Block
from dem.core.coordinate_frame import Frame
from dem.em import loop
from dem.em.row_output import find_output
from dem.em.seeding import Seeding
from dem.families import COVARIANCE_TYPES, FactorAnalysers, FactorAnalysisFamily, PPCAFamily
from dem.kernel.choice import chosen_kernel
from dem.kernel.kernel_id import KernelId
from dem.models.kmeans.kmeans import KMeansModel, KMeansParams
from dem.models.latent.bayesian_pca import BayesianPCAModel, MomentsBayesianPCAModel
from dem.models.latent.factor_analysis import ECMFactorModel, FactorModel, MomentsFactorModel
from dem.models.latent.ppca import MomentsPPCAModel, PPCAModel
from dem.models.mixture.bayesian import BayesianMixtureModel
from dem.models.mixture.kernel import MixtureParams
from dem.models.mixture.mixing import Dirichlet, StickBreaking
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.prior import WEAK
from dem.run.first_pass import guess_of
from dem.run.fit import fit_model
from dem.run.fit_settings import FitSettings
from dem.scan.fill_sample import completed_scan
from dem.scan.scanner import Scanner
from dem.source import open_source
from families.kinds import KINDS, gaussians_moved


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
    own_measure: bool = False  # its M-step says when the fit has converged
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


def of_family(name):
    """Return the case of a mixture of a family of the tests' table."""
    kind = KINDS[name]
    scales = kind.move is not None
    move = partial(theta_moved, kind.move) if scales else None
    units = {"shifts": kind.shifts, "scales": scales, "column_scales": scales and kind.column_scales}
    model = MixtureModel(K, kind.fitted, Seeding("kmeans"))
    return Case(name.removeprefix("gaussian-"), model, data=kind.values, move=move, **units)


def theta_moved(move, params, shift, scale):
    return replace(params, theta=move(params.theta, shift, scale))


def lacking(case):
    """Return the case of the same rows with holes."""
    return replace(case, name=f"{case.name}-missing", data=partial(with_holes, case.data))


COMPLETE = (
    *map(of_family, KINDS),
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
    Case("kmeans", KMeansModel(K), column_scales=False, density=False, own_measure=True),
    Case("ppca", PPCAModel(2), column_scales=False),
    Case("ppca-moments", MomentsPPCAModel(2), streams=False, column_scales=False),
    Case("bpca", BayesianPCAModel(2), column_scales=False, weight_scales=False),
    Case("bpca-moments", MomentsBayesianPCAModel(2), streams=False, column_scales=False, weight_scales=False),
    Case("fa", FactorModel(1)),
    Case("fa-moments", MomentsFactorModel(1), streams=False),
    Case("fa-ecm", ECMFactorModel(1), streams=False),
)
WITHOUT_MISSING = [name for name, kind in KINDS.items() if not kind.takes_missing]
"""Models that take no missing values."""
ON_MOMENTS = ("ppca-moments", "bpca-moments", "fa-moments", "fa-ecm")
"""Models of moments, which rows with missing values do not have."""
MODELS = {case.name: case for case in COMPLETE}
MODELS |= {
    case.name: case
    for case in map(lacking, COMPLETE)
    if case.name.removesuffix("-missing") not in (*WITHOUT_MISSING, *ON_MOMENTS)
}


def scan(model, x, weight=None):
    """Return the scan that models are bound to."""
    return completed_scan(Scanner(x.shape[1], model.needs_scatter, len(x), 0, None, model.measure)()(Block(x, weight)))


def bind(model, x, weight=None):
    """Return the model bound to rows, with the kernel that a fit would use."""
    bound = model.bind(scan(model, x, weight))
    return bound.with_kernel(chosen_kernel()) if hasattr(bound, "with_kernel") else bound


def begin(model, x, weight=None, seed=0):
    """Return first parameters; after one M-step, so that no symmetry of the start is left."""
    whole = Block(x, weight)
    if np.isnan(x).any():
        sample = scan(model, x, weight).sample
        whole = Block(sample.x, sample.weight)
    seen = 4 * K if isinstance(model, KMeansModel) else len(x)  # its start ends at an optimum of the rows that it sees
    params = model.start(whole.part(0, seen), np.random.default_rng(seed))
    return model.m_step(params, total(model, params, x, weight)).params


@cache
def begun(name, *, weighted):
    """Return a case's model bound to its rows, first parameters, the rows and their weights, made once."""
    case = MODELS[name]
    weight = np.random.default_rng(1).integers(0, 8, N) / 2.0 if weighted else None
    model = bind(case.model, case.x, weight)
    return model, begin(model, case.x, weight), case.x, weight


def rows_of(model, params, word):
    """Return the function from a block to the output of that word."""
    return model.rows(params, find_output(model.row_outputs(params), word))


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
    if isinstance(theta, FactorAnalysers):
        s = np.asarray(scale, float)
        loadings, noise = theta.loadings * s.reshape(-1, 1), theta.noise_variances * s**2
        return replace(params, theta=FactorAnalysers((theta.means + shift) * s, loadings, noise))
    return replace(params, theta=gaussians_moved(theta, shift, scale))


def numbers(value):
    """Return the numbers and arrays of a value, in a fixed order."""
    if isinstance(value, Enum | Frame | KernelId) or value is None:
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
    rows = rows_of(model, here.params, what)(Block(x)), rows_of(other, there.params, what)(Block(y))
    np.testing.assert_allclose(*rows, rtol=0, atol=0 if what == "label" else tolerance * np.abs(rows[0]).max())


def same_step(case, params, one, two, tolerance=1e-11):
    """Two data sets (rows and weights) that say the same give the same objective and M-step."""
    steps = []
    for x, weight in (one, two):
        model = bind(case.model, x, weight)
        stats = total(model, params, x, weight)
        new = model.m_step(params, stats).params
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
        return fit_model(case.model, open_source(rows), FitSettings(tol=1e-3, max_iter=4), params=params)

    alone = fit(x)
    for found in (fit(y), fit(zarr.create_array(path, data=y, chunks=(97, 2)))):
        assert (found.n_passes, found.state.stop_reason) == (alone.n_passes, alone.state.stop_reason)
        assert found.scan.rows_with_value == found.state.stats.weight == len(x)
        assert_close(found.state.params, alone.state.params, 1e-9)
        objectives = [[p.objective for p in fitted.state.history] for fitted in (found, alone)]
        np.testing.assert_allclose(*objectives, rtol=1e-10)


def a_pass_is_saved(case, x):
    """A fit from an earlier one makes the scan and the first E-step at once, and is the same fit otherwise."""
    settings, source = FitSettings(tol=1e-3, max_iter=30), open_source(x)
    cold = fit_model(case.model, source, settings)
    params = case.model.for_new_fit(cold.state.params)
    guess = guess_of(case.model, params, cold.scan.sample.x, None, holes=bool(np.isnan(x).any()))
    warm, plain = (fit_model(case.model, source, settings, params=params, guess=g) for g in (guess, None))
    assert warm.n_passes == plain.n_passes - 1 < cold.n_passes
    assert warm.state.stop_reason == plain.state.stop_reason
    for one, other in zip(warm.state.history, plain.state.history, strict=True):
        assert abs(one.objective - other.objective) <= 1e-10 * max(1, abs(other.objective))
    assert_close(warm.state.params, plain.state.params, 1e-8)
    assert warm.state.objective >= cold.state.objective - 1e-9 * max(1, abs(cold.state.objective))


def exact_is_marked(model, params):
    """Marked parameters are exact, and the marks change no number; another fit begins without them."""
    marked = model.exact(params)
    assert model.is_exact(marked)
    assert_same_bits(marked, params)
    assert_same_bits(model.for_new_fit(marked), params)


def convergence_is_said(case, model, params, x, weight=None):
    """Models with a measure of convergence say so at a fixed point and not before; the others never do."""
    assert not model.m_step(params, total(model, params, x, weight)).converged
    if case.own_measure:
        state = run(model, params, x, weight, n_iter=300)
        step = model.m_step(state.params, state.stats)
        assert (state.stop_reason, step.converged) == ("converged", True)
        assert_same_bits(step.params, state.params)


def outputs_are_as_the_table_says(model, params, x):
    """Every output of the table has the dtype and the shape that stand there; users find it by its word.

    No two are the same: an output that is in the table alone, and not computed, would have the values of another.
    """
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        outputs = model.row_outputs(params, dtype)
        values = {name: model.rows(params, output)(Block(x)) for name, output in outputs.items()}
        for one, other in combinations(values, 2):
            assert not np.array_equal(values[one], values[other]), f"{other} has the values of {one}: is it computed?"
        for name, output in outputs.items():
            assert (output.name, find_output(outputs, output.word)) == (name, output)
            assert output.meaning
            for rows in (x[:20], x[:0]):
                found = model.rows(params, output)(Block(rows))
                assert (found.dtype, found.shape) == (output.dtype, output.shape(len(rows))), name
        with pytest.raises(ValueError, match=f"no output 'nothing': choose one of {', '.join(outputs)}$"):
            find_output(outputs, "nothing")


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
