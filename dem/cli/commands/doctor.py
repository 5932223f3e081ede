"""dem doctor: what somebody who helps with a problem has to know about this machine and this installation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from dem.cli.commands import doctor_facts
from dem.cli.commands.session import Session
from dem.cli.commands.speed_test import measure_speed
from dem.core import human

Record = dict[str, Any]

LABEL_WIDTH = 20


def show_doctor(session: Session) -> None:
    """Show the facts about this machine and this installation.

    Parameters
    ----------
    session : Session

    Raises
    ------
    click.exceptions.Exit
        Something is wrong that the user must mend: a sentence on standard error says what to do.
    """
    record = {name: doctor_facts.find(gather) for name, (_, gather, _) in GROUPS.items()}
    problems = [its["problem"] for its in record.values() if its.get("problem")]
    shown = [_in_words(title, words, record[name]) for name, (title, _, words) in GROUPS.items()]
    session.result({**record, "problems": problems}, *shown, summary=False)
    for problem in problems:
        click.echo(f"dem: {problem}", err=True)
    if problems:
        raise click.exceptions.Exit(1)


def _in_words(title: str, words: Callable[[Record], Mapping[str, str | None]], record: Record) -> Group:
    """Return a group of facts for people; labels and values begin in the same columns in all groups."""
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=LABEL_WIDTH, overflow="fold")
    table.add_column(overflow="fold")
    rows = {"": f"not known: {record['not_known']}"} if "not_known" in record else words(record)
    for label, value in rows.items():
        table.add_row(Text(f"  {label}"), Text(value or "not known"))
    return Group(Text(title, style="bold"), table)


def _versions(record: Record) -> dict[str, str | None]:
    return {name: version or "not installed" for name, version in record.items()}


def _machine(record: Record) -> dict[str, str | None]:
    cores, limit = record["cores"], record["core_limit"]
    limited = f"; the container allows {limit}: use --workers {limit}" if limit < cores else ""
    return {
        "platform": record["platform"],
        "processor": record["processor"],
        "cores": f"{cores} of {record['cores_of_machine']}{limited}",
    }


def _memory(record: Record) -> dict[str, str | None]:
    limited = record["limit_bytes"] < record["bytes"]
    return {
        "of the machine": human.size(record["bytes"]),
        "free": human.size(record["available_bytes"]),
        "limit": human.size(record["limit_bytes"]) if limited else "none below that of the machine",
    }


def _blas(record: Record) -> dict[str, str | None]:
    lines = [
        f"{its['name']} {its['version'] or '(version not known)'} in {Path(its['path']).parent.name}, kernel "
        f"{its['kernel'] or 'not known'}, {human.plural(its['threads'], 'thread')}"
        for its in record["libraries"]
    ]
    none = "none that threadpoolctl knows: dem cannot limit its threads"
    return {
        "libraries": "\n".join(lines) or none,
        "during a pass": "one thread in each task" if lines else "not known",
    }


def _kernel(record: Record) -> dict[str, str | None]:
    vectors = f", {record['vectors']}" if record["vectors"] else ""
    rows = {"in use": f"{record['name'] or 'none'}{vectors}", "why": record["why"]}
    more = {"library": record["library"], "sources": record["digest"]}
    return rows | {label: value for label, value in more.items() if value}


def _speed(record: Record) -> dict[str, str | None]:
    return {
        "case": f"{record['rows']:,} x {record['columns']}, {record['components']} full Gaussians, "
        f"{record['arithmetic']} arithmetic, 1 thread",
        "E-step": f"{human.count(record['rows_per_second'])} rows/s, {record['gflops']:.3g} GFLOP/s",
        "product": f"{record['product_gflops']:.3g} GFLOP/s (NumPy, float64, 1 thread)",
        "E-step / product": f"{record['share_of_product']:.2f}",
    }


def _scheduler(record: Record) -> dict[str, str | None]:
    here = f"this machine, in at most {human.plural(record['most_workers'], 'process')} or threads"
    there = f"the scheduler at {record['address']}, from Dask's configuration (not contacted now)"
    return {"passes run on": record["problem"] or (there if record["address"] else here)}


def _extras(record: Record) -> dict[str, str | None]:
    return {name: ", ".join(_package(*item) for item in its["packages"].items()) for name, its in record.items()}


def _package(name: str, its: Mapping[str, Any]) -> str:
    if its["version"] is None:
        return f"{name} not installed"
    return f"{name} {its['version']}" + ("" if its["fits"] else f" (dem needs {its['needed']})")


def _environment(record: Record) -> dict[str, str | None]:
    lines = [f"{name}={value}" for name, value in record.items()]
    return {"set": "\n".join(lines) or "none of those that matter to dem"}


GROUPS: dict[str, tuple[str, Callable[[], Record], Callable[[Record], Mapping[str, str | None]]]] = {
    "versions": ("Versions", doctor_facts.versions, _versions),
    "machine": ("Machine", doctor_facts.machine, _machine),
    "memory": ("Memory", doctor_facts.memory, _memory),
    "blas": ("BLAS", doctor_facts.blas, _blas),
    "kernel": ("Kernel of the E-step", doctor_facts.kernel, _kernel),
    "speed": ("Speed", measure_speed, _speed),
    "scheduler": ("Dask", doctor_facts.scheduler, _scheduler),
    "extras": ("Extras", doctor_facts.extras, _extras),
    "readers": ("Readers and object stores", doctor_facts.readers, _versions),
    "environment": ("Environment variables", doctor_facts.environment, _environment),
}
"""Each group of facts by its key in JSON: its title, what finds the facts out, and what says them in words."""
