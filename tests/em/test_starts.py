from itertools import pairwise

import numpy as np
import pytest

from clustered_rows import with_holes
from dem.core.block import Block
from dem.core.rows import RowKeys
from dem.em import loop
from dem.em import starts as starts
from dem.em.starts import Start, StartBudget, best_start
from dem.families import COVARIANCE_TYPES
from dem.models.latent.ppca import ObservedPPCAModel, PPCAModel
from dem.models.mixture.mixture import MixtureModel
from dem.scan.scanner import Scanner
from laws import bind, data, mixture, run

pytestmark = pytest.mark.moves


def sample_of(x, k, cuts=()):
    edges = [0, *cuts, len(x)]
    scanner = Scanner(x.shape[1], False, k, 0, len(x))
    parts = [scanner()(Block(x[a:b], None, RowKeys.from_first(a))) for a, b in pairwise(edges)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return Block(total.sample.x)


def begun(*args, **settings):
    """Return the first parameters that the starts find."""
    return best_start(*args, **settings).params


def test_the_start_depends_on_the_sample_alone():
    x = data(n=900)
    one = begun(mixture("full"), sample_of(x, 400), Start())
    two = begun(mixture("full"), sample_of(x, 400, cuts=[1, 100, 101, 600]), Start())
    np.testing.assert_array_equal(one.weights, two.weights)
    np.testing.assert_array_equal(one.theta.means, two.theta.means)
    np.testing.assert_array_equal(one.theta.precisions_cholesky, two.theta.precisions_cholesky)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_the_best_of_many_starts_is_no_worse_than_each(covariance_type):
    sample = Block(data(seed=3))
    model = bind(mixture(covariance_type, "random"), sample.x)

    def objective(params):
        return loop.fit(model, params, loop.OneBlock(sample), tol=0, max_iter=1).history[0].objective

    best = objective(begun(mixture(covariance_type, "random"), sample, Start(n_init=6)))
    for i in range(6):
        params = model.start(sample, np.random.default_rng([0, i]))
        short = loop.fit(model, params, loop.OneBlock(sample), tol=starts.LONG_TOL, max_iter=starts.SHORT_ITER)
        assert best >= short.objective - 1e-12 * abs(short.objective)


def test_the_start_is_a_maximum_on_the_sample():
    sample = Block(data(seed=5))
    params = begun(mixture("full"), sample, Start(n_init=2))
    history = run(bind(mixture("full"), sample.x), params, sample.x, n_iter=3).history
    assert 0 <= history[1].objective - history[0].objective < starts.LONG_TOL


def test_seeds_give_different_starts():
    sample = Block(data(n=60))
    means = [begun(mixture("full", "random"), sample, Start(1, seed=s)).theta.means for s in (0, 0, 1)]
    np.testing.assert_array_equal(means[0], means[1])
    assert not np.array_equal(means[0], means[2])


def test_weights_of_the_sample_count():
    x = data(n=200)
    weight = np.ones(200)
    weight[:50] = 3
    by_weight = begun(mixture("full"), Block(x, weight), Start(5))
    repeated = begun(mixture("full"), Block(np.concatenate([x, x[:50], x[:50]])), Start(5))
    order_a, order_b = (np.argsort(p.theta.means[:, 0]) for p in (by_weight, repeated))
    np.testing.assert_allclose(by_weight.theta.means[order_a], repeated.theta.means[order_b], atol=0.02)


class Failing:
    """Every other start collapses."""

    needs_scatter = False

    def __init__(self, fails, inner):
        self.fails, self.inner, self.count = fails, inner, [0]

    def bind(self, scan):
        self.inner = self.inner.bind(scan)
        return self

    def start(self, sample, rng):
        self.count[0] += 1
        if self.count[0] in self.fails:
            raise ValueError("collapsed")
        return self.inner.start(sample, rng)

    def __getattr__(self, name):
        return getattr(self.inner, name)


def test_a_start_that_collapses_is_passed_over():
    params = begun(Failing({1, 3}, mixture("full")), Block(data()), Start(n_init=4))
    assert np.isfinite(params.theta.means).all()


def test_if_every_start_collapses_the_reason_is_told():
    with pytest.raises(ValueError, match="collapsed"):
        begun(Failing({1, 2}, mixture("full")), Block(data()), Start(n_init=2))


def test_a_long_run_that_collapses_falls_back_on_the_short_one(monkeypatch):
    """One finalist in four ends in a singular covariance; the best of the others is taken."""
    sample = Block(data(seed=3))
    fit, calls = loop.fit, []

    def collapsing(model, params, sweep, *, max_iter, **settings):
        calls.append(max_iter)
        if max_iter == starts.LONG_ITER and calls.count(max_iter) == 1:
            raise ValueError("collapsed")
        return fit(model, params, sweep, max_iter=max_iter, **settings)

    monkeypatch.setattr(starts.loop, "fit", collapsing)
    params = begun(mixture("full"), sample, Start(n_init=5))
    assert calls[:9] == [starts.SHORT_ITER] * 5 + [starts.LONG_ITER] * starts.FINALISTS
    assert np.isfinite(params.theta.covariances).all()


class Costly:
    """A model whose iterations are said to take so many operations a row."""

    def __init__(self, a_row):
        self.a_row = a_row

    def work(self, x):
        return self.a_row * len(x)


N = 30_000
X = Block(np.zeros((N, 1)))


def spent(budget, n_init, a_row):
    """Return what the start takes at most, in operations."""
    finalists, long_iter = budget.long_runs(n_init)
    return a_row * (n_init * budget.short_iter * budget.short_rows + finalists * long_iter * N)


def test_cheap_iterations_are_all_made():
    budget = StartBudget.of(Costly(600.0), X, 10, N)
    assert (budget.short_rows, budget.short_iter) == (N, starts.SHORT_ITER)
    assert budget.long_runs(10) == (starts.FINALISTS, starts.LONG_ITER)
    assert budget.long_runs(2) == (2, starts.LONG_ITER)


@pytest.mark.parametrize("n_init", [1, 10])
def test_all_are_made_where_the_data_are_many_times_the_sample(n_init):
    budget = StartBudget.of(Costly(1e6), X, n_init, 60 * N)
    assert (budget.short_rows, budget.short_iter) == (N, starts.SHORT_ITER)
    assert budget.long_runs(10) == (starts.FINALISTS, starts.LONG_ITER if n_init == 10 else pytest.approx(145, abs=1))


@pytest.mark.parametrize("n_init", [1, 10, 40])
@pytest.mark.parametrize("a_row", [2e3, 3e4, 1e7])
@pytest.mark.parametrize("times", [1, 7])
def test_costly_iterations_are_no_more_than_some_passes(n_init, a_row, times):
    budget = StartBudget.of(Costly(a_row), X, n_init, times * N)
    a_pass = times * a_row * N
    most = (n_init + starts.FINALISTS) * max(starts.PASSES_A_RUN * a_pass, starts.WORK_A_RUN)
    assert spent(budget, n_init, a_row) <= 1.5 * most
    assert spent(budget, n_init, a_row) >= min(most, a_row * N * starts.SHORT_ITER * n_init) / 4
    assert budget.short_rows >= N // starts.LEAST_SHARE
    assert budget.short_iter >= starts.LEAST_SHORT


def test_small_samples_are_not_thinned():
    budget = StartBudget.of(Costly(1e8), Block(np.zeros((1437, 1))), 10, 1437)
    assert budget.short_rows == 1437
    assert budget.short_iter < starts.SHORT_ITER


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_start_on_a_budget_finds_what_the_whole_one_finds(monkeypatch, covariance_type):
    sample = Block(data(n=600, seed=3))
    whole = begun(mixture(covariance_type), sample, Start())
    for name, value in {"WORK_A_RUN": 1.0, "PASSES_A_RUN": 1.0, "LEAST_ROWS": 100}.items():
        monkeypatch.setattr(starts, name, value)
    steps = []
    cut = begun(mixture(covariance_type), sample, Start(), 1, watch=steps.append)
    assert sum(step.state is not None for step in steps if step.kind == "best start") <= 4 * 14
    bound = bind(mixture(covariance_type), sample.x)
    ends = [loop.fit(bound, params, loop.OneBlock(sample), tol=1e-7, max_iter=500) for params in (cut, whole)]
    assert ends[0].objective == pytest.approx(ends[1].objective, abs=1e-3)


def test_where_all_short_runs_on_fewer_rows_collapse_they_are_made_on_all(monkeypatch):
    sample = Block(data(n=600))
    for name, value in {"WORK_A_RUN": 1.0, "PASSES_A_RUN": 0.1, "LEAST_ROWS": 100}.items():
        monkeypatch.setattr(starts, name, value)
    params = begun(Failing({1, 2, 3}, mixture("full")), sample, Start(n_init=3))
    assert np.isfinite(params.theta.means).all()


def test_of_all_short_runs_no_more_than_the_finalists_are_kept(monkeypatch):
    kept = []
    add = starts.BestRuns.add

    def adding(self, i, state):
        assert state.stats is not None
        add(self, i, state)
        kept.append([(run, state.stats) for run, state in self.kept])

    monkeypatch.setattr(starts.BestRuns, "add", adding)
    begun(mixture("diag"), Block(data()), Start(n_init=7), 2)
    assert [len(runs) for runs in kept] == [1, 2, 3, 4, 4, 4, 4]
    assert all(stats is None for runs in kept for _, stats in runs)


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 0, 2]])
def test_the_best_runs_are_the_same_in_whatever_order_they_end(order):
    reached = [-3.0, -1.0, -2.0, -1.0, -4.0, -1.0]
    best = starts.BestRuns()
    for i in order:
        best.add(i, loop.State(None, (loop.Pass(reached[i]),)))
    assert [i for i, _ in best.kept] == [1, 3, 5, 2]


def test_each_start_tells_what_it_reached():
    sample = Block(data(seed=3))
    started = best_start(Failing({2}, mixture("full", "random")), sample, Start(n_init=5))
    own = [record for record in started.starts if not record.moves]
    assert [record.start for record in own] == [1, 2, 3, 4, 5]
    assert [record.objective is None for record in own] == [False, True, False, False, False]
    bound = bind(mixture("full"), sample.x)
    reached = loop.fit(bound, started.params, loop.OneBlock(sample), tol=0, max_iter=0).objective
    assert max(record.objective for record in started.starts if record.optimum == 1) == pytest.approx(
        reached, abs=1e-12
    )


@pytest.mark.parametrize("seed", range(4))
def test_one_start_finds_two_clusters_in_many_columns(seed):
    """Whitened, they are no farther from each other than rows of one cluster are."""
    rng = np.random.default_rng(seed)
    x, label = rng.normal(size=(1000, 16)), rng.integers(2, size=1000)
    x += 8 / 4 * label[:, None]
    model = MixtureModel(2, COVARIANCE_TYPES["full"]())
    bound, params = bind(model, x), begun(model, Block(x), Start(n_init=1, seed=seed))
    found = bound.responsibilities(params, Block(x))[0].argmax(axis=0)
    assert max(np.mean(found == label), np.mean(found != label)) == 1


def test_latent_models_with_holes_get_several_starts():
    x = with_holes(data)
    started = best_start(PPCAModel(2), Block(x), Start(1), tol=1e-9)
    assert len(started.starts) == ObservedPPCAModel.least_starts
    assert min(record.optimum for record in started.starts) == 1
    bound = bind(PPCAModel(2), x)
    history = loop.fit(bound, started.params, loop.OneBlock(Block(x)), tol=0, max_iter=3).history
    assert history[-1].objective - history[0].objective < 1e-6  # the sample is all the data: it goes on to `tol`
    assert len(best_start(PPCAModel(2), Block(data()), Start(1)).starts) == 1


def test_the_best_starts_keep_their_course():
    found = best_start(mixture("full"), Block(data(n=900)), Start(n_init=6)).starts
    kept = [record for record in found if record.course]
    assert 1 <= len(kept) <= starts.FINALISTS + 1
    for record in kept:
        assert record.course[-1] == record.objective
        if not record.moves:
            assert len(record.course) == record.n_iter + 1
            assert (np.diff(record.course) > -1e-12).all()
    assert max(kept, key=lambda record: record.objective).optimum == 1


@pytest.mark.parametrize(("work", "threads"), [(0, 3), (1e12, 1)])
def test_starts_on_a_small_sample_run_in_one_thread_and_give_the_same(work, threads, monkeypatch):
    asked, in_threads = [], starts.in_threads

    def watched(runs, n_threads, *more):
        asked.append(n_threads)
        return in_threads(runs, n_threads, *more)

    sample = Block(data())
    expected = best_start(mixture("full"), sample, Start(n_init=3)).starts
    monkeypatch.setattr(starts, "in_threads", watched)
    monkeypatch.setattr(starts, "PARALLEL_WORK", work)
    assert best_start(mixture("full"), sample, Start(n_init=3), 3).starts == expected
    assert asked[:2] == [threads, threads]
