"""A dask-gateway server with its local backend: clusters are processes of this machine."""

from __future__ import annotations

import getpass
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from real.processes import MARK, daemon, environment, free_ports

CONF = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.address = "127.0.0.1:{private}"
c.Proxy.address = "127.0.0.1:{public}"
c.Proxy.api_token = "{token}"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.LocalBackend.clusters_directory = "{folder}/clusters"
c.LocalBackend.inherited_environment = ["PATH", "{mark}"]
# The gateway still names scripts that Dask has no more.
c.ClusterConfig.scheduler_cmd = ["{dask}", "scheduler"]
c.ClusterConfig.worker_cmd = ["{dask}", "worker"]
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
"""


@contextmanager
def gateway(folder):
    """Start a gateway in a folder; yield its address; end it."""
    private, public = free_ports(2)
    (folder / "clusters").mkdir()
    conf = folder / "dask_gateway_config.py"
    settings = {
        "private": private, "public": public, "token": "00" * 32, "folder": folder, "mark": MARK,
        "dask": Path(sys.executable).with_name("dask"),
    }  # fmt: skip
    conf.write_text(CONF.format(**settings))
    command = [Path(sys.executable).with_name("dask-gateway-server"), "-f", conf]
    env = environment(USER=getpass.getuser())

    def ready():
        try:
            with urlopen(f"http://127.0.0.1:{public}/api/health", timeout=5) as answer:
                return answer.status == 200
        except OSError:  # the proxy is there before it knows the way to the server
            return False

    with daemon(command, folder / "gateway.log", ready, env):
        yield f"http://127.0.0.1:{public}"
