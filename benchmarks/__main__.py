"""Run all benchmarks, print the table of ratios, and write it to benchmarks/RESULTS.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from benchmarks.common import Row, rows_from
from dem.core.blas import machine_kind

MODULES = {
    "iteration-1": ("benchmarks.iteration", "1"),
    "iteration-2": ("benchmarks.iteration", "2"),
    "demo": ("benchmarks.demo",),
    "families": ("benchmarks.families",),
    "products": ("benchmarks.products",),
    "mixture-ppca": ("benchmarks.mixture_ppca",),
    "passes": ("benchmarks.passes",),
    "variational": ("benchmarks.variational",),
    "stores": ("benchmarks.stores",),
    "scale": ("benchmarks.scale",),
    "reading": ("benchmarks.reading",),
    "codecs": ("benchmarks.codecs",),
    "packed": ("benchmarks.packed",),
    "kmeans": ("benchmarks.kmeans",),
    "factors": ("benchmarks.factors",),
    "missing": ("benchmarks.missing",),
    "outputs": ("benchmarks.outputs",),
    "datasets": ("benchmarks.datasets",),
    "refit": ("benchmarks.refit",),
    "selection": ("benchmarks.selection",),
    "optima": ("benchmarks.optima",),
}
WITH_STORES = ("demo", "stores", "reading", "codecs", "packed", "kmeans", "datasets", "refit", "selection")
PACKAGES = ("numpy", "scipy", "scikit-learn", "scikit-learn-intelex", "dask-ml", "zarr", "dask")
RESULTS = Path(__file__).parent / "RESULTS.md"
HEAD = (
    "# Benchmark results\n\nWritten by `make bench`. Every ratio is measured side by side in one run; where dem is "
    "compared with a peer on speed, it is how many times faster dem is. "
    "Reads, passes, and nats a row below an optimum are numbers.\n\n"
)


def table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| case | beside | ratio | bar | met | |", "|---|---|---:|---:|---|---|"]
    for row in rows:
        bar = f"{'>=' if row.at_least else '<='} {row.bar:g}"
        met = "yes" if row.met else "**no**"
        ratio = f"{row.ratio:.2f}" if abs(row.ratio) >= 0.1 else f"{row.ratio:.2g}"
        lines.append(f"| {row.case} | {row.peer} | {ratio} | {bar} | {met} | {row.note} |")
    return "\n".join(lines)


def machine() -> str:
    """Return the processor and the versions, for the record."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{machine_kind()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MODULES, []], help="which ones (all of them)")
    parser.add_argument("--scratch", default="scratch", help="folder for the stores that are measured")
    options = parser.parse_args()
    kept = Path(options.scratch) / "bench-rows"
    kept.mkdir(parents=True, exist_ok=True)
    for name in options.names or MODULES:
        module, *arguments = MODULES[name]
        rows = rows_from(module, *arguments, *([options.scratch] if name in WITH_STORES else []))
        record = {"on": f"{date.today()}, {machine()}", "rows": [asdict(row) for row in rows]}
        (kept / f"{name}.json").write_text(json.dumps(record))
        print(table(rows), flush=True)
    files = [kept / f"{name}.json" for name in MODULES]
    if all(file.exists() for file in files):  # each module's last run, with where it was
        records = [json.loads(file.read_text()) for file in files]
        parts = []
        for on, group in groupby(records, key=lambda record: record["on"]):
            parts.append(f"{on}.\n\n{table([Row(**row) for record in group for row in record['rows']])}\n")
        RESULTS.write_text(HEAD + "\n".join(parts))
        rows = [Row(**row) for record in records for row in record["rows"]]
        print(f"\n{sum(row.met for row in rows)} of {len(rows)} bars met.")


if __name__ == "__main__":
    main()
