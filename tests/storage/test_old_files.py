"""Models and checkpoints that version 0.1.0 wrote, before its modules moved, can be read and continued.

`data/written_by_0.1.0.tar.xz` holds them, the stores that they were fitted to, and what that version said of each.
"""

import json
import tarfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

import dem
from crosses import mostly_slow
from dem.families import Categorical, Gamma, Gaussian, StudentT
from dem.storage.atomic import SAVED_MODELS
from dem.storage.class_names import current_name, name_in_files
from dem.storage.document import GroupContents
from shared import ENDS_AT_MAX_ITER

ARCHIVE = Path(__file__).parent / "data" / "written_by_0.1.0.tar.xz"
FAMILIES = {
    "product": {(0, 1): Gaussian(reg_covar=1e-6), 2: Gamma(), 3: Categorical(3)},
    "studentt": StudentT(reg_covar=1e-6),
    "studentt-holes": StudentT(reg_covar=1e-6),
}
KINDS = (
    "gaussian-full",
    "gaussian-holes",
    "diag-holes",
    "bayesian",
    "product",
    "studentt",
    "kmeans",
    "mfa",
    "fa-holes",
)
"""One checkpoint, or two, of each class of models."""
ROUNDING = 1e-9
"""Another processor's arithmetic, over some iterations."""

with tarfile.open(ARCHIVE) as archive:
    TOLD = json.load(archive.extractfile("./told.json"))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize("name", TOLD)
def test_models_are_read(name, files):
    told = TOLD[name]
    model = dem.load(files / f"{name}.model.zarr")
    assert type(model).__name__ == told["class"]
    assert model.score(str(files / f"{told['data']}.zarr")) == pytest.approx(told["score"], rel=ROUNDING)


@ENDS_AT_MAX_ITER
@mostly_slow("name", [name for name, told in TOLD.items() if told["checkpoint"]], quick=KINDS)
def test_fits_continue_from_old_checkpoints(name, files, monkeypatch):
    monkeypatch.setenv("DEM_KERNEL", "numpy")  # that version had no other kernel
    told = TOLD[name]
    family = {"family": FAMILIES[name]} if name in FAMILIES else {}
    model = getattr(dem, told["class"])(**told["settings"], **family)
    passes = []
    model.fit(str(files / f"{told['data']}.zarr"), checkpoint=files / f"{name}.checkpoint.zarr", callback=passes.append)
    # How many passes in all is not compared: with tol=0 some fits end where the objective rises by no bit more.
    assert len(passes) == model.n_passes_ - 2  # those that the checkpoint holds are not made again
    reached = "inertia_" if "inertia_" in told else "lower_bound_"
    assert getattr(model, reached) == pytest.approx(told[reached], rel=ROUNDING)


def names(document):
    """Yield the names of classes in a saved value."""
    for key, value in document.items() if isinstance(document, dict) else enumerate(document):
        if key in ("class", "enum"):
            yield value
        elif isinstance(value, dict | list):
            yield from names(value)


def test_classes_keep_their_names_in_files(files):
    """The digests in these files were computed with the names."""
    found = {name for path in files.rglob("zarr.json") for name in names(json.loads(path.read_text()))}
    assert len(found) > 20
    for name in found:
        module, qualified = current_name(name)
        assert name_in_files(getattr(import_module(module), qualified)) == name


def edited(files, folder, name):
    """Return the path of a copy of a saved mixture whose family has another class name, with a correct checksum."""
    saved = SAVED_MODELS.load(files / "product.model.zarr")
    text = json.dumps(saved.attributes).replace("dem.families.gamma:Gamma", name)
    SAVED_MODELS.save(folder / "m.zarr", replace(saved, attributes=json.loads(text)))
    return folder / "m.zarr"


@pytest.mark.parametrize("name", ["dem.__main__:Gamma", "dem.storage.atomic:remove", "subprocess:Popen"])
def test_a_file_does_not_choose_what_is_imported(name, files, tmp_path):
    path = edited(files, tmp_path, name)
    with pytest.raises(ValueError, match=r"m.zarr refers to .*, which is not part of dem"):
        dem.load(path)


@pytest.mark.parametrize("name", ["dem.families.gamma:Gamme", "dem.families.gammx:Gamma"])
def test_an_unknown_class_is_reported_with_the_file(name, files, tmp_path):
    with pytest.raises(ValueError, match=r"m.zarr cannot be read as a Mixture: .*gamm"):
        dem.load(edited(files, tmp_path, name))


@pytest.mark.parametrize("settings", [{"colour": "blue"}, 3])
def test_an_unknown_setting_is_reported_with_the_file(settings, tmp_path):
    saved = GroupContents("GaussianMixture", {}, {"settings": settings, "fitted": {}})
    SAVED_MODELS.save(tmp_path / "m.zarr", saved)
    with pytest.raises(
        ValueError, match=r"m.zarr cannot be read as a GaussianMixture: .*\(TypeError.*upgrade dem, or fit and save"
    ):
        dem.load(tmp_path / "m.zarr")


def test_one_module_may_be_named_by_itself(files, tmp_path):
    path = edited(files, tmp_path, "own_family:Missing")
    for modules in ("own_family", ["own_family"]):
        with pytest.raises(ValueError, match=r"m.zarr cannot be read as a Mixture: .*\(AttributeError.*own_family"):
            dem.load(path, modules=modules)
    with pytest.raises(ValueError, match=r"refers to .* of the module own_family, .*: name the module, in Python"):
        dem.load(path, modules="own")
