"""Checkpoints: a fit is saved after every pass, so that another process can continue it with the same bits.

    fit.checkpoint.zarr/         the run that writes it: the last one that began or took over
    fit.checkpoint.zarr/scan     the result of the first pass, with the sample; written once
    fit.checkpoint.zarr/state    parameters, history, passes, settings, data; the last two generations are kept

Both are saved atomically, at any path or URL (see `dem.storage.atomic`).
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
from dem.kernel.kernel_id import NUMPY, KernelId
from dem.kernel.library import library
from dem.scan.scanner import Scan
from dem.source.retry import check_reached, read_with_retries
from dem.source.stores import address, local_path
from dem.storage import atomic
from dem.storage.atomic import REFUSAL, Generations
from dem.storage.document import GroupContents, as_json
from dem.storage.encoding import decode, digest, encode
from dem.storage.hierarchy import check_name, check_outside_zarr, hidden_file_base
from dem.storage.lock import write_lock
from dem.storage.progress_log import FitIdentity, ResumePoint

REMOVE_TO_RESTART = "remove the checkpoint to start again from the beginning"
SCANS = Generations("dem_scan", "checkpoint", REMOVE_TO_RESTART)
STATES = Generations("dem_state", "checkpoint", REMOVE_TO_RESTART, keep=1)
MOST_DIFFERENCES = 6
"""Most differences of settings that a message names."""
RUN = "dem_run"
"""The root attribute with the run that writes the checkpoint."""
MODEL_NAMES = {
    "BayesianMixtureModel": "variational Gaussian mixture",
    "BayesianPCAModel": "Bayesian PCA",
    "FactorMixtureModel": "mixture of factor models",
    "FactorModel": "factor analysis",
    "KMeansModel": "K-means",
    "MixtureModel": "mixture",
    "PPCAModel": "PPCA",
    None: "first scan only",
}
"""The names in messages of the model classes in checkpoints."""
UNSET_FAMILY = re.compile(r"(?!.*reg_covar)\w+\((\w+=None(, )?)*\)")
"""A family without settings, which version 0.1.0 did not save. It did save families with a `reg_covar`."""
NOTE = "data are identified by their metadata and by rows of the sample, which is weaker than a listing of the chunks"


class Stopped(RuntimeError):  # noqa: N818 (nothing has failed)
    """A fit has stopped at a limit before its end. Its checkpoint contains all progress.

    Attributes
    ----------
    resumable : str
        The message that says how to continue.
    """

    def __init__(self, resumable: str) -> None:
        super().__init__(resumable)
        self.resumable = resumable


class OtherSettingsError(ValueError):
    """A checkpoint is of a fit with other settings."""


@dataclass(frozen=True)
class Checkpoint:
    """Where to save a fit, and when to stop it so that another run can continue.

    Attributes
    ----------
    path : str or Path
        A path, or a URL that zarr can write. If there is a checkpoint, the fit continues from it.
    max_passes : int, optional
        Stop after this number of passes over the data in this run, including the first scan.
    max_seconds : float, optional
        Stop before a pass that would probably end later than this, counted from the beginning of the fit.
    begun : float, optional
        The beginning, in `time.monotonic` seconds, if it was before the call of `fit`.
    """

    path: str | Path
    max_passes: int | None = None
    max_seconds: float | None = None
    begun: float | None = None

    @contextmanager
    def journal(
        self, identity: FitIdentity, modules: tuple[str, ...] = (), machine_kinds: tuple[str, ...] = ()
    ) -> Iterator[CheckpointJournal]:
        """Open the journal of one run. No other run on this machine can open it at the same time.

        Parameters
        ----------
        identity : FitIdentity
        modules : tuple of str
            Modules outside dem that define classes of the parameters.
        machine_kinds : tuple of str
            The kinds of machine used by this run: see `dem.core.blas.machine_kind`.

        Raises
        ------
        FileExistsError
            Something else is at the path, or another run is writing the checkpoint.
        ValueError
            The checkpoint is of other data or settings, or is damaged.
        """
        check_checkpoint_place(self.path)
        with write_lock(self.path):
            found = read(self.path, identity, modules)
            sample = None if found.scan is None else digest(found.scan.sample)
            so_far = tuple(dict.fromkeys([*found.machine_kinds, *machine_kinds]))
            yield CheckpointJournal(self, identity, found, begin_run(self.path), sample, so_far)


@dataclass
class CheckpointJournal:
    """Saves a fit in a checkpoint; see `Checkpoint`.

    Attributes
    ----------
    checkpoint : Checkpoint
    identity : FitIdentity
    found : ResumePoint
    run : str
        The ID of this run. If the checkpoint has another ID, another run has taken over, and this run stops.
    sample : str or None
        The digest of the sample of the scan. It identifies the states that belong to the scan.
    machine_kinds : tuple of str
        The kinds of machine used for the fit so far, including this run.
    kernel : str or None
        The kernel that computes the states; None for NumPy.
    """

    checkpoint: Checkpoint
    identity: FitIdentity
    found: ResumePoint
    run: str
    sample: str | None = None
    machine_kinds: tuple[str, ...] = ()
    kernel: str | None = None
    started: float = field(default_factory=time.monotonic)
    last: float = field(default_factory=time.monotonic)

    def keep_scan(self, scan: Scan) -> None:
        """Save the scan."""
        self._check_run()
        self.sample = digest(scan.sample)
        arrays, document = encode(scan)
        saved = GroupContents("Scan", arrays, {"document": document, **self._attributes()})
        SCANS.save(f"{self.checkpoint.path}/scan", saved, overwrite=True)

    def use_kernel(self, kernel: KernelId) -> None:
        """Record the kernel that computes the next states. A scan has its own, and may be used by every kernel.

        Raises
        ------
        ValueError
            Another kernel computed the state in the checkpoint.
        """
        self.kernel = None if kernel == NUMPY else str(kernel)
        if self.found.state is not None:
            check_kernel(self.checkpoint.path, self.found.kernel, self.kernel)

    def keep_state(self, state: loop.State[Any], n_passes: int) -> None:
        """Save the state; then stop if a limit of this run is reached.

        Raises
        ------
        Stopped
            This run has made `max_passes`, or another pass as long as the last would exceed `max_seconds`.
        """
        self._check_run()
        arrays, document = encode(state)
        attributes = {"document": document, "n_passes": n_passes, "sample": self.sample, **self._attributes()}
        if self.kernel is not None:  # states without this entry were made with NumPy
            attributes["settings"] = {**attributes["settings"], "kernel": self.kernel}
        STATES.save(f"{self.checkpoint.path}/state", GroupContents("State", arrays, attributes), overwrite=True)
        now = time.monotonic()
        pass_seconds, self.last = now - self.last, now
        if state.stop_reason is None:
            self._stop_at_limits(n_passes, now - (self.checkpoint.begun or self.started), pass_seconds)

    def check_time(self, n_passes: int) -> None:
        """Stop the start on the sample if the time limit of this run is reached.

        Raises
        ------
        Stopped
        """
        limit, elapsed = self.checkpoint.max_seconds, time.monotonic() - (self.checkpoint.begun or self.started)
        if limit is not None and elapsed > limit:
            raise Stopped(
                f"stopped during the start on the sample, because the time limit of {human.seconds(limit)} is reached; "
                f"{self.checkpoint.path} contains {human.passes(n_passes)}: run the same fit again with more time; it "
                "repeats the start and continues"
            )

    def _stop_at_limits(self, n_passes: int, elapsed: float, pass_seconds: float) -> None:
        most, limit = self.checkpoint.max_passes, self.checkpoint.max_seconds
        here = n_passes - self.found.n_passes
        done = human.plural(here, "pass") if self.found.n_passes else human.passes(here)
        go_on = f"{self.checkpoint.path} contains the fit so far: run the same fit again to continue"
        if most is not None and here >= most:
            raise Stopped(f"stopped after {done}, because the limit of passes for one run is reached; {go_on}")
        if limit is not None and elapsed + pass_seconds > limit:
            raise Stopped(
                f"stopped after {done} in {human.seconds(elapsed)}, because another pass would probably exceed the "
                f"time limit of {human.seconds(limit)}; {go_on}"
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
        """Raise RuntimeError if another run has taken over the checkpoint."""
        writer = _writer(self.checkpoint.path)
        if writer.get("run") != self.run:
            raise RuntimeError(
                f"Another run ({writer.get('by', 'unknown')}) has taken over the checkpoint {self.checkpoint.path}: "
                "this run stops, and does not change the checkpoint."
            )


def read(path: str | Path, identity: FitIdentity, modules: tuple[str, ...] = ()) -> ResumePoint:
    """Return the contents of a checkpoint; an empty `ResumePoint` if there is no checkpoint.

    Raises
    ------
    ValueError
        The checkpoint is of other data or settings, or is damaged.
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
            raise ValueError(f"{path} is damaged: its scan and its state belong to different fits; {REMOVE_TO_RESTART}")
        state = decode(kept.arrays, kept.attributes["document"], modules)
        kernel = kept.attributes["settings"].get("kernel")
        return ResumePoint(scan, state, kept.attributes["n_passes"], _machine_kinds(kept), kernel)
    except (KeyError, AttributeError, ImportError, TypeError) as error:
        raise ValueError(
            f"This version of dem cannot read the checkpoint {path} ({type(error).__name__}: {error}): "
            f"{REMOVE_TO_RESTART}"
        ) from error


def _machine_kinds(kept: GroupContents) -> tuple[str, ...]:
    return tuple(kept.attributes.get("made_with", ()))  # older checkpoints do not have it


def check_identity(path: str | Path, identity: FitIdentity, kept: Mapping[str, Any]) -> None:
    """Check that a checkpoint has the same data and settings as a fit, apart from the kernel.

    The error names the differences.

    Raises
    ------
    ValueError
    """
    instead = f"{REMOVE_TO_RESTART}, or use another checkpoint"
    if kept["data"] != as_json(identity.data):
        raise ValueError(
            f"{path} is a checkpoint of other data: {difference(kept['data'], identity.data)} "
            f"({kept['name']} in the checkpoint, {identity.name} in this fit); {instead}"
        )
    settings = as_json(identity.settings)
    if "family" not in kept["settings"] and UNSET_FAMILY.fullmatch(str(settings.get("family"))):
        del settings["family"]
    there = {name: value for name, value in kept["settings"].items() if name != "kernel"}
    if there != settings:
        raise OtherSettingsError(
            f"{path} is a checkpoint of a fit with other settings: {difference(there, settings)}; {instead}"
        )


def check_kernel(path: str | Path, kept: str | None, here: str | None) -> None:
    """Check that a checkpoint was made with the kernel of this fit; None is NumPy.

    Raises
    ------
    ValueError
        The message says how to continue.
    """
    if kept == here:
        return
    if kept is None:
        how = "set DEM_KERNEL=numpy to continue it"
    elif (found := library()) is not None and kept == str(KernelId("native", found.digest)):
        how = "set DEM_KERNEL=native to continue it"
    else:
        how = f"install the dem that has the {kept} to continue it, or {REMOVE_TO_RESTART}"
    raise ValueError(f"{path} was made with {kept or 'NumPy'}, and this fit uses {here or 'NumPy'}: {how}")


def difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """Return the entries in which two mappings differ, as text: "tol=0.001 in the checkpoint, tol=0.01 in this fit"."""
    here = as_json(here)
    there, here = _opened(there, here), _opened(here, there)
    names = [name for name in {**there, **here} if there.get(name) != here.get(name)]
    if "model" in names:  # with other models all settings differ
        kinds = [MODEL_NAMES.get(side.get("model"), side.get("model")) for side in (there, here)]
        there, here = {**there, "model": kinds[0]}, {**here, "model": kinds[1]}
        names = [name for name in ("model", "scale") if name in names]
    more = f" and {len(names) - MOST_DIFFERENCES} more" if len(names) > MOST_DIFFERENCES else ""
    sides = [", ".join(_entry(side, name) for name in names[:MOST_DIFFERENCES]) for side in (there, here)]
    return f"{sides[0]}{more} in the checkpoint, {sides[1]}{more} in this fit"


def _opened(side: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping with the entries of the mappings in it that both sides have, instead of these."""
    found: dict[str, Any] = {}
    for name, value in side.items():
        if isinstance(value, Mapping) and isinstance(other.get(name), Mapping):
            inner = _opened(value, other[name])
            found |= {f"{name}: {key}": entry for key, entry in inner.items()}
        else:
            found[name] = value
    return found


def _entry(side: Mapping[str, Any], name: str) -> str:
    """Return an entry of a mapping as text; of one that is a mapping only the name."""
    if name not in side:
        return f"no {name}"
    return name if isinstance(side[name], Mapping) else f"{name}={side[name]}"


def default_path(output: str) -> str:
    """Return the default checkpoint path of an output: next to it, or next to the Zarr group that contains it."""
    place = local_path(output)
    named = output if place is None or hidden_file_base(place) == place else str(hidden_file_base(place))
    return f"{named.rstrip('/').removesuffix('.zarr')}.checkpoint.zarr"


def exists(path: str | Path) -> bool:
    """Whether a checkpoint with a finished scan is at a path or URL."""
    return SCANS.exists(f"{path}/scan")


def remove(path: str | Path) -> None:
    """Remove a checkpoint, if there is one."""
    if _writer(path):
        atomic.remove(path)


def check_checkpoint_place(path: str | Path) -> None:
    """Check that a path is free for a checkpoint, or has one; and that it is not inside a Zarr array or group.

    Raises
    ------
    FileExistsError
        Something else is there, or the path is inside a Zarr array or group.
    ValueError
        The path has the suffix of another file format.
    """
    try:
        node = zarr.open(address(path), mode="r")
    except FileNotFoundError:
        place = local_path(path)
        taken = place is not None and place.exists() and (place.is_file() or any(place.iterdir()))
        if not taken:
            if not _writer(str(path).rpartition("/")[0]):  # a fit that continues from a scan is inside its checkpoint
                check_outside_zarr(path)
            check_name(path)
    except Exception as error:  # stores raise many kinds of errors
        check_reached(path, error)
        raise FileExistsError(
            f"{path} exists, but its zarr.json cannot be read ({error}), so it is not overwritten: choose another "
            f"name, or if it is a checkpoint, {REMOVE_TO_RESTART}."
        ) from None
    else:
        taken = RUN not in node.attrs
    if taken:
        raise FileExistsError(f"{path} exists, but {REFUSAL.format('checkpoint')}")


def begin_run(path: str | Path) -> str:
    """Record in the checkpoint that this run writes it from now on; return the ID of the run."""
    run = uuid.uuid4().hex
    root = zarr.open_group(address(path), mode="a", zarr_format=3, use_consolidated=False)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    root.update_attributes({RUN: {"run": run, "by": f"process {os.getpid()} on {socket.gethostname()}, since {since}"}})
    return run


def _writer(path: str | Path) -> dict[str, Any]:
    """Return the run that writes the checkpoint; an empty dict if there is no checkpoint."""
    try:
        root = read_with_retries(str(path), lambda: zarr.open_group(address(path), mode="r", use_consolidated=False))
    except FileNotFoundError:
        return {}
    found: Any = root.attrs.get(RUN)
    return found if isinstance(found, dict) else {}
