"""dem info: the contents of a store or a model. dem fingerprint: a checksum of a store."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
import zarr
from rich.console import RenderableType

from dem.cli.commands.session import Session, json_value
from dem.cli.commands.tables import (
    decoding_facts,
    facts,
    grid,
    history_tables,
    parameter_tables,
)
from dem.core import human
from dem.core.columns import Columns
from dem.estimators.loading import restored
from dem.estimators.objectives import final_objective, how_it_ended, objectives_in_words
from dem.estimators.summary import (
    missing_in_training,
    missing_summary,
    reg_covar_text,
    rest_in_words,
    starts_in_words,
)
from dem.run.fit import scan as scan_data
from dem.scan.scanner import Scan
from dem.source import Source, open_source
from dem.source.group import axis_names, described, ome_axes, open_variables, stored_axis_names
from dem.source.listing import fingerprint
from dem.source.members import arrays_in
from dem.source.parquet_files import find_files, is_parquet, read_footers
from dem.source.stores import ZarrNode, open_node
from dem.storage.atomic import SAVED_MODELS

MOST_COLUMNS = 30
"""Number of columns that are shown without --all."""


def show_info(path: str, session: Session, *, scan: bool, every: bool, missing_value: float | None = None) -> None:
    """Show the contents of a model, an array, a group or a table.

    Parameters
    ----------
    path : str
    session : Session
    scan : bool
        Read the array to show its ranges and missing values.
    every : bool
        Show all columns, not only the first `MOST_COLUMNS`.
    missing_value : number, optional
        See `dem.open_source`.
    """
    if SAVED_MODELS.exists(path):
        _show_model(path, session)
        return
    if is_parquet(path):
        _show_table(path, session, scan=scan, every=every, missing_value=missing_value)
        return
    node = open_node(path)
    if isinstance(node, zarr.Group):
        _show_group(path, node, session)
    else:
        _show_array(path, node, session, scan=scan, every=every, missing_value=missing_value)


def _show_model(path: str, session: Session) -> None:
    saved = SAVED_MODELS.load(path)
    model = restored(saved, path)
    record = {"path": path, "kind": "model", "model": saved.model, **saved.attributes, **saved.arrays}
    source = getattr(model, "source_", None)
    shown = {
        path: model.describe(),
        "fitted to": f"{source['name']}, shape {tuple(source['shape'])}, {source['dtype']}" if source else None,
        "variables": ", ".join(model.variables_ or ()) or None,
        "rows along": ", ".join(model.sample_dims_ or ()) or None,
        "missing": missing_in_training(source),
        "starts": starts_in_words(model),
        "ended": how_it_ended(model) if source else None,
        "left to gain": rest_in_words(model),
        **objectives_in_words(final_objective(model)),
        "reg_covar": reg_covar_text(model),
        "settings": ", ".join(f"{k}={v}" for k, v in saved.attributes["settings"].items() if v is not None),
    }
    session.result(record, facts(shown), "", *parameter_tables(model), *history_tables(model), summary=False)


def _show_group(path: str, group: zarr.Group, session: Session) -> None:
    arrays = dict(sorted(arrays_in(group, path).items()))
    axes = ome_axes(group)
    dims = {name: axis_names(array, axes) for name, array in arrays.items()}
    layouts = {name: {**_layout(a), "dims": None if None in dims[name] else dims[name]} for name, a in arrays.items()}
    record: dict[str, Any] = {"path": path, "kind": "group", "arrays": layouts}
    choice = group_choice(group, path)
    rows = [[name, str(a.shape), _dims_text(dims[name]), str(a.dtype), str(a.chunks)] for name, a in arrays.items()]
    kind = f"Zarr group (v{group.metadata.zarr_format}) of {human.plural(len(arrays), 'array')}"
    shown = {path: kind, "written by dem": _origin(group)}
    if choice is not None:
        variables, shared = choice
        record.update(variables=list(variables), sample_dims=list(shared))
        shown["--variables"] = f"{', '.join(variables)} (all of them without the option)"
        sizes = ", ".join(f"{dim} ({n:,})" for dim, n in shared.items())
        shown["--sample-dims"] = f"some of {sizes}" if sizes else "choose variables that have a dimension in common"
    table = grid(["array", "shape", "dimensions", "dtype", "chunks"], rows)
    session.result(record, facts(shown), *([table] if rows else []), summary=False)


def group_choice(group: zarr.Group, path: str) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Return the variables of a group, and the dimensions that all of them have, of the same length.

    None if there are no variables with named dimensions.
    """
    with suppress(ValueError):  # there are no variables, or one is not complete or has no names
        found = open_variables(group, None)
        about = [described(name, array, found.axes) for name, array in found.variables.items()]
        sizes = [{dim: array.size(dim) for dim in array.dims} for array in about]
        common = {dim: n for dim, n in sizes[0].items() if all(own.get(dim) == n for own in sizes)}
        return tuple(found.variables), common
    return None


def _dims_text(dims: tuple[str | None, ...]) -> str:
    return "" if None in dims else ", ".join(str(dim) for dim in dims)


def _show_array(
    path: str, array: zarr.Array[Any], session: Session, *, scan: bool, every: bool, missing_value: float | None
) -> None:
    layout = _layout(array)
    stored, chunk = layout["stored_bytes"], math.prod(array.chunks) * array.dtype.itemsize
    ratio = "" if not stored else f", {human.size(stored)} stored ({array.nbytes / stored:.2f} to 1)"
    names = stored_axis_names(path, array)
    shown = {
        path: f"Zarr array (v{array.metadata.zarr_format})",
        "shape": f"{array.shape}, {array.dtype}",
        "dimensions": _dims_text(names) or None,
        "chunks": f"{array.chunks}, {human.size(chunk)} each decoded",
        "shards": f"{array.shards}" if array.shards else None,
        "size": f"{human.size(array.nbytes)} decoded{ratio}",
        "written by dem": _origin(array),
    }
    record: dict[str, Any] = {"path": path, "kind": "array", **layout}
    below: list[RenderableType] = []
    whole = array.attrs.get("complete") is not False
    if scan and whole and array.ndim == 2 and array.dtype.kind in "biuf" and array.size:
        below = _scanned(open_source(path, missing_value=missing_value), session, shown, record, every=every)
    elif array.ndim != 2 and "what" not in array.attrs:  # outputs of dem are described above
        unnamed, named = "models are fitted to arrays of two dimensions, rows and columns", "--sample-dims chooses rows"
        words = unnamed if None in names else named
        below = [f"({words}; this array has {human.plural(array.ndim, 'dimension')})"]
    session.result(record, facts(shown), *below, summary=False)


def _show_table(path: str, session: Session, *, scan: bool, every: bool, missing_value: float | None) -> None:
    """Show the columns of Parquet files; ranges and missing values are of the columns of numbers."""
    files = read_footers(find_files(path))
    kinds = {name: str(kind) for name, kind in zip(files[0].columns.names, files[0].dtypes, strict=True)}
    numbers = [name for name, kind in zip(kinds, files[0].dtypes, strict=True) if not isinstance(kind, str)]
    rows, groups = sum(sum(file.rows) for file in files), sum(len(file.rows) for file in files)
    stored = sum(file.mark[0] for file in files)
    shown: dict[str, str | None] = {
        path: f"Parquet, {human.plural(len(files), 'file')}, {human.plural(groups, 'row group')}",
        "shape": f"{(rows, len(kinds))}",
        "size": f"{human.size(stored)} stored",
        "not numbers": ", ".join(f"{name} ({kinds[name]})" for name in kinds if name not in numbers) or None,
    }
    record: dict[str, Any] = {"path": path, "kind": "table", "shape": (rows, len(kinds)), "types": kinds}
    record.update(files=len(files), row_groups=groups, stored_bytes=stored)
    below: list[RenderableType] = []
    if scan and rows and numbers:
        source = open_source(path, missing_value=missing_value, columns=numbers)
        below = _scanned(source, session, shown, record, every=every)
    session.result(record, facts(shown), *below, summary=False)


def _scanned(
    source: Source, session: Session, shown: dict[str, str | None], record: dict[str, Any], *, every: bool
) -> list[RenderableType]:
    """Add what a pass over the rows finds to the facts and to the record; return the table of the columns."""
    with session.engine() as engine:
        found = scan_data(source, engine=engine, sample_size=1)
    decoding = None if source.decoding is None else source.decoding.fingerprint
    rows, shape = (found.incomplete_rows, found.empty_rows), (found.rows, found.n_columns)
    shown.update({**decoding_facts(decoding), "missing": missing_summary(shape, found.missing.tolist(), *rows)})
    columns = _column_records(found, source.columns)
    record["missing"] = {"decoding": decoding, "incomplete_rows": rows[0], "empty_rows": rows[1]}
    record["columns"] = columns
    return [_column_table(columns, source.columns, found.rows, every=every)]


def _origin(node: ZarrNode) -> str | None:
    """Return the description of an output that dem has written; None for other arrays and groups."""
    what, model, source = (node.attrs.get(name) for name in ("what", "model", "source"))
    if what is None or model is None:
        return None
    whole = "" if node.attrs.get("complete", True) else ", not complete"
    return f"{what} of {model}" + (f" for the rows of {source}" if source else "") + whole


def _layout(array: zarr.Array[Any]) -> dict[str, Any]:
    stored = None
    with suppress(Exception):  # some stores cannot list
        stored = int(array.nbytes_stored())
    return {
        "shape": array.shape,
        "dtype": str(array.dtype),
        "chunks": array.chunks,
        "shards": array.shards,
        "decoded_bytes": array.nbytes,
        "stored_bytes": stored,
        "attributes": dict(array.attrs),
    }


def _column_records(found: Scan, columns: Columns) -> list[dict[str, Any]]:
    """Return a record for each column. Ranges, means and standard deviations are of the finite values."""
    observed = found.observed
    mean, sd = observed.centre.astype(np.float64), np.sqrt(observed.variances)
    return [
        {
            **({"name": columns[j].name, "units": columns[j].units} if columns.named else {}),
            "min": json_value(found.low[j]),
            "max": json_value(found.high[j]),
            "mean": json_value(mean[j]) if observed.weight[j] > 0 else None,
            "sd": json_value(sd[j]) if observed.weight[j] > 0 else None,
            "missing": int(found.missing[j]),
            "missing_share": int(found.missing[j]) / found.rows,
            "inf": int(found.infinite[j]),
        }
        for j in range(found.n_columns)
    ]


def _column_table(columns: list[dict[str, Any]], named: Columns, rows_in_all: int, *, every: bool) -> RenderableType:
    shown = columns if every else columns[:MOST_COLUMNS]
    rows = [
        [named[j].label]
        + ["-" if c[name] is None else human.number(c[name]) for name in ("min", "max", "mean", "sd")]
        + [human.share(c["missing"], rows_in_all), f"{c['inf']:,}"]
        for j, c in enumerate(shown)
    ]
    rest = len(columns) - len(shown)
    title = f"Columns (the first {len(shown)} of {len(columns)}; --all shows the rest)" if rest else "Columns"
    return grid(["column", "min", "max", "mean", "sd", "missing", "inf"], rows, title)


def show_fingerprint(path: str, session: Session) -> None:
    """Show the checksum of a store's metadata and of the listing of its chunks."""
    found = fingerprint(path)
    newest = found["newest"]
    listed = found["objects"] is not None
    shown = {
        path: found["sha256"],
        "objects": f"{found['objects']:,}, {human.size(found['bytes'])}" if listed else None,
        "newest": None if newest is None else datetime.fromtimestamp(newest).isoformat(" ", "seconds"),
    }
    session.result({"path": path, **found}, facts(shown), summary=False)
