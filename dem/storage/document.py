"""What is kept in one piece: arrays by name and JSON, in a form that has one checksum."""

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
    """What is kept.

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


def chunk_shape(array: NDArray[Any]) -> tuple[int, ...]:
    """Return the whole shape; for large arrays, fewer rows."""
    if array.ndim == 0:
        return ()
    rows = CHUNK_BYTES * array.shape[0] // max(1, array.nbytes)
    return (min(max(1, rows), max(1, array.shape[0])), *(max(1, n) for n in array.shape[1:]))


def normalised(saved: GroupContents) -> GroupContents:
    """Return the same with little-endian arrays, in order of their names, and JSON of plain Python values."""
    arrays = {}
    for key in sorted(saved.arrays):
        array = np.asarray(saved.arrays[key])
        if array.dtype.kind not in "biuf":
            raise ValueError(f"Cannot save {key} of dtype {array.dtype}: parameters are arrays of real numbers.")
        arrays[key] = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return GroupContents(saved.model, arrays, as_json(saved.attributes))


def as_json(attributes: Mapping[str, Any]) -> dict[str, JSON]:
    """Return attributes as they come back: tuples are lists, NumPy's numbers are Python's."""
    found: dict[str, JSON] = json.loads(json.dumps(dict(attributes), default=_to_python))
    return found


def _to_python(value: Any) -> JSON:
    """Return NumPy's scalars and arrays, and paths, as JSON knows them."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    if isinstance(value, Path | np.dtype):
        return str(value)
    raise TypeError(f"Cannot save {value!r} ({type(value).__name__}) as JSON.")


def checksum(saved: GroupContents) -> str:
    """Return the SHA-256 over everything, of a `Saved` as `ordered` returns it."""
    text = json.dumps([saved.model, saved.attributes], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for key, array in saved.arrays.items():
        digest.update(f"\n{key} {array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
