"""What every workflow script does around its one call: log, count threads, end on bad input with one line."""

import ctypes
import logging
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

from vprlib.compute import slurm_nodes as nodes
from vprlib.config import Config, parse
from vprlib.io.files import BadInput
from vprlib.jobs import resource_usage as ledger


@contextmanager
def job(snakemake):
    """Yield the Config of a Snakemake job; its messages go to the rule's log and to the terminal.

    A job that ends well leaves what it took beside its log (`vprlib.jobs.resource_usage`).
    Bad input and a full or failing disk end the process with one line and status 1; anything else is a defect of
    the code and leaves its traceback in the log.
    """
    clock = ledger.Clock()
    Path(snakemake.log[0]).parent.mkdir(parents=True, exist_ok=True)
    if not nodes.several():  # or it was emptied before
        Path(snakemake.log[0]).write_text("")
    logging.basicConfig(
        level=logging.INFO,
        format="%(message)s",
        handlers=[logging.FileHandler(snakemake.log[0]), logging.StreamHandler()],
    )
    for name in ("faiss", "fontTools"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ["OMP_NUM_THREADS"] = str(snakemake.threads)  # for faiss, and for `device`
    subject = " ".join(f"{name} {value}" for name, value in snakemake.wildcards.items())
    try:
        config = parse(snakemake.config)
        yield config
        if not nodes.place()[0]:
            given = 0 if config.execution.device == "cpu" else snakemake.resources.get("gpu", 0)
            clock.write(
                Path(snakemake.log[0]).with_suffix(".json"),
                rule=snakemake.rule,
                wildcards=dict(snakemake.wildcards.items()),
                threads=snakemake.threads,
                gpus=ledger.gpus_used(given),
                nodes=nodes.place()[1],
            )
    except (BadInput, OSError) as error:
        logging.error("error: %s%s: %s", snakemake.rule, f" ({subject})" if subject else "", error)
        sys.exit(1)
    except Exception:
        logging.error("%s", traceback.format_exc())
        sys.exit(1)


def device(config: Config, local_rank: int | None = None):
    """The device that `execution.device` asks for, and how many processes should decode photos for it.

    With a rank, that of several processes on this machine, each has its own GPU.
    """
    import torch

    from vprlib.models import network as model

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    chosen = model.device(config.execution.device)
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
    chosen, _ = device(config)
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
