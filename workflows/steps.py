"""The steps fit, score, label and report, for any workflow engine: each calls what its `dem` command calls.

Each run has its own folder, whose name is made from everything that determines its results: the store's fingerprint,
the settings and the version of dem. So a store has not changed if its report exists already. A step that is run again
continues: finished results are kept, and a fit continues from its checkpoint.

    FOLDER/9f2c81d07a3be645/model.zarr, score.json, labels.zarr, changes.json, report.json and report.html
    FOLDER/latest  ->  the folder of the last finished run

A fit starts from the model of the last finished run, if it suits the settings, and its components keep their labels;
changes.json says how many rows have another label than in that run. To start from nothing, remove FOLDER/latest.

The steps pass only JSON values to each other, so that engines can store them. FOLDER must be a path that
all tasks see, not a URL; the store may be a path or a URL.
"""

from __future__ import annotations

import json
import os
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dask.utils import parse_bytes

import dem
from dem.cli.commands.fit import fit_estimator
from dem.cli.commands.report import write_report
from dem.cli.commands.rows import show_score as score_rows
from dem.cli.commands.rows import write_outputs as write_rows
from dem.cli.commands.select import select_estimator
from dem.cli.commands.session import Session, json_value
from dem.cli.select_options import Numbers
from dem.results.compare_labels import compare_labels
from dem.source.listing import fingerprint, key_of
from dem.source.stores import address, require_local_path
from dem.storage.atomic import SAVED_MODELS
from dem.storage.files import write_files

JSON = dict[str, Any]


@dataclass(frozen=True)
class CollectingSession(Session):
    """A session that collects results instead of printing them."""

    results: list[JSON] = field(default_factory=list)

    def result(self, record: Mapping[str, Any], *shown: Any, summary: bool = True) -> None:
        """Add a result to `results`."""
        self.results.append(json_value(record))


def settings(components: int | str = 4, covariance: str = "full", tol: float = 1e-3, seed: int = 0) -> JSON:
    """Return the settings of a fit, named as in `dem.GaussianMixture`.

    A text such as "1:20" is several numbers of components, as in `dem select gmm -k`: the best of them by BIC is kept.
    """
    numbers = Numbers().convert(str(components), None, None)
    chosen = numbers if len(numbers) > 1 else numbers[0]
    return {"n_components": chosen, "covariance_type": covariance, "tol": tol, "random_state": seed}


def where(memory: str | None = None, cluster: str | None = None) -> JSON:
    """Return where to run, named as in `Session`: on this machine with a memory limit, or on a cluster."""
    return {"memory": None if memory is None else parse_bytes(memory), "cluster": cluster}


def begin(store: str, folder: str, settings: JSON) -> str:
    """Return the folder of the run for the present state of a store.

    Raises
    ------
    ValueError
        The folder is a URL: object stores cannot rename and link files.
    """
    runs = require_local_path(folder, "the folder of the runs")
    key = key_of(dem.__version__, address(store), fingerprint(store)["sha256"], settings)
    return str(runs / key[:16])


def is_done(run: str) -> bool:
    """Whether a run is finished: the report is written last."""
    return Path(run, "report.html").exists()


def earlier(run: str) -> str:
    """Return the folder of the run that this one starts from; "" if there is none.

    It is chosen once, and kept in earlier.txt: a fit that continues must begin as it has begun.
    """
    kept, latest = Path(run, "earlier.txt"), Path(run).with_name("latest")
    if not kept.exists():
        Path(run).mkdir(parents=True, exist_ok=True)
        found = str(latest.resolve()) if latest.exists() and latest.resolve() != Path(run).resolve() else ""
        write_files({str(kept): found.encode()}, overwrite=True)
    return kept.read_text()


def fit(store: str, run: str, settings: JSON, where: JSON) -> str:
    """Fit a mixture, or select one, or continue from its checkpoint; return the path of the model.

    Parameters
    ----------
    store : str
    run : str
        The run's folder.
    settings : dict
        Arguments of `dem fit gmm`: n_components, covariance_type, tol, random_state, ...
    where : dict
        Arguments of `Session`: memory, workers, scheduler, ...
    """
    model = f"{run}/model.zarr"
    if not SAVED_MODELS.exists(model):
        before, options, session = earlier(run), {**settings, "resume": True}, _session(where)
        options["update"] = f"{before}/model.zarr" if before else None
        if isinstance(settings["n_components"], list):
            several = {"n_components": options.pop("n_components")}
            select_estimator("GaussianMixture", store, model, session, candidates=several, **options)
        else:
            fit_estimator("GaussianMixture", store, model, session, **options)
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
    """Write each row's component, and how many have changed; return the path of the array of labels."""
    labels = f"{run}/labels.zarr"
    if not Path(labels).exists():  # it appears when it is complete
        write_rows(f"{run}/model.zarr", store, labels, _session(where), what=["labels"], overwrite=False)
    changes(run)
    return labels


def changes(run: str) -> JSON:
    """Write changes.json, how many rows have another label than in the run before; return its numbers.

    There are none in the first run, and not_compared if the store has another shape now. After a change of settings the
    components have the numbers of those before that are most like them: see docs/refit.md.
    """
    kept, before = Path(run, "changes.json"), earlier(run)
    if not kept.exists():
        found: JSON = {}
        if before and Path(before, "labels.zarr").exists():
            try:
                found = compare_labels(f"{before}/labels.zarr", f"{run}/labels.zarr").record()
            except ValueError as error:
                found = {"not_compared": str(error)}
        write_files({str(kept): _text(found)}, overwrite=True)
    record: JSON = json.loads(kept.read_text())
    return record


def report(store: str, run: str, settings: JSON, where: JSON) -> JSON:
    """Write the page and its numbers, and point FOLDER/latest here; return the numbers.

    Raises
    ------
    ValueError
        The store has changed since the run began, so the results do not belong to one state of it.
    """
    if begin(store, str(Path(run).parent), settings) != run:
        raise ValueError(f"{store} has changed during the run: remove {run}, and start a new run.")
    session, page = _session(where), f"{run}/report.html"
    write_report(f"{run}/model.zarr", f"{run}/.report.html", session, data=store, labels=None, overwrite=True)
    write_files({f"{run}/report.json": _text(session.results[-1])}, overwrite=True)
    os.replace(f"{run}/.report.html", page)  # it is the last: if it exists, the run is finished
    link = Path(run).with_name(f".latest-{uuid.uuid4().hex[:8]}")
    link.symlink_to(Path(run).name)
    os.replace(link, link.with_name("latest"))
    link.with_name("failed.json").unlink(missing_ok=True)  # written by the last run, if it failed
    return {**session.results[-1], "label_changes": changes(run)}


def first_picture(run: str) -> str:
    """Return the first picture of the report, as a data URI."""
    page = Path(run, "report.html").read_text()
    found = re.search(r'src="(data:image/png;base64,[^"]+)"', page)
    assert found is not None, "a report has pictures"
    return found[1]


def failed(folder: str, record: JSON) -> None:
    """Write FOLDER/failed.json, with the record of a failed run."""
    path = require_local_path(folder, "the folder of the runs") / "failed.json"
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
        "to look at": " ".join(numbers["warnings"]) or "nothing",
    }
    if "changed" in (found := numbers["label_changes"]):
        rows["other label than before"] = f"{found['changed']:,} of {found['compared']:,} rows"
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])


def _session(where: JSON) -> CollectingSession:
    return CollectingSession(quiet=True, **{name: value for name, value in where.items() if value is not None})


def _text(record: JSON) -> bytes:
    return (json.dumps(record, indent=2) + "\n").encode()
