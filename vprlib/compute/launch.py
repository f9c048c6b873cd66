"""Run a training job in one process, or in several that torch's elastic launcher starts, on one or more nodes."""

import ctypes
import logging
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from vprlib.compute.device import compute_device
from vprlib.compute.execution import ComputeSettings
from vprlib.compute.process_group import ProcessGroup
from vprlib.compute.slurm_nodes import is_multi_node, network_interface, node_rank, rendezvous_store, run_on_all_nodes
from vprlib.config import Config
from vprlib.exceptions import InputError
from vprlib.registry import trust

PR_SET_PDEATHSIG = 1  # Linux's prctl: signal to receive when the parent process dies
HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)  # the launcher replaces their handlers


def run_distributed(config: Config, log: str, function: Callable[..., Any], **arguments: Any) -> Any:
    """Call function(**arguments, job=...) in `execution.processes` processes, on each of `execution.nodes` nodes.

    On one machine the processes connect through a file, and their messages stay on the loopback interface: nothing
    listens on any other interface. On several nodes they use the interface that reaches the first node.

    Args:
        config: the configuration; `execution` is read.
        log: log file, to which each of several processes appends.
        function: called with `arguments` and a ComputeSettings, `job`. It must be picklable.
        **arguments: keyword arguments of `function`.

    Returns:
        The function's result if a single process calls it; None otherwise.

    Raises:
        InputError: a process raised it; or there are fewer GPUs than processes.
        RuntimeError: a process failed otherwise; its traceback is in the log.
    """
    processes, several_nodes = config.execution.processes, config.execution.nodes > 1
    if several_nodes and not is_multi_node():
        run_on_all_nodes(config.execution.nodes, threads=int(os.environ["OMP_NUM_THREADS"]))
        return None
    if processes == 1 and not several_nodes:
        return function(**arguments, job=local_settings(config))
    if ":" in config.execution.device:
        raise InputError(f"execution.device: {config.execution.device} is one GPU, not {processes}; use cuda")
    gpus = torch.cuda.device_count() if config.execution.device != "cpu" else 0
    if 0 < gpus < processes:
        raise InputError(f"execution.processes: {processes}, but torch finds {gpus} GPUs; set it to {gpus} at most")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # The errors raised below report a failure in one line; the launcher's report has many.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    threads = max(1, int(os.environ["OMP_NUM_THREADS"]) // processes)
    with tempfile.TemporaryDirectory() as folder:
        interface = network_interface() if several_nodes else "lo"
        os.environ |= {"OMP_NUM_THREADS": str(threads), "GLOO_SOCKET_IFNAME": interface}
        if not several_nodes or "NCCL_SOCKET_IFNAME" not in os.environ:  # a cluster may set a better one
            os.environ["NCCL_SOCKET_IFNAME"] = interface
        os.environ |= {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}  # the launcher's store would listen on all interfaces
        settings = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=processes, max_restarts=0, start_method="spawn",
            run_id="vprlib", rdzv_backend="c10d", rdzv_endpoint=f"{folder}/rendezvous",
            rdzv_configs={"store_type": "file"}, local_addr="127.0.0.1", monitor_interval=0.1,
        )  # fmt: skip
        previous_handlers = {number: signal.getsignal(number) for number in HANDLED}
        try:
            elastic_launch(settings, run_worker)(config, log, folder, os.getpid(), function, arguments)
        except ChildFailedError as error:
            messages = sorted(Path(folder).glob("error.*"))
            if messages:
                raise InputError(messages[0].read_text()) from None
            raise RuntimeError(
                f"a training process ended with status {error.get_first_failure()[1].exitcode}"
            ) from None
        except SignalException as error:
            raise SystemExit(128 + error.sigval) from None
        finally:
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)
    return None


def run_worker(
    config: Config, log: str, folder: str, parent: int, function: Callable[..., Any], arguments: Mapping[str, Any]
) -> None:
    """Run one of several processes: join the process group, then call the function.

    Args:
        config: the configuration.
        log: log file to append to. Only rank 0 logs messages below a warning.
        folder: temporary folder of the processes of this machine. A process that raises InputError or OSError leaves
            the message there as `error.<rank>`; one that exits with SystemExit leaves the file `left`.
        parent: process number of the launcher.
        function: see `run_distributed`.
        arguments: see `run_distributed`.
    """
    node, nodes = node_rank()
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    rank, size = node * local_size + local_rank, nodes * local_size
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(size)}
    if sys.platform == "linux":  # receive SIGTERM when the launcher dies: save the state and exit
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # the launcher died before prctl
        os._exit(1)
    handlers = (logging.FileHandler(log), logging.StreamHandler())
    logging.basicConfig(level=logging.WARNING if rank else logging.INFO, format="%(message)s", handlers=handlers)
    logging.getLogger("faiss").setLevel(logging.WARNING)
    trust(*config.outside_methods)
    try:
        job = local_settings(config, local_rank)
        rendezvous: dict[str, Any] = (
            {"store": rendezvous_store(rank, size)} if is_multi_node() else {"init_method": f"file://{folder}/store"}
        )
        backend = "gloo" if job.device.type == "cpu" else "nccl"
        torch.distributed.init_process_group(backend, **rendezvous, rank=rank, world_size=size)
        job.group = ProcessGroup(rank, size, job.device)
        function(**arguments, job=job)
    except (InputError, OSError) as error:
        Path(folder, f"error.{rank}").write_text(str(error))
        os._exit(1)  # does not wait for the other processes
    except SystemExit:
        Path(folder, "left").touch()
        raise
    except Exception:
        # After another process failed or left, this one fails for its absence: only the first reason is logged.
        if not [*Path(folder).glob("error.*"), *Path(folder).glob("left")]:
            logging.error("process %d of %d: %s", rank, size, traceback.format_exc())
        os._exit(1)
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def local_settings(config: Config, local_rank: int | None = None) -> ComputeSettings:
    """Return the compute settings of this process; its group has only itself.

    Args:
        config: the configuration; `execution` is read.
        local_rank: number of this process on its machine, if there are several.
    """
    device, workers = compute_device(config, local_rank)
    execution = config.execution
    return ComputeSettings(
        device,
        execution.inference_batch_size,
        workers,
        execution.checkpoint_minutes,
        execution.training_batch_size,
        execution.compile,
    )
