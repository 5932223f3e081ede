"""Run the native kernel on blocks: it adds sums, or writes an output for each row.

While one of its functions runs, other threads of Python run too.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_int, c_int64, c_void_p
from typing import Generic, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dem.core.block import Array, Float
from dem.kernel.columns import Columns
from dem.kernel.estep import EStep, Step, address, form_of_size, rows_of
from dem.kernel.kernel_id import KernelId
from dem.kernel.library import library, reason
from dem.kernel.pieces import Pieces, RowPieces, piece_bytes
from dem.kernel.tasks import ADD, BEGIN, COUNT, END, PROBA, AnyTask, LinearTask, Output, StudentTask, Task

ALIGNMENT = 64


class Runner(Generic[AnyTask]):
    """Runs a function of the library on blocks. It keeps its workspace between calls, so each task has its own.

    Parameters
    ----------
    step : Step
    kernel : KernelId
    pieces : Pieces or None
        None: contiguous rows.
    output : Output or None
        What is computed for each row; None for sums.
    """

    def __init__(
        self, step: Step[AnyTask], kernel: KernelId, pieces: Pieces | None = None, output: Output | None = None
    ) -> None:
        self.step, self.output, self.task = step, output, step.task()
        self._pieces = RowPieces(step.dtype) if pieces is None else pieces
        self._function = function_of(kernel, step.function)
        if output is not None:
            self.task.rows.output = ctypes.addressof(output)
        self._workspace = aligned_bytes(self._run(COUNT))
        self.task.rows.workspace = self._workspace.ctypes.data

    @property
    def workspace_bytes(self) -> int:
        """The bytes of its workspace."""
        return self._workspace.nbytes

    def __call__(self, x: Array, weight: Array | None) -> None:
        """Run it on the rows x (n, d)."""
        rows = self.task.rows
        rows.first = 0
        self._run(BEGIN)
        for piece in self._pieces(x, weight):
            rows.x, rows.n = piece.x.ctypes.data, piece.n
            rows.weight = None if piece.weight is None else piece.weight.ctypes.data
            rows.row_step, rows.column_step = piece.row_step, piece.column_step
            self._run(ADD)
            rows.first += piece.n
        self._run(END)

    def _run(self, phases: int) -> int:
        return self._function(ctypes.byref(self.task), phases)


class NativeEStep:
    """Sums of blocks; the parameters are those of `Runner`."""

    def __init__(self, step: EStep, kernel: KernelId, pieces: Pieces | None = None) -> None:
        self.step, self._runner = step, Runner(step, kernel, pieces)

    def __call__(self, x: Array, weight: Array | None, sums: Float) -> float:
        """Add the sums of the rows x (n, d) to `sums` (F, K); return their log-likelihood in nats.

        Rows of weight 0 are left out, whatever values they have.
        """
        total = np.zeros(1)
        rows = self._runner.task.rows
        rows.sums, rows.log_likelihood = sums.ctypes.data, total.ctypes.data
        self._runner(x, weight)
        return float(total[0])


class OutputShape(NamedTuple):
    """An output, and how it is stored.

    Attributes
    ----------
    kind : int
        An `OutputKind` of dem/kernel/tasks.py.
    columns : int
    item_bytes : int
        The size of its numbers: signed integers for labels, otherwise float64 or float32.
    """

    kind: int
    columns: int
    item_bytes: int


class NativeOutputs:
    """An output for each row of blocks; the other parameters are those of `Runner`.

    Parameters
    ----------
    shape : OutputShape
    """

    def __init__(self, step: Step[Task], kernel: KernelId, shape: OutputShape, pieces: Pieces | None = None) -> None:
        self._output = Output(*shape)
        self._runner = Runner(step, kernel, pieces, self._output)

    def __call__(self, x: Array, out: Array) -> None:
        """Write the outputs of the rows x (n, d) to `out`, a contiguous array (n,) or (n, columns)."""
        self._output.to = address(out)
        self._runner(x, None)


def function_of(kernel: KernelId, name: str) -> Callable[..., int]:
    """Return a function of the library that the client has chosen.

    Raises
    ------
    RuntimeError
        If this machine has no such library.
    """
    found = library()
    if found is None or found.digest != kernel.digest:
        why = reason() if found is None else "Its native kernel was built from other sources than the client's."
        raise RuntimeError(
            f"This machine cannot use the {kernel}. {why} Install the same dem on all machines, or set "
            "DEM_KERNEL=numpy in the process that asks for the fit or the results."
        )
    prototype = ctypes.CFUNCTYPE(c_int64, c_void_p, c_int)
    return prototype((name, found.functions))


def linear_bytes(kernel: KernelId, name: str, f: int, k: int, columns: Columns) -> int:
    """Return the workspace of a function for F features of some columns and K components, in bytes."""
    form = form_of_size(f, columns.count)
    task = LinearTask(
        rows_of(widest(k), columns.d), source=columns.source, column_count=columns.count, f_count=f, form=form
    )
    return workspace_bytes(kernel, name, task)


def centred_bytes(kernel: KernelId, name: str, k: int, d: int) -> int:
    """Return the workspace of a function for K components of d columns about their means, in bytes."""
    return workspace_bytes(
        kernel, name, StudentTask(rows_of(widest(k), d))
    )  # every kind of task begins with the rows, and only these are read


def workspace_bytes(kernel: KernelId, name: str, task: Task, largest: int = PROBA) -> int:
    """Return the workspace of a function for sums or outputs, and of pieces of converted rows, in bytes.

    It does not depend on the width of the vectors here. `largest` is the kind of output that needs most.
    """
    count = function_of(kernel, name)
    sums = count(ctypes.byref(task), COUNT)
    output = Output(largest, task.rows.k_count, 8)
    task.rows.output = ctypes.addressof(output)
    most = max(sums, count(ctypes.byref(task), COUNT))
    return most + 4 * piece_bytes(task.rows.d)


def widest(k: int) -> int:
    """Return K rounded up to the widest vectors."""
    return (k + 15) // 16 * 16


def aligned_bytes(n: int) -> NDArray[np.uint8]:
    """Return n bytes at an address that is a multiple of `ALIGNMENT`."""
    memory = np.empty(n + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + n]
