"""The steps fit, score, label and report, for any workflow engine: each calls what its `dem` command calls.

A run has a folder of its own, named by what its results depend on: the store's fingerprint, the settings and
dem's version. So an unchanged store is known by its report being there already, and whatever an engine calls
again goes on: what is whole stays, and a fit continues from its checkpoint.

    FOLDER/9f2c81d07a3be645/model.zarr, score.json, labels.zarr, report/report.json and report.png
    FOLDER/latest  ->  the folder of the last run that came to its end

Everything passed between the steps is plain JSON, so that engines can store it. FOLDER must be a path that
all tasks see, not a URL; the store may be either.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes

import dem
from dem.cli.commands.fit import fit_estimator
from dem.cli.commands.report import report as write_report
from dem.cli.commands.rows import show_score as score_rows
from dem.cli.commands.rows import write_output as write_rows
from dem.cli.commands.session import Session, json_value
from dem.source.listing import fingerprint, key_of
from dem.source.stores import address, on_this_machine
from dem.storage.atomic import SAVED_MODELS
from dem.storage.files import write_files

JSON = dict[str, Any]


@dataclass(frozen=True)
class Kept(Session):
    """A session that keeps results instead of printing them."""

    results: list[JSON] = field(default_factory=list)

    def result(self, record: Mapping[str, Any], *shown: Any, summary: bool = True) -> None:
        """Keep a result."""
        self.results.append(json_value(record))


def settings(components: int = 4, covariance: str = "full", tol: float = 1e-3, seed: int = 0) -> JSON:
    """Return the settings of a fit, in the words of `dem.GaussianMixture`."""
    return {"n_components": components, "covariance_type": covariance, "tol": tol, "random_state": seed}


def where(memory: str | None = None, cluster: str | None = None) -> JSON:
    """Return where to run, in the words of `Session`: on this machine, within some memory; or on a cluster."""
    return {"memory": None if memory is None else parse_bytes(memory), "cluster": cluster}


def begin(store: str, folder: str, settings: JSON) -> str:
    """Return the folder of the run for a store as it is now.

    Raises
    ------
    ValueError
        The folder is a URL: a run's files are renamed and linked, which object stores cannot.
    """
    runs = on_this_machine(folder, "the folder of the runs")
    key = key_of(dem.__version__, address(store), fingerprint(store)["sha256"], settings)
    return str(runs / key[:16])


def is_done(run: str) -> bool:
    """Whether a run came to its end: the report is written last."""
    return Path(run, "report", "report.json").exists()


def fit(store: str, run: str, settings: JSON, where: JSON) -> str:
    """Fit a mixture, going on from a checkpoint where one is; return the path of the model.

    Parameters
    ----------
    store : str
    run : str
        The run's folder.
    settings : dict
        What `dem fit gmm` takes: n_components, covariance_type, tol, random_state, ...
    where : dict
        What `Session` takes: memory, workers, scheduler, ...
    """
    model = f"{run}/model.zarr"
    if not SAVED_MODELS.exists(model):
        Path(run).mkdir(parents=True, exist_ok=True)
        fit_estimator("GaussianMixture", store, model, _session(where), resume=True, **settings)
    return model


def score(store: str, run: str, where: JSON) -> JSON:
    """Return the mean log-likelihood of the store's rows, and the criteria."""
    kept = Path(run, "score.json")
    if not kept.exists():
        session = _session(where)
        score_rows(f"{run}/model.zarr", store, session, weights=None)
        write_files({str(kept): _text(session.results[-1])}, overwrite=True)
    record: JSON = json.loads(kept.read_text())
    return record


def label(store: str, run: str, where: JSON) -> str:
    """Write each row's component; return the path of the array."""
    labels = f"{run}/labels.zarr"
    if not Path(labels).exists():  # it appears when it is whole
        write_rows(f"{run}/model.zarr", store, labels, _session(where), what="labels", overwrite=False)
    return labels


def report(store: str, run: str, settings: JSON, where: JSON) -> JSON:
    """Write the numbers and the picture, and point FOLDER/latest here; return the numbers.

    Raises
    ------
    ValueError
        The store has changed since the run began: its results are of no one state.
    """
    if begin(store, str(Path(run).parent), settings) != run:
        raise ValueError(f"{store} has changed while it was worked on: remove {run}, and start a new run.")
    session = _session(where)
    score = f"{run}/score.json"
    write_report(f"{run}/model.zarr", f"{run}/report", session, data=store, score=score, labels=None, overwrite=True)
    link = Path(run).with_name(f".latest-{uuid.uuid4().hex[:8]}")
    link.symlink_to(Path(run).name)
    os.replace(link, link.with_name("latest"))
    link.with_name("failed.json").unlink(missing_ok=True)  # which the last run may have left, if it failed
    return session.results[-1]


def failed(folder: str, record: JSON) -> None:
    """Leave FOLDER/failed.json, a file that nobody can overlook."""
    path = on_this_machine(folder, "the folder of the runs") / "failed.json"
    write_files({str(path): _text(record)}, overwrite=True)


def table(numbers: JSON) -> str:
    """Return the report's numbers as Markdown."""
    rows = {
        "model": numbers["description"],
        "data": f"{numbers['data']}, {numbers['rows']:,} rows",
        "ended": numbers["ended"],
        "log-likelihood": f"{numbers['log_likelihood']:.6f} nats a row",
        "BIC": f"{numbers['bic']:.10g}",
        "AIC": f"{numbers['aic']:.10g}",
        "weights": ", ".join(f"{weight:.3f}" for weight in numbers["weights_"]),
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _session(where: JSON) -> Kept:
    return Kept(quiet=True, **{name: value for name, value in where.items() if value is not None})


def _text(record: JSON) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()
