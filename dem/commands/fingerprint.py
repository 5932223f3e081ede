"""dem fingerprint: one number that changes when a store does."""

from __future__ import annotations

from datetime import datetime

from dem import human
from dem.commands.session import Session
from dem.commands.tables import facts
from dem.fingerprint import fingerprint


def show(path: str, session: Session) -> None:
    """Tell the fingerprint of a store, by its metadata and a listing."""
    found = fingerprint(path)
    newest = found["newest"]
    listed = found["objects"] is not None
    shown = {
        path: found["sha256"],
        "objects": f"{found['objects']:,}, {human.size(found['bytes'])}" if listed else None,
        "newest": None if newest is None else datetime.fromtimestamp(newest).isoformat(" ", "seconds"),
    }
    session.result({"path": path, **found}, facts(shown), summary=False)
