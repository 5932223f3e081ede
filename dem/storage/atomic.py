"""Arrays and JSON in a Zarr group that is replaced whole or not at all.

Object stores cannot rename, and a folder cannot be swapped in place. So a save writes a new generation,
a subgroup, beside the old one; then one small object, the root's ``zarr.json``, is written to name it with
its checksum. Readers follow that name alone; whatever a crash left behind is never looked at. A save removes what it
replaces: a reader that was in the midst of it reads again.

    PATH/zarr.json                 format, dem's version, generation, checksum   (written last)
    PATH/generation-1f0c.../       what it is, attributes; one array for each name

Fitted models are kept so (`SAVED_MODELS`), and checkpoints (`dem.storage.checkpoint`).
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
from dem.source.retry import check_reached, persist
from dem.source.stores import address, local
from dem.storage.document import Saved, checksum, chunks, ordered
from dem.storage.files import cannot_write
from dem.storage.hierarchy import adopt, check_name, check_outside_arrays

GENERATION = re.compile(r"generation-[0-9a-f]{16}")
FORMAT: Final = 3
"""The Zarr format."""
LEFT_SECONDS = 24 * 3600.0
"""Generations that nothing names and that are older were left by a crash; younger ones may be being written."""

READS = 50
"""How often a reader begins again, while writers take away what it reads."""

StoreLike = str | Path | Store
Stamp = dict[str, Any]


@dataclass(frozen=True)
class Generations:
    """How one kind of thing is kept.

    Attributes
    ----------
    stamp : str
        The root attribute that makes a Zarr group one of this kind.
    noun : str
        What it is called in messages.
    remedy : str
        What to do about one that is damaged.
    format : int
        The format that is written. Readers refuse a higher one.
    keep : int
        Older generations that stay: `load` returns the newest that is whole.
    """

    stamp: str
    noun: str
    remedy: str
    format: int = 1
    keep: int = 0

    def save(self, path: StoreLike, saved: Saved, *, overwrite: bool = False) -> None:
        """Write it; what is there already is replaced whole, or not at all.

        Parameters
        ----------
        path : str, Path or zarr Store
            A path or URL that Zarr can write.
        saved : Saved
        overwrite : bool
            Replace one that is there.

        Raises
        ------
        FileExistsError
            One is there and `overwrite` is false, or something else is there, or the place is inside an array.
        ValueError
            An array that does not hold real numbers, or the name of a file of another format.
        OSError
            The new generation does not read back as it was written, or was not written; the old one stays.
        """
        saved = ordered(saved)
        self.check_free(path, overwrite=overwrite)
        generation = f"generation-{uuid.uuid4().hex[:16]}"
        expected = checksum(saved)
        try:
            _write(path, generation, saved)
            if not overwrite:
                self.check_free(path)  # again: another run may have been quicker
            if checksum(_read(_open(path, "r"), generation)) != expected:
                raise OSError("it does not read back as it was written")
            root = _open(path, "r+")  # as it is now: what others have named meanwhile is superseded too
        except BaseException as error:
            with suppress(Exception):  # the failure itself is what to report; a later save removes the rest
                _clear(path, generation)
            if isinstance(error, OSError) and not isinstance(error, FileExistsError):
                cannot_write(f"the {self.noun} {path}", error)
            raise
        old = self._stamp(root)
        named = [] if old is None else _chain(old)
        stamp: Stamp = {"format": self.format, "dem": __version__, "generation": generation, "sha256": expected}
        if self.keep:
            stamp["before"] = named[: self.keep]
        # From here on the new generation may be the one that counts, even if the next line fails: remove nothing.
        root.update_attributes({self.stamp: stamp})
        superseded = {entry["generation"] for entry in named[self.keep :]}
        with suppress(Exception):  # it is saved; what cannot be removed now, a later save removes
            left = _left_by_crashes(root, {entry["generation"] for entry in _chain(stamp)})
            _remove(root, (superseded & _generations(root)) | left)

    def load(self, path: StoreLike) -> Saved:
        """Return what is at a path or URL.

        Raises
        ------
        FileNotFoundError
            Nothing is there.
        ValueError
            What is there is something else, is damaged, or was written by a newer dem.
        OSError
            It cannot be reached, or others replace it all the time.
        """
        for _ in range(READS):
            root, stamp = self._open_stamped(path)
            failure: ValueError | None = None  # stays so where a damaged stamp names nothing
            for entry in _chain(stamp):
                try:
                    return self._checked(path, root, entry)
                except ValueError as error:
                    failure = failure or error
            if self._open_stamped(path)[1] == stamp:  # else it has just been replaced
                raise failure or ValueError(f"{path} is damaged: it names no generation; {self.remedy}.")
        raise OSError(f"Cannot read {path}: it is replaced again and again. Try again when its writers have ended.")

    def find(self, path: StoreLike) -> Saved | None:
        """Return what is at a path or URL; None where nothing of this kind is.

        Raises
        ------
        ValueError
            What is there is damaged, or was written by a newer dem.
        """
        try:
            root = self._root(path)
        except FileNotFoundError:
            return None
        return None if self._stamp(root) is None else self.load(path)

    def _root(self, path: StoreLike) -> zarr.Group:
        """Return the root, whatever it holds."""
        _where(path)  # what is no path at all is no damaged store
        try:
            return _open(path, "r")
        except FileNotFoundError:
            place = _local(path)
            there = place is not None and place.exists()
            what = f"{path} exists, but it is no Zarr store." if there else f"No {self.noun} at {path}."
            raise FileNotFoundError(what) from None
        except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError):
            raise ValueError(f"{path} is a Zarr array, not a {self.noun} that dem has saved.") from None
        except Exception as error:
            check_reached(path, error)
            raise ValueError(f"{path} is damaged: its zarr.json cannot be read ({error}); {self.remedy}.") from error

    def _open_stamped(self, path: StoreLike) -> tuple[zarr.Group, Stamp]:
        """Return the root and its stamp."""
        root = self._root(path)
        stamp = self._stamp(root)
        if stamp is None:
            raise ValueError(f"{path} is a Zarr group, but not a {self.noun} that dem has saved.")
        if not isinstance(stamp["format"], int):
            raise ValueError(f"{path} is damaged: its zarr.json names the format {stamp['format']!r}; {self.remedy}.")
        if stamp["format"] > self.format:
            raise ValueError(
                f"{path} was written by a newer dem ({stamp.get('dem')}, format {stamp['format']}); "
                f"this dem ({__version__}) reads formats up to {self.format}."
            )
        return root, stamp

    def _checked(self, path: StoreLike, root: zarr.Group, entry: Stamp) -> Saved:
        """Return a generation that matches its checksum."""
        try:
            saved = persist(str(path), lambda: _read(root, entry["generation"]))
        except Exception as error:  # codecs and stores raise whatever they like
            check_reached(path, error)
            raise ValueError(f"{path} is damaged ({type(error).__name__}: {error}); {self.remedy}.") from error
        if checksum(saved) != entry["sha256"]:
            raise ValueError(
                f"{path} is damaged: its contents do not match its checksum (a chunk is missing or was changed); "
                f"{self.remedy}."
            )
        return saved

    def exists(self, path: StoreLike) -> bool:
        """Say whether one is at a path or URL (whole or damaged, of any version).

        Raises
        ------
        OSError
            The place cannot be reached, so that nobody can say.
        """
        _where(path)
        try:
            return self._stamp(_open(path, "r")) is not None
        except Exception as error:  # nothing there, an array, no Zarr at all
            check_reached(path, error)
            return False

    def check_free(self, path: StoreLike, *, overwrite: bool = False) -> None:
        """Refuse to write over anything but one of this kind, or what an unfinished first save left.

        Raises
        ------
        FileExistsError, ValueError
            See `save`.
        """
        _where(path)
        try:
            root = _open(path, "r")
        except FileNotFoundError:
            place = _local(path)
            if place is not None and _holds_something(place):
                raise FileExistsError(f"{path} exists, and it is no {self.noun} of dem: it is left alone.") from None
            self._check_new(path)
            return
        except Exception as error:  # an array, or a root that cannot be read
            check_reached(path, error)
            raise FileExistsError(f"{path} exists, and it is no {self.noun} of dem: it is left alone.") from None
        there = self._stamp(root) is not None
        if not there and (dict(root.attrs) or _names(root) - _generations(root)):
            raise FileExistsError(f"{path} is a Zarr group that is no {self.noun} of dem: it is left alone.")
        if there and not overwrite:
            raise FileExistsError(f"{path} is a {self.noun} already: choose another name, or allow overwriting.")

    def _check_new(self, path: StoreLike) -> None:
        """Refuse a place where none may be begun: inside an array or a group of Zarr v2, or under a file's name."""
        if isinstance(path, Store):
            return
        part_of = "checkpoint" if self.noun == "checkpoint" else None
        for group in check_outside_arrays(path, part_of=part_of)[:1]:
            if group.zarr_format != FORMAT:
                raise FileExistsError(
                    f"{path} lies inside the Zarr v{group.zarr_format} group {group.where}, and a {self.noun} is of "
                    f"Zarr v{FORMAT}: choose a place outside of it."
                )
        check_name(path)

    def _stamp(self, root: zarr.Group) -> Stamp | None:
        stamp: Any = root.attrs.get(self.stamp)
        return stamp if isinstance(stamp, dict) and {"format", "generation"} <= stamp.keys() else None


def remove(path: StoreLike) -> None:
    """Remove a group and all that is in it; its own document goes last: until then it is known for what it is."""
    root = _open(path, "r+")
    _remove(root, set(root.group_keys()))
    sync(root.store_path.delete_dir())
    place = _local(path)
    if place is not None:
        with suppress(OSError):
            place.rmdir()


def _chain(stamp: Stamp) -> list[Stamp]:
    """Return what a stamp names, the newest first; of a damaged one what can be told."""
    before = stamp.get("before")
    entries = [stamp, *(before if isinstance(before, list) else [])]
    named = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("generation"), str)]
    return [{"generation": entry["generation"], "sha256": entry.get("sha256")} for entry in named]


def _write(path: StoreLike, name: str, saved: Saved) -> None:
    """Write one generation; nothing names it yet."""
    about = {"model": saved.model, "arrays": list(saved.arrays), "attributes": saved.attributes}
    attributes = {**about, "written": time.time()}
    group = zarr.create_group(_where(path), path=name, attributes=attributes, zarr_format=FORMAT)
    for key, array in saved.arrays.items():
        # Without empty chunks a lost chunk of zeros could not be told from one that was never written. The axes have
        # names of their own, as xarray wants them, which may read a group that the model is in.
        names = [f"{key}_{axis}" for axis in range(array.ndim)]
        group.create_array(
            key, data=array, chunks=chunks(array), dimension_names=names, config={"write_empty_chunks": True}
        )


def _read(root: zarr.Group, name: str) -> Saved:
    group = root[name]
    assert isinstance(group, zarr.Group)
    attributes: dict[str, Any] = dict(group.attrs)
    # By name: some stores cannot list.
    arrays = {key: np.asarray(_array(group, key)[...]) for key in attributes["arrays"]}
    return ordered(Saved(attributes["model"], arrays, attributes["attributes"]))


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    assert isinstance(array, zarr.Array)
    return array


def _open(path: StoreLike, mode: Any) -> zarr.Group:
    """Return the root; consolidated metadata would hide newer generations."""
    return persist(str(path), lambda: zarr.open_group(_where(path), mode=mode, use_consolidated=False))


def _generations(root: zarr.Group) -> set[str]:
    """Return the names of all generations, finished or not."""
    return {name for name in _names(root) if GENERATION.fullmatch(name)}


def _names(root: zarr.Group) -> set[str]:
    """Return what is in a group beside its own document, by name alone: others may be writing there.

    Zarr writes a document under a name that ends with ".partial" first, and moves it then.
    """
    if not root.store.supports_listing:
        return set()

    async def names() -> set[str]:
        return {name async for name in root.store.list_dir(root.path)}

    return {name for name in sync(names()) if name != "zarr.json" and not name.endswith(".partial")}


def _left_by_crashes(root: zarr.Group, named: set[str]) -> set[str]:
    """Return the generations that nothing names and nobody can still be writing."""
    unnamed = _generations(root) - named
    return {name for name in unnamed if time.time() - _written(root, name) > LEFT_SECONDS}


def _written(root: zarr.Group, name: str) -> float:
    """Return when a generation was begun, in seconds since 1970; 0 where it does not say."""
    try:
        written = dict(root[name].attrs).get("written", 0.0)
    except KeyError:  # without a document of its own: torn down in the midst
        return 0.0
    return float(written) if isinstance(written, int | float) else 0.0


def _remove(root: zarr.Group, generations: set[str]) -> None:
    if root.store.supports_deletes:
        for name in generations:
            with suppress(KeyError, FileNotFoundError):  # another run has removed it
                del root[name]


def _clear(path: StoreLike, generation: str) -> None:
    """Remove a generation that failed, and the root if there is nothing else."""
    root = _open(path, "r+")
    _remove(root, {generation})
    if not (dict(root.attrs) or _names(root)):
        remove(path)


def _where(path: StoreLike) -> str | Store:
    """Return what zarr opens: of a link, what it points to, which may not be there yet."""
    if isinstance(path, Store):
        return path
    place = local(path)
    return address(path) if place is None else str(place.resolve())


def _local(path: StoreLike) -> Path | None:
    """Return the path where it is one on this machine."""
    return None if isinstance(path, Store) else local(path)


def _holds_something(path: Path) -> bool:
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


SAVED_MODELS = Generations("dem_model", "model", "restore it from a copy, or fit and save it again")
"""Fitted models."""


def save_model(path: StoreLike, saved: Saved, *, overwrite: bool = False) -> None:
    """Write a fitted model, and make it known to the Zarr groups that it lies in; see `Generations.save`."""
    SAVED_MODELS.save(path, saved, overwrite=overwrite)
    if not isinstance(path, Store):
        adopt(path)
