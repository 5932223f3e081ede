"""The data, the output and the checkpoint of a command that fits."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from typing import Any

from dem.source import Source, open_source
from dem.storage import checkpoint
from dem.storage.checkpoint import Checkpoint


@dataclass(frozen=True)
class Job:
    """The data, the output and the checkpoint of a fit.

    Attributes
    ----------
    data, output : str
        The store to read, and the model to write.
    weights : str or None
    columns : list of str or None
        The names or numbers of the columns to use.
    overwrite : bool
        Replace an existing model.
    missing_chunks : {"fill", "error"}
        How chunks that are not in the store are handled.
    variables, sample_dims : list of str, or None
        The variables of a Zarr group, and the dimensions that make rows; see `dem.open_source`.
    checkpoint : str or None
        Where to save the fit after every pass. None means beside the output, on a cluster or if another option needs a
        checkpoint.
    no_checkpoint : bool
    resume : bool
        Keep a checkpoint also if the fit runs on one machine.
    max_passes : int or None
    max_time : float or None
        In seconds since the start of the command.
    start : str or None
        A saved model to start from.
    keep_labels : str or None
        A saved model whose components give their numbers.
    update : str or None
        A saved model to start from, and to keep the labels of, if it is there and suits the fit.
    """

    data: str
    output: str
    weights: str | None = None
    columns: list[str] | None = None
    overwrite: bool = False
    missing_chunks: str = "fill"
    variables: list[str] | None = None
    sample_dims: list[str] | None = None
    checkpoint: str | None = None
    no_checkpoint: bool = False
    resume: bool = False
    max_passes: int | None = None
    max_time: float | None = None
    start: str | None = None
    keep_labels: str | None = None
    update: str | None = None

    @classmethod
    def from_options(cls, data: str, output: str, options: dict[str, Any]) -> tuple[Job, dict[str, Any]]:
        """Return the job, and the other options, which are settings of the model.

        Raises
        ------
        ValueError
            If options contradict each other.
        """
        names = {f.name for f in dataclass_fields(cls)}
        job = cls(data, output, **{k: v for k, v in options.items() if k in names})
        if job.no_checkpoint and (job.checkpoint or job.resume or job.max_passes or job.max_time):
            raise ValueError(
                "--no-checkpoint conflicts with --checkpoint, --resume, --max-passes and --max-time: leave it out, or "
                "leave those out"
            )
        if job.checkpoint is not None and job.checkpoint.rstrip("/") == output.rstrip("/"):
            raise ValueError(f"{output} is both the output and the checkpoint: give them different paths")
        return job, {k: v for k, v in options.items() if k not in names}

    def open(self, missing_value: float | None) -> Source:
        """Return the rows of the job; `missing_value` is the setting of the model."""
        return open_source(
            self.data,
            self.weights,
            missing_chunks=self.missing_chunks,
            missing_value=missing_value,
            variables=self.variables,
            sample_dims=self.sample_dims,
            columns=self.columns,
        )

    @property
    def checkpoint_path(self) -> str:
        """The path of the checkpoint, if there is one."""
        return self.checkpoint or checkpoint.default_path(self.output)

    def checkpoint_if_kept(self, *, on_cluster: bool) -> str | None:
        """Return the path of the checkpoint, or None if this fit keeps none.

        Parameters
        ----------
        on_cluster : bool
            Whether the fit runs on a cluster.
        """
        if self.no_checkpoint:
            return None
        wanted = self.checkpoint or self.resume or self.max_passes or self.max_time or on_cluster
        return self.checkpoint_path if wanted or checkpoint.exists(self.checkpoint_path) else None

    def limits(self, path: str | None, begun: float) -> Checkpoint | None:
        """Return the checkpoint at a path, with the limits of this run; `begun` is its start on the monotonic clock."""
        return None if path is None else Checkpoint(path, self.max_passes, self.max_time, begun)
