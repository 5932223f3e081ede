"""Find Parquet files and read their footers: row groups, columns and types. No row is read.

pyarrow is imported only when a Parquet file is opened.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, TypeVar

import numpy as np
from dask.utils import natural_sort_key
from fsspec import AbstractFileSystem

from dem.core.columns import Column, Columns
from dem.core.dtypes import float_dtype
from dem.source.listing import MARKS, METADATA_NAMES
from dem.source.retry import read_with_retries
from dem.source.stores import address, file_system, is_url

T = TypeVar("T")

ENDINGS = (".parquet", ".parq", ".pq")
FOOTERS_AT_ONCE = 8
"""Footers that are read at the same time."""


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file with numbers in some of its columns.

    Attributes
    ----------
    address : str
        Its absolute path or its URL.
    rows : tuple of int
        The number of rows of each row group.
    page_bytes : int
        Bytes of the largest row group, encoded but not compressed.
    mark : tuple of (int, str)
        The size of the file, and its ETag or time, which show whether it has changed.
    columns : Columns
    dtypes : tuple of (numpy.dtype or str)
        The dtype of each column, floating where values are absent; the name of the type if it is not of numbers.
    """

    address: str
    rows: tuple[int, ...]
    page_bytes: int
    mark: tuple[int, str]
    columns: Columns
    dtypes: tuple[np.dtype[Any] | str, ...]


def is_parquet(path: str | os.PathLike[str]) -> bool:
    """Whether a path or URL is that of Parquet files: by its ending; for a folder on this machine, by its files."""
    where = address(path).rstrip("/")
    if where.lower().endswith(ENDINGS):
        return not _is_zarr(where)
    if is_url(where) or not os.path.isdir(where) or _is_zarr(where):
        return False
    return any(name.lower().endswith(ENDINGS) for _, _, names in os.walk(where) for name in names)


def is_parquet_path(data: Any) -> bool:
    """Whether the data are given by the path or URL of Parquet files."""
    return isinstance(data, str | os.PathLike) and is_parquet(data)


def find_files(path: str | os.PathLike[str]) -> list[tuple[str, tuple[int, str]]]:
    """Return the address and the mark of each file of a path or URL: a file, a folder or a glob, sorted by name.

    Numbers in names are compared as numbers, as Dask does: part.2 comes before part.10. In folders, files with another
    ending, and names that begin with "_" or ".", are left out.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    where = address(path).rstrip("/")
    files, root = file_system(where)
    found = with_retries(where, lambda: _infos(files, root))
    if not found:
        raise FileNotFoundError(f"No Parquet files at {path}: check the path.")
    full = files.unstrip_protocol if is_url(where) else str
    return [(str(full(name)), _mark(found[name])) for name in sorted(found, key=natural_sort_key)]


def read_footers(found: Sequence[tuple[str, tuple[int, str]]]) -> list[ParquetFile]:
    """Return the files, given their addresses and marks."""
    with ThreadPoolExecutor(min(FOOTERS_AT_ONCE, len(found)), "dem-footers") as readers:
        return list(readers.map(_read_footer, *zip(*found, strict=True)))


def open_parquet_file(where: str) -> Any:
    """Return an open `pyarrow.parquet.ParquetFile`.

    Raises
    ------
    ImportError
        pyarrow is not installed.
    ValueError
        It is not a Parquet file.
    """
    try:
        import pyarrow
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Parquet files need pyarrow: pip install 'distributed-em[tables]'.") from error
    if not is_url(where):
        given: Any = where
    else:
        files, name = file_system(where)
        given = files.open(name, "rb")
    try:
        return pq.ParquetFile(given, pre_buffer=is_url(where))
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{where} is not a Parquet file, or is damaged: {error}") from error


def with_retries(where: str, read: Callable[[], T]) -> T:
    """Return the result of a read, which is tried several times at a URL."""
    return read_with_retries(where, read) if is_url(where) else read()


def _is_zarr(where: str) -> bool:
    """Whether a folder on this machine is a Zarr store; a URL counts as none."""
    return not is_url(where) and any(os.path.exists(os.path.join(where, name)) for name in METADATA_NAMES)


def _infos(files: AbstractFileSystem, root: str) -> dict[str, Mapping[str, Any]]:
    """Return the names and the information of the files at a path, in a folder, or of a glob."""
    files.invalidate_cache()
    if files.exists(root):
        if files.isfile(root):
            return {root: files.info(root)}
        roots = [root]
    else:
        roots = [root] if not any(sign in root for sign in "*?[") else list(files.glob(root))
    found: dict[str, Mapping[str, Any]] = {}
    for top in roots:
        for name, info in files.find(top, detail=True).items():
            inner = PurePosixPath(name).relative_to(top).parts
            hidden = any(part.startswith(("_", ".")) for part in inner)
            if not inner or (name.lower().endswith(ENDINGS) and not hidden):
                found[name] = info
    return found


def _mark(info: Mapping[str, Any]) -> tuple[int, str]:
    known = [info[name] for name in MARKS if info.get(name) is not None]
    return int(info.get("size") or 0), str(known[0]) if known else ""


def _read_footer(where: str, mark: tuple[int, str]) -> ParquetFile:
    with with_retries(where, lambda: open_parquet_file(where)) as file:
        metadata, schema = file.metadata, file.schema_arrow
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        leaves = {metadata.schema.column(j).path: j for j in range(metadata.num_columns)}
        index = _index_columns(schema.metadata or {})
        fields = [schema.field(j) for j in range(len(schema.names)) if schema.names[j] not in index]
        return ParquetFile(
            where,
            tuple(group.num_rows for group in groups),
            max((group.total_byte_size for group in groups), default=0),
            mark,
            Columns(tuple(_column(field) for field in fields)),
            tuple(_dtype(field, groups, leaves.get(field.name)) for field in fields),
        )


def _index_columns(metadata: Mapping[bytes, bytes]) -> set[str]:
    """Return the columns in which pandas has stored the index of a frame: they are not data."""
    index = json.loads(metadata.get(b"pandas", b"{}")).get("index_columns", [])
    return {name for name in index if isinstance(name, str)}


def _column(field: Any) -> Column:
    told = field.metadata or {}
    units, long_name = (told[key].decode() if key in told else None for key in (b"units", b"long_name"))
    return Column(field.name, field.name, units=units, long_name=long_name)


def _dtype(field: Any, groups: Sequence[Any], leaf: int | None) -> np.dtype[Any] | str:
    """Return the dtype of a column, or the name of a type that is not of numbers.

    Where values are absent (null), or nobody counted them, integers and booleans get a floating dtype, for NaN.
    """
    kind = str(field.type)
    name = {"bool": "bool", "halffloat": "float16", "float": "float32", "double": "float64"}.get(kind, kind)
    if leaf is None or name.strip("u0123456789") not in ("int", "float", "bool"):
        return kind
    dtype = np.dtype(name)
    if dtype.kind == "f" or not field.nullable:
        return dtype
    counted = (group.column(leaf).statistics for group in groups if group.num_rows)
    full = all(found is not None and found.has_null_count and found.null_count == 0 for found in counted)
    return dtype if full else float_dtype(dtype)
