"""What is no model of dem's is refused in one sentence that names the path, whatever was done to it."""

import numpy as np
import pytest
from click.testing import CliRunner

import dem
from crosses import cross
from dem.cli.main import main
from dem.estimators.saving import FIT_ATTRIBUTES
from dem.storage.atomic import SAVED_MODELS
from dem.storage.document import GroupContents


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    x = np.random.default_rng(1).normal(size=(60, 3))
    for name, model in {
        "gmm": dem.GaussianMixture(2, n_init=1, tol=0.1),
        "mixture": dem.Mixture(2, n_init=1, tol=0.1),
        "kmeans": dem.KMeans(2),
        "ppca": dem.PPCA(1),
        "fa": dem.FactorAnalysis(1, tol=0.1),
        "bpca": dem.BayesianPCA(tol=0.1),
    }.items():
        model.fit(x).save(folder / name)
    return folder


def refused(path):
    """Return the sentence with which a path is refused, in Python and by `dem info`."""
    with pytest.raises(ValueError, match="cannot be read as a") as error:
        dem.load(path)
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 1
    assert result.stderr == f"dem: {error.value}\n"
    assert str(error.value).startswith(f"{path} cannot be read as a ")
    return str(error.value)


@cross(
    "name, lost",
    ["gmm", "mixture", "kmeans", "ppca", "fa", "bpca"],
    ["n_iter_", "n_passes_", "stop_reason_", "history_", "source_"],
)
def test_lost_attributes(name, lost, models, tmp_path):
    saved = SAVED_MODELS.load(models / name)
    fitted = {key: value for key, value in saved.attributes["fitted"].items() if key != lost}
    SAVED_MODELS.save(tmp_path / "m", GroupContents(saved.model, saved.arrays, {**saved.attributes, "fitted": fitted}))
    assert f"it has no {lost}" in refused(tmp_path / "m")


@pytest.mark.parametrize("name", ["gmm", "mixture", "kmeans", "ppca", "fa", "bpca"])
def test_what_earlier_versions_did_not_save_is_derived(name, models, tmp_path):
    model, saved = dem.load(models / name), SAVED_MODELS.load(models / name)
    added = {"converged_", "lower_bounds_", *(["lower_bound_"] if name == "kmeans" else [])}
    fitted = {key: value for key, value in saved.attributes["fitted"].items() if key not in added}
    SAVED_MODELS.save(tmp_path / "m", GroupContents(saved.model, saved.arrays, {**saved.attributes, "fitted": fitted}))
    old = dem.load(tmp_path / "m")
    for attribute in FIT_ATTRIBUTES:
        assert getattr(old, attribute) == getattr(model, attribute)
    assert old.converged_
    assert old.lower_bounds_[-1] == old.lower_bound_
    assert len(old.lower_bounds_) == max(1, len(old.history_))


@pytest.mark.parametrize("name", ["gmm", "kmeans", "ppca"])
def test_lost_arrays_and_settings(name, models, tmp_path):
    saved = SAVED_MODELS.load(models / name)
    arrays = dict(list(saved.arrays.items())[1:])
    SAVED_MODELS.save(tmp_path / "m", GroupContents(saved.model, arrays, saved.attributes))
    assert "it has no " in refused(tmp_path / "m")
    rest = {key: value for key, value in saved.attributes.items() if key != "settings"}
    SAVED_MODELS.save(tmp_path / "m", GroupContents(saved.model, saved.arrays, rest), overwrite=True)
    assert "settings" in refused(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "kind"), [("gmm", "KMeans"), ("kmeans", "GaussianMixture"), ("ppca", "FactorAnalysis"), ("gmm", "Mixture")]
)
def test_another_kind(name, kind, models, tmp_path):
    saved = SAVED_MODELS.load(models / name)
    SAVED_MODELS.save(tmp_path / "m", GroupContents(kind, saved.arrays, saved.attributes))
    assert f"as a {kind}: " in refused(tmp_path / "m")


def test_a_model_made_of_parameters_lacks_nothing(tmp_path):
    dem.GaussianMixture.from_parameters([1.0], [[0.0, 1.0]], [1.0], "spherical").save(tmp_path / "m")
    assert dem.load(tmp_path / "m").describe() == "Gaussian mixture, 1 component, spherical covariances, 2 columns"
