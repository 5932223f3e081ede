"""Save arrays and JSON in a Zarr group atomically: a save either replaces everything or changes nothing.

Object stores cannot rename, and a folder cannot be replaced in one step. So a save writes a new subgroup, called a
generation, next to the old one. Then it writes one small object, the root's ``zarr.json``, with the name and checksum
of the new generation. Readers read only the generation named there, so data left by a crash are never read. After a
save the old generation is removed; a reader that was just reading it starts again.

    PATH/zarr.json                 format, version of dem, generation, checksum   (written last)
    PATH/generation-1f0c.../       class name, attributes, and one Zarr array for each named array

Fitted models (`SAVED_MODELS`) and checkpoints (`dem.storage.checkpoint`) are saved in this way.
"""

from __future__ import annotations

import re
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from zarr.abc.store import Store
from zarr.core.sync import sync

from dem.core.version import __version__
from dem.source.retry import check_reached, read_with_retries
from dem.source.stores import address, local_path
from dem.storage.document import GroupContents, checksum, chunk_shape, normalised
from dem.storage.files import raise_cannot_write
from dem.storage.hierarchy import check_name, check_outside_arrays, update_enclosing_groups

GENERATION = re.compile(r"generation-[0-9a-f]{16}")
FORMAT: Final = 3
"""The Zarr format."""
ABANDONED_SECONDS = 24 * 3600.0
"""Unnamed generations older than this were left by a crash. Younger ones may still be being written."""

READ_ATTEMPTS = 50
"""Largest number of times a reader starts again because a writer has removed the generation it was reading."""

REFUSAL = "it is not a {} saved by dem, so it is not overwritten: choose another name."
"""End of the messages about something else at a path."""

StoreLike = str | Path | Store
Stamp = dict[str, Any]


@dataclass(frozen=True)
class Generations:
    """Saves and loads one kind of content, such as fitted models.

    Attributes
    ----------
    stamp : str
        The root attribute that marks a Zarr group of this kind.
    noun : str
        The name of this kind in messages: "model".
    remedy : str
        What a user can do if it is damaged.
    format : int
        The number of the format that is written. Readers raise an error for higher numbers.
    keep : int
        Number of older generations to keep. `load` returns the newest undamaged generation.
    """

    stamp: str
    noun: str
    remedy: str
    format: int = 1
    keep: int = 0

    def save(self, path: StoreLike, saved: GroupContents, *, overwrite: bool = False) -> None:
        """Save the contents. An existing save is either replaced completely or not changed.

        Parameters
        ----------
        path : str, Path or zarr Store
            A path or URL that Zarr can write.
        saved : GroupContents
        overwrite : bool
            Allow replacing an existing save of this kind.

        Raises
        ------
        FileExistsError
            There is a save and `overwrite` is false, or something else is there, or the path is inside an array.
        ValueError
            An array does not contain real numbers, or the path has the suffix of another file format.
        OSError
            The new generation could not be written, or differs when it is read back. The old one is kept.
        """
        saved = normalised(saved)
        self.check_free(path, overwrite=overwrite)
        generation = f"generation-{uuid.uuid4().hex[:16]}"
        expected = checksum(saved)
        try:
            _write(path, generation, saved)
            if not overwrite:
                self.check_free(path)  # again, because another run may have saved meanwhile
            if checksum(_read(_open(path, "r"), generation)) != expected:
                raise OSError("what was read back differs from what was written")
            root = _open(path, "r+")  # opened again: saves that others made meanwhile are replaced too
        except BaseException as error:
            with suppress(Exception):  # report the first error; a later save removes the rest
                _clear(path, generation)
            if isinstance(error, OSError) and not isinstance(error, FileExistsError):
                raise_cannot_write(f"the {self.noun} {path}", error)
            raise
        old = self._stamp(root)
        named = [] if old is None else _named_generations(old)
        stamp: Stamp = {"format": self.format, "dem": __version__, "generation": generation, "sha256": expected}
        if self.keep:
            stamp["before"] = named[: self.keep]
        # From here on the new generation may be the valid one, even if the next line fails. Do not remove it.
        root.update_attributes({self.stamp: stamp})
        superseded = {entry["generation"] for entry in named[self.keep :]}
        with suppress(Exception):  # the save is complete; a later save removes what is left
            left = _abandoned(root, {entry["generation"] for entry in _named_generations(stamp)})
            _remove(root, (superseded & _generations(root)) | left)

    def load(self, path: StoreLike) -> GroupContents:
        """Return the saved contents.

        Raises
        ------
        FileNotFoundError
            Nothing is there.
        ValueError
            Something else is there, or it is damaged, or it was written by a newer dem.
        OSError
            It cannot be reached, or other runs replaced it during every attempt to read it.
        """
        for _ in range(READ_ATTEMPTS):
            root, stamp = self._open_stamped(path)
            failure: ValueError | None = None  # remains None if a damaged stamp names no generation
            for entry in _named_generations(stamp):
                try:
                    return self._checked(path, root, entry)
                except ValueError as error:
                    failure = failure or error
            if self._open_stamped(path)[1] == stamp:  # otherwise it has just been replaced
                raise failure or ValueError(f"{path} is damaged: it names no generation; {self.remedy}.")
        raise OSError(f"Cannot read {path}: other runs keep replacing it. Try again when they have ended.")

    def find(self, path: StoreLike) -> GroupContents | None:
        """Return the saved contents; None if nothing of this kind is there.

        Raises
        ------
        ValueError
            It is damaged, or was written by a newer dem.
        """
        try:
            root = self._root(path)
        except FileNotFoundError:
            return None
        return None if self._stamp(root) is None else self.load(path)

    def _root(self, path: StoreLike) -> zarr.Group:
        """Return the root group, of any kind."""
        _store_or_path(path)  # raises if the path itself is invalid
        try:
            return _open(path, "r")
        except FileNotFoundError:
            place = _local_path(path)
            there = place is not None and place.exists()
            what = (
                f"{path} exists, but it is not a Zarr store." if there else f"No {self.noun} at {path}: check the path."
            )
            raise FileNotFoundError(what) from None
        except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
            raise ValueError(f"{path} is a Zarr array, not a {self.noun} saved by dem.") from None
        except Exception as error:
            check_reached(path, error)
            raise ValueError(f"{path} is damaged: its zarr.json cannot be read ({error}); {self.remedy}.") from error

    def _open_stamped(self, path: StoreLike) -> tuple[zarr.Group, Stamp]:
        """Return the root and its stamp."""
        root = self._root(path)
        stamp = self._stamp(root)
        if stamp is None:
            raise ValueError(f"{path} is a Zarr group, but not a {self.noun} saved by dem.")
        if not isinstance(stamp["format"], int):
            raise ValueError(f"{path} is damaged: its zarr.json names the format {stamp['format']!r}; {self.remedy}.")
        if stamp["format"] > self.format:
            raise ValueError(
                f"{path} was written by a newer dem ({stamp.get('dem')}, format {stamp['format']}); "
                f"this dem ({__version__}) reads formats up to {self.format}."
            )
        return root, stamp

    def _checked(self, path: StoreLike, root: zarr.Group, entry: Stamp) -> GroupContents:
        """Return a generation after checking its checksum."""
        try:
            saved = read_with_retries(str(path), lambda: _read(root, entry["generation"]))
        except Exception as error:  # codecs and stores raise many kinds of errors
            check_reached(path, error)
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); {self.remedy}.") from error
        if checksum(saved) != entry["sha256"]:
            raise ValueError(
                f"{path} is damaged: its contents do not match its checksum (a chunk is missing or was changed); "
                f"{self.remedy}."
            )
        return saved

    def exists(self, path: StoreLike) -> bool:
        """Whether a save of this kind is at a path or URL, damaged or not, of any version.

        Raises
        ------
        OSError
            The path cannot be reached.
        """
        _store_or_path(path)
        try:
            return self._stamp(_open(path, "r")) is not None
        except Exception as error:  # nothing is there, or an array, or no Zarr store
            check_reached(path, error)
            return False

    def check_free(self, path: StoreLike, *, overwrite: bool = False) -> None:
        """Check that nothing is at the path but an unfinished save, or a save of this kind that may be overwritten.

        Raises
        ------
        FileExistsError, ValueError
            See `save`.
        """
        _store_or_path(path)
        try:
            root = _open(path, "r")
        except FileNotFoundError:
            place = _local_path(path)
            if place is not None and _holds_something(place):
                raise FileExistsError(f"{path} exists, but {REFUSAL.format(self.noun)}") from None
            self._check_new(path)
            return
        except Exception as error:  # an array, or a root that cannot be read
            check_reached(path, error)
            raise FileExistsError(f"{path} exists, but {REFUSAL.format(self.noun)}") from None
        there = self._stamp(root) is not None
        if not there and (dict(root.attrs) or _member_names(root) - _generations(root)):
            raise FileExistsError(f"{path} is a Zarr group, but {REFUSAL.format(self.noun)}")
        if there and not overwrite:
            raise FileExistsError(
                f"{path} is already a {self.noun}: choose another name, or replace it (overwrite=True)."
            )

    def _check_new(self, path: StoreLike) -> None:
        """Check that a new save is not inside an array or Zarr v2 group, and has no suffix of another file format."""
        if isinstance(path, Store):
            return
        part_of = "checkpoint" if self.noun == "checkpoint" else None
        for group in check_outside_arrays(path, part_of=part_of)[:1]:
            if group.zarr_format != FORMAT:
                raise FileExistsError(
                    f"{path} is inside the Zarr v{group.zarr_format} group {group.where}, but a {self.noun} has "
                    f"Zarr format {FORMAT}: choose a path outside this group."
                )
        check_name(path)

    def _stamp(self, root: zarr.Group) -> Stamp | None:
        stamp: Any = root.attrs.get(self.stamp)
        return stamp if isinstance(stamp, dict) and {"format", "generation"} <= stamp.keys() else None


def remove(path: StoreLike) -> None:
    """Remove a group and its contents. Its ``zarr.json`` is last, so a partly removed group is still recognised."""
    root = _open(path, "r+")
    _remove(root, set(root.group_keys()))
    sync(root.store_path.delete_dir())
    place = _local_path(path)
    if place is not None:
        with suppress(OSError):
            place.rmdir()


def _named_generations(stamp: Stamp) -> list[Stamp]:
    """Return the generations that a stamp names, the newest first. Damaged entries are left out."""
    before = stamp.get("before")
    entries = [stamp, *(before if isinstance(before, list) else [])]
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("generation"), str)]
    return [{"generation": entry["generation"], "sha256": entry.get("sha256")} for entry in named]


def _write(path: StoreLike, name: str, saved: GroupContents) -> None:
    """Write a generation. The root does not name it yet."""
    about = {"model": saved.model, "arrays": list(saved.arrays), "attributes": saved.attributes}
    attributes = {**about, "written": time.time()}
    group = zarr.create_group(_store_or_path(path), path=name, attributes=attributes, zarr_format=FORMAT)
    for key, array in saved.arrays.items():
        # Chunks of zeros are written too, or a lost chunk would look the same. The names of the axes are unique, as
        # xarray requires if it reads a group that contains the model.
        names = [f"{key}_{axis}" for axis in range(array.ndim)]
        group.create_array(
            key, data=array, chunks=chunk_shape(array), dimension_names=names, config={"write_empty_chunks": True}
        )


def _read(root: zarr.Group, name: str) -> GroupContents:
    group = root[name]
    assert isinstance(group, zarr.Group)
    attributes: dict[str, Any] = dict(group.attrs)
    # Read by name, because some stores cannot list.
    arrays = {key: np.asarray(_array(group, key)[...]) for key in attributes["arrays"]}
    return normalised(GroupContents(attributes["model"], arrays, attributes["attributes"]))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _open(path: StoreLike, mode: Any) -> zarr.Group:
    """Return the root group. Consolidated metadata are not used: they may not have the newest generations."""
    return read_with_retries(
        str(path), lambda: zarr.open_group(_store_or_path(path), mode=mode, use_consolidated=False)
    )


def _generations(root: zarr.Group) -> set[str]:
    """Return the names of all generations, complete or not."""
    return {name for name in _member_names(root) if GENERATION.fullmatch(name)}


def _member_names(root: zarr.Group) -> set[str]:
    """Return the names of the members of a group. They are not opened, because other runs may be writing them.

    Names that end with ".partial" are left out: Zarr uses them for documents that it is still writing.
    """
    if not root.store.supports_listing:
        return set()

    async def names() -> set[str]:
        return {name async for name in root.store.list_dir(root.path)}

    return {name for name in sync(names()) if name != "zarr.json" and not name.endswith(".partial")}


def _abandoned(root: zarr.Group, named: set[str]) -> set[str]:
    """Return the generations that are not named and too old to be still being written."""
    unnamed = _generations(root) - named
    return {name for name in unnamed if time.time() - _begun_at(root, name) > ABANDONED_SECONDS}


def _begun_at(root: zarr.Group, name: str) -> float:
    """Return the time at which a generation was begun, in seconds since 1970; 0 if unknown."""
    try:
        written = dict(root[name].attrs).get("written", 0.0)
    except KeyError:  # it has no zarr.json: it is partly removed
        return 0.0
    return float(written) if isinstance(written, int | float) else 0.0


def _remove(root: zarr.Group, generations: set[str]) -> None:
    if root.store.supports_deletes:
        for name in generations:
            with suppress(KeyError, FileNotFoundError):  # another run has already removed it
                del root[name]


def _clear(path: StoreLike, generation: str) -> None:
    """Remove a generation that failed, and the root if it is then empty."""
    root = _open(path, "r+")
    _remove(root, {generation})
    if not (dict(root.attrs) or _member_names(root)):
        remove(path)


def _store_or_path(path: StoreLike) -> str | Store:
    """Return the store or address that zarr opens. Links are followed, and their target need not exist yet."""
    if isinstance(path, Store):
        return path
    place = local_path(path)
    return address(path) if place is None else str(place.resolve())


def _local_path(path: StoreLike) -> Path | None:
    """Return the path if it is on this machine, else None."""
    return None if isinstance(path, Store) else local_path(path)


def _holds_something(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


SAVED_MODELS = Generations("dem_model", "model", "restore it from a copy, or fit and save it again")
"""Fitted models."""


def save_model(path: StoreLike, saved: GroupContents, *, overwrite: bool = False) -> None:
    """Save a fitted model, and update the metadata of the Zarr groups around it; see `Generations.save`."""
    SAVED_MODELS.save(path, saved, overwrite=overwrite)
    if not isinstance(path, Store):
        update_enclosing_groups(path)
