"""An sshd of its own on loopback: its host key, one client key, nobody else let in."""

from __future__ import annotations

import getpass
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from real.processes import MARK, VALUE, answers, daemon, free_ports, program

CONF = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/client_key.pub
AllowUsers {user}
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
SetEnv {mark}={value}
"""


@dataclass(frozen=True)
class Sshd:
    """A running sshd."""

    port: int
    user: str
    client_key: Path
    known_hosts: Path
    log: Path


@contextmanager
def sshd(folder):
    """Start an sshd in a folder; end it."""
    (port,) = free_ports()
    user = getpass.getuser()
    for name in ("host_key", "client_key"):
        command = [program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
        subprocess.run(command, check=True, timeout=30)
    host_key = (folder / "host_key.pub").read_text().split()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
    conf = folder / "sshd_config"
    conf.write_text(CONF.format(folder=folder, port=port, user=user, mark=MARK, value=VALUE))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd of root insists on being separated to
    log = folder / "sshd.log"
    with daemon([program("sshd"), "-D", "-e", "-f", conf], log, lambda: answers(port)):
        yield Sshd(port, user, folder / "client_key", known_hosts, log)
