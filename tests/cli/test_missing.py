"""What the commands say and do about missing values: info, fit, report, predict, impute."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import done, failed, run
from dem.cli.commands.rows import std_path
from dem.core.human import share

N = 400


@pytest.fixture(scope="module")
def holes():
    """Rows of two clusters in which some values of columns 1 and 2 are missing, and all of two rows."""
    rng = np.random.default_rng(3)
    x = np.round(np.r_[rng.normal(0, 10, (N // 2, 3)), rng.normal(90, 10, (N // 2, 3))])[rng.permutation(N)]
    x[rng.random(N) < 0.2, 1] = np.nan
    x[rng.random(N) < 0.1, 2] = np.nan
    x[[5, 250]] = np.nan
    return x


@pytest.fixture(scope="module")
def folder(tmp_path_factory, holes):
    """The same rows as floats, packed as xarray 2025 packs them, and with a sentinel that nothing tells of."""
    folder = tmp_path_factory.mktemp("missing")
    zarr.create_array(folder / "nan.zarr", data=holes.astype("f4"), chunks=(100, 3))
    packed = np.where(np.isnan(holes), -9999, holes).astype("i2")
    attributes = {"_FillValue": -9999, "scale_factor": 0.5, "add_offset": 10.0}
    zarr.create_array(folder / "packed.zarr", data=packed, chunks=(100, 3), attributes=attributes)
    zarr.create_array(folder / "sentinel.zarr", data=packed, chunks=(100, 3))
    return folder


def test_info_says_per_column_how_much_is_missing(folder, holes):
    record = json.loads(done("info", folder / "nan.zarr", "--json"))
    counts = np.isnan(holes).sum(axis=0)
    assert [c["missing"] for c in record["columns"]] == counts.tolist()
    assert [c["missing_share"] for c in record["columns"]] == (counts / N).tolist()
    incomplete = int(np.isnan(holes).any(axis=1).sum())
    assert record["missing"] == {"decoding": None, "incomplete_rows": incomplete, "empty_rows": 2}
    out = done("info", folder / "nan.zarr")
    assert share(int(counts[1]), N) in out
    assert "2 (0.5 %) have no value at all" in out
    lines = [line for line in out.splitlines() if line.startswith("taken as missing")]
    assert [line.split()[3:] for line in lines] == [["NaN"]]


def test_info_decodes(folder, holes):
    record = json.loads(done("info", folder / "packed.zarr", "--json"))
    assert record["missing"]["decoding"]["missing"] == [["_FillValue", -9999]]
    np.testing.assert_allclose([c["min"] for c in record["columns"]], np.nanmin(0.5 * holes + 10, axis=0))
    np.testing.assert_allclose([c["mean"] for c in record["columns"]], np.nanmean(0.5 * holes + 10, axis=0))
    out = done("info", folder / "packed.zarr")
    assert "NaN, _FillValue=-9999" in out
    assert "0.5 v + 10" in out
    plain = json.loads(done("info", folder / "sentinel.zarr", "--json"))
    assert plain["columns"][0]["min"] == -9999
    given = json.loads(done("info", folder / "sentinel.zarr", "--json", "--missing-value", -9999))
    assert given["columns"][0]["min"] == np.nanmin(holes[:, 0])
    assert given["columns"][1]["missing"] == np.isnan(holes[:, 1]).sum()
    out = done("info", folder / "sentinel.zarr", "--missing-value", -9999)
    assert "NaN, missing_value=-9999" in out


def test_missing_values_that_are_no_numbers(folder):
    assert run("info", folder / "nan.zarr", "--missing-value", "none").exit_code == 2
    assert "finite number" in failed("info", folder / "nan.zarr", "--missing-value", "inf")


def test_whole_numbers_keep_their_digits(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=np.array([[2**63 - 1, 1], [2, 2**63 - 2]]))
    told = json.loads(done("info", tmp_path / "x.zarr", "--json", "--missing-value", 2**63 - 1))
    assert [c["missing"] for c in told["columns"]] == [1, 0]


FITS = {
    "gmm": ("-k", 2),
    "bgmm": ("-k", 2),
    "mixture": ("-k", 2, "--family", "gaussian"),
    "kmeans": ("-k", 2),
    "mppca": ("-k", 2, "-q", 1),
    "ppca": ("-q", 1),
    "bpca": ("-q", 1),
    "fa": ("-q", 1),
}


@pytest.mark.parametrize(("kind", "options"), FITS.items(), ids=FITS)
def test_every_fit_can_refuse(kind, options, folder, tmp_path):
    words = ("fit", kind, folder / "sentinel.zarr", *options, "-o", tmp_path / "m.zarr", "--missing", "error")
    said = failed(*words, "--missing-value", -9999)
    assert "sentinel.zarr has" in said
    assert "missing values (NaN)" in said


@pytest.fixture(scope="module")
def fitted(folder):
    words = ("fit", "gmm", folder / "sentinel.zarr", "-k", 2, "--covariance", "diag", "--missing-value", -9999)
    return done(*words, "-o", folder / "gmm.zarr")


def test_a_model_keeps_what_is_missing(fitted, folder, holes, tmp_path):
    assert "2 (0.5 %) have no value at all" in fitted
    model = dem.load(folder / "gmm.zarr")
    assert (model.missing, model.missing_value) == ("marginalize", -9999)
    assert model.source_["missing"] == np.isnan(holes).sum(axis=0).tolist()
    assert sorted(np.round(model.means_[:, 0] / 90)) == [0, 1]  # no sentinel pulled them away
    done("predict", folder / "gmm.zarr", folder / "sentinel.zarr", "-o", tmp_path / "labels.zarr")
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "labels.zarr", mode="r")[...], model.predict(holes))
    scored = json.loads(done("score", folder / "gmm.zarr", folder / "sentinel.zarr", "--json"))
    assert scored["log_likelihood"] == pytest.approx(model.score(holes), rel=1e-6)
    assert (scored["rows"], scored["empty_rows"]) == (N, 2)
    assert scored["bic"] == pytest.approx(model.bic(holes[~np.isnan(holes).all(axis=1)]), rel=1e-6)
    told = done("score", folder / "gmm.zarr", folder / "sentinel.zarr")
    assert f"over {N - 2} rows (2 more rows have no value at all)" in told
    done("plot", folder / "gmm.zarr", "--data", folder / "sentinel.zarr", "-o", tmp_path / "gmm.png")


def test_info_of_a_model_and_its_report(fitted, folder, holes, tmp_path):
    assert "2 (0.5 %) have no value at all" in done("info", folder / "gmm.zarr")
    out = done("report", folder / "gmm.zarr", folder / "sentinel.zarr", "-o", tmp_path / "r.json")
    assert "2 (0.5 %) have no value at all" in out
    told = json.loads((tmp_path / "r.json").read_text())["missing"]
    counts = np.isnan(holes).sum(axis=0)
    assert [c["column"] for c in told["columns"]] == ["column 1", "column 2", "column 0"]
    assert [c["share"] for c in told["columns"]] == (counts[[1, 2, 0]] / N).tolist()
    assert told["empty_rows"] == 2
    assert told["incomplete_rows"] == np.isnan(holes).any(axis=1).sum()


def test_a_report_lists_the_worst_columns(tmp_path):
    x = np.random.default_rng(0).normal(size=(100, 50))
    for j in range(1, 50):
        x[: j + 1, j] = np.nan
    zarr.create_array(tmp_path / "x.zarr", data=x, chunks=(100, 50))
    done("fit", "gmm", tmp_path / "x.zarr", "-k", 1, "--covariance", "diag", "-o", tmp_path / "m.zarr")
    done("report", tmp_path / "m.zarr", tmp_path / "x.zarr", "-o", tmp_path / "r.json")
    listed = json.loads((tmp_path / "r.json").read_text())["missing"]["columns"]
    assert [c["column"] for c in listed] == [f"column {j}" for j in range(49, 19, -1)]


def test_a_model_of_complete_data_says_nothing_is_missing(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=np.random.default_rng(0).normal(size=(50, 2)))
    assert "missing" not in done("fit", "ppca", tmp_path / "x.zarr", "-q", 1, "-o", tmp_path / "m.zarr")
    lines = done("info", tmp_path / "m.zarr").splitlines()
    assert [line.split() for line in lines if line.startswith("missing")] == [["missing", "nothing"]]


def test_impute_writes_rows_and_deviations(fitted, folder, holes, tmp_path):
    out = tmp_path / "filled.zarr"
    result = run("impute", folder / "gmm.zarr", folder / "sentinel.zarr", "-o", out, "--std")
    assert result.exit_code == 0, result.output
    assert "filled_std.zarr" in result.stdout
    filled = zarr.open_array(out, mode="r")
    deviations = zarr.open_array(tmp_path / "filled_std.zarr", mode="r")
    assert (filled.dtype, filled.chunks, deviations.dtype) == ("f4", (100, 3), "f4")
    assert result.stderr.count("2 rows of") == 2  # of each output, how many rows are missing in it
    observed, empty = ~np.isnan(holes), np.isnan(holes).all(axis=1)
    np.testing.assert_array_equal(filled[...][observed], holes[observed])
    np.testing.assert_array_equal(deviations[...] == 0, observed)
    for what in (filled, deviations):
        np.testing.assert_array_equal(np.isnan(what[...]).all(axis=1), empty)
        np.testing.assert_array_equal(np.isnan(what[...]).any(axis=1), empty)
        assert np.isnan(what.fill_value)
    for what, expected in zip((filled, deviations), dem.load(folder / "gmm.zarr").impute(holes, True), strict=True):
        np.testing.assert_allclose(what[...], expected, rtol=1e-5)


def test_impute_refuses_before_it_works(fitted, folder, tmp_path):
    words = ("impute", folder / "gmm.zarr", folder / "sentinel.zarr", "-o", tmp_path / "filled.zarr")
    done(*words)
    assert "use --overwrite" in failed(*words)
    done(*words, "--overwrite")
    (tmp_path / "taken_std.zarr").mkdir()
    (tmp_path / "taken_std.zarr" / "file").write_text("")
    result = run(*words[:-1], tmp_path / "taken.zarr", "--std")
    assert result.exit_code == 1
    assert "taken_std.zarr exists" in result.stderr
    assert not (tmp_path / "taken.zarr").exists()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("filled.zarr", "filled_std.zarr"),
        ("s3://bucket/a.b/filled", "s3://bucket/a.b/filled_std"),
        ("out/filled.zarr/", "out/filled_std.zarr"),
        ("filled", "filled_std"),
    ],
)
def test_deviations_go_beside(output, expected):
    assert std_path(output) == expected


@pytest.mark.parametrize(
    ("n", "words"), [(0, "0"), (12_345, "12,345 (3.1 %)"), (1, "1 (< 0.1 %)"), (400_000, "400,000 (100.0 %)")]
)
def test_shares(n, words):
    assert share(n, 400_000) == words
