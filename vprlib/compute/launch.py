"""A training in one process, or in several that torch's elastic launcher starts, on one machine or a job's nodes."""

import ctypes
import logging
import os
import signal
import sys
import tempfile
import traceback
from pathlib import Path

import torch

from vprlib.compute.device import compute_device
from vprlib.compute.execution import ComputeSettings
from vprlib.compute.process_group import ProcessGroup
from vprlib.compute.slurm_nodes import is_multi_node, network_interface, node_rank, rendezvous_store, run_on_all_nodes
from vprlib.config import Config
from vprlib.exceptions import InputError

PR_SET_PDEATHSIG = 1
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def run_distributed(config: Config, log: str, function, **arguments):
    """Call function(**arguments, job=...) in `execution.processes` processes, on each of `execution.nodes` nodes.

    On one machine they meet over a file, and their messages stay on the loopback interface: nothing listens on another
    one. On several nodes they use the interface that reaches the first node.

    Raises:
        InputError: what one of them raised; or there are fewer GPUs than processes.
        RuntimeError: if one ended otherwise; its traceback is in the log.
    """
    processes, several = config.execution.processes, config.execution.nodes > 1
    if several and not is_multi_node():
        return run_on_all_nodes(config.execution.nodes, threads=int(os.environ["OMP_NUM_THREADS"]))
    if processes == 1 and not several:
        return function(**arguments, job=local_settings(config))
    if ":" in config.execution.device:
        raise InputError(f"execution.device: {config.execution.device} is one GPU, for {processes} processes; use cuda")
    gpus = torch.cuda.device_count() if config.execution.device != "cpu" else 0
    if 0 < gpus < processes:
        raise InputError(f"execution.processes: {processes}, but torch sees {gpus} GPUs")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we say it, in one line
    threads = max(1, int(os.environ["OMP_NUM_THREADS"]) // processes)
    with tempfile.TemporaryDirectory() as folder:
        interface = network_interface() if several else "lo"
        os.environ |= {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": interface}
        if not several or "NCCL_SOCKET_IFNAME" not in os.environ:  # which a cluster may know better
            os.environ["NCCL_SOCKET_IFNAME"] = interface
        os.environ |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # the launcher's own would listen on all interfaces
        settings = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=processes, max_restarts=0, start_method="spawn",
            run_id="vprlib", rdzv_backend="c10d", rdzv_endpoint=f"{folder}/rendezvous",
            rdzv_configs={"store_type": "file"}, local_addr="127.0.0.1", monitor_interval=0.1,
        )  # fmt: skip
        handlers = {number: signal.getsignal(number) for number in HANDLED}
        try:
            elastic_launch(settings, run_worker)(config, log, folder, os.getpid(), function, arguments)
        except ChildFailedError as error:
            told = sorted(Path(folder).glob("error.*"))
            if told:
                raise InputError(told[0].read_text()) from None
            raise RuntimeError(
                f"a training process ended with status {error.get_first_failure()[1].exitcode}"
            ) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)  # the launcher leaves its own
    return None


def run_worker(config: Config, log: str, folder: str, parent: int, function, arguments: dict):
    """One of the processes: join the others, then call the function."""
    node, all_nodes = node_rank()
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    rank, size = node * local_size + local_rank, all_nodes * local_size
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    if sys.platform == "linux":  # whoever starts us and dies takes us along: we save, and leave
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before
        os._exit(1)
    handlers = [logging.FileHandler(log), logging.StreamHandler()]
    logging.basicConfig(level=logging.WARNING if rank else logging.INFO, format="%(message)s", handlers=handlers)
    logging.getLogger("faiss").setLevel(logging.WARNING)
    try:
        job = local_settings(config, local_rank)
        meeting = (
            {"store": rendezvous_store(rank, size)} if is_multi_node() else {"init_method": f"file://{folder}/store"}
        )
        backend = "gloo" if job.device.type == "cpu" else "nccl"
        torch.distributed.init_process_group(backend, **meeting, rank=rank, world_size=size)
        job.group = ProcessGroup(rank, size, job.device)
        function(**arguments, job=job)
    except (InputError, OSError) as error:
        Path(folder, f"error.{rank}").write_text(str(error))
        os._exit(1)  # without waiting for the others
    except SystemExit:
        Path(folder, "left").touch()
        raise
    except Exception:
        if not [*Path(folder).glob("error.*"), *Path(folder).glob("left")]:  # another has told why it is not there
            logging.error("process %d of %d: %s", rank, size, traceback.format_exc())
        os._exit(1)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def local_settings(config: Config, local_rank: int | None = None) -> ComputeSettings:
    """How this process computes."""
    chosen, workers = compute_device(config, local_rank)
    execution = config.execution
    return ComputeSettings(
        chosen, execution.batch, workers, execution.checkpoint_minutes, execution.chunk, execution.compile
    )
