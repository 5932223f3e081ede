"""Resume a fit from a checkpoint: check that data and settings are the same, and read some rows again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields, is_dataclass
from typing import Any

import numpy as np

from dem.core.block import find_empty_rows
from dem.em import loop
from dem.em.progress import WARNING
from dem.em.starts import Start
from dem.families.family import Given
from dem.kernel.kernel_id import KernelId
from dem.scan.sample import unhash
from dem.scan.scanner import Scan
from dem.source import Source
from dem.storage.checkpoint import Checkpoint
from dem.storage.encoding import digest
from dem.storage.progress_log import FitIdentity, Journal, NoJournal, ResumePoint

MAX_CHECKED_ROWS = 64
"""Most rows of the sample that are read again before a fit continues: each row costs one chunk."""
CHUNKS_PER_CHECKED_ROW = 100
"""At most one chunk in so many is read for this check, but always three."""
OBJECTIVE_TOLERANCE = 1e-3
"""Nats a row (relative above 1): the difference that other arithmetic may make for the same rows."""


def identity(model: Any, source: Source, start: Start, params: Any, **settings: Any) -> FitIdentity:
    """Return everything that the result of a fit depends on.

    Parameters
    ----------
    model : Model or None
        A model that is not bound to data; None for a scan only.
    source : Source
    start : Start
    params
        Initial parameters, if they are given.
    **settings
        Further settings, valid in JSON.
    """
    of_model = {"model": None} if model is None else {"model": type(model).__name__, **settings_of(model)}
    first = {} if params is None else {"first_parameters": digest(params)}
    return FitIdentity(source.fingerprint, {**of_model, **settings, **asdict(start), **first}, source.name)


def settings_of(model: Any) -> dict[str, Any]:
    """Return a model's shown fields that are set, valid in JSON: numbers and words unchanged, arrays as digests."""
    found = {}
    for field in fields(model):
        if not field.repr:  # the kernel, which has an entry of its own
            continue
        value = getattr(model, field.name)
        inner = [getattr(value, f.name) for f in fields(value)] if is_dataclass(value) else [value]
        if value is None or (isinstance(value, Given) and all(item is None for item in inner)):
            continue
        if isinstance(value, bool | int | float | str):
            found[field.name] = value
        else:
            found[field.name] = digest(value) if any(isinstance(item, np.ndarray) for item in inner) else repr(value)
    return found


def journal(
    checkpoint: Checkpoint | None, of: Callable[[], FitIdentity], machine_kinds: tuple[str, ...], model: Any = None
) -> AbstractContextManager[Journal]:
    """Return the context of the checkpoint's journal; without a checkpoint, of a journal that keeps nothing."""
    if checkpoint is None:
        return nullcontext(NoJournal())
    return checkpoint.journal(of(), (type(model).__module__,), machine_kinds)


def last_bits_warnings(found: ResumePoint, machines: tuple[str, ...], kernel: KernelId) -> list[str]:
    """Return warnings if the checkpoint was made with another processor, BLAS or kernel of the scan than this run uses.

    Parameters
    ----------
    found : ResumePoint
        With a scan.
    machines : tuple of str
        The kinds of machine of this run: see `dem.core.blas.machine_kind`.
    kernel : KernelId
        The kernel that a scan of this run would use. (For states see `dem.storage.checkpoint.check_kernel`.)
    """
    assert found.scan is not None
    if found.state is not None and found.state.stop_reason is not None:  # nothing more is computed
        return []
    kept, differences = found.machine_kinds, []
    if kept and set(kept) != set(machines):
        differences.append(f"the checkpoint was made with {' and '.join(kept)}; this run uses {' and '.join(machines)}")
    if found.scan.kernel != kernel:
        differences.append(f"the scan in the checkpoint was made with {found.scan.kernel}; this run uses {kernel}")
    return [
        f"{WARNING}{difference}: the result may differ in the last bits from that of a fit without interruption"
        for difference in differences
    ]


def check_sampled_rows(scan: Scan, source: Source, seed: int) -> None:
    """Read a few rows of the sample again and compare them; not possible for Dask arrays of unknown length.

    Raises
    ------
    ValueError
        A row differs: the data have changed. Or the sample has rows without any value, as old versions of dem kept.
    """
    if find_empty_rows(scan.sample.x) is not None:
        raise ValueError(
            f"the checkpoint of {source.name} was written by an old version of dem that counted rows without any "
            "value; this version leaves them out: remove the checkpoint to start again"
        )
    if source.n_rows is None:
        return
    n_chunks = source.n_rows // (source.chunk_rows or source.n_rows)
    n_checked = max(3, min(MAX_CHECKED_ROWS, n_chunks // CHUNKS_PER_CHECKED_ROW))
    rows = unhash(scan.sample.keys[:n_checked], seed).tolist()
    for row, kept, weight in zip(rows, scan.sample.x, scan.sample.weight, strict=False):
        (now,), weights = source.rows_at([row]), source.weights_at([row])
        if now.astype(kept.dtype).tobytes() != kept.tobytes() or (1.0 if weights is None else weights[0]) != weight:
            raise ValueError(
                f"{source.name} has changed since its checkpoint was written (row {row} differs), so the fit cannot "
                "continue: remove the checkpoint to start again"
            )


def check_objective(before: loop.State[Any], after: loop.State[Any], source: Source) -> None:
    """Refuse data that have changed since the checkpoint, as shown by the objective of the first pass after it.

    On the same data the objective is at least the bound after the last M-step; for models without a bound, at least
    the previous objective.

    Raises
    ------
    ValueError
    """
    if not before.history:
        return
    last = before.history[-1]
    least = last.objective if last.bound is None else last.bound
    if after.objective < least - OBJECTIVE_TOLERANCE * max(1.0, abs(least)):
        raise ValueError(
            f"{source.name} has changed since its checkpoint was written: the objective of its parameters is now "
            f"{after.objective:.6g} a row, but was at least {least:.6g}: remove the checkpoint to start again"
        )
