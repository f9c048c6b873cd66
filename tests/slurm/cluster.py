"""A SLURM of two nodes with two GPUs each that are none, on this machine alone: everything of it lies in one folder.

Nothing listens on another address than the one that this machine's name stands for, a loopback one where nobody gave it
another; every daemon is stopped by its process, and no file of an installed SLURM is read or changed.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

NODES = ("n1", "n2")
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd")

SLURM = """\
ClusterName=vpr
SlurmctldHost={host}({address})
SlurmctldPort={slurmctld}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SlurmdTimeout=15
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MinJobAge=300
KillWait=10
JobRequeue=0
JobFileAppend=1
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={slurmdbd}
AccountingStoragePass={folder}/munge.socket
AccountingStoreFlags=job_comment
AccountingStorageTRES=gres/gpu
{nodes}
PartitionName=cpu Nodes=n[1-2] Default=YES MaxTime=24:00:00 DefMemPerCPU=500 State=UP
PartitionName=gpu Nodes=n[1-2] MaxTime=12:00:00 DefMemPerCPU=500 State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr={address} Port={port} CPUs=4 RealMemory=20000 Gres=gpu:tesla:2"
GRES = """\
AutoDetect=off
NodeName=n[1-2] Name=gpu Type=tesla File={folder}/gpu[0-1]
"""
ACCOUNTING = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost={host}
DbdAddr={address}
CommunicationParameters=NoInAddrAny
DbdPort={slurmdbd}
SlurmUser=root
LogFile={folder}/slurmdbd.log
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={mariadb}
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm
"""


class Cluster:
    """The daemons, and the `environment` in which SLURM's commands speak to them."""

    def __init__(self, folder: Path):
        self.folder = folder
        path = f"{folder}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path, "SLURM_CONF": f"{folder}/slurm.conf"}

    def start(self):
        folder, host = self.folder, socket.gethostname().split(".")[0]
        for name in ("state", "spool/n1", "spool/n2", "database", "bin"):
            (folder / name).mkdir(parents=True)
        for name in ("srun", "scontrol"):  # a job's own: Snakemake takes SLURM_CONF away from its `srun`
            own = folder / "bin" / name
            own.write_text(f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {shutil.which(name)} "$@"\n')
            own.chmod(0o755)
        for number in (0, 1):  # SLURM wants a device file for each GPU
            os.mknod(folder / f"gpu{number}", 0o020666, os.makedev(1, 3))
        ports = dict(zip(("slurmctld", "slurmdbd", "mariadb", *NODES), free_ports(3 + len(NODES)), strict=True))
        facts = {"folder": folder, "host": host, "address": socket.gethostbyname(host)} | ports
        nodes = [NODE.format(**facts, name=name, port=ports[name]) for name in NODES]
        (folder / "slurm.conf").write_text(SLURM.format(**facts, nodes="\n".join(nodes)))
        (folder / "gres.conf").write_text(GRES.format(**facts))
        (folder / "slurmdbd.conf").write_text(ACCOUNTING.format(**facts))
        (folder / "slurmdbd.conf").chmod(0o600)
        (folder / "munge.key").write_bytes(os.urandom(1024))
        (folder / "munge.key").chmod(0o400)
        files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid", "log-file": "munged.log"}
        files |= {"seed-file": "munge.seed"}
        self.daemon("munged", "--force", *(f"--{option}={folder}/{name}" for option, name in files.items()))
        self.start_database(ports["mariadb"])
        self.daemon("slurmdbd")
        self.wait(lambda: self.run("sacctmgr", "-n", "list", "cluster", check=False).returncode == 0, "slurmdbd")
        self.start_slurmctld()
        for name in NODES:
            self.start_slurmd(name)
        self.wait(lambda: self.states() == {"idle"}, "idle nodes")
        self.run("sacctmgr", "-i", "add", "account", "vpr", "Description=vpr", "Organization=vpr")
        self.run("sacctmgr", "-i", "add", "user", "root", "Account=vpr")

    def start_database(self, port: int):
        data, at = self.folder / "database", f"--socket={self.folder}/mariadb.socket"
        setup = ("mariadb-install-db", "--user=root", f"--datadir={data}", "--auth-root-authentication-method=normal")
        self.run(*setup, "--skip-test-db")
        pid, log = f"--pid-file={self.folder}/mariadbd.pid", f"--log-error={self.folder}/mariadbd.log"
        listen = (at, "--bind-address=127.0.0.1", f"--port={port}", pid, log)
        sizes = ("--innodb-buffer-pool-size=64M", "--innodb-lock-wait-timeout=900")
        arguments = ("mariadbd", "--no-defaults", "--user=root", f"--datadir={data}", *listen, *sizes)
        subprocess.Popen(arguments, start_new_session=True, stderr=subprocess.DEVNULL)
        user = "'slurm'@'127.0.0.1'"
        grant = f"create user if not exists {user} identified by 'slurm'; grant all on slurm.* to {user}"
        self.wait(lambda: self.run("mariadb", at, "-e", grant, check=False).returncode == 0, "mariadbd")

    def start_slurmctld(self):
        self.daemon("slurmctld")
        self.wait(lambda: self.run("scontrol", "ping", check=False).returncode == 0, "slurmctld")

    def start_slurmd(self, name: str):
        self.daemon("slurmd", "-N", name)

    def stop(self):
        """Cancel what runs, then stop the daemons, the last started first."""
        self.run("scancel", "--user=root", check=False)
        with contextlib.suppress(TimeoutError):
            self.wait(lambda: not self.run("squeue", "-h", "-t", "R,CG", check=False).stdout, "jobs to end")
        for name in ("slurmd-n1", "slurmd-n2", "slurmctld", "slurmdbd", "mariadbd", "munged"):
            self.end(name, signal.SIGTERM)
        for process in self.processes():  # SLURM loses sight of a job's process whose parent was killed
            process.kill()

    def end(self, name: str, number=signal.SIGKILL):
        """Signal the daemon of a pid file and wait until it is gone."""
        file = self.folder / f"{name}.pid"
        if not file.exists():
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(file.read_text()))
            process.send_signal(number)
            process.wait(20)
        file.unlink(missing_ok=True)

    def daemon(self, *arguments):
        self.run(*arguments)

    def run(self, *arguments, check=True):
        """A command's completed process; its output is text."""
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        done = subprocess.run(arguments, env=self.environment, **quiet, check=False)
        if check and done.returncode:
            raise RuntimeError(f"{' '.join(map(str, arguments))}: {done.stderr or done.stdout}")
        return done

    def processes(self, job: str | None = None, **named) -> list[psutil.Process]:
        """The Python processes of a job, or of any; with `SLURM_NODEID="1"`, those with it in their environment."""
        wanted = {"SLURM_CONF": f"{self.folder}/slurm.conf"} | ({"SLURM_JOB_ID": job} if job else {}) | named
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if "python" in (process.cmdline() or [""])[0] and wanted.items() <= process.environ().items():
                    found.append(process)
        return found

    @staticmethod
    def steps(job: str) -> list[psutil.Process]:
        """SLURM's own processes beside those of a job's steps."""
        named = [process for process in psutil.process_iter(["cmdline"]) if process.info["cmdline"]]
        return [process for process in named if process.info["cmdline"][0].startswith(f"slurmstepd: [{job}.")]

    def states(self) -> set:
        told = self.run("sinfo", "-h", "-N", "-o", "%N %t", check=False).stdout.split("\n")
        return {line.split()[1] for line in told if line}

    def state(self, job: str) -> str:
        told = dict(
            part.split("=", 1) for part in self.run("scontrol", "-o", "show", "job", job).stdout.split() if "=" in part
        )
        return told["JobState"]

    @staticmethod
    def wait(done, what: str, seconds=60.0):
        """Until done() is true; its value."""
        until = time.monotonic() + seconds
        while not (value := done()):
            if time.monotonic() > until:
                raise TimeoutError(f"no {what} within {seconds} s")
            time.sleep(0.2)
        return value


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def missing() -> list[str]:
    """What of SLURM is not installed."""
    return [name for name in (*DAEMONS, "sbatch", "sacctmgr") if not shutil.which(name)]
