"""What all fits share: max_iter and its warning, the start alone, and what `verbose` prints; of every estimator."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

import dem
from crosses import cross, mostly_slow
from dem.storage.checkpoint import Stopped
from shared import ENDS_AT_MAX_ITER

K, D = 3, 4
MODELS = {
    "gmm": dem.GaussianMixture(K, n_init=2),
    "bgmm": dem.BayesianGaussianMixture(K, n_init=2),
    "mixture": dem.Mixture(K, family="studentt", n_init=1),
    "kmeans": dem.KMeans(K, init="random", n_init=1, sample_size=20),
    "mppca": dem.MixturePPCA(K, n_init=2),
    "mfa": dem.MixtureFactorAnalysis(K, n_init=2),
    "ppca": dem.PPCA(2, solver="em"),
    "fa": dem.FactorAnalysis(2),
    "bpca": dem.BayesianPCA(2),
}
QUICK = ("gmm", "kmeans", "fa")
"""Each with a fit of its own; the others differ from them by their models alone."""
SOME = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in MODELS]
)


@pytest.fixture(scope="module")
def x():
    """Rows of overlapping clusters: nothing converges in two iterations."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(K, D))[rng.integers(K, size=240)] @ rng.normal(size=(D, D)) + rng.normal(size=(240, D))


def model(name, x, **settings):
    """Return an estimator; K-means from first centres that are far from an optimum."""
    first = {"init": x[:K]} if name == "kmeans" else {}
    return clone(MODELS[name]).set_params(tol=0, **first, **settings)


@mostly_slow("name", list(MODELS), quick=["mixture", "kmeans", "mfa", "ppca", "fa", "bpca"])
def test_max_iter_that_ends_a_fit_warns_at_the_line_that_called(name, x):
    kind = type(MODELS[name]).__name__
    said = f"^{kind} stopped at max_iter=2 and has not converged: set a larger max_iter, or a larger tol$"
    with pytest.warns(ConvergenceWarning, match=said) as caught:
        fitted = model(name, x, max_iter=2).fit(x)
    assert [warning.filename for warning in caught] == [__file__]
    assert fitted.stop_reason_ == "max_iter"


def test_a_fit_that_converges_does_not_warn(x):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dem.GaussianMixture(K, n_init=2, tol=0.1).fit(x).converged_
        assert dem.PPCA(2).fit(x).stop_reason_ == "closed_form"


@ENDS_AT_MAX_ITER
@cross("name, holes", list(MODELS), [False, True], one_in=4)
def test_no_iteration_gives_the_start_scored(name, holes, x):
    """One iteration begins at the same parameters: its first pass tells the same."""
    if holes:
        x = np.where(np.random.default_rng(6).random(x.shape) < 0.1, np.nan, x)
        first = {"init": np.nan_to_num(x[:K])} if name == "kmeans" else {}
    else:
        first = {}
    states = []
    fitted = model(name, x, max_iter=0).set_params(**first).fit(x, callback=states.append)
    assert (fitted.stop_reason_, fitted.n_iter_, len(fitted.history_)) == ("max_iter", 0, 1)
    further = model(name, x, max_iter=1).set_params(**first).fit(x).history_
    assert fitted.history_[0]["objective"] == further[0]["objective"]
    if name == "kmeans":
        np.testing.assert_array_equal(fitted.cluster_centers_, first.get("init", x[:K]))
    elif fitted.objective_name == "log_likelihood":
        reached = fitted.history_[0]["log_likelihood"]
        np.testing.assert_allclose(fitted.score(x), reached, rtol=1e-9)  # latent models' are turned, and summed anew


def test_no_iteration_gives_first_parameters_as_they_were_given(x):
    given = {"weights_init": [0.2, 0.3, 0.5], "means_init": x[:K], "precisions_init": np.array([np.eye(D) / 2] * K)}
    fitted = dem.GaussianMixture(K, **given, max_iter=0).fit(x)
    assert (fitted.n_passes_, fitted.converged_) == (2, False)
    np.testing.assert_array_equal(fitted.weights_, given["weights_init"])
    np.testing.assert_array_equal(fitted.means_, x[:K])
    np.testing.assert_allclose(fitted.precisions_, given["precisions_init"], rtol=1e-14)


@SOME
def test_no_iteration_keeps_a_checkpoint(name, x, tmp_path):
    first = model(name, x, max_iter=0).fit(x, checkpoint=tmp_path / "c.zarr")
    again = model(name, x, max_iter=0).fit(x, checkpoint=tmp_path / "c.zarr")
    assert (again.stop_reason_, again.n_iter_) == ("max_iter", 0)
    assert again.history_ == first.history_


@ENDS_AT_MAX_ITER
@mostly_slow("name", list(MODELS), quick=["bgmm", "mixture", "kmeans", "ppca", "fa", "bpca"])
def test_verbose_prints_the_scan_the_start_and_the_passes(name, x, capsys):
    quiet = model(name, x, max_iter=2).fit(x)
    assert capsys.readouterr().out == ""
    fitted = model(name, x, max_iter=2, verbose=1).fit(x)
    told = [line for line in capsys.readouterr().out.splitlines() if "came to the best optimum" not in line]
    *before, one, two, three = told
    # A long start tells how far it is; when, depends on the machine.
    names = [line.split("  ")[0] for line in before if not line.startswith("start on 240 rows: ")]
    in_memory = name in ("ppca", "fa", "bpca")  # the first scan has the covariance: no start on a sample
    assert names == (["first scan"] if in_memory or name == "kmeans" else ["first scan", "start on 240 rows"])
    step = "iteration" if in_memory else "pass"
    for i, (line, entry) in enumerate(zip((one, two, three), fitted.history_, strict=True), start=1):
        assert line.startswith(f"{step} {i} ")
        assert f"{entry['objective']:.6f} " in line
    change = fitted.history_[2]["objective"] - fitted.history_[1]["objective"]
    assert f"({change:+.1e})" in three
    assert three.endswith("stopped at max_iter, not converged")
    assert fitted.history_ == quiet.history_


@ENDS_AT_MAX_ITER
@SOME
def test_verbose_prints_every_so_many_passes_and_the_last(name, x, capsys):
    model(name, x, max_iter=4, verbose=True, verbose_interval=3).fit(x)
    lines = capsys.readouterr().out.splitlines()
    numbers = [line.split()[1] for line in lines if line.startswith(("pass", "iteration"))]
    assert numbers == ["3", "5"]


@ENDS_AT_MAX_ITER
def test_verbose_is_no_part_of_a_checkpoints_identity(x, tmp_path, capsys):
    straight = model("gmm", x, max_iter=4).fit(x)
    limited = dem.Checkpoint(tmp_path / "c.zarr", max_passes=3)
    with pytest.raises(Stopped):
        model("gmm", x, max_iter=4).fit(x, checkpoint=limited)
    fitted = model("gmm", x, max_iter=4, verbose=1).fit(x, checkpoint=tmp_path / "c.zarr")
    assert fitted.history_ == straight.history_
    assert "continuing after the first scan and 2 passes" in capsys.readouterr().out


@ENDS_AT_MAX_ITER
def test_an_engine_with_a_progress_of_its_own_tells_of_the_passes_instead(x, capsys):
    class Names(dem.engine.Silent):
        def begin(self, what, rows, nbytes):
            told.append(what)

    told = []
    model("gmm", x, max_iter=1, verbose=1, engine=dem.Engine(progress=Names())).fit(x)
    assert told == ["first scan", "start on 240 rows", "pass 1", "pass 2"]
    assert capsys.readouterr().out == ""


@SOME
def test_models_saved_without_these_settings_load(name, x, tmp_path):
    fitted = model(name, x, max_iter=0).fit(x)
    fitted.get_params = lambda deep=True: {"max_iter": 7}  # as older versions had it
    fitted.save(tmp_path / "m.zarr")
    loaded = dem.load(tmp_path / "m.zarr")
    assert (loaded.max_iter, loaded.verbose, loaded.verbose_interval) == (7, 0, 1)
