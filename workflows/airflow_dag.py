"""Fit a store every night with Airflow: fingerprint -> fit -> score -> label -> report.

To start:

    python3 -m venv .venv-airflow                        # a separate environment
    .venv-airflow/bin/pip install '.[airflow]'           # dem, and Airflow
    . .venv-airflow/bin/activate
    export AIRFLOW_HOME=$PWD/airflow                     # where Airflow keeps its settings and its database
    export AIRFLOW__CORE__DAGS_FOLDER=$PWD/workflows     # where Airflow looks for files like this one
    export AIRFLOW__CORE__LOAD_EXAMPLES=False
    airflow db migrate                                   # creates the database

    airflow dags test dem_fit -c '{"store": "/data/x.zarr", "folder": "/data/runs", "components": 4}'   # once, now
    airflow standalone                                   # web page and schedule, while it runs

For the schedule, write your store and folder into `params` below, or set them on the web page when you trigger a run.

A step that fails is tried again three times, after 10 seconds and then longer pauses, and the fit continues from its
checkpoint. Permanent errors (a wrong setting, no such store) are not tried again. A store that has not
changed since the last run with the same settings is skipped. A fit starts from the last run's model if it suits the
settings, and components keep their labels; changes.json says how many rows have another label. A run that fails
writes FOLDER/failed.json; to get an e-mail or a chat message, change `notify`. The report is FOLDER/latest/report.html,
and the step "report" returns its numbers (on the web page: XCom).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

import steps
from airflow.exceptions import AirflowFailException
from airflow.sdk import Param, dag, get_current_context, task

PERMANENT = (ValueError, TypeError, FileNotFoundError, FileExistsError, ImportError)
"""Permanent errors: another try would raise them again."""


def notify(context: Any) -> None:
    """Report that a run has failed, by writing FOLDER/failed.json."""
    record = {"run": context["run_id"], "store": context["params"]["store"], "reason": context.get("reason")}
    steps.failed(context["params"]["folder"], record)


def fail_if_permanent(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return a step whose permanent errors are not tried again."""

    @wraps(step)
    def run(*args: Any) -> Any:
        try:
            return step(*args)
        except PERMANENT as error:
            raise AirflowFailException(str(error)) from error

    return run


@dag(
    schedule="0 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(seconds=10), "retry_exponential_backoff": True},
    params={
        "store": Param("/data/x.zarr", type="string", description="A path or URL of a Zarr array."),
        "folder": Param("/data/runs", type="string", description="Where the runs' folders are made."),
        "components": Param(4, type=["integer", "string"], minimum=1, description="Or several, such as 1:20."),
        "covariance": Param("full", enum=["full", "tied", "diag", "spherical"]),
        "tol": Param(1e-3, type="number", minimum=0),
        "seed": Param(0, type="integer"),
        "memory": Param(None, type=["null", "string"], description="Limit for all processes, such as 4GB."),
        "cluster": Param(None, type=["null", "string"], description="Such as cluster_configs/slurm.yaml."),
    },
    on_failure_callback=notify,
    doc_md=__doc__,
)
def dem_fit() -> None:
    """Fit a Gaussian mixture to a store, unless it has not changed since the last run with the same settings."""

    def settings() -> steps.JSON:
        params = get_current_context()["params"]
        return steps.settings(*(params[name] for name in ("components", "covariance", "tol", "seed")))

    def where() -> steps.JSON:
        params = get_current_context()["params"]
        return steps.where(params["memory"], params["cluster"])

    def store() -> str:
        return str(get_current_context()["params"]["store"])

    @task
    def fingerprint() -> str:
        return str(fail_if_permanent(steps.begin)(store(), get_current_context()["params"]["folder"], settings()))

    @task.short_circuit
    def changed(run: str) -> bool:
        return not steps.is_done(run)

    @task
    def fit(run: str) -> str:
        return str(fail_if_permanent(steps.fit)(store(), run, settings(), where()))

    @task
    def score(run: str) -> Any:
        return fail_if_permanent(steps.score)(store(), run, where())

    @task
    def label(run: str) -> str:
        return str(fail_if_permanent(steps.label)(store(), run, where()))

    @task
    def report(run: str) -> Any:
        return fail_if_permanent(steps.report)(store(), run, settings(), where())

    run = fingerprint()
    changed(run) >> fit(run) >> score(run) >> label(run) >> report(run)


dem_fit()
