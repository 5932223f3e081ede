"""dem plot: a model's picture."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path, PurePosixPath

import numpy as np
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure

from dem import plot
from dem.cli.commands.session import Session
from dem.engine.engine import Engine
from dem.estimators import load, summary
from dem.run.fit import scan
from dem.source.stores import address
from dem.storage.files import check_free, write_files

SAMPLE_ROWS = 30_000
DPI = 150


def draw_picture(
    model: str,
    output: str,
    session: Session,
    *,
    data: str | None,
    columns: tuple[int, int],
    labels: list[str] | None,
    overwrite: bool,
) -> None:
    """Draw a model, with a sample of rows where a store is given, to a path or URL."""
    formats = FigureCanvasBase.get_supported_filetypes()
    address(output)  # refuses an empty path as what it is
    if file_format(output) not in formats:
        raise ValueError(f"{output} has no ending of a picture: choose one of {', '.join(sorted(formats))}.")
    check_free([output], overwrite=overwrite)
    with session.engine() as engine:
        drawn = picture(model, data, columns, labels, engine)
    write_files({output: rendered(drawn, output)}, overwrite=overwrite)
    session.result({"output": output, "model": model}, f"{output}: picture of {model}")


def file_format(path: str | Path) -> str:
    """Return the format that a picture's name tells: "png"."""
    return PurePosixPath(path).suffix[1:].lower()


def rendered(drawn: Figure, path: str | Path) -> bytes:
    """Return a picture in the format that its path ends with."""
    content = BytesIO()
    drawn.savefig(content, format=file_format(path), dpi=DPI)
    return content.getvalue()


def picture(model: str, data: str | None, columns: tuple[int, int], labels: list[str] | None, engine: Engine) -> Figure:
    """Return the picture of a model, with a sample of rows where a store is given: those that have what is drawn."""
    estimator, rows = load(model), None
    summary.column_names(estimator, estimator.n_features_in_, labels)  # refuses labels that do not fit, before the scan
    if data is not None:
        found = scan(data, engine=engine, sample_size=SAMPLE_ROWS, missing_value=estimator.missing_value)
        rows = found.sample.x
        if rows.shape[1] != estimator.n_features_in_:
            raise ValueError(
                f"{data} has {rows.shape[1]} columns, but {model} was fitted to {estimator.n_features_in_}."
            )
        holes = np.isnan(rows)
        if hasattr(estimator, "components_"):  # what is drawn are latents, and any value tells of them
            lacking = holes.all(axis=1)
        else:
            lacking = holes[:, [j for j in columns if j < holes.shape[1]]].any(axis=1)
        rows = None if lacking.all() else rows[~lacking]
    return plot.figure(estimator, rows, columns, labels)
