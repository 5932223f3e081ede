"""dem fit --from, --keep-labels and --update; dem match; dem compare-labels."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import done, failed
from dem.cli.commands.earlier import beginning, earlier_labels, matching_with
from dem.cli.commands.job import Job
from dem.cli.commands.session import Session
from dem.estimators.earlier import EarlierModel
from dem.source import open_source
from estimators.test_earlier import K, clouds


@pytest.fixture
def night(tmp_path):
    """The store of yesterday with its model and labels, and the store of today."""
    zarr.create_array(tmp_path / "x.zarr", data=clouds(6000), chunks=(1500, 2))
    later = np.concatenate([clouds(6000), clouds(300, seed=1)])
    zarr.create_array(tmp_path / "y.zarr", data=later, chunks=(1500, 2))
    done("fit", "gmm", tmp_path / "x.zarr", "-k", K, "-o", tmp_path / "old.zarr", "--quiet")
    done("predict", tmp_path / "old.zarr", tmp_path / "x.zarr", "-o", tmp_path / "old-labels.zarr", "--quiet")
    return tmp_path


def fit(night, *more, store="y.zarr", kind="gmm"):
    """Return the record of a fit of today's store."""
    words = ["fit", kind, night / store, "-o", night / "new.zarr", "--overwrite", "--json", *more]
    return json.loads(done(*words).splitlines()[-1])


def test_from_last_night(night):
    cold = fit(night, "-k", K)
    warm = fit(night, "-k", K, "--from", night / "old.zarr")
    assert warm["passes"] < cold["passes"]
    assert "labels" not in warm
    done("predict", night / "new.zarr", night / "y.zarr", "-o", night / "new-labels.zarr", "--quiet")
    found = json.loads(done("compare-labels", night / "old-labels.zarr", night / "new-labels.zarr", "--json"))
    assert (found["compared"], found["added"], found["removed"]) == (6000, 300, 0)
    assert found["changed"] <= 6
    assert "300 rows new" in done("compare-labels", night / "old-labels.zarr", night / "new-labels.zarr")


def test_labels_are_kept(night):
    turned = dem.load(night / "old.zarr").reordered([2, 0, 1])
    turned.save(night / "turned.zarr")
    record = fit(night, "-k", K, "--keep-labels", night / "turned.zarr")
    assert record["labels"]["kept"] == K
    np.testing.assert_allclose(dem.load(night / "new.zarr").means_, turned.means_, atol=0.2)
    record = json.loads(done("match", night / "old.zarr", night / "turned.zarr", "--json"))
    assert record["order"] == [2, 0, 1]
    assert "3 of 3 components are those of the earlier model" in done(
        "match", night / "old.zarr", night / "turned.zarr"
    )
    more = fit(night, "-k", K + 1, "--keep-labels", night / "turned.zarr")
    assert len(more["labels"]["new"]) == 1
    kmeans = fit(night, "-k", K, "--keep-labels", night / "turned.zarr", kind="kmeans")
    assert kmeans["labels"]["kept"] == K


def test_an_update_starts_from_nothing_if_it_must(night):
    assert fit(night, "-k", K, "--update", night / "old.zarr")["passes"] == 2
    first = fit(night, "-k", K, "--update", night / "nothing.zarr")
    assert first["passes"] > 2
    assert "labels" not in first
    more = fit(night, "-k", K + 1, "--update", night / "old.zarr")
    assert more["passes"] > 2
    assert more["labels"]["kept"] == K  # the numbers are kept also then
    assert fit(night, "-q", 1, "--update", night / "old.zarr", kind="ppca")["passes"] == 1


def test_what_does_not_suit_is_refused_before_the_work(night):
    words = ["fit", "gmm", night / "y.zarr", "-o", night / "n.zarr", "-k"]
    assert "old.zarr has n_components=3, but" in failed(*words, K + 1, "--from", night / "old.zarr")
    assert "nothing.zarr" in failed(*words, K, "--from", night / "nothing.zarr")
    assert "leave those out" in failed(*words, K, "--from", night / "old.zarr", "--update", night / "old.zarr")
    zarr.create_array(night / "z.zarr", data=np.random.default_rng(0).normal(size=(90, 3)))
    words[2] = night / "z.zarr"
    assert "has 3 columns, but" in failed(*words, K, "--keep-labels", night / "old.zarr")
    done("fit", "ppca", night / "x.zarr", "-q", 1, "-o", night / "p.zarr", "--quiet")
    assert "a PPCA has no components" in failed("match", night / "p.zarr", night / "old.zarr")


def test_an_update_with_a_new_category_starts_from_nothing(tmp_path):
    x = np.random.default_rng(0).integers(3, size=(600, 2)) * 1.0
    for name, rows in (("x", x), ("y", np.concatenate([x, [[3.0, 0.0]]]))):
        zarr.create_array(tmp_path / f"{name}.zarr", data=rows, chunks=(200, 2))
    words = ["-k", 2, "--family", "categorical", "--quiet"]
    done("fit", "mixture", tmp_path / "x.zarr", "-o", tmp_path / "old.zarr", *words)
    words = ["fit", "mixture", tmp_path / "y.zarr", "-o", tmp_path / "new.zarr", *words]
    assert "leave out the start" in failed(*words, "--from", tmp_path / "old.zarr")
    words += ["--update", tmp_path / "old.zarr", "--max-passes"]
    failed(*words, 2, status=75)  # a checkpoint of the fit from nothing is continued
    done(*words, 99)
    assert dem.load(tmp_path / "new.zarr").family_.n_categories == (4, 3)


def test_a_model_is_saved_without_labels_if_they_cannot_be_kept(capsys):
    class Failing:
        def match(self, earlier):
            raise FloatingPointError("too large")

    assert matching_with(Failing(), Failing(), Session()) is None
    assert "no labels are kept: too large" in capsys.readouterr().err


def test_names_of_columns_are_checked_and_models_loaded_once(tmp_path):
    pandas = pytest.importorskip("pandas")
    dem.GaussianMixture(K).fit(pandas.DataFrame(clouds(), columns=["a", "b"])).save(tmp_path / "m.zarr")
    path, turned = str(tmp_path / "m.zarr"), open_source(pandas.DataFrame(clouds(), columns=["b", "a"]))
    with pytest.raises(ValueError, match=r"the column 'b' where .*m.zarr has 'a'.*--keep-labels"):
        earlier_labels(path, dem.GaussianMixture(K), turned)
    same = open_source(pandas.DataFrame(clouds(), columns=["a", "b"]))
    begun, _ = beginning(Job("x", "y", start=path), dem.GaussianMixture(K), same, Session())
    assert EarlierModel.of(dem.GaussianMixture(K), begun) is begun
