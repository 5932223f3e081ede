"""Source, scan, start, sweep and EM together."""

import re
import subprocess
import sys
import textwrap
import warnings
from functools import partial

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from crosses import cross
from dem import PPCA, Engine, GaussianMixture
from dem.core.block import Block
from dem.em.starts import Start
from dem.engine.passes import Passes
from dem.engine.sweep.dask import DaskSweep
from dem.engine.sweep.serial import SerialSweep
from dem.engine.sweep.threads import ThreadSweep
from dem.families import COVARIANCE_TYPES
from dem.kernel.choice import chosen_kernel
from dem.models.latent.ppca import PPCAModel
from dem.models.mixture.mixture import MixtureModel
from dem.models.mixture.precision import Precision
from dem.run.fit import fit_model, scan
from dem.run.fit_settings import FitSettings
from dem.run.rows import RowRequest, mean_of_rows
from dem.scan.scanner import Scanner
from dem.source import open_source
from kernel.e_steps import NEEDS_LIBRARY
from laws import assert_same_bits
from shared import ENDS_AT_MAX_ITER

N, D, K = 20_000, 3, 3
PARTITION_BYTES = 40_000


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    return np.array([[0.0, 0, 0], [5, 1, -2], [-2, 4, 1]])[rng.integers(K, size=N)] + rng.normal(size=(N, D))


@pytest.fixture(scope="module")
def store(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "x.zarr"
    zarr.create_array(path, shape=rows.shape, dtype=rows.dtype, chunks=(500, D))[:] = rows
    return path


@pytest.fixture
def small_partitions(monkeypatch):
    """Stores are cut as large ones are, and swept by processes."""
    monkeypatch.setattr("dem.run.fit.open_source", partial(open_source, partition_bytes=PARTITION_BYTES))
    monkeypatch.setattr("dem.estimators.base.open_source", partial(open_source, partition_bytes=PARTITION_BYTES))


MODELS = {
    **{kind: MixtureModel(K, family()) for kind, family in COVARIANCE_TYPES.items()},
    "ppca": PPCAModel(2),
}


@cross("name, weighted", list(MODELS), [False, True])
def test_every_local_sweep_gives_the_same_bits(name, weighted, store, rows):
    source = open_source(store, np.arange(N) % 3 / 2.0 if weighted else None, partition_bytes=PARTITION_BYTES)
    assert len(source.partitions) >= 8
    sweeps = [SerialSweep(source), ThreadSweep(source, 2), ThreadSweep(source, 5), DaskSweep(source)]
    model = MODELS[name]
    scanner = Scanner(D, True, 1000, 0, N, None, chosen_kernel())
    scans = [sweep(partial(scanner)) for sweep in sweeps]
    for other in scans[1:]:
        assert_same_bits(other, scans[0])
    bound = model.bind(scans[0])
    params = bound.start(Block(scans[0].sample.x, scans[0].sample.weight), np.random.default_rng(0))
    for _ in range(2):
        sums = [sweep(partial(bound.kernel, params)) for sweep in sweeps]
        for other in sums[1:]:
            assert_same_bits(other, sums[0])
        params = bound.m_step(params, sums[0]).params
        if name != "ppca":
            params = type(params)(params.weights, params.theta, Precision.CENTRED)  # the second round


@NEEDS_LIBRARY
@pytest.mark.parametrize("word", ["native", "numpy"])
def test_the_first_pass_uses_the_kernel_that_is_chosen(word, rows, monkeypatch):
    asked = []
    monkeypatch.setattr(Passes, "check_kernel", lambda passes, kernel: asked.append(kernel))
    monkeypatch.setenv("DEM_KERNEL", word)
    found = scan(rows, scatter=True)
    assert (found.kernel, asked) == (chosen_kernel(), [chosen_kernel()])
    assert found.kernel.name == word
    np.testing.assert_allclose(found.moments.covariance, np.cov(rows.T, ddof=0), rtol=1e-10, atol=1e-10)
    model = PPCA(2).fit(rows)
    assert asked == 2 * [chosen_kernel()]
    values = np.linalg.eigvalsh(np.cov(rows.T, ddof=0))[::-1]
    assert model.noise_variance_ == pytest.approx(values[2:].mean(), rel=1e-10)


def parameters(model):
    return [model.weights_, model.means_, model.covariances_, np.array(model.lower_bounds_)]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "tied"])
def test_fits_by_threads_and_by_processes_have_the_same_bits(kind, store, small_partitions, monkeypatch):
    monkeypatch.setattr("dem.em.starts.PARALLEL_WORK", 0)
    settings = {"covariance_type": kind, "n_init": 2, "max_iter": 5, "sample_size": 2000}
    expected = GaussianMixture(K, **settings, engine=Engine(workers=1)).fit(store)
    fits = [GaussianMixture(K, **settings, engine=Engine(workers=2)).fit(store)]
    monkeypatch.setattr("dem.engine.machines.IN_PROCESS_BYTES", 0)
    fits += [GaussianMixture(K, **settings, engine=Engine(workers=n)).fit(store) for n in (1, 2, 4)]
    for fit in fits:
        assert fit.n_passes_ == expected.n_passes_
        for a, b in zip(parameters(fit), parameters(expected), strict=True):
            assert a.tobytes() == b.tobytes()


def test_a_fit_in_memory_has_the_same_bits_for_any_number_of_threads(rows):
    big = np.tile(rows, (12, 1))
    assert len(open_source(big).partitions) > 1
    settings = {"n_init": 1, "max_iter": 3, "sample_size": 2000}
    fits = [GaussianMixture(K, **settings, engine=Engine(workers=n)).fit(big) for n in (1, 2, 3)]
    for fit in fits[1:]:
        for a, b in zip(parameters(fit), parameters(fits[0]), strict=True):
            assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_dask_schedulers_have_the_same_bits(scheduler, rows):
    data = da.from_array(rows, chunks=(1999, D))
    settings = {"n_init": 1, "max_iter": 3, "sample_size": 2000}
    with dask.config.set(scheduler="threads", num_workers=4):
        expected = GaussianMixture(K, **settings).fit(data)
    with dask.config.set(scheduler=scheduler):
        fit = GaussianMixture(K, **settings).fit(data)
    for a, b in zip(parameters(fit), parameters(expected), strict=True):
        assert a.tobytes() == b.tobytes()


@ENDS_AT_MAX_ITER
def test_every_read_is_a_counted_pass(rows):
    """The scan, one pass for each M-step, and the one that scores the last."""
    reads = []

    def read(block):
        if block.size:
            reads.append(len(block))
        return block

    data = da.from_array(rows, chunks=(N, D)).map_blocks(read, dtype=float, meta=np.empty((0, 0)))
    model = GaussianMixture(K, tol=0, max_iter=4, n_init=1, sample_size=2000).fit(data)
    assert reads == [N] * model.n_passes_ == [N] * 6
    fit = fit_model(PPCAModel(2), open_source(data), FitSettings(0, 2, Start(1, 500)))
    assert fit.n_passes == 4
    assert len(reads) == 10


def spoil(path, rows):
    z = zarr.create_array(path, shape=rows.shape, dtype=rows.dtype, chunks=(500, 2))
    z[:] = rows
    return z


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_bad_values_are_counted_and_placed(value, rows, tmp_path):
    word = r"3 infinite values \(inf\)"
    z = spoil(tmp_path / "bad.zarr", rows)
    z[19_999, 2] = z[1_234, 2] = z[1_500, 0] = value
    where = r"the first is in chunk c/2/1 \(rows 1000 to 1499\) of bad.zarr"
    expected = rf"bad.zarr has {word}, in columns 0 \(1\), 2 \(2\); {where}"
    with pytest.raises(ValueError, match=expected):
        GaussianMixture(K, missing="error").fit(tmp_path / "bad.zarr")
    with pytest.raises(ValueError, match=r"row 1234 \(block 1\) of the Dask array"):
        GaussianMixture(K, missing="error").fit(da.from_array(np.asarray(z[:]), chunks=(1000, D)))
    with pytest.raises(ValueError, match=r"row 1234 of the array"):
        GaussianMixture(K, missing="error").fit(z[:])


def test_infinities_are_told_before_missing_values(rows):
    x = rows.copy()
    x[0, 0], x[9, 1] = np.nan, np.inf
    with pytest.raises(ValueError, match=r"1 infinite value \(inf\), in"):
        GaussianMixture(K, missing="error").fit(x)


def test_many_bad_columns_are_not_all_listed():
    with pytest.raises(ValueError, match=r"has 1,000 missing values .* in 500 of 500 columns") as caught:
        GaussianMixture(1, missing="error").fit(np.full((2, 500), np.nan))
    assert len(str(caught.value)) < 400


def test_columns_without_any_value_are_refused_by_name(rows):
    x = np.column_stack([rows, np.full(len(rows), np.nan)])
    with pytest.raises(
        ValueError, match=rf"array has no value at all in column {D} \(NaN in every row of positive weight\)"
    ):
        GaussianMixture(K).fit(x)
    weight = np.zeros(len(rows))
    weight[:10] = 1
    x[:10, 1] = x[:, D] = np.nan
    x[10:, D] = 1.0
    with pytest.raises(ValueError, match=rf"no value at all in columns 1, {D} "):
        GaussianMixture(K).fit(x, sample_weight=weight)
    x = np.full((2, 500), np.nan)
    with pytest.raises(ValueError, match="array has no value at all: all its entries are missing"):
        GaussianMixture(1).fit(x)
    x[0, 20] = 1.0
    with pytest.raises(ValueError, match=r"columns 0, 1, .*, 19 and 479 more"):
        GaussianMixture(1).fit(x)


def test_scan_tells_moments_and_ranges(store, rows):
    found = scan(store, scatter=True)
    np.testing.assert_allclose(found.moments.covariance, np.cov(rows.T, ddof=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(found.high, rows.max(axis=0))
    assert found.rows == N


def test_the_mean_of_an_output_is_weighted(rows):
    model = GaussianMixture(K, n_init=1).fit(rows[:500])
    weight = np.arange(500.0)
    found = mean_of_rows(RowRequest.of(*model._fitted(), open_source(rows[:500], weight), "score"))
    assert found.mean == pytest.approx(np.average(model.score_samples(rows[:500]), weights=weight), rel=1e-12)
    assert (found.rows, found.weight) == (500, weight.sum())


@pytest.mark.slow
def test_a_script_without_a_main_guard_fits_a_store_by_processes(store, tmp_path):
    script = tmp_path / "five_lines.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import dem, dem.engine.engine
            dem.engine.machines.IN_PROCESS_BYTES = 0
            model = dem.GaussianMixture(3, n_init=1, sample_size=1000).fit({str(store)!r})
            print(sorted(model.means_[:, 0].round().tolist()))
            """
        )
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "[-2.0, 0.0, 5.0]"
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_limit_that_a_refusal_names_will_do():
    """No more starts run at a time under it than were counted for it."""
    x = np.random.default_rng(0).normal(size=(600, 60))

    def fit(memory):
        model = GaussianMixture(40, n_init=1, max_iter=0, engine=Engine(memory=memory, workers=4))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(x)

    with pytest.raises(MemoryError) as refused:
        fit("10MB")
    named = re.search(r"raise the memory limit to (.*?) or more", str(refused.value))
    fit(named[1].replace(" ", ""))
