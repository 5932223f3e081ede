"""What makes an array one that the readers of the Zarr group around it can read, xarray among them.

They want every array in the group's own Zarr format, and a name for each axis that has one length in the whole group.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from numcodecs import Zstd

from dem.source import Source
from dem.source.zarr import ZarrSource
from dem.storage.hierarchy import Node, dimension_names, dimension_sizes, nodes_above

V2_COMPRESSOR = Zstd(level=0, checksum=True)
"""As the codecs of v3: quick, with a checksum, which tells what is whole from what is damaged."""


def fitted_to_group(
    where: str, source: Source, layout: Mapping[str, Any], attributes: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the layout and the attributes of an array, fitted to the group that it will stand in, if it does.

    Parameters
    ----------
    where : str
        The array's address.
    source : Source
        The rows that the array tells of: it takes their names of axes, where they have some.
    layout, attributes : mapping
        As `zarr.create_array` takes them, in format 3.
    """
    above = nodes_above(where)
    if not above:
        return dict(layout), dict(attributes)
    names = axis_names(where, source, tuple(layout["shape"]), above)
    if above[0].zarr_format == 3:
        return {**layout, "dimension_names": names}, dict(attributes)
    # Of v2, readers take entries that equal the fill value for missing: there is none but where the layout has one.
    own = {"zarr_format": 2, "compressors": V2_COMPRESSOR}
    return {"fill_value": None, **layout, **own}, {**attributes, "_ARRAY_DIMENSIONS": names}


def axis_names(where: str, source: Source, shape: tuple[int, ...], above: list[Node]) -> list[str]:
    """Return the names of the axes: those of the rows where they fit into the group, else names of their own."""
    own = PurePosixPath(where).name
    sizes = dimension_sizes(above, where)
    known = dimension_names(source.handle.array) if isinstance(source, ZarrSource) else (None, None)
    columns = known[1] if shape[1:] == (source.n_columns,) else None  # else they are not the rows' columns
    found: list[str] = []
    for name, kind, size in zip((known[0], columns), ("row", "column"), shape, strict=False):
        wanted = [] if name is None or name in (own, *found) else [name]
        fresh = (f"{own}_{kind}{i or ''}" for i in range(len(sizes) + 2))
        found.append(next(word for word in (*wanted, *fresh) if sizes.get(word, {size}) == {size}))
    return found
