"""Select the device that a job computes on, and set torch and glibc up for it."""

import ctypes
import os

import torch

from vprlib.config import Config
from vprlib.exceptions import InputError


def compute_device(config: Config, local_rank: int | None = None):
    """The device that `execution.device` asks for, and how many processes should decode photos for it.

    With a rank, that of several processes on this machine, each has its own GPU.
    """
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    chosen = select_device(config.execution.device)
    if chosen.type == "cuda" and local_rank is not None:
        chosen = torch.device("cuda", local_rank)
        torch.cuda.set_device(chosen)
    if chosen.type == "cpu":
        keep_freed_memory()
    else:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)  # the same job gives the same numbers
    torch.utils.deterministic.fill_uninitialized_memory = False
    # a CPU that computes has no core to spare for decoding, which is a hundredth of the work
    return chosen, int(os.environ["OMP_NUM_THREADS"]) if chosen.type == "cuda" else 0


def search_device(config: Config):
    """The GPU that `execution.search` asks for; None where the CPU searches."""
    if config.execution.search == "cpu":
        return None
    chosen, _ = compute_device(config)
    return None if chosen.type == "cpu" else chosen


def keep_freed_memory():
    """Have glibc keep freed blocks for the next step instead of giving each large one back to the system.

    Activations are large blocks: without this, page faults take a third of a convolution's time on a CPU.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        most, m_trim_threshold, m_mmap_max = 2**31 - 1, -1, -4
        libc.mallopt(m_mmap_max, 0)
        libc.mallopt(m_trim_threshold, most)


def select_device(name: str) -> torch.device:
    """`auto` is the first GPU, if there is one.

    Raises:
        InputError: if a GPU is asked for by name and there is none, or no device has that name.
    """
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {name!r}: torch sees no GPU; use 'auto' or 'cpu'")
    try:
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise InputError(f"device {name!r}: use 'auto', 'cpu', 'cuda' or 'cuda:<number>'") from error
