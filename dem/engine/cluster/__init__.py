"""Dask clients: of local processes, of a scheduler elsewhere, of a cluster file, or the active one."""

from __future__ import annotations

from dem.engine.cluster.choose import Names, Running, running
from dem.engine.cluster.connect import active_client, connect
from dem.engine.cluster.local import local_cluster

__all__ = ["Names", "Running", "active_client", "connect", "local_cluster", "running"]
