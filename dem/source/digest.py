"""Fingerprints of data from their metadata, as JSON values. No rows are read."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import dask.array as da
import zarr
from zarr.core.buffer import default_buffer_prototype

from dem.core.block import Array
from dem.source.checks import distinct
from dem.source.decode import Decoding
from dem.source.weights import StoredWeights, Weights


def array_fingerprint(array: zarr.Array[Any]) -> dict[str, Any]:
    """Return the shape, dtype and grid of a Zarr array, and the SHA-256 of its metadata without the attributes."""
    name = "zarr.json" if array.metadata.zarr_format == 3 else ".zarray"
    document = json.loads(array.metadata.to_buffer_dict(default_buffer_prototype())[name].to_bytes())
    document.pop("attributes", None)
    return {
        "shape": list(array.shape),
        "dtype": str(array.dtype),
        "chunks": list(array.chunks),
        "shards": None if array.shards is None else list(array.shards),
        "metadata": _sha256(document),
    }


def memory_fingerprint(array: Array) -> dict[str, Any]:
    """Return the shape and dtype of an array in memory."""
    return {"shape": list(array.shape), "dtype": str(array.dtype)}


def dask_fingerprint(array: da.Array) -> dict[str, Any]:
    """Return the shape and dtype of a Dask array, and the SHA-256 of its chunks; unknown sizes are None."""
    chunks = [[_known(n) for n in sizes] for sizes in array.chunks]
    return {"shape": [_known(n) for n in array.shape], "dtype": str(array.dtype), "chunks": _sha256(chunks)}


def decoding_fingerprint(decoding: Decoding | None) -> dict[str, Any]:
    """Return the decoding as a dict entry; an empty dict if there is none."""
    return {} if decoding is None else {"decoding": decoding.fingerprint}


def weights_fingerprint(weights: Weights | None) -> dict[str, Any] | None:
    """Return the metadata of weights of any type; for weights in memory also the SHA-256 of their values."""
    if isinstance(weights, StoredWeights):
        return {"kind": "zarr", **array_fingerprint(weights.array)}
    if isinstance(weights, da.Array):
        return {"kind": "dask", **dask_fingerprint(weights)}
    if weights is None:
        return None
    return {
        "kind": "array",
        **memory_fingerprint(weights),
        "sha256": hashlib.sha256(distinct(weights).tobytes()).hexdigest(),
    }


def _known(size: float) -> int | None:
    return None if math.isnan(size) else int(size)


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
