"""Convert the setting `family` to a family: it is a name with settings, a family, or families for blocks of columns.

A name with settings is NAME:VALUE or NAME:KEY=VALUE,KEY=VALUE, such as "studentt:diag" or "geometric:first=0". The
command line accepts the same names; they are parsed only here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

from dem.families.product import product
from dem.families.table import FAMILIES, NamedFamily, Setting

FAMILY_MEMBERS = ("linear", "log_density", "estimate", "draw")
"""Members that every family has, and by which it is recognised."""


def as_family(spec: Any, names: Sequence[str] | None = None) -> Any:
    """Return the family that a setting stands for.

    Parameters
    ----------
    spec : str, family, mapping or list of pairs
        A name of `dem.families.FAMILIES`, with or without settings (see `named_family`); a family; or families for
        blocks of columns, as {columns: family} or [(columns, family), ...], where `columns` is a number, a name, or a
        sequence of these.
    names : sequence of str, optional
        The names of the columns.

    Raises
    ------
    ValueError
        If it is none of these.
    """
    if isinstance(spec, str):
        return named_family(spec)
    if isinstance(spec, Mapping | list | tuple):
        pairs = spec.items() if isinstance(spec, Mapping) else spec
        return product([_block(pair, names) for pair in pairs])
    if isinstance(spec, type) or not all(hasattr(spec, name) for name in FAMILY_MEMBERS):
        raise ValueError(
            f"family must be a name such as 'poisson', a family such as dem.families.Gamma(), or families for columns, "
            f"got {spec!r}"
        )
    return spec


def named_family(words: str) -> Any:
    """Return the family of a name with settings.

    Parameters
    ----------
    words : str
        NAME, NAME:VALUE or NAME:KEY=VALUE,KEY=VALUE. A value without a key is the value of the family's first setting:
        "studentt:diag" is "studentt:covariance_type=diag". Numbers for several columns are separated by commas:
        "categorical:2,5,5". "none" is None.

    Raises
    ------
    ValueError
        If the name or setting does not exist, or a value is wrong; the message lists the settings.
    """
    name, colon, text = words.partition(":")
    if name not in FAMILIES:
        raise ValueError(f"there is no family {name!r}: choose one of {', '.join(FAMILIES)}")
    known = FAMILIES[name]
    try:
        return known(**(_settings(text, known) if colon else {}))
    except ValueError as error:
        if not colon:
            raise
        there = (
            f"settings of {name}: {', '.join(map(str, known.settings))}"
            if known.settings
            else f"{name} has no settings"
        )
        raise ValueError(f"family {words!r}: {error}; {there}") from None


def _settings(text: str, known: NamedFamily) -> dict[str, Any]:
    """Return the settings that a text stands for, by name."""
    by_name = {setting.name: setting for setting in known.settings}
    found: dict[str, Any] = {}
    for part in re.split(r",(?=[^,=]*=)", text):  # only commas before a key separate settings
        before, equals, after = part.partition("=")
        key, value = (before.strip(), after.strip()) if equals else (next(iter(by_name), ""), before.strip())
        if key not in by_name:
            raise ValueError(f"there is no setting {key!r}" if equals else f"{value!r} cannot be a setting")
        if key in found:
            raise ValueError(f"{key} is given twice")
        found[key] = _value(value, by_name[key])
    return found


def _value(text: str, setting: Setting) -> Any:
    """Return the value of a setting that a text stands for."""
    kinds = get_args(setting.kind) if get_origin(setting.kind) in (Union, UnionType) else (setting.kind,)
    allowed = [kind for kind in READERS if any(kind in (other, get_origin(other)) for other in kinds)]
    for kind in allowed:
        with suppress(ValueError):
            return READERS[kind][1](text)
    raise ValueError(f"{setting.name} must be {' or '.join(READERS[kind][0] for kind in allowed)}, got {text!r}")


def _none(text: str) -> None:
    """Read None."""
    if text.lower() != "none":
        raise ValueError


def _finite(text: str) -> float:
    """Read a finite number."""
    if not math.isfinite(value := float(text)):
        raise ValueError
    return value


def _integers(text: str) -> tuple[int, ...]:
    """Read whole numbers, one for each column."""
    return tuple(int(number) for number in text.split(","))


READERS: dict[type, tuple[str, Callable[[str], Any]]] = {
    NoneType: ("none", _none),
    int: ("a whole number", int),
    float: ("a number", _finite),
    tuple: ("whole numbers such as 2,5,5", _integers),
    str: ("a word", str),
}
"""For each type of setting its name in messages and its reader, in the order in which they are tried."""


def _block(pair: Any, names: Sequence[str] | None) -> tuple[str, list[int], Any]:
    """Return name, columns and family of a block."""
    try:
        columns, family = pair
    except (TypeError, ValueError):
        raise ValueError(f"each part of family must be a pair (columns, family), got {pair!r}") from None
    several = isinstance(columns, Iterable) and not isinstance(columns, str)
    found = [_column(column, names) for column in (columns if several else [columns])]
    if not found:
        raise ValueError("a part of family has no columns: give at least one column for each family")
    if names is not None:
        words = [str(names[c]) if c < len(names) else str(c) for c in found]  # `check_columns` refuses the others
        return ", ".join(words), found, as_family(family)
    return ", ".join(f"column {c}" for c in found), found, as_family(family)  # checkpoints know parts by these names


def _column(column: Any, names: Sequence[str] | None) -> int:
    """Return the number of a column."""
    if isinstance(column, int | np.integer) and not isinstance(column, bool) and column >= 0:
        return int(column)
    known = [] if names is None else [str(name) for name in names]
    if column in known:
        return known.index(column)
    have = f"the columns are {', '.join(known)}" if known else "these data have no column names: give column numbers"
    raise ValueError(f"family names the column {column!r}, but {have}")
