"""Dask clients: of worker processes on this machine, of a running scheduler, or of a cluster file."""

from __future__ import annotations

from dem.engine.cluster.choose import ClusterRequest, RunningCluster, open_cluster
from dem.engine.cluster.connect import active_client, connect
from dem.engine.cluster.local import local_cluster

__all__ = ["ClusterRequest", "RunningCluster", "active_client", "connect", "local_cluster", "open_cluster"]
