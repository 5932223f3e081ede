"""A Slurm of its own: munge, one controller and one node on this machine, in one folder, on free ports."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass

from real.processes import daemon, environment, free_ports, program, wait_until

CONF = """
ClusterName=dem
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
KillWait=5
SchedulerParameters=sched_interval=2,batch_sched_delay=0
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=16000 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES State=UP
"""  # config_overrides: two cores may pose as eight


@dataclass(frozen=True)
class Slurm:
    """A running Slurm: `env` is the environment in which its commands reach it."""

    env: dict[str, str]

    def run(self, *command):
        """Return what a command of Slurm's prints."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def jobs(self, state=None):
        """Return the ids of the jobs in the queue (of all states, or of one such as "R")."""
        lines = [line.split() for line in self.run("squeue", "-h", "-o", "%i %t").splitlines()]
        return [job for job, its in lines if state in (None, its)]

    def empty(self, seconds=60):
        """Wait until the queue is empty."""
        wait_until(lambda: not self.jobs(), seconds, lambda: f"an empty queue; it holds {self.jobs()}")


@contextmanager
def slurm(folder):
    """Start a Slurm in a folder; end it and its jobs."""
    host = socket.gethostname().split(".")[0]
    controller, node = free_ports(2)
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o600)
    conf = folder / "slurm.conf"
    settings = {"host": host, "controller": controller, "node": node, "user": getpass.getuser(), "folder": folder}
    conf.write_text(CONF.format(**settings))
    env = environment(SLURM_CONF=str(conf), PATH=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    here = Slurm(env)
    munged = [
        program("munged"),
        "--foreground",
        "--force",
        f"--socket={folder}/munge.socket",
        f"--key-file={key}",
        f"--log-file={folder}/munged.log",
        f"--pid-file={folder}/munged.pid",
        f"--seed-file={folder}/munged.seed",
    ]  # fmt: skip; --force: our folder is readable by its owner alone, which munge minds

    def up():
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], env=env, capture_output=True, text=True)
        return done.stdout.strip() == "idle"

    with (
        daemon(munged, folder / "munged.out", (folder / "munge.socket").exists, env),
        daemon([program("slurmctld"), "-D", "-f", conf], folder / "slurmctld.log", lambda: True, env),
        daemon([program("slurmd"), "-D", "-f", conf, "-N", host], folder / "slurmd.log", up, env, seconds=60),
    ):
        try:
            yield here
        finally:
            here.run("scancel", "--user", getpass.getuser())
            here.empty()
