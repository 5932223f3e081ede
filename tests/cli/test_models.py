"""The command line of every model: what a Python user would get, and sentences where it cannot be."""

import json

import numpy as np
import pytest
import zarr

import dem
import dem.cli.commands.fit
from command_line import done, failed
from crosses import mostly_slow
from dem.cli import commands
from dem.families import FAMILIES


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Waiting times, two Gaussian columns, counts, and codes."""
    rng = np.random.default_rng(0)
    n = 1200
    z = rng.random(n) < 0.4
    x = np.c_[
        rng.exponential(np.where(z, 1.0, 8.0)),
        rng.normal(np.where(z, 0, 5), 1),
        rng.normal(size=n),
        rng.poisson(np.where(z, 2, 9)),
        rng.integers(0, 3, n),
    ]
    path = tmp_path_factory.mktemp("models") / "x.zarr"
    zarr.create_array(path, data=x, chunks=(300, 5))
    return path


FITS = {
    "mixture": (
        [
            "-k",
            2,
            "--prior",
            "weak",
            *(
                w
                for f in ("0=exponential", "1,2=gaussian:diag", "3=poisson", "4=categorical:n_categories=3")
                for w in ("--family", f)
            ),
        ],
        "mixture of Exponential x DiagonalGaussian x Poisson x Categorical, 2 components, 5 columns",
    ),
    "bgmm": (["-k", 3, "--concentration", 0.01], "variational Gaussian mixture, 3 components"),
    "kmeans": (["-k", 3], "K-means, 3 clusters, 5 columns"),
    "mppca": (["-k", 2, "-q", 1], "mixture of probabilistic PCAs, 2 components, 1 factor each, 5 columns"),
    "fa": (["-q", 1, "--rotation", "varimax"], "factor analysis, 1 factor, varimax, 5 columns"),
    "bpca": ([], "Bayesian PCA, "),
    "ppca": (["-q", "bic"], "probabilistic PCA, "),
}


@mostly_slow("kind", list(FITS), quick=["bgmm", "mppca", "ppca"])
def test_fit_info_plot_score(store, tmp_path, kind):
    words, said = FITS[kind]
    path = tmp_path / "m.zarr"
    record = json.loads(done("fit", kind, store, *words, "-o", path, "--json").splitlines()[-1])
    assert record["rows"] == 1200
    assert said in done("info", path)
    model = dem.load(path)
    assert said in model.describe()
    scored = json.loads(done("score", path, store, "--json").splitlines()[-1])
    expected = model.score(store)
    name = {"kmeans": "inertia", "bgmm": "score"}.get(kind, "log_likelihood")
    assert scored[name] == pytest.approx(-expected if kind == "kmeans" else expected, rel=1e-12)
    assert ("bic" in scored) == (name == "log_likelihood")
    done("plot", path, "--data", store, "-o", tmp_path / "m.png")
    assert (tmp_path / "m.png").stat().st_size > 5000


def test_every_output_of_a_mixture(store, tmp_path):
    words, _ = FITS["mixture"]
    done("fit", "mixture", store, *words, "-o", tmp_path / "m.zarr")
    model = dem.load(tmp_path / "m.zarr")
    for what, expected in {
        "labels": model.predict(store),
        "proba": model.predict_proba(store),
        "score": model.score_samples(store),
        "entropy": model.entropy(store),
        "top-index": model.top_components(store, 1)[0],
        "top-weight": model.top_components(store, 1)[1],
    }.items():
        done("predict", tmp_path / "m.zarr", store, "--what", what, "--top", 1, "-o", tmp_path / f"{what}.zarr")
        np.testing.assert_array_equal(zarr.open_array(tmp_path / f"{what}.zarr")[...], expected.compute())
    done("sample", tmp_path / "m.zarr", "-n", 50, "--seed", 4, "-o", tmp_path / "s.zarr")
    drawn = model.set_params(random_state=4).sample(50)[0]
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "s.zarr")[...], drawn)
    said = failed("predict", tmp_path / "m.zarr", store, "--what", "top-index", "--top", 9, "-o", tmp_path / "t.zarr")
    assert "--top 9 is more than the 2 components" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--family", "poison"], "there is no family 'poison': choose one of"),
        (["--family", "studentt:round"], "family 'studentt:round': covariance_type must be one of full, diag"),
        (["--family", "0-3=exponential", "--family", "4=geometric:start=0"], "there is no setting 'start'"),
        (
            ["--family", "0-3=exponential", "--family", "geometric:first=0"],
            "does not give the columns by their numbers",
        ),
        (["--family", "poisson"], "in column 0, but the model accepts only the counts"),
        (["--family", "gamma", "--family", "poisson"], "does not give the columns by their numbers"),
        (["--family", "rain=gamma"], "family names the column 'rain', but these data have no column names"),
        (["--family", "0-99999999999=gaussian"], "goes from a lower to a higher number, below 1,000,000"),
        (["--family", "5-0=gaussian"], "--family 5-0=gaussian: a range of columns goes from a lower to a higher"),
        (["--family", "0-3=exponential"], "column 4 has no family: give each of the 5 columns exactly one family"),
        (["--family", "0,1,2,3,4=gaussian", "--family", "0=gamma"], "column 0 has several families"),
    ],
)
def test_wrong_families(store, tmp_path, words, said):
    assert said in failed("fit", "mixture", store, "-k", 2, *words, "-o", tmp_path / "no.zarr")
    assert not (tmp_path / "no.zarr").exists()


@pytest.mark.parametrize(
    ("words", "family"),
    [
        (["geometric:first=0"], "geometric:first=0"),
        (["categorical:2,5,5"], "categorical:2,5,5"),
        (["0=geometric:first=0"], [([0], "geometric:first=0")]),
        (
            ["0,2-5=studentt:diag,reg_covar=0.1", "1=categorical:5"],
            [([0, 2, 3, 4, 5], "studentt:diag,reg_covar=0.1"), ([1], "categorical:5")],
        ),
    ],
)
def test_families_with_settings(monkeypatch, words, family):
    given = []
    monkeypatch.setattr(commands.fit, "fit_estimator", lambda *words, **settings: given.append(settings["family"]))
    commands.fit.fit_mixture("x.zarr", "m.zarr", None, families=tuple(words))
    assert given == [family]


def test_the_help_lists_families_and_settings():
    said = done("fit", "mixture", "--help").partition("Families, and their settings")[2].split()
    words = [word for name, family in FAMILIES.items() for word in (name, *map(str, family.settings))]
    assert [word for word in said if word in words] == words


def test_a_mixture_needs_a_family(store, tmp_path):
    assert "--family" in failed("fit", "mixture", store, "-k", 2, "-o", tmp_path / "no.zarr", status=2)
