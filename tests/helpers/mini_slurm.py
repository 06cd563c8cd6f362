"""A SLURM of two nodes on this machine, without GPUs and accounting, in a folder of its own."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES = ("node1", "node2")
START_S = 20.0
CONF = """
ClusterName=mini
SlurmctldHost=localhost
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,sched_min_interval=200000
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MpiDefault=none
AccountingStorageType=accounting_storage/none
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NODE = (
    "NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=4 RealMemory=8000"
)


def why_not() -> str:
    """Return why no SLURM can be started here; nothing where one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmd and munged start as root only"


@contextmanager
def mini_slurm() -> Iterator[dict[str, str]]:
    """Start munged, slurmctld and two slurmd; yield the environment that finds them, and end them."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))
    env = {"SLURM_CONF": str(folder / "slurm.conf")}
    try:
        _write(folder)
        munge = folder / "munge"
        files = ("socket", "pid-file", "log-file", "seed-file", "key-file")
        options = [f"--{name}={munge / name.removesuffix('-file')}" for name in files]
        _run("runuser", "-u", "munge", "--", "munged", *options)
        _run("slurmctld", **env)
        for node in NODES:
            _run("slurmd", "-N", node, **env)
        _wait_for_nodes(env)
        yield env
    finally:
        _end(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _write(folder: Path) -> None:
    folder.chmod(0o755)  # munged is another user
    (folder / "state").mkdir()
    (munge := folder / "munge").mkdir()
    (munge / "key").write_bytes(os.urandom(128))
    (munge / "key").chmod(0o400)
    for path in (munge, munge / "key"):
        shutil.chown(path, "munge", "munge")
    ports = _free_ports(1 + len(NODES))
    nodes = [NODE.format(name=name, port=ports.pop()) for name in NODES]
    text = CONF.format(folder=folder, controller=ports.pop(), nodes="\n".join(nodes))
    (folder / "slurm.conf").write_text(text)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _run(*command: str, **env: str) -> str:
    done = subprocess.run(
        command, env={**os.environ, **env}, capture_output=True, text=True, timeout=START_S
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def _wait_for_nodes(env: dict[str, str]) -> None:
    end, states = time.monotonic() + START_S, ""
    while time.monotonic() < end:
        with suppress(AssertionError):
            states = _run("sinfo", "--noheader", "--format=%T %D", **env)
            if states.split() == ["idle", str(len(NODES))]:
                return
        time.sleep(0.2)
    raise AssertionError(f"the nodes are not idle: {states}")


def _end(folder: Path) -> None:
    """End the daemons, nodes first, by the ids that they have noted."""
    files = [*(f"slurmd-{node}.pid" for node in NODES), "slurmctld.pid", "munge/pid"]
    for file in files:
        with suppress(OSError, ValueError):
            pid = int((folder / file).read_text())
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + START_S
            while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
                time.sleep(0.1)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
