"""The nodes of a SLURM job that train one network: the job's script runs once on each, and they find each other."""

import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta

import psutil

from vprlib.exceptions import InputError

MEETING_PORT = "VPRLIB_MEETING_PORT"  # on the first node; set where this process is one of several nodes'


def is_multi_node() -> bool:
    """Whether this process was started by `on_each`."""
    return MEETING_PORT in os.environ


def node_rank() -> tuple[int, int]:
    """(This node's number, how many there are)."""
    return (int(os.environ["SLURM_NODEID"]), int(os.environ["SLURM_NNODES"])) if is_multi_node() else (0, 1)


def run_on_all_nodes(nodes: int, threads: int):
    """Run this very program once on each node of the SLURM job that we are in.

    Raises:
        InputError: this is no SLURM job.
        SystemExit: if it failed somewhere, which has stopped it everywhere; the log has the reason.
    """
    if "SLURM_JOB_ID" not in os.environ:
        raise InputError(f"execution.nodes: {nodes}, but this is no SLURM job; set it to 1, or use profiles/slurm")
    with socket.socket() as any_free:
        any_free.bind(("", 0))
        meeting = {MEETING_PORT: str(any_free.getsockname()[1])}
    shape = (f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={threads}")
    command = ["srun", *shape, "--overlap", "--kill-on-bad-exit=1", sys.executable, *sys.orig_argv[1:]]
    running = subprocess.Popen(command, env=os.environ | meeting)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # SLURM signals the programs; we wait for their end
    try:
        status = running.wait()
    finally:
        signal.signal(signal.SIGTERM, before)
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def network_interface() -> str:
    """The network interface of this node that reaches the first node."""
    with socket.socket(type=socket.SOCK_DGRAM) as towards:  # nothing is sent
        towards.connect((head_node(), int(os.environ[MEETING_PORT])))
        own = towards.getsockname()[0]
    named = psutil.net_if_addrs().items()
    return next((name for name, addresses in named if any(one.address == own for one in addresses)), "lo")


def head_node() -> str:
    """The first node's address, as the others reach it: `srun` was started there."""
    return os.environ["SLURM_LAUNCH_NODE_IPADDR"]


def rendezvous_store(rank: int, size: int):
    """Where the processes of all nodes meet: the first listens, on the address that the others know alone."""
    from torch.distributed import TCPStore

    address, wait = (head_node(), int(os.environ[MEETING_PORT])), timedelta(minutes=5)
    if rank:
        return TCPStore(*address, size, is_master=False, timeout=wait)
    listening = socket.create_server(address)
    return TCPStore(*address, size, is_master=True, timeout=wait, master_listen_fd=listening.detach())
