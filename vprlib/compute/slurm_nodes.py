"""Nodes of a SLURM job that train one network: the job's program runs once on each node, and the nodes connect."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import psutil

from vprlib.exceptions import InputError

if TYPE_CHECKING:
    from torch.distributed import TCPStore

MEETING_PORT = "VPRLIB_MEETING_PORT"  # environment variable: a port of the first node; set on each of several nodes


def is_multi_node() -> bool:
    """Return whether `run_on_all_nodes` started this process."""
    return MEETING_PORT in os.environ


def node_rank() -> tuple[int, int]:
    """Return this node's number, from 0, and the number of nodes; (0, 1) on a single machine."""
    return (int(os.environ["SLURM_NODEID"]), int(os.environ["SLURM_NNODES"])) if is_multi_node() else (0, 1)


def run_on_all_nodes(nodes: int, threads: int) -> None:
    """Run this program once on each node of the current SLURM job.

    Args:
        nodes: number of nodes.
        threads: CPU cores of the program on each node.

    Raises:
        InputError: this is no SLURM job.
        SystemExit: the program failed on one node, and was therefore stopped on all; the log has the reason.
    """
    if "SLURM_JOB_ID" not in os.environ:
        raise InputError(f"execution.nodes: {nodes}, but this is no SLURM job; set it to 1, or use profiles/slurm")
    with socket.socket() as any_free:
        any_free.bind(("", 0))
        port = {MEETING_PORT: str(any_free.getsockname()[1])}
    shape = (f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", f"--cpus-per-task={threads}")
    command = ["srun", *shape, "--overlap", "--kill-on-bad-exit=1", sys.executable, *sys.orig_argv[1:]]
    running = subprocess.Popen(command, env=os.environ | port)
    # SLURM sends SIGTERM to the programs too: ignore it here, and wait until they end.
    previous_handler = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        status = running.wait()
    finally:
        signal.signal(signal.SIGTERM, previous_handler)
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def network_interface() -> str:
    """Return the name of this node's network interface that reaches the first node; `lo` if none is found."""
    with socket.socket(type=socket.SOCK_DGRAM) as towards:  # connecting a datagram socket sends nothing
        towards.connect((head_node(), int(os.environ[MEETING_PORT])))
        local_address = towards.getsockname()[0]
    interfaces = psutil.net_if_addrs().items()
    return next((name for name, addresses in interfaces if any(a.address == local_address for a in addresses)), "lo")


def head_node() -> str:
    """Return the address at which the other nodes reach the first one, where `srun` was started."""
    return os.environ["SLURM_LAUNCH_NODE_IPADDR"]


def rendezvous_store(rank: int, size: int) -> TCPStore:
    """Return the store through which the processes of all nodes find each other.

    The process of rank 0 listens, only on the address at which the others reach it.
    """
    from torch.distributed import TCPStore

    (host, port), timeout = (head_node(), int(os.environ[MEETING_PORT])), timedelta(minutes=5)
    if rank:
        return TCPStore(host, port, size, is_master=False, timeout=timeout)
    listening = socket.create_server((host, port))
    return TCPStore(host, port, size, is_master=True, timeout=timeout, master_listen_fd=listening.detach())
