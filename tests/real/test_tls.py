"""Encryption, from cluster_configs/tls.yaml, with the certificates that its header makes."""

import asyncio
import re
import ssl
import subprocess

import pytest
from distributed import Client, Security
from distributed.comm import connect

from real.fits import CONFIGS, assert_same_bits, changed, running, words
from real.processes import environment, free_ports

pytestmark = pytest.mark.cluster


@pytest.fixture
def certificates(tmp_path):
    """Run the commands that the file's header gives."""
    header = (CONFIGS / "tls.yaml").read_text().split("version:")[0]
    commands = re.findall(r"^#     (openssl (?:.*\\\n#)*.*)$", header, re.MULTILINE)
    assert len(commands) == 2
    folder = tmp_path / "certificates"
    folder.mkdir()
    for command in commands:
        subprocess.run(command.replace("\\\n#", " "), shell=True, check=True, cwd=folder, capture_output=True)
    return folder


async def knock(address, **how):
    await (await connect(address, timeout=5, **how)).close()


def refused(address, **how):
    with pytest.raises(OSError, match=r"(?i)timed out|unknown ca|certificate|closed"):
        asyncio.run(knock(address, **how))


def test_only_who_has_a_certificate_gets_in(certificates, data, alone, tmp_path):
    (port,) = free_ports()
    ca, pair = str(certificates / "ca.pem"), {"cert": "cert.pem", "key": "key.pem"}
    pair = {key: str(certificates / name) for key, name in pair.items()}
    tls = {"ca-file": ca, "scheduler": pair, "worker": pair, "client": pair}
    changes = {"kwargs": {"scheduler_port": port}, "dask": {"distributed": {"comm": {"tls": tls}}}}
    file = changed("tls.yaml", tmp_path, changes)
    security = Security(
        require_encryption=True, tls_ca_file=ca, tls_client_cert=pair["cert"], tls_client_key=pair["key"]
    )
    with running(words(data, tmp_path / "model.zarr", "--cluster", file)) as fit:
        fit.wait_for(r"^pass 1\b")
        with Client(f"tls://127.0.0.1:{port}", timeout=5, security=security, set_as_default=False) as client:
            addresses = list(client.scheduler_info(n_workers=-1)["workers"])
        assert len(addresses) == 2
        assert all(address.startswith("tls://") for address in addresses)
        refused(f"tcp://127.0.0.1:{port}")
        nobody = ssl.create_default_context(cafile=ca)  # knows the authority, and has no certificate of it
        nobody.check_hostname = False
        refused(f"tls://127.0.0.1:{port}", ssl_context=nobody)
        other = words(data, tmp_path / "other.zarr", "--scheduler", f"tcp://127.0.0.1:{port}")
        done = subprocess.run(other, env=environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr.startswith(f"dem: No Dask scheduler answers at tcp://127.0.0.1:{port}")
        assert fit.process.poll() is None, "the fit ended before all was tried: make it longer"
        status, said = fit.finish()
    assert status == 0, said
    assert_same_bits(tmp_path / "model.zarr", alone)
