"""Stores opened by path, URL or handle have the same rows and a readable name."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.storage import LocalStore, MemoryStore, WrapperStore, ZipStore

from crosses import cross
from dem import PPCA, GaussianMixture
from dem.source import open_source
from dem.source.members import arrays_in
from dem.source.stores import address, local_path, store_name

X = np.random.default_rng(3).normal(size=(400, 3)) + 5 * np.repeat([[0], [1]], 200, axis=0)


def at_url(folder):
    zarr.create_array(f"memory://{folder.name}/x.zarr", data=X, chunks=(90, 3))
    return f"memory://{folder.name}/x.zarr", "x.zarr"


def inside_a_group_at_a_url(folder):
    group = zarr.open_group(f"memory://{folder.name}/g.zarr", mode="w")
    group.create_array("deep/rows", data=X, chunks=(90, 3))
    return f"memory://{folder.name}/g.zarr/deep/rows", "g.zarr/deep/rows"


def handle_inside_a_group_at_a_url(folder):
    path, name = inside_a_group_at_a_url(folder)
    return zarr.open_group(path.removesuffix("/deep/rows"), mode="r")["deep/rows"], name


def at_a_file_url(folder):
    zarr.create_array(folder / "x y.zarr", data=X, chunks=(90, 3))
    return (folder / "x y.zarr").as_uri(), "x y.zarr"


FORMS = [at_url, inside_a_group_at_a_url, handle_inside_a_group_at_a_url, at_a_file_url]


@pytest.mark.parametrize("form", FORMS)
def test_urls_are_opened_and_named(form, tmp_path):
    data, name = form(tmp_path)
    source = open_source(data)
    assert source.name == name
    assert source.locate(100) == f"chunk c/1/0 (rows 90 to 179) of {name}"
    np.testing.assert_array_equal(np.concatenate([b.x for p in source.partitions for b in p.blocks()]), X)


@cross("form, model", {form.__name__: form for form in FORMS}, {"mixture": GaussianMixture, "ppca": PPCA})
def test_models_are_fitted_to_urls(form, model, tmp_path):
    data, name = form(tmp_path)
    weight = np.linspace(0.5, 2, len(X))
    zarr.create_array(f"memory://{tmp_path.name}/w.zarr", data=weight, chunks=(70,))
    found = model(2).fit(data, sample_weight=f"memory://{tmp_path.name}/w.zarr")
    expected = model(2).fit(X, sample_weight=weight)
    assert found.lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)
    np.testing.assert_allclose(found.score_samples(data).compute(), expected.score_samples(X), rtol=1e-8)
    assert found.source_["name"] == name


def test_a_group_at_a_url_lists_its_arrays(tmp_path):
    path, _ = inside_a_group_at_a_url(tmp_path)
    with pytest.raises(ValueError, match=r"g.zarr is a Zarr group with the arrays deep/rows \(400, 3\)"):
        open_source(path.removesuffix("/deep/rows"))
    with pytest.raises(FileNotFoundError, match=r"No Zarr store at memory://.*/nothing: check the path\.$"):
        open_source(f"{path}/nothing")


def grown(place, version):
    """Return a group and a subgroup with consolidated metadata, and arrays that were added and removed later."""
    group = zarr.open_group(place, mode="w", zarr_format=version)
    for name in ("old", "gone", "deep/old", "deep/er/old"):
        group.create_array(name, data=X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not in the specification of v3 yet
        for path in ("deep/er", "deep", ""):
            zarr.consolidate_metadata(group.store, path=path or None)
    fresh = zarr.open_group(place, mode="r+", use_consolidated=False)
    for name in ("new", "deep/new", "deep/er/new"):
        fresh.create_array(name, data=X)
    del fresh["gone"]
    return zarr.open_group(place, mode="r")


THERE = ["deep/er/new", "deep/er/old", "deep/new", "deep/old", "new", "old"]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("at", ["folder", "url", "memory"])
def test_the_arrays_of_a_group_are_listed_from_the_store(at, version, tmp_path):
    places = {"folder": tmp_path / "g.zarr", "url": f"memory://{tmp_path.name}/grown.zarr", "memory": MemoryStore()}
    group = grown(places[at], version)
    assert "gone" in dict(group.members())  # as the metadata have it
    assert list(arrays_in(group, "g.zarr")) == THERE
    assert list(arrays_in(group, "g.zarr", depth=2)) == [name for name in THERE if "er" not in name]
    listed = ", ".join(rf"{name} \(400, 3\)" for name in THERE)
    with pytest.raises(ValueError, match=f"is a Zarr group with the arrays {listed}: pass one array"):
        open_source(group if at == "memory" else places[at])
    np.testing.assert_array_equal(next(open_source(group["deep/old"]).partitions[0].blocks()).x, X)


def test_consolidated_metadata_are_used_if_a_store_cannot_list(tmp_path, monkeypatch):
    group = grown(tmp_path / "g.zarr", 3)
    old = ["deep/er/old", "deep/old", "gone", "old"]
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "supports_listing", False)
        assert list(arrays_in(group, "g.zarr")) == old

    def refused(self, prefix):
        raise OSError("403 Forbidden")

    monkeypatch.setattr(LocalStore, "list_dir", refused)
    assert list(arrays_in(group, "g.zarr")) == old


def test_arrays_inside_a_model_are_not_data(tmp_path):
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("rows", data=X)
    group.create_group("m", attributes={"dem_model": {}}).create_array("generation-1/means_", data=X)
    assert list(arrays_in(group, "g.zarr")) == ["rows"]


def test_other_files_in_a_group_are_ignored(tmp_path):
    group = zarr.open_group(tmp_path / "g.zarr", mode="w")
    group.create_array("rows", data=X)
    (tmp_path / "g.zarr" / "README").write_text("mine")
    assert list(arrays_in(group, "g.zarr")) == ["rows"]


@pytest.mark.parametrize("version", [2, 3])
def test_truncated_metadata_are_reported_with_the_path(version, tmp_path):
    group = zarr.open_group(tmp_path / "g.zarr", mode="w", zarr_format=version)
    group.create_array("rows", data=X)
    document = tmp_path / "g.zarr" / "rows" / ("zarr.json" if version == 3 else ".zarray")
    document.write_text(document.read_text()[:50])
    with pytest.raises(ValueError, match=r"Cannot read the metadata of .*g.zarr/rows .*: .*Restore or rewrite"):
        open_source(tmp_path / "g.zarr" / "rows")
    with pytest.raises(ValueError, match=r"Cannot read the metadata of an array or group in .*g.zarr "):
        open_source(tmp_path / "g.zarr")
    with pytest.raises(ValueError, match=r"Cannot read the metadata of .*g.zarr/rows "):
        open_source(X, tmp_path / "g.zarr" / "rows")


def test_a_model_is_not_data(tmp_path):
    PPCA(1).fit(X).save(tmp_path / "m.zarr")
    with pytest.raises(ValueError, match=r"m.zarr is a model saved by dem, not data: pass a Zarr array of rows"):
        open_source(tmp_path / "m.zarr")
    GaussianMixture(1).fit(X, checkpoint=tmp_path / "c.zarr")
    for part in ("", "scan", "state"):
        with pytest.raises(ValueError, match="is a checkpoint saved by dem, not data"):
            open_source(tmp_path / "c.zarr" / part)


@pytest.mark.parametrize("path", ["", " "])
def test_an_empty_path_is_refused(path):
    for data in ({"data": path}, {"data": X, "weights": path}):
        with pytest.raises(FileNotFoundError, match=r"^The path is empty: give a path or URL"):
            open_source(**data)


def test_names_of_other_stores(tmp_path):
    inner = MemoryStore()
    zarr.open_group(inner, mode="w").create_array("rows", data=X)
    assert store_name(zarr.open_group(inner, mode="r")["rows"]) == "rows"
    assert store_name(zarr.open_group(WrapperStore(inner), mode="r+")["rows"]) == "rows"
    with ZipStore(tmp_path / "a.zip", mode="w") as zipped:
        assert store_name(zarr.create_array(zipped, data=X)) == "a.zip"


def test_addresses(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert address("a/b.zarr") == address(Path("a/b.zarr")) == f"{tmp_path}/a/b.zarr"
    assert address("s3://bucket/a.zarr") == "s3://bucket/a.zarr"
    assert address("file:///a%20b/c.zarr") == address("file://localhost/a b/c.zarr") == "/a b/c.zarr"
    with pytest.raises(ValueError, match="file://a/b is not a file on this machine"):
        address("file://a/b")
    monkeypatch.setenv("HOME", "/home/someone")
    assert address("~/a.zarr") == address(Path("~/a.zarr")) == "/home/someone/a.zarr"
    assert address("./~/a.zarr") == f"{tmp_path}/~/a.zarr"
    assert local_path("~/a.zarr") == Path("/home/someone/a.zarr")
    assert local_path("s3://bucket/~/a.zarr") is None


@pytest.mark.parametrize("model", [GaussianMixture, PPCA])
def test_an_open_source_can_be_used_as_data(model, tmp_path):
    path, _ = at_url(tmp_path)
    weight = np.linspace(0.5, 2, len(X))
    source = open_source(path, weight)
    assert open_source(source) is source
    found, expected = model(2).fit(source), model(2).fit(path, sample_weight=weight)
    assert found.lower_bound_ == expected.lower_bound_
    assert found.source_ == expected.source_
    assert found.score(source) == expected.score(path, sample_weight=weight)
    np.testing.assert_array_equal(found.score_samples(source).compute(), expected.score_samples(path).compute())
    with pytest.raises(ValueError, match="Weights cannot be added to an open source"):
        model(2).fit(source, sample_weight=weight)
    with pytest.raises(ValueError, match=r"2 columns, but .* was fitted on 3"):
        found.score(open_source(X[:, :2]))
    assert model(2).fit(open_source(X, weight)).lower_bound_ == pytest.approx(expected.lower_bound_, rel=1e-10)
