"""Select the device of a job, and set up torch and glibc for it."""

import ctypes
import os

import torch

from vprlib.config import Config
from vprlib.exceptions import InputError


def compute_device(config: Config, local_rank: int | None = None) -> tuple[torch.device, int]:
    """Select the device of `execution.device`, and set up torch for it.

    The number of threads is `OMP_NUM_THREADS`. Algorithms are deterministic where torch has them, and TF32 is off, so
    that the same job gives the same numbers.

    Args:
        config: the configuration; `execution.device` is read.
        local_rank: number of this process among those of this machine. If given, use GPU number `local_rank`.

    Returns:
        The device, and the number of processes that decode photos for it: one per thread for a GPU, 0 for a CPU,
        where the main process decodes.

    Raises:
        InputError: there is no such device.
    """
    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    device = select_device(config.execution.device)
    if device.type == "cuda" and local_rank is not None:
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    if device.type == "cpu":
        keep_freed_memory()
    else:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # missing in the stub
    # A CPU that computes has no core to spare for decoding, which is a hundredth of the work.
    return device, threads if device.type == "cuda" else 0


def search_device(config: Config) -> torch.device | None:
    """Return the GPU of `execution.search_device`, or None if the CPU searches."""
    if config.execution.search_device == "cpu":
        return None
    device, _ = compute_device(config)
    return None if device.type == "cpu" else device


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks for the next step, instead of returning each large one to the system.

    Feature maps are large blocks. Without this setting, page faults take a third of a convolution's time on a CPU.
    A C library without `mallopt` is left as it is.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        largest, m_trim_threshold, m_mmap_max = 2**31 - 1, -1, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, largest)


def select_device(name: str) -> torch.device:
    """Return the torch device of a name; `auto` is the first GPU if there is one, else the CPU.

    Raises:
        InputError: a GPU is requested by name and there is none, or no device has that name.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch finds no GPU; use 'auto' or 'cpu'")
    try:
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"device {name!r}: use 'auto', 'cpu', 'cuda' or 'cuda:<number>'") from error
