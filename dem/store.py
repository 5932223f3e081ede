"""A fitted model on disk: a Zarr group that is replaced whole or not at all.

Object stores cannot rename, and a folder cannot be swapped in place. So a save writes a new generation,
a subgroup, beside the old one; then one small object, the root's ``zarr.json``, is written to name it with
its checksum. Readers follow that name alone; whatever a crash left behind is never looked at.

    model.zarr/zarr.json                 format, dem's version, generation, checksum   (written last)
    model.zarr/generation-1f0c.../       model, attributes; one array for each parameter
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store

from dem import __version__
from dem.source.stores import address, is_url

FORMAT = 1
"""The format that is written. Readers refuse a higher one."""

STAMP = "dem_model"
"""The root attribute that makes a Zarr group a model of dem."""

CHUNK_BYTES = 64 * 2**20
GENERATION = re.compile(r"generation-[0-9a-f]{16}")

JSON = Any
StoreLike = str | Path | Store


@dataclass(frozen=True)
class Saved:
    """What is kept of a fitted model.

    Attributes
    ----------
    model : str
        The class that wrote it: "GaussianMixture".
    arrays : mapping of str to array
        The parameters, of any real dtype.
    attributes : mapping of str to JSON
        Everything else: settings, history, source.
    """

    model: str
    arrays: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, JSON]


def save(
    path: StoreLike,
    saved: Saved,
    *,
    overwrite: bool = True,
) -> None:
    """Write a model; a model that is there already is replaced whole, or not at all.

    Parameters
    ----------
    path : str, Path or zarr Store
        A path or URL that Zarr can write.
    saved : Saved
    overwrite : bool
        Replace a model that is there.

    Raises
    ------
    FileExistsError
        A model is there and `overwrite` is false, or something that is no model of dem.
    ValueError
        An array that does not hold real numbers.
    OSError
        The new generation does not read back as it was written; the old model stays.
    """
    saved = _plain(saved)
    check_free(path, overwrite=overwrite)
    generation = f"generation-{uuid.uuid4().hex[:16]}"
    checksum = _checksum(saved)
    try:
        _write(path, generation, saved)
        root = _open(path, "r+")
        if _checksum(_read(root, generation)) != checksum:
            raise OSError(f"{path} did not store the model as it was written.")
    except BaseException:
        with suppress(Exception):  # the failure itself is what to report; a later save removes the rest
            _remove(_open(path, "r+"), {generation})
        raise
    # From here on the new generation may be the one that counts, even if the next line fails: remove nothing.
    stamp = {"format": FORMAT, "dem": __version__, "generation": generation, "sha256": checksum}
    root.update_attributes({STAMP: stamp})
    _remove(root, _generations(root) - {generation})


def load(path: StoreLike) -> Saved:
    """Return the model at a path or URL.

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    ValueError
        What is there is no model of dem, is damaged, or was written by a newer dem.
    """
    try:
        root = _open(path, "r")
    except FileNotFoundError:
        local = _local(path)
        there = local is not None and local.exists()
        what = f"{path} exists, but it is no Zarr store." if there else f"No model at {path}."
        raise FileNotFoundError(what) from None
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
        raise ValueError(f"{path} is a Zarr array, not a model that dem has saved.") from None
    except Exception as error:
        raise ValueError(f"{path} is damaged: its zarr.json cannot be read ({error}).") from error
    stamp = _stamp(root)
    if stamp is None:
        raise ValueError(f"{path} is a Zarr group, but not a model that dem has saved.")
    if stamp["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by a newer dem ({stamp.get('dem')}, format {stamp['format']}); "
            f"this dem ({__version__}) reads formats up to {FORMAT}."
        )
    try:
        saved = _read(root, stamp["generation"])
    except Exception as error:  # codecs and stores raise whatever they like
        raise ValueError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if _checksum(saved) != stamp.get("sha256"):
        raise ValueError(
            f"{path} is damaged: its contents do not match its checksum (a chunk is missing or was changed)."
        )
    return saved


def is_model(path: StoreLike) -> bool:
    """Say whether a model of dem is at a path or URL (whole or damaged, of any version)."""
    try:
        return _stamp(_open(path, "r")) is not None
    except Exception:  # nothing there, an array, no Zarr at all
        return False


def check_free(path: StoreLike, *, overwrite: bool = True) -> None:
    """Refuse to write over anything but a model, or what an unfinished first save left.

    Raises
    ------
    FileExistsError
        See `save`.
    """
    try:
        root = _open(path, "r")
    except FileNotFoundError:
        local = _local(path)
        if local is not None and _holds_something(local):
            raise FileExistsError(f"{path} exists, and it is no model of dem: it is left alone.") from None
        return
    except Exception:  # an array, or a root that cannot be read
        raise FileExistsError(f"{path} exists, and it is no model of dem: it is left alone.") from None
    if _stamp(root) is None and (dict(root.attrs) or set(root.keys()) - _generations(root)):
        raise FileExistsError(f"{path} is a Zarr group that is no model of dem: it is left alone.")
    if _stamp(root) is not None and not overwrite:
        raise FileExistsError(f"{path} is a model already: choose another name, or allow overwriting.")


def _write(path: StoreLike, name: str, saved: Saved) -> None:
    """Write one generation; nothing names it yet."""
    attributes = {"model": saved.model, "arrays": list(saved.arrays), "attributes": saved.attributes}
    group = zarr.create_group(_where(path), path=name, attributes=attributes, zarr_format=3)
    for key, array in saved.arrays.items():
        # Without empty chunks a lost chunk of zeros could not be told from one that was never written.
        group.create_array(key, data=array, chunks=_chunks(array), config={"write_empty_chunks": True})


def _chunks(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the whole shape; for large arrays, fewer rows."""
    if array.ndim == 0:
        return ()
    rows = CHUNK_BYTES * array.shape[0] // max(1, array.nbytes)
    return (min(max(1, rows), max(1, array.shape[0])), *(max(1, n) for n in array.shape[1:]))


def _read(root: zarr.Group, name: str) -> Saved:
    group = root[name]
    assert isinstance(group, zarr.Group)
    attributes: dict[str, Any] = dict(group.attrs)
    # By name: some stores cannot list.
    arrays = {key: np.asarray(_array(group, key)[...]) for key in attributes["arrays"]}
    return _plain(Saved(attributes["model"], arrays, attributes["attributes"]))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _plain(saved: Saved) -> Saved:
    """Return the same with little-endian arrays, in order of their names, and JSON of plain Python values."""
    arrays = {}
    for key in sorted(saved.arrays):
        array = np.asarray(saved.arrays[key])
        if array.dtype.kind not in "biuf":
            raise ValueError(f"Cannot save {key} of dtype {array.dtype}: parameters are arrays of real numbers.")
        arrays[key] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    attributes = json.loads(json.dumps(dict(saved.attributes), default=_to_python))
    return Saved(saved.model, arrays, attributes)


def _to_python(value: Any) -> JSON:
    """Return NumPy's scalars and arrays, and paths, as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path | np.dtype):
        return str(value)
    raise TypeError(f"Cannot save {value!r} ({type(value).__name__}) as JSON.")


def _checksum(saved: Saved) -> str:
    """Return the SHA-256 over everything, of a `Saved` as `_plain` returns it."""
    text = json.dumps([saved.model, saved.attributes], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for key, array in saved.arrays.items():
        digest.update(f"\n{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _open(path: StoreLike, mode: Any) -> zarr.Group:
    """Return the root; consolidated metadata would hide newer generations."""
    return zarr.open_group(_where(path), mode=mode, use_consolidated=False)


def _stamp(root: zarr.Group) -> dict[str, Any] | None:
    stamp: Any = root.attrs.get(STAMP)
    return stamp if isinstance(stamp, dict) and {"format", "generation"} <= stamp.keys() else None


def _generations(root: zarr.Group) -> set[str]:
    """Return the names of all generations, finished or not."""
    return {name for name in root.group_keys() if GENERATION.fullmatch(name)}


def _remove(root: zarr.Group, generations: set[str]) -> None:
    if root.store.supports_deletes:
        for name in generations:
            del root[name]


def _where(path: StoreLike) -> str | Store:
    """Return what zarr opens."""
    return path if isinstance(path, Store) else address(path)


def _local(path: StoreLike) -> Path | None:
    """Return the path where it is one on this machine."""
    where = _where(path)
    return Path(where) if isinstance(where, str) and not is_url(where) else None


def _holds_something(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))
