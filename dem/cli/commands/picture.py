"""dem plot: a picture of a model."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath

from matplotlib.backend_bases import FigureCanvasBase

from dem import plot
from dem.cli.commands.session import Session
from dem.estimators import load, summary
from dem.source.stores import address
from dem.storage.files import check_files_free, write_files

DPI = 150


def draw_picture(
    model: str,
    output: str,
    session: Session,
    *,
    data: str | None,
    picture: str,
    columns: Sequence[int | str] | None,
    labels: list[str] | None,
    overwrite: bool,
) -> None:
    """Draw a model, with a sample of rows if a store is given, and write the picture to a path or URL."""
    check_picture(output, overwrite=overwrite)
    estimator = load(model)
    summary.column_names(estimator, estimator.n_features_in_, labels)  # checks the labels before the scan
    with session.engine() as engine:
        rows = None if data is None else plot.rows(estimator, data, engine=engine)
    drawn = plot.draw(picture, estimator, rows, columns, labels)
    write_files({output: rendered(drawn, output)}, overwrite=overwrite)
    session.result({"output": output, "model": model, "text": drawn.text}, f"{output}: picture of {model}")


def check_picture(path: str, *, overwrite: bool) -> None:
    """Check, before the work, that a picture can be written to a path or URL.

    Raises
    ------
    ValueError
        It is empty, or does not end with the name of a picture format.
    FileExistsError
        A file is there, and `overwrite` is not set.
    """
    formats = FigureCanvasBase.get_supported_filetypes()
    address(path)  # gives a clear error for an empty path
    if file_format(path) not in formats:
        raise ValueError(f"{path} is not the name of a picture: end it with one of {', '.join(sorted(formats))}.")
    check_files_free([path], overwrite=overwrite)


def file_format(path: str | Path) -> str:
    """Return the picture format from the ending of a path, such as "png"."""
    return PurePosixPath(path).suffix[1:].lower()


def rendered(drawn: plot.Picture, path: str | Path) -> bytes:
    """Return the bytes of a picture file, in the format that its path ends with."""
    content = BytesIO()
    drawn.savefig(content, format=file_format(path), dpi=DPI)
    return content.getvalue()
