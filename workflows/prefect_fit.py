"""Fit a store every night with Prefect: fit -> score -> label -> report.

To start (docs/schedule.md explains each line and shows the output):

    python3 -m venv .venv-prefect                        # a separate environment
    .venv-prefect/bin/pip install '.[prefect]'           # dem, and packages of Prefect that work together
    . .venv-prefect/bin/activate

    prefect server start                                 # leave it running: its web page shows all runs
    export PREFECT_API_URL=http://127.0.0.1:4200/api     # in a second terminal, for all next commands
    export PREFECT_LOGGING_EXTRA_LOGGERS=dem             # every pass is logged and shown on the web page

    python workflows/prefect_fit.py STORE --folder runs -k 4                             # run once, now
    python workflows/prefect_fit.py STORE --folder runs -k 4 --serve --cron "0 2 * * *"  # at 2 every night

A step that fails is tried again after 10 seconds, 1 minute and 5 minutes, and the fit continues from its
checkpoint. Permanent errors (a wrong setting, no such store) are not tried again. A store that has not
changed since the last run with the same settings is skipped. A fit starts from the last run's model if it suits the
settings, and components keep their labels; changes.json says how many rows have another label. A run that fails
writes FOLDER/failed.json; to get an e-mail or a chat message, change `notify`. The report is FOLDER/latest/report.html;
Prefect's artifacts have its numbers and its first picture.
"""

from __future__ import annotations

import argparse
import logging
from typing import Any

import steps
from prefect import flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from prefect.states import Completed

from dem.source.stores import address

logging.getLogger("dem").setLevel(logging.INFO)

PERMANENT = (ValueError, TypeError, FileNotFoundError, FileExistsError, ImportError)
"""Permanent errors: another try would raise them again."""


def worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """Whether to try a step again: not after a permanent error."""
    return not isinstance(state.result(raise_on_failure=False), PERMANENT)


def notify(flow: Any, run: Any, state: Any) -> None:
    """Report that a run has failed or its process was killed, by writing FOLDER/failed.json."""
    record = {"run": run.name, "store": run.parameters["store"], "state": state.name, "message": state.message}
    steps.failed(run.parameters["folder"], record)


again: dict[str, Any] = {"retries": 3, "retry_delay_seconds": [10, 60, 300], "retry_condition_fn": worth_retrying}
begin = task(steps.begin, name="fingerprint", **again)
fit = task(steps.fit, name="fit", **again)
score = task(steps.score, name="score", **again)
label = task(steps.label, name="label", **again)


@task(name="report", **again)
def report(store: str, run: str, settings: steps.JSON, where: steps.JSON) -> steps.JSON:
    """Write the report, and add it to Prefect's artifacts."""
    numbers = steps.report(store, run, settings, where)
    create_markdown_artifact(steps.table(numbers), key="dem-report", description=f"The numbers of {run}")
    create_image_artifact(steps.first_picture(run), key="dem-picture", description=f"From {run}/report.html")
    return numbers


@flow(name="dem-fit", on_failure=[notify], on_crashed=[notify])
def fit_store(
    store: str,
    folder: str = "runs",
    components: int | str = 4,
    covariance: str = "full",
    tol: float = 1e-3,
    seed: int = 0,
    memory: str | None = None,
    cluster: str | None = None,
) -> Any:
    """Fit a Gaussian mixture to a store, unless it has not changed since the last run with the same settings.

    Parameters
    ----------
    store : str
        A path or URL of a Zarr array.
    folder : str
        Folder in which each run gets its own folder.
    components, covariance, tol, seed
        As in `dem fit gmm`.
    memory : str, optional
        Limit for all processes together, such as 4GB.
    cluster : str, optional
        A cluster file, such as cluster_configs/slurm.yaml.
    """
    settings = steps.settings(components, covariance, tol, seed)
    where = steps.where(memory, cluster)
    run = begin(store, folder, settings)
    if steps.is_done(run):
        return Completed(name="Skipped", message=f"{store} has not changed since {run} was written.")
    get_run_logger().info("Writing to %s", run)
    fit(store, run, settings, where)
    score(store, run, where)
    label(store, run, where)
    report(store, run, settings, where)
    return Completed(message=f"The report is {run}/report.html.")


def main() -> None:
    """Run once; or serve: wait, and run at the times of a cron line."""
    parser = argparse.ArgumentParser(description="Fit a store with Prefect.")
    parser.add_argument("store", help="a path or URL of a Zarr array")
    parser.add_argument("--folder", default="runs", help="where the runs' folders are made")
    parser.add_argument("-k", "--components", default="4", help="a number, or several, such as 1:20")
    parser.add_argument("--covariance", default="full")
    parser.add_argument("--tol", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", help="limit for all processes, such as 4GB")
    parser.add_argument("--cluster", metavar="FILE", help="such as cluster_configs/slurm.yaml")
    parser.add_argument("--serve", action="store_true", help="wait, and run by the schedule")
    parser.add_argument("--cron", default="0 2 * * *", help="the schedule: minute, hour, day, month, weekday")
    options = vars(parser.parse_args())
    serve, cron = options.pop("serve"), options.pop("cron")
    options.update({name: address(options[name]) for name in ("store", "folder")})  # served runs start elsewhere
    if serve:
        fit_store.serve(name="nightly", cron=cron, parameters=options, limit=1)  # never two at the same time
    else:
        fit_store(**options)


if __name__ == "__main__":
    main()
