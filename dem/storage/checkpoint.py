"""What is kept of a fit after every pass, so that it can go on in another process, with the same bits.

    fit.checkpoint.zarr/         who writes it: the run that began, or took over, last
    fit.checkpoint.zarr/scan     what the first pass told, with the sample; written once
    fit.checkpoint.zarr/state    parameters, history, passes, settings, data; two generations alternate

Both are written whole or not at all, at any path or URL (see `dem.storage.atomic`).
"""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zarr

from dem.core import human
from dem.em import loop
from dem.scan.scanner import Scan
from dem.source.retry import check_reached, read_with_retries
from dem.source.stores import address, local_path
from dem.storage import atomic
from dem.storage.atomic import Generations
from dem.storage.document import GroupContents, as_json
from dem.storage.encoding import decode, digest, encode
from dem.storage.hierarchy import check_name, check_outside_zarr, hidden_file_base
from dem.storage.lock import write_lock
from dem.storage.progress_log import FitIdentity, ResumePoint

START_ANEW = "remove the checkpoint to start anew"
SCANS = Generations("dem_scan", "checkpoint", START_ANEW)
STATES = Generations("dem_state", "checkpoint", START_ANEW, keep=1)
RUN = "dem_run"
"""The root attribute that names the run that writes the checkpoint."""
MODEL_NAMES = {
    "BayesianMixtureModel": "variational Gaussian mixture",
    "BayesianPCAModel": "Bayesian PCA",
    "FactorMixtureModel": "mixture of factor models",
    "FactorModel": "factor analysis",
    "KMeansModel": "K-means",
    "MixtureModel": "mixture",
    "PPCAModel": "PPCA",
    None: "first scan alone",
}
"""What to call the model that a checkpoint names by its class."""
UNSET_FAMILY = re.compile(r"(?!.*reg_covar)\w+\((\w+=None(, )?)*\)")
"""A family of which nothing is set: version 0.1.0 did not name it. Those with a `reg_covar` had a number there."""
NOTE = "data are recognised by their metadata and by rows of the sample: weaker than a listing of the chunks"


class Stopped(RuntimeError):  # noqa: N818 (nothing has failed)
    """A fit has stopped before its end, on purpose, and its checkpoint holds all that was done.

    Attributes
    ----------
    resumable : str
        The sentence that says how to go on.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.resumable = why


@dataclass(frozen=True)
class Checkpoint:
    """Where to keep a fit, and when to stop it for another run to go on.

    Attributes
    ----------
    path : str or Path
        A path, or a URL that zarr can write. A checkpoint that is there already is gone on from.
    max_passes : int, optional
        Stop after so many passes over the data in this run, the first scan counted.
    max_seconds : float, optional
        Stop before the pass that would likely end later than this, counted from the beginning of the fit.
    begun : float, optional
        When that was, by `time.monotonic`, if it was before the call of `fit`.
    """

    path: str | Path
    max_passes: int | None = None
    max_seconds: float | None = None
    begun: float | None = None

    @contextmanager
    def journal(
        self, identity: FitIdentity, modules: tuple[str, ...] = (), machine_kinds: tuple[str, ...] = ()
    ) -> Iterator[CheckpointJournal]:
        """Give the journal of one run; no other run on this machine can have it at the same time.

        Parameters
        ----------
        identity : FitIdentity
        modules : tuple of str
            Modules outside dem that define classes of the parameters.
        machine_kinds : tuple of str
            The kinds of machine of this run: see `dem.core.blas.machine_kind`.

        Raises
        ------
        FileExistsError
            Something else is at the path, or another run writes there.
        ValueError
            The checkpoint is of other data or settings, or damaged.
        """
        check_checkpoint_place(self.path)
        with write_lock(self.path):
            found = read(self.path, identity, modules)
            sample = None if found.scan is None else digest(found.scan.sample)
            so_far = tuple(dict.fromkeys([*found.machine_kinds, *machine_kinds]))
            yield CheckpointJournal(self, identity, found, begin_run(self.path), sample, so_far)


@dataclass
class CheckpointJournal:
    """Keeps a fit in a checkpoint; see `Checkpoint`.

    Attributes
    ----------
    checkpoint : Checkpoint
    identity : FitIdentity
    found : ResumePoint
    run : str
        The name of this run. A run that finds another's name in its place has been taken for dead, and stops.
    sample : str or None
        The digest of the scan's sample, which tells the states of one scan from those of another.
    machine_kinds : tuple of str
        The kinds of machine that made the fit so far, this run's included.
    """

    checkpoint: Checkpoint
    identity: FitIdentity
    found: ResumePoint
    run: str
    sample: str | None = None
    machine_kinds: tuple[str, ...] = ()
    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def keep_scan(self, scan: Scan) -> None:
        """Write the scan."""
        self._check_run()
        self.sample = digest(scan.sample)
        arrays, document = encode(scan)
        saved = GroupContents("Scan", arrays, {"document": document, **self._attributes()})
        SCANS.save(f"{self.checkpoint.path}/scan", saved, overwrite=True)

    def keep_state(self, state: loop.State[Any], n_passes: int) -> None:
        """Write the state; then stop if this run has done its share.

        Raises
        ------
        Stopped
            More passes, or another one as long as the last, would pass the limits.
        """
        self._check_run()
        arrays, document = encode(state)
        attributes = {"document": document, "n_passes": n_passes, "sample": self.sample, **self._attributes()}
        STATES.save(f"{self.checkpoint.path}/state", GroupContents("State", arrays, attributes), overwrite=True)
        now = time.monotonic()
        pass_seconds, self.last = now - self.last, now
        if state.stop_reason is None:
            self._stop_at_limits(n_passes, now - (self.checkpoint.begun or self.started), pass_seconds)

    def check_time(self, n_passes: int) -> None:
        """Stop if the time of this run is over, in the start on the sample.

        Raises
        ------
        Stopped
        """
        limit, elapsed = self.checkpoint.max_seconds, time.monotonic() - (self.checkpoint.begun or self.started)
        if limit is not None and elapsed > limit:
            raise Stopped(
                f"stopped in the start on the sample, since the {human.seconds(limit)} given are over; "
                f"{self.checkpoint.path} holds {human.passes(n_passes)}: start the same fit again, with more time, to "
                "make the start anew and go on from there"
            )

    def _stop_at_limits(self, n_passes: int, elapsed: float, pass_seconds: float) -> None:
        most, limit = self.checkpoint.max_passes, self.checkpoint.max_seconds
        here = n_passes - self.found.n_passes
        done = human.plural(here, "pass") if self.found.n_passes else human.passes(here)
        go_on = f"{self.checkpoint.path} holds the fit so far: start the same fit again to go on from there"
        if most is not None and here >= most:
            raise Stopped(f"stopped after {done}, the most for one run; {go_on}")
        if limit is not None and elapsed + pass_seconds > limit:
            raise Stopped(
                f"stopped after {done} in {human.seconds(elapsed)}, since another would likely pass the "
                f"{human.seconds(limit)} given; {go_on}"
            )

    def _attributes(self) -> dict[str, Any]:
        return {
            "data": self.identity.data,
            "settings": self.identity.settings,
            "name": self.identity.name,
            "note": NOTE,
            "made_with": list(self.machine_kinds),
        }

    def _check_run(self) -> None:
        """Refuse to write where another run has begun since."""
        writer = _writer(self.checkpoint.path)
        if writer.get("run") != self.run:
            raise RuntimeError(
                f"Another run ({writer.get('by', 'unknown')}) has taken over the checkpoint {self.checkpoint.path}: "
                "this one stops, and nothing of the other's is changed."
            )


def read(path: str | Path, identity: FitIdentity, modules: tuple[str, ...] = ()) -> ResumePoint:
    """Return what a checkpoint holds; nothing where there is none.

    Raises
    ------
    ValueError
        It is of other data or settings, or damaged.
    """
    kept = SCANS.find(f"{path}/scan")
    if kept is None:
        return ResumePoint()
    check_identity(path, identity, kept.attributes)
    try:
        scan = decode(kept.arrays, kept.attributes["document"], modules)
        of_scan, kept = kept, STATES.find(f"{path}/state")
        if kept is None:
            return ResumePoint(scan, None, 1, _machine_kinds(of_scan))
        check_identity(path, identity, kept.attributes)
        if kept.attributes["sample"] != digest(scan.sample):
            raise ValueError(
                f"{path} is damaged: its scan and its state belong to different fits; remove it to start anew"
            )
        state = decode(kept.arrays, kept.attributes["document"], modules)
        return ResumePoint(scan, state, kept.attributes["n_passes"], _machine_kinds(kept))
    except (KeyError, AttributeError, ImportError, TypeError) as error:
        raise ValueError(
            f"The checkpoint {path} cannot be read by this dem ({type(error).__name__}: {error}): "
            "remove it to start anew"
        ) from error


def _machine_kinds(kept: GroupContents) -> tuple[str, ...]:
    return tuple(kept.attributes.get("made_with", ()))  # older checkpoints do not tell


def check_identity(path: str | Path, identity: FitIdentity, kept: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of other data or settings, naming both.

    Raises
    ------
    ValueError
    """
    instead = "remove it to start anew, or name another checkpoint"
    if kept["data"] != as_json(identity.data):
        raise ValueError(
            f"{path} is the checkpoint of other data: {difference(kept['data'], identity.data)} "
            f"({kept['name']} there, {identity.name} here); {instead}"
        )
    settings = as_json(identity.settings)
    if "family" not in kept["settings"] and UNSET_FAMILY.fullmatch(str(settings.get("family"))):
        del settings["family"]
    if kept["settings"] != settings:
        raise ValueError(
            f"{path} is the checkpoint of a fit with other settings: "
            f"{difference(kept['settings'], settings)}; {instead}"
        )


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Say in which entries two mappings differ: "tol=0.001 there, tol=0.01 here"."""
    here = as_json(here)
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if "model" in names:  # then the rest differs anyway
        there, here = ({"model": MODEL_NAMES.get(side.get("model"), side.get("model"))} for side in (there, here))
        names = ["model"]
    sides = [
        ", ".join(f"{name}={side[name]}" if name in side else f"no {name}" for name in names) for side in (there, here)
    ]
    return f"{sides[0]} there, {sides[1]} here"


def default_path(output: str) -> str:
    """Return where the checkpoint of an output is kept unless told: beside it, or beside the group that it lies in."""
    place = local_path(output)
    named = output if place is None or hidden_file_base(place) == place else str(hidden_file_base(place))
    return f"{named.rstrip('/').removesuffix('.zarr')}.checkpoint.zarr"


def exists(path: str | Path) -> bool:
    """Whether a checkpoint with something in it is at a path or URL."""
    return SCANS.exists(f"{path}/scan")


def remove(path: str | Path) -> None:
    """Remove a checkpoint, if it is there."""
    if _writer(path):
        atomic.remove(path)


def check_checkpoint_place(path: str | Path) -> None:
    """Refuse a place where something else than a checkpoint is, and the inside of Zarr arrays and groups.

    Raises
    ------
    FileExistsError
    ValueError
        The name is that of a file of another format.
    """
    try:
        node = zarr.open(address(path), mode="r")
    except FileNotFoundError:
        place = local_path(path)
        taken = place is not None and place.exists() and (place.is_file() or any(place.iterdir()))
        if not taken:
            if not _writer(str(path).rpartition("/")[0]):  # EM that goes on from a scan is kept inside the scan's
                check_outside_zarr(path)
            check_name(path)
    except Exception as error:  # stores raise whatever they like
        check_reached(path, error)
        raise FileExistsError(
            f"{path} exists, and its zarr.json cannot be read ({error}): it is left alone; if it is a checkpoint, "
            f"{START_ANEW}."
        ) from None
    else:
        taken = RUN not in node.attrs
    if taken:
        raise FileExistsError(f"{path} exists, and it is no checkpoint of dem: it is left alone.")


def begin_run(path: str | Path) -> str:
    """Write down that this run writes the checkpoint from now on; return its name."""
    run = uuid.uuid4().hex
    root = zarr.open_group(address(path), mode="a", zarr_format=3, use_consolidated=False)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    root.update_attributes({RUN: {"run": run, "by": f"process {os.getpid()} on {socket.gethostname()}, since {since}"}})
    return run


def _writer(path: str | Path) -> dict[str, Any]:
    """Return who writes the checkpoint; nothing where there is none."""
    try:
        root = read_with_retries(str(path), lambda: zarr.open_group(address(path), mode="r", use_consolidated=False))
    except FileNotFoundError:
        return {}
    found: Any = root.attrs.get(RUN)
    return found if isinstance(found, dict) else {}
