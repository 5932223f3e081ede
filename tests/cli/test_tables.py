"""Parquet files and names of columns on the command line."""

import json

import numpy as np
import pytest
import zarr

import dem
from command_line import done, failed

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

N = 60
RNG = np.random.default_rng(0)
TABLE = pa.table(
    {
        "who": ["someone"] * N,
        "delay": RNG.gamma(2, 2, N),
        "count": RNG.poisson(4, N),
        "t": RNG.normal(10, 3, N),
    },
    schema=pa.schema(
        [
            pa.field("who", pa.string()),
            pa.field("delay", pa.float64()),
            pa.field("count", pa.int64()),
            pa.field("t", pa.float64(), metadata={"units": "degC"}),
        ]
    ),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    pq.write_table(TABLE, folder / "x.parquet", row_group_size=25)
    done("fit", "gmm", folder / "x.parquet", "-k", 2, "--columns", "t,delay", "--n-init", 1, "-o", folder / "gmm.zarr")
    done("fit", "ppca", folder / "x.parquet", "-q", 1, "--columns", "1,2,3", "-o", folder / "ppca.zarr")
    return folder


def test_fit_predict_and_score_of_a_table(folder, tmp_path):
    model = dem.load(folder / "gmm.zarr")
    assert model.feature_names_in_.tolist() == ["t", "delay"]
    assert model.columns_.labels == ("t (°C)", "delay")
    x = np.column_stack([TABLE["t"], TABLE["delay"]])
    done("predict", folder / "gmm.zarr", folder / "x.parquet", "-o", tmp_path / "labels.zarr")
    expected = model.predict(dem.open_source(folder / "x.parquet", columns=["t", "delay"])).compute()
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "labels.zarr")[:], expected)
    said = json.loads(done("score", folder / "gmm.zarr", folder / "x.parquet", "--json").splitlines()[-1])
    bare = dem.GaussianMixture(2, n_init=1, random_state=0).fit(x)
    assert said["log_likelihood"] == pytest.approx(bare.score(x), rel=1e-9)


def test_transform_and_impute_of_a_table(folder, tmp_path):
    done("transform", folder / "ppca.zarr", folder / "x.parquet", "-o", tmp_path / "z.zarr")
    done("impute", folder / "ppca.zarr", folder / "x.parquet", "-o", tmp_path / "filled.zarr")
    x = np.column_stack([TABLE["delay"], TABLE["count"], TABLE["t"]])
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "filled.zarr")[:], x)
    assert zarr.open_array(tmp_path / "z.zarr").shape == (N, 1)


def test_names_in_info_and_fit(folder, tmp_path):
    for words in (("info", folder / "gmm.zarr"), ("info", folder / "x.parquet")):
        assert "t (°C)" in done(*words)
    shown = json.loads(done("info", folder / "x.parquet", "--json").splitlines()[-1])
    assert shown["kind"] == "table"
    assert [column["name"] for column in shown["columns"]] == ["delay", "count", "t"]
    assert shown["types"] == {"who": "string", "delay": "float64", "count": "int64", "t": "float64"}
    assert "not numbers who (string)" in " ".join(done("info", folder / "x.parquet", "--no-scan").split())


def test_families_by_name(folder, tmp_path):
    words = ("fit", "mixture", folder / "x.parquet", "-k", 1, "--columns", "count,delay,t", "--n-init", 1)
    done(*words, "--family", "delay,t=gaussian", "--family", "count=poisson", "-o", tmp_path / "m.zarr")
    assert list(dem.load(tmp_path / "m.zarr").component_parameters_) == ["delay, t", "count"]
    shown = done("info", tmp_path / "m.zarr")
    for name in ("mean delay", "mean t (°C)", "deviation delay", "rate count"):
        assert name in shown
    said = failed(*words, "--family", "dely,t=gaussian", "--family", "count=poisson", "-o", tmp_path / "n.zarr")
    assert "family names the column 'dely'" in said
    said = failed(*words, "--family", "0-2=gaussian", "--family", "9=poisson", "-o", tmp_path / "n.zarr")
    assert "family has column 9, but the data have only columns 0 to 2" in said


@pytest.mark.parametrize("columns", ["t,delay", "0,1", "1,0"])
def test_plot_by_name_or_number(columns, folder, tmp_path):
    done("plot", folder / "gmm.zarr", "--data", folder / "x.parquet", "--columns", columns, "-o", tmp_path / "a.png")
    done("plot", folder / "ppca.zarr", "--data", folder / "x.parquet", "-o", tmp_path / "b.png")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("plot", "gmm.zarr", "--columns", "1,1"), 2, "'1,1' is not a pair of columns"),
        (("plot", "gmm.zarr", "--columns", "t,t"), 2, "'t,t' is not a pair of columns"),
        (("plot", "gmm.zarr", "--columns", "t"), 2, "'t' is not a pair of columns"),
        (("plot", "gmm.zarr", "--columns", "t,dela"), 1, "no column 'dela' (did you mean 'delay'?)"),
        (("plot", "gmm.zarr", "--columns", "t,0"), 1, "column 't' is given twice"),
        (("plot", "ppca.zarr", "--data", "x.parquet", "--columns", "t,delay"), 1, "the numbers of two latents"),
        (("fit", "kmeans", "x.parquet", "-k", "2", "--columns", "dely"), 1, "no column 'dely' (did you mean 'delay'?)"),
        (("fit", "kmeans", "x.parquet", "-k", "2"), 1, "column 'who' of x.parquet has the type string"),
        (("predict", "gmm.zarr", "x.parquet", "--columns", "count,t"), 1, "Feature names unseen at fit time: - count"),
    ],
)
def test_wrong_columns(words, status, said, folder, tmp_path):
    paths = [folder / word if "." in word else word for word in words]
    assert said in failed(*paths, "-o", tmp_path / ("a.png" if words[0] == "plot" else "a.zarr"), status=status)
