"""Encode values (frozen dataclasses of arrays and numbers) as named arrays and JSON, and decode them bit for bit.

A checkpoint must restore parameters exactly, in a format that does not depend on the Python version. So pickle is not
used: arrays are stored by name, and classes only as names.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dem.storage.class_names import current_name, name_in_files

VALUE_PACKAGES = tuple(f"dem.{package}." for package in ("core", "kernel", "scan", "em", "families", "models"))
"""Packages that define classes of values. Files cannot cause imports of other modules of dem."""

JSON = Any
Arrays = dict[str, NDArray[Any]]


class ForeignClassError(ValueError):
    """A value uses a class of a module that is neither part of dem nor in the given modules."""


def encode(value: Any) -> tuple[Arrays, JSON]:
    """Return the arrays in a value, by name, and all other parts as JSON that refers to the arrays.

    Parameters
    ----------
    value : dataclass, tuple, list, dict with string keys, enum member, array, number, str, bool or None
        Nested to any depth.

    Raises
    ------
    TypeError
        The value contains any other type.
    """
    arrays: Arrays = {}
    return arrays, _encode(value, "value", arrays)


def decode(arrays: Mapping[str, NDArray[Any]], document: JSON, modules: Iterable[str] = ()) -> Any:
    """Return the value that `encode` was given.

    Parameters
    ----------
    arrays : mapping of str to array
    document : JSON
    modules : iterable of str
        Modules outside dem that may define classes of the value. No other modules are imported, so that a file cannot
        decide which code runs.

    Raises
    ------
    ForeignClassError
        A class is defined in another module.
    ValueError
        A name is not a class of values.
    """
    return _Decoder(arrays, frozenset(modules)).value(document)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value: of all bits of its arrays, and of its JSON."""
    arrays, document = encode(value)
    found = hashlib.sha256(json.dumps(document, sort_keys=True).encode())
    for name in sorted(arrays):
        array = arrays[name].astype(arrays[name].dtype.newbyteorder("<"), copy=False)
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _encode(value: Any, name: str, arrays: Arrays) -> JSON:
    if isinstance(value, np.ndarray):
        return _encode_array(value, name, arrays)
    if isinstance(value, np.generic):  # its arithmetic differs from Python's in the last bit
        return {"scalar": _encode_array(np.asarray(value), name, arrays)}
    if isinstance(value, Enum):
        return {"enum": name_in_files(type(value)), "member": value.name}
    if is_dataclass(value) and not isinstance(value, type):
        inner = {f.name: _encode(getattr(value, f.name), f"{name}.{f.name}", arrays) for f in fields(value)}
        return {"class": name_in_files(type(value)), "fields": inner}
    if isinstance(value, tuple | list):
        return {type(value).__name__: [_encode(item, f"{name}.{i}", arrays) for i, item in enumerate(value)]}
    if isinstance(value, Mapping):
        return {"mapping": {str(key): _encode(item, f"{name}.{key}", arrays) for key, item in value.items()}}
    if isinstance(value, float):
        return {"float": value.hex()}  # JSON has no infinities
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"Cannot save {value!r} ({type(value).__name__}): only dataclasses, arrays and plain values.")


def _encode_array(value: NDArray[Any], name: str, arrays: Arrays) -> JSON:
    if value.dtype == np.longdouble and value.dtype != np.float64:
        high = value.astype(np.float64)
        low = np.where(value == high, np.copysign(0.0, high), value - high)  # -0.0 + 0.0 would lose the sign
        arrays[f"{name}.high"], arrays[f"{name}.low"] = high, low.astype(np.float64)
        return {"longdouble": name}
    arrays[name] = value
    # Matrix products of different memory layouts may differ in the last bit, so the layout is saved, as in pickle.
    fortran = value.flags.f_contiguous and not value.flags.c_contiguous
    return {"array": name, "order": "F" if fortran else "C"}


class _Decoder:
    def __init__(self, arrays: Mapping[str, NDArray[Any]], modules: frozenset[str]) -> None:
        self.arrays, self.modules = arrays, modules

    def value(self, document: JSON) -> Any:
        if not isinstance(document, dict):
            return document
        kind = next(iter(document))
        content = document[kind]
        if kind == "array":
            return np.array(self.arrays[content], order=document["order"])
        if kind == "longdouble":
            return self.arrays[f"{content}.high"].astype(np.longdouble) + self.arrays[f"{content}.low"]
        if kind == "scalar":
            return self.value(content)[()]
        if kind == "float":
            return float.fromhex(content)
        if kind == "mapping":
            return {key: self.value(item) for key, item in content.items()}
        if kind in ("tuple", "list"):
            items = [self.value(item) for item in content]
            return tuple(items) if kind == "tuple" else items
        found = self._class(content)
        if kind == "enum":
            return found[document["member"]]
        return found(**{name: self.value(item) for name, item in document["fields"].items()})

    def _class(self, name: str) -> Any:
        module, qualified = current_name(name)
        if not module.startswith(VALUE_PACKAGES) and module not in self.modules:
            raise ForeignClassError(f"refers to {qualified} of the module {module}, which is not part of dem")
        found: Any = import_module(module)
        for part in qualified.split("."):
            found = getattr(found, part)
        if not (isinstance(found, type) and (is_dataclass(found) or issubclass(found, Enum))):
            raise ValueError(f"refers to {name}, which is not a class of values")
        return found
