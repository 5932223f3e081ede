"""Which variables of a Dataset or of a Zarr group are the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

RESULT_MARK = "dem_output"
"""The attribute of results of dem, in memory and in stores. Beside other variables they are not data."""


def choose_variables(
    wanted: str | Sequence[str] | None,
    variables: Mapping[str, Mapping[str, Any]],
    coordinates: Iterable[str],
    name: str,
) -> list[str]:
    """Return the names of the variables to use.

    Parameters
    ----------
    wanted : str, sequence of str, or None
        Those that a user names. None: all variables except results of dem, or these if there is nothing else.
    variables : mapping of str to mapping
        The attributes of each variable.
    coordinates : iterable of str
        Arrays that are used only if they are named.
    name : str
        The name of the data in messages.

    Raises
    ------
    ValueError
        There is no such variable, or no variable at all.
    """
    if wanted is None:
        wanted = [key for key, attributes in variables.items() if RESULT_MARK not in attributes] or list(variables)
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    known = dict.fromkeys([*variables, *coordinates])
    listed = ", ".join(known) or "no arrays"
    for given in names:
        if given not in known:
            near = get_close_matches(str(given), known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{name} has no variable {given!r}: it has {listed}.{hint}")
    if not names:
        raise ValueError(f"{name} has no variables: it has {listed}.")
    return [str(given) for given in names]
