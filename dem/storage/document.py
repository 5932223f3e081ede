"""The contents of one save: named arrays and JSON attributes, in a normal form with one checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK_BYTES = 64 * 2**20

JSON = Any


@dataclass(frozen=True)
class GroupContents:
    """The contents of one save: a model, or a part of a checkpoint.

    Attributes
    ----------
    model : str
        The class that wrote it: "GaussianMixture".
    arrays : mapping of str to array
        The parameters. They have any real dtype.
    attributes : mapping of str to JSON
        Everything else: settings, history, metadata of the data.
    """

    model: str
    arrays: Mapping[str, NDArray[Any]]
    attributes: Mapping[str, JSON]


def chunk_shape(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the shape of chunks: the whole shape, or fewer rows for large arrays."""
    if array.ndim == 0:
        return ()
    rows = CHUNK_BYTES * array.shape[0] // max(1, array.nbytes)
    return (min(max(1, rows), max(1, array.shape[0])), *(max(1, n) for n in array.shape[1:]))


def normalised(saved: GroupContents) -> GroupContents:
    """Return the contents in normal form: little-endian arrays sorted by name, and JSON of plain Python values."""
    arrays = {}
    for key in sorted(saved.arrays):
        array = np.asarray(saved.arrays[key])
        if array.dtype.kind not in "biuf":
            raise ValueError(f"Cannot save {key} of dtype {array.dtype}: parameters must be arrays of real numbers.")
        arrays[key] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return GroupContents(saved.model, arrays, as_json(saved.attributes))


def as_json(attributes: Mapping[str, Any]) -> dict[str, JSON]:
    """Return attributes as JSON gives them back: tuples become lists, NumPy numbers become Python numbers."""
    found: dict[str, JSON] = json.loads(json.dumps(dict(attributes), default=_to_python))
    return found


def _to_python(value: Any) -> JSON:
    """Convert NumPy scalars and arrays, dtypes and paths to JSON types."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path | np.dtype):
        return str(value)
    raise TypeError(f"Cannot save {value!r} ({type(value).__name__}) as JSON.")


def checksum(saved: GroupContents) -> str:
    """Return the SHA-256 of all contents, which must be in the form that `normalised` returns."""
    text = json.dumps([saved.model, saved.attributes], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for key, array in saved.arrays.items():
        digest.update(f"\n{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
