"""The Zarr arrays and groups around a path are found by their metadata, on a disk and at a URL."""

from pathlib import Path

import numpy as np
import pytest
import zarr

from dem.storage import checkpoint, hierarchy
from dem.storage.hierarchy import check_outside_arrays, enclosing_nodes, hidden_file_base, update_enclosing_groups


@pytest.fixture(params=["disk", "url"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "disk" else f"memory://{tmp_path.name}"


@pytest.fixture(params=[2, 3], ids=["v2", "v3"])
def zarr_format(request):
    return request.param


def test_enclosing_nodes_begin_with_the_innermost(folder, zarr_format):
    group = zarr.create_group(f"{folder}/g.zarr", zarr_format=zarr_format)
    group.create_array("deep/x", data=np.ones(3))
    found = enclosing_nodes(f"{folder}/g.zarr/deep/x/c/0")
    assert [(node.where, node.kind, node.zarr_format) for node in found] == [
        (f"{folder}/g.zarr/deep/x", "array", zarr_format),
        (f"{folder}/g.zarr/deep", "group", zarr_format),
        (f"{folder}/g.zarr", "group", zarr_format),
    ]
    assert enclosing_nodes(f"{folder}/g.zarr") == []  # above, not at
    assert enclosing_nodes(f"{folder}/g.zarr.old/x") == []


def test_links_are_followed(tmp_path):
    zarr.create_array(tmp_path / "x.zarr", data=np.ones(3))
    (tmp_path / "link").symlink_to(tmp_path / "x.zarr")
    with pytest.raises(FileExistsError, match=r"link/a is inside the Zarr array .*x\.zarr: choose a path outside"):
        check_outside_arrays(tmp_path / "link" / "a")


@pytest.mark.parametrize(("stamp", "noun"), [("dem_model", "model"), ("dem_run", "checkpoint")])
def test_nothing_else_is_written_inside_models_and_checkpoints(folder, stamp, noun):
    zarr.create_group(f"{folder}/m.zarr", attributes={stamp: {}})
    with pytest.raises(FileExistsError, match=rf"m\.zarr/a is inside the {noun} of dem .*m\.zarr: choose a path"):
        check_outside_arrays(f"{folder}/m.zarr/a")
    if noun == "checkpoint":
        assert check_outside_arrays(f"{folder}/m.zarr/a", part_of=noun)


def test_unreadable_documents_are_not_nodes(tmp_path):
    (tmp_path / "zarr.json").write_text("{")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "zarr.json").write_text("[]")
    assert enclosing_nodes(tmp_path / "a" / "b") == []


def test_hidden_files_are_next_to_the_outermost_group(tmp_path, monkeypatch):
    zarr.create_group(tmp_path / "g.zarr").create_group("deep")
    assert hidden_file_base(tmp_path / "x.zarr") == tmp_path / "x.zarr"
    assert hidden_file_base(tmp_path / "g.zarr" / "deep" / "x") == tmp_path / "g.zarr.deep.x"
    assert checkpoint.default_path(f"{tmp_path}/x.zarr") == f"{tmp_path}/x.checkpoint.zarr"
    assert checkpoint.default_path(f"{tmp_path}/g.zarr/m.zarr") == f"{tmp_path}/g.zarr.m.checkpoint.zarr"
    assert checkpoint.default_path("s3://a/m.zarr") == "s3://a/m.checkpoint.zarr"
    monkeypatch.setattr(hierarchy.os, "access", lambda folder, mode: Path(folder) != tmp_path)
    assert (
        hidden_file_base(tmp_path / "g.zarr" / "x") == tmp_path / "g.zarr" / "x"
    )  # nothing can be made beside the group


def test_consolidated_metadata_include_what_others_wrote_meanwhile(tmp_path, monkeypatch):
    """Two writers: the one that updates the metadata last includes the array of the other."""
    group = zarr.create_group(tmp_path / "g.zarr", zarr_format=2)
    group.create_array("a", data=np.ones(3))
    consolidate = zarr.consolidate_metadata
    consolidate(str(tmp_path / "g.zarr"))
    group.create_array("b", data=np.ones(3))

    def late(*words, **more):
        monkeypatch.setattr(zarr, "consolidate_metadata", consolidate)
        old = (tmp_path / "g.zarr" / ".zmetadata").read_text()
        group.create_array("c", data=np.ones(3))
        (tmp_path / "g.zarr" / ".zmetadata").write_text(old)  # what this writer had listed before

    monkeypatch.setattr(zarr, "consolidate_metadata", late)
    update_enclosing_groups(tmp_path / "g.zarr" / "b")
    assert sorted(zarr.open_consolidated(tmp_path / "g.zarr").keys()) == ["a", "b", "c"]
