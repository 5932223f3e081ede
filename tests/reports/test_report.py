"""dem.report in Python: what it takes, what the page and the record have."""

import json
import re

import numpy as np
import pytest

import dem
from crosses import mostly_slow
from dem.estimators.parameter_tables import parameter_tables
from dem.families import Gamma
from dem.reports.page import is_numeric
from dem.reports.pictures import page_pictures
from dem.reports.warnings import checks_of
from families.kinds import KINDS

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(0, 1, (150, 3)), RNG.normal(6, 2, (150, 3))])


@pytest.fixture(scope="module")
def model():
    return dem.GaussianMixture(2, n_init=2, random_state=0).fit(X)


@pytest.fixture
def without_pictures(monkeypatch):
    monkeypatch.setattr("dem.reports.make.page_pictures", lambda *given: [])


def headings(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def test_shares_are_numbers():
    assert all(map(is_numeric, ["<0.1 %", ">99.9 %", "", "-3"]))
    assert not is_numeric("near the mean")


def test_from_a_path_a_model_or_a_selection(model, tmp_path, without_pictures):
    model.save(tmp_path / "m.zarr")
    selection = type("Selection", (), {"best_estimator_": model})()
    pages = [dem.report(given).html for given in (model, str(tmp_path / "m.zarr"), tmp_path / "m.zarr", selection)]
    assert len(set(pages)) == 1
    parts = ["What to look at first", "Components", "Parameters", "The fit", "The data", "What this page does not show"]
    assert headings(pages[0]) == parts


def test_the_page_has_names_and_escapes_them(model, without_pictures):
    names = ["length <cm>", 'width "m"', "a & b"]
    page = dem.report(model, X, labels=names).html
    assert "length &lt;cm&gt;" in page
    assert "<cm>" not in page
    assert "a &amp; b" in page
    with pytest.raises(ValueError, match="a name for each of the 3 columns"):
        dem.report(model, labels=names[:2])


def test_it_is_saved_whole_and_shown_in_notebooks(model, tmp_path, without_pictures):
    report = dem.report(model, X)
    report.save(tmp_path / "deep" / "r.html")
    assert (tmp_path / "deep" / "r.html").read_text() == report.html
    with pytest.raises(FileExistsError, match="already exists"):
        report.save(tmp_path / "deep" / "r.html")
    report.save(tmp_path / "r.json")
    assert json.loads((tmp_path / "r.json").read_text()) == report.record
    assert report._repr_html_().count("<html") == 0  # the page is escaped


def test_a_picture_that_fails_is_told_and_the_rest_stays(model, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise FloatingPointError("too thin")

    monkeypatch.setattr("dem.plot.draw", fail)
    page = dem.report(model).html
    assert "This picture could not be drawn (FloatingPointError: too thin)." in page
    assert "<img" not in page
    assert "Traceback" not in caplog.text
    assert "could not be drawn: FloatingPointError: too thin" in caplog.text


def test_what_a_selection_knew(model, without_pictures):
    row = {"settings": {"n_components": 2}, "criteria": {"bic": 10.0}, "value": 10.0, "log_likelihood": -1.0}
    table = [
        {**row, "name": "n_components=2", "ended": "converged", "ended_in": 3},
        {**row, "name": "n_components=1", "ended": "dropped", "ended_in": 2, "value": 15.5, "criteria": {"bic": 15.5}},
    ]
    edge = "The best n_components, 2, is the largest that was tried: try values beyond it."
    model.selection_ = {"criterion": "bic", "best": "n_components=2", "sentences": [edge], "table": table}
    try:
        report = dem.report(model)
        assert edge in report.warnings
        assert "n_components=2 (chosen)" in report.html
        assert "dropped after pass 2" in report.html
        assert "5.5" in report.html
        assert report.html.count("<img") == 1  # the curve
        assert "Criterion" not in [picture.title for picture in page_pictures(model, None)]
    finally:
        del model.selection_


def test_a_model_that_is_not_fitted_is_refused():
    with pytest.raises(ValueError, match="not fitted"):
        dem.report(dem.GaussianMixture(2))


ESTIMATORS = {
    "bayesian": lambda: dem.BayesianGaussianMixture(3, random_state=0).fit(X),
    "mppca": lambda: dem.MixturePPCA(2, n_factors=1, n_init=2, random_state=0).fit(X),
    "mfa": lambda: dem.MixtureFactorAnalysis(2, n_factors=1, n_init=2, random_state=0).fit(X),
    "kmeans": lambda: dem.KMeans(2, scale="standard", random_state=0).fit(X),
    "fa": lambda: dem.FactorAnalysis(1).fit(X),
    "bpca": lambda: dem.BayesianPCA().fit(X),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@mostly_slow("kind", ESTIMATORS, quick=["bayesian", "kmeans"])
def test_every_estimator_has_a_report(kind, without_pictures):
    report = dem.report(kind(), X)
    json.dumps(report.record, allow_nan=False)
    assert "Parameters" in headings(report.html)
    assert report.facts.score


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")
@mostly_slow("kind", KINDS, quick=["categorical", "vonmises"])
def test_every_family_has_a_report(kind, without_pictures):
    x = kind.values(0, 300)
    model = dem.Mixture(2, family=kind.of_values or kind.family, n_init=1, max_iter=5, random_state=0).fit(x)
    report = dem.report(model, x)
    json.dumps(report.record, allow_nan=False)
    assert report.record["rows"] == 300
    assert len(report.facts.components) == 2


def test_a_model_made_from_parameters_is_refused_before_the_pass(monkeypatch):
    made = dem.GaussianMixture.from_parameters([1.0], np.zeros((1, 3)), np.eye(3)[None], "full")
    monkeypatch.setattr("dem.reports.make.observed_rows", None)
    with pytest.raises(ValueError, match="was made from parameters, so there is no fit to report"):
        dem.report(made, X)


def test_missing_values_of_other_data_are_told(model, without_pictures):
    other = X[:100].copy()
    other[:10, 1] = np.nan
    page = dem.report(model, other)
    assert page.facts.data["missing there"].startswith("10 (3.3 %) of the values")
    assert "missing there" not in dem.report(model, X).facts.data


@pytest.mark.slow
def test_settings_are_words(without_pictures):
    x = np.abs(X) + 0.1
    model = dem.Mixture(1, family={0: "studentt", 1: Gamma(), 2: "gaussian"}).fit(x)
    settings = dem.report(model).facts.settings
    assert settings["family"] == "0: studentt; 1: Gamma; 2: gaussian"
    assert settings["random_state"] == "not set"


def test_the_checks_are_those_that_apply():
    assert checks_of(dem.PPCA(1).fit(X)) == ["variances that are explained wholly", "columns of very different scales"]
    assert checks_of(dem.BernoulliMixture(1).fit((X > 3).astype(float))) == ["tiny components"]


def test_a_class_whose_rows_seldom_have_a_value_is_told(without_pictures):
    x = X.copy()
    x[150:270, 2] = np.nan
    model = dem.KMeans(2, random_state=0).fit(x)
    (said,) = [each for each in dem.report(model, x).warnings if "Less than half" in each]
    assert f"cluster {model.predict(x)[-1]} in column 2." in said
    assert not any("Less than half" in each for each in dem.report(model).warnings)


def test_parameters_have_their_units(without_pictures):
    columns = dem.Mixture(2, family={"rain": "gamma", "t": "gaussian:tied"}, n_init=1)
    xr = pytest.importorskip("xarray")
    data = xr.Dataset({"rain": ("row", np.abs(X[:, 0]) + 0.1, {"units": "mm"}), "t": ("row", X[:, 1], {"units": "K"})})
    page = dem.report(columns.fit(data, sample_dims="row")).html
    for name in ("shape rain<", "rate rain (1/mm)<", "mean t (K)<", "deviation t (K)<"):
        assert name in page


def test_components_that_share_a_covariance_have_tables():
    model = dem.Mixture(4, family="gaussian:tied", n_init=1, random_state=0).fit(X)
    (table,) = parameter_tables(model)
    assert table.header[-3:] == ("deviation 0", "deviation 1", "deviation 2")
    assert len({row[-1] for row in table.rows}) == 1
