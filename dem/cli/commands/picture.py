"""dem plot: a picture of a model."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from dem import plot
from dem.cli.commands.session import Session
from dem.engine.engine import Engine
from dem.estimators import load, summary
from dem.estimators.base import RowwiseEstimator
from dem.estimators.named_dims import open_for
from dem.run.fit import scan
from dem.source.stores import address
from dem.storage.files import check_files_free, write_files

SAMPLE_ROWS = 30_000
DPI = 150


def draw_picture(
    model: str,
    output: str,
    session: Session,
    *,
    data: str | None,
    columns: Sequence[int | str],
    labels: list[str] | None,
    overwrite: bool,
) -> None:
    """Draw a model, with a sample of rows if a store is given, and write the picture to a path or URL."""
    formats = FigureCanvasBase.get_supported_filetypes()
    address(output)  # gives a clear error for an empty path
    if file_format(output) not in formats:
        raise ValueError(f"{output} is not the name of a picture: end it with one of {', '.join(sorted(formats))}.")
    check_files_free([output], overwrite=overwrite)
    with session.engine() as engine:
        drawn = picture(load(model), model, data, columns, labels, engine)
    write_files({output: rendered(drawn, output)}, overwrite=overwrite)
    session.result({"output": output, "model": model}, f"{output}: picture of {model}")


def file_format(path: str | Path) -> str:
    """Return the picture format from the ending of a path, such as "png"."""
    return PurePosixPath(path).suffix[1:].lower()


def rendered(drawn: Figure, path: str | Path) -> bytes:
    """Return the bytes of a picture file, in the format that its path ends with."""
    content = BytesIO()
    drawn.savefig(content, format=file_format(path), dpi=DPI)
    return content.getvalue()


def picture(
    estimator: RowwiseEstimator,
    model: str,
    data: str | None,
    columns: Sequence[int | str],
    labels: list[str] | None,
    engine: Engine,
) -> Figure:
    """Return the picture of the estimator that was loaded from `model`.

    If a store is given, with a sample of its rows in which no drawn value is missing.
    """
    rows = None
    summary.column_names(estimator, estimator.n_features_in_, labels)  # checks the labels before the scan
    if data is not None:
        found = scan(open_for(estimator, data), engine=engine, sample_size=SAMPLE_ROWS)
        rows = found.sample.x
        if rows.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"{data} has {rows.shape[1]} columns, but {model} was fitted to {estimator.n_features_in_}."
            )
        holes = np.isnan(rows)
        if hasattr(estimator, "components_"):  # latents are drawn: a row with any value has them
            lacking = holes.all(axis=1)
        else:
            lacking = holes[:, plot.column_pair(estimator, columns, holes.shape[1])].any(axis=1)
        rows = None if lacking.all() else rows[~lacking]
    return plot.figure(estimator, rows, columns, labels)
