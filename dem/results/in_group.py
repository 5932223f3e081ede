"""Fit an output array to the Zarr group that it is written into, so that xarray and others can read the group.

They need every array in the group's Zarr format, and axis names that have the same length in the whole group.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from numcodecs import Zstd

from dem.source import Source
from dem.storage.hierarchy import EnclosingNode, dimension_names, dimension_sizes, enclosing_nodes

V2_COMPRESSOR = Zstd(level=0, checksum=True)
"""Like the codecs of v3: fast, with a checksum that detects damaged chunks."""


def fitted_to_group(
    where: str, source: Source, layout: Mapping[str, Any], attributes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the layout and the attributes of an array, fitted to the Zarr group around it; unchanged without a group.

    Parameters
    ----------
    where : str
        The address of the array.
    source : Source
        The rows of the results: the array takes their axis names, if they have any.
    layout, attributes : mapping
        As `zarr.create_array` takes them, for Zarr format 3.
    """
    above = enclosing_nodes(where)
    if not above:
        return dict(layout), dict(attributes)
    names = axis_names(where, source, tuple(layout["shape"]), above)
    if above[0].zarr_format == 3:
        return {**layout, "dimension_names": names}, dict(attributes)
    # In v2, readers take entries equal to the fill value as missing: so only a fill value of the layout is written.
    own = {"zarr_format": 2, "compressors": V2_COMPRESSOR}
    return {"fill_value": None, **layout, **own}, {**attributes, "_ARRAY_DIMENSIONS": names}


def axis_names(where: str, source: Source, shape: tuple[int, ...], above: list[EnclosingNode]) -> list[str]:
    """Return the axis names: those of the rows if they fit into the group, otherwise new ones."""
    own = PurePosixPath(where).name
    sizes = dimension_sizes(above, where)
    handle = getattr(source, "handle", None)  # of a Zarr array
    known = (None, None) if handle is None else dimension_names(handle.array)
    columns = known[1] if shape[1:] == (source.n_columns,) else None  # otherwise the array has other columns
    found: list[str] = []
    for name, kind, size in zip((known[0], columns), ("row", "column"), shape, strict=False):
        wanted = [] if name is None or name in (own, *found) else [name]
        fresh = (f"{own}_{kind}{i or ''}" for i in range(len(sizes) + 2))
        found.append(next(word for word in (*wanted, *fresh) if sizes.get(word, {size}) == {size}))
    return found
