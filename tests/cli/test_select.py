"""`dem select`: the numbers of a user's options, the table, what is written, going on after a stop."""

import json

import click
import numpy as np
import pytest
import zarr

import dem
from command_line import done, failed, run
from crosses import mostly_slow
from dem.cli.select_options import Numbers


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return np.array([[0.0, 0, 0], [9, 1, -2], [-2, 9, 1]])[rng.integers(3, size=1200)] + rng.normal(size=(1200, 3))


@pytest.fixture(scope="module")
def store(x, tmp_path_factory):
    path = tmp_path_factory.mktemp("select") / "x.zarr"
    zarr.create_array(path, data=x, chunks=(300, 3))
    return path


def record_of(*words):
    return json.loads(done(*words, "--json").splitlines()[-1])


def test_the_best_is_saved_with_the_table_and_the_picture(store, x, tmp_path):
    best, picture = tmp_path / "best.zarr", tmp_path / "curve.png"
    record = record_of(
        "select", "gmm", store, "-k", "1:4", "--covariance", "full,diag", "--picture", picture, "-o", best
    )
    assert record["best"] == "n_components=3, covariance_type=diag"  # the clusters are spheres
    assert [row["settings"]["n_components"] for row in record["table"]] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert record["passes"] == 1 + max(row["passes"] for row in record["table"])
    model = dem.load(best)
    assert model.selection_["table"] == record["table"]
    assert model.bic(x) == pytest.approx(min(row["value"] for row in record["table"]), rel=1e-9)
    assert picture.stat().st_size > 5000
    assert "3 components" in done("info", best)


def test_the_screen_shows_all_candidates_and_the_sentences(store, tmp_path):
    shown = done("select", "gmm", store, "-k", "1:3", "-o", tmp_path / "best.zarr")
    for words in ("n_components=1", "n_components=3 *", "BIC", "The best n_components, 3, is the largest", "converged"):
        assert words in shown


KINDS = {
    "bgmm": ["-k", "1,3"],
    "mixture": ["-k", "2:3", "--family", "studentt"],
    "kmeans": ["-k", "2:4"],
    "mppca": ["-k", "2:3", "-q", "1"],
    "ppca": ["-q", "1:2"],
    "fa": ["-q", "1"],
}


@mostly_slow("kind", list(KINDS), quick=["kmeans", "ppca"])
def test_every_model(kind, store, tmp_path):
    record = record_of("select", kind, store, *KINDS[kind], "-o", tmp_path / "best.zarr")
    assert record["criterion"] == ("bound" if kind == "bgmm" else "bic")
    assert dem.load(tmp_path / "best.zarr").selection_["best"] == record["best"]


def test_groups_are_held_out(store, tmp_path):
    zarr.create_array(tmp_path / "g.zarr", data=np.arange(1200) // 10, chunks=(500,))
    words = ["--criterion", "held_out", "--groups", tmp_path / "g.zarr"]
    record = record_of("select", "gmm", store, "-k", "2:3", *words, "-o", tmp_path / "best.zarr")
    assert sum(record["table"][1]["effective_counts"]) == pytest.approx(1080)


def test_a_stopped_selection_goes_on(store, tmp_path):
    words = ["select", "gmm", store, "-k", "2:3", "-o", tmp_path / "best.zarr"]
    stopped = run(*words, "--max-passes", 2)
    assert stopped.exit_code == 75
    assert "run the same fit again" in stopped.stderr
    going_on = run(*words)
    assert going_on.exit_code == 0
    assert "continuing after the first scan and 1 pass" in going_on.stderr
    assert not (tmp_path / "best.checkpoint.zarr").exists()


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("1:4", [1, 2, 3, 4]), ("2", [2]), ("2,4:8:2", [2, 4, 6, 8]), ("3,3", [3])],
)
def test_numbers(text, numbers):
    assert Numbers().convert(text, None, None) == numbers


@pytest.mark.parametrize("text", ["", "0:3", "4:2", "1:", "a", "1:3:0", "1:9999"])
def test_what_is_no_list_of_numbers(text):
    with pytest.raises(click.BadParameter, match="is not a list of numbers from 1"):
        Numbers().convert(text, None, None)


def test_wrong_options_are_told_before_the_work(store, tmp_path):
    words = ["select", "gmm", store, "-k", "2", "-o", tmp_path / "best.zarr"]
    assert "is not the name of a picture" in failed(*words, "--picture", tmp_path / "curve.txt")
    assert "'ful' is not one of full" in failed(*words, "--covariance", "ful", status=2)
    assert "1201" in failed("select", "gmm", store, "-k", "2,1201", "-o", tmp_path / "b.zarr")


@pytest.mark.parametrize("kind", ["ppca", "fa"])
def test_models_without_components_have_no_labels_to_keep(kind):
    assert "--update" not in done("select", kind, "--help")
    assert "--update" in done("select", "gmm", "--help")
    assert "--groups" not in done("select", "kmeans", "--help")


def test_the_output_is_no_checkpoint(store, tmp_path):
    words = ["select", "gmm", store, "-k", "2:3", "-o", tmp_path / "m.zarr", "--checkpoint", tmp_path / "m.zarr"]
    assert "both the output and the checkpoint" in failed(*words)
