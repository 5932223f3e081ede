"""dem info: what a store or a model holds. dem fingerprint: a number that changes when a store does."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np
import zarr
from rich.console import RenderableType

from dem.cli.commands.fit import ending, in_words, reached
from dem.cli.commands.session import Session, plain
from dem.cli.commands.tables import facts, grid, meaning, missing_summary, of_training, parameters, passes
from dem.core import human
from dem.estimators import load
from dem.estimators.summary import regularisation
from dem.run.fit import scan as scan_data
from dem.scan.scanner import Scan
from dem.source import open_source
from dem.source.listing import fingerprint
from dem.source.members import arrays_in
from dem.source.stores import open_node
from dem.storage.atomic import SAVED_MODELS

MOST_COLUMNS = 30


def info(path: str, session: Session, *, scan: bool, every: bool, missing_value: float | None = None) -> None:
    """Tell about a model, an array or a group.

    Parameters
    ----------
    path : str
    session : Session
    scan : bool
        Read the array, for its ranges and missing values.
    every : bool
        Show all columns, however many.
    missing_value : number, optional
        See `dem.open_source`.
    """
    if SAVED_MODELS.exists(path):
        _model(path, session)
        return
    node = open_node(path)
    if isinstance(node, zarr.Group):
        _group(path, node, session)
    else:
        _array(path, node, session, scan=scan, every=every, missing_value=missing_value)


def _model(path: str, session: Session) -> None:
    saved, model = SAVED_MODELS.load(path), load(path)
    record = {"path": path, "kind": "model", "model": saved.model, **saved.attributes, **saved.arrays}
    source = getattr(model, "source_", None)
    shown = {
        path: model.describe(),
        "fitted to": f"{source['name']}, shape {tuple(source['shape'])}, {source['dtype']}" if source else None,
        "missing": of_training(source),
        "ended": ending(model) if source else None,
        **in_words(reached(model)),
        "reg_covar": regularisation(model),
        "settings": ", ".join(f"{k}={v}" for k, v in saved.attributes["settings"].items() if v is not None),
    }
    session.result(record, facts(shown), "", *parameters(model), *passes(model), summary=False)


def _group(path: str, group: zarr.Group, session: Session) -> None:
    arrays = dict(sorted(arrays_in(group, path).items()))
    record = {"path": path, "kind": "group", "arrays": {name: _layout(a) for name, a in arrays.items()}}
    rows = [[name, str(a.shape), str(a.dtype), str(a.chunks)] for name, a in arrays.items()]
    head = facts({path: f"Zarr group (v{group.metadata.zarr_format}) of {human.plural(len(arrays), 'array')}"})
    table = grid(["array", "shape", "dtype", "chunks"], rows)
    session.result(record, head, *([table] if rows else []), summary=False)


def _array(
    path: str, array: zarr.Array[Any], session: Session, *, scan: bool, every: bool, missing_value: float | None
) -> None:
    layout = _layout(array)
    stored, chunk = layout["stored_bytes"], math.prod(array.chunks) * array.dtype.itemsize
    ratio = "" if not stored else f", {human.size(stored)} stored ({array.nbytes / stored:.2f} to 1)"
    shown = {
        path: f"Zarr array (v{array.metadata.zarr_format})",
        "shape": f"{array.shape}, {array.dtype}",
        "chunks": f"{array.chunks}, {human.size(chunk)} each decoded",
        "shards": f"{array.shards}" if array.shards else None,
        "size": f"{human.size(array.nbytes)} decoded{ratio}",
        "written by dem": _origin(array),
    }
    record: dict[str, Any] = {"path": path, "kind": "array", **layout}
    below: list[RenderableType] = []
    whole = array.attrs.get("complete") is not False
    if scan and whole and array.ndim == 2 and array.dtype.kind in "biuf" and array.size:
        source = open_source(path, missing_value=missing_value)
        with session.engine() as engine:
            found = scan_data(source, engine=engine, sample_size=1)
        decoding = None if source.decoding is None else source.decoding.fingerprint
        counts, rows = found.missing.tolist(), (found.incomplete_rows, found.empty_rows)
        shown.update({**meaning(decoding), "missing": missing_summary(array.shape, counts, *rows)})
        record["missing"] = {"decoding": decoding, "incomplete_rows": rows[0], "empty_rows": rows[1]}
        record["columns"] = _columns(found)
        below = [_column_table(record["columns"], found.rows, every=every)]
    elif array.ndim != 2 and "what" not in array.attrs:  # dem says what its own outputs are
        dimensions = human.plural(array.ndim, "dimension")
        below = [f"(a model is fitted to an array of rows and columns; this one has {dimensions})"]
    session.result(record, facts(shown), *below, summary=False)


def _origin(array: zarr.Array[Any]) -> str | None:
    """Say what an output of dem's own holds."""
    what, model, source = (array.attrs.get(name) for name in ("what", "model", "source"))
    if what is None or model is None:
        return None
    whole = "" if array.attrs.get("complete", True) else ", not complete"
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


def _columns(found: Scan) -> list[dict[str, Any]]:
    """Return a record for each column; ranges, means and deviations are those of its finite values."""
    observed = found.observed
    mean, sd = observed.centre.astype(np.float64), np.sqrt(observed.variances)
    return [
        {
            "min": plain(found.low[j]),
            "max": plain(found.high[j]),
            "mean": plain(mean[j]) if observed.weight[j] > 0 else None,
            "sd": plain(sd[j]) if observed.weight[j] > 0 else None,
            "missing": int(found.missing[j]),
            "missing_share": int(found.missing[j]) / found.rows,
            "inf": int(found.infinite[j]),
        }
        for j in range(found.n_columns)
    ]


def _column_table(columns: list[dict[str, Any]], rows_in_all: int, *, every: bool) -> RenderableType:
    shown = columns if every else columns[:MOST_COLUMNS]
    rows = [
        [str(j)]
        + ["-" if c[name] is None else human.number(c[name]) for name in ("min", "max", "mean", "sd")]
        + [human.share(c["missing"], rows_in_all), f"{c['inf']:,}"]
        for j, c in enumerate(shown)
    ]
    rest = len(columns) - len(shown)
    title = f"Columns (the first {len(shown)} of {len(columns)}; --all shows the rest)" if rest else "Columns"
    return grid(["column", "min", "max", "mean", "sd", "missing", "inf"], rows, title)


def show_fingerprint(path: str, session: Session) -> None:
    """Tell the fingerprint of a store, by its metadata and a listing."""
    found = fingerprint(path)
    newest = found["newest"]
    listed = found["objects"] is not None
    shown = {
        path: found["sha256"],
        "objects": f"{found['objects']:,}, {human.size(found['bytes'])}" if listed else None,
        "newest": None if newest is None else datetime.fromtimestamp(newest).isoformat(" ", "seconds"),
    }
    session.result({"path": path, **found}, facts(shown), summary=False)
