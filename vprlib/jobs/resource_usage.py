"""Record the resources and the machine of each job in a JSON file beside its log; the report adds these up."""

import functools
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vprlib.io.files import write_json
from vprlib.io.fingerprints import code_version


class ResourceMeter:
    """Measure a job from its start; `write` records it once it has succeeded."""

    def __init__(self) -> None:
        self.began, self.wall, self.cpu = time.time(), time.monotonic(), cpu_seconds()

    def write(
        self, path: str | os.PathLike[str], *, rule: str, wildcards: dict[str, str], threads: int, gpus: int, nodes: int
    ) -> None:
        """Write the record of the job.

        Besides the arguments it has `began` (seconds since 1970), `seconds`, `cpu_seconds` of all threads and ended
        child processes, `peak_gb` of resident memory, and the machine: `host`, `cpu`, `cores`, `gpu` and its power
        limit `gpu_watts`.

        Args:
            path: the JSON file.
            rule: the rule of the job.
            wildcards: the wildcards of the job.
            threads: number of threads of the job.
            gpus: number of GPUs that the job used.
            nodes: number of nodes that the job ran on; the times are those of this node only.
        """
        usage = {"began": self.began, "seconds": time.monotonic() - self.wall, "cpu_seconds": cpu_seconds() - self.cpu}
        memory = {"peak_gb": max(usage.ru_maxrss for usage in resource_usages()) * 1024 / 1e9}
        job = {"rule": rule, "wildcards": wildcards, "threads": threads, "gpus": gpus, "nodes": nodes}
        gpu = describe_gpu() if gpus else {"gpu": None, "gpu_watts": None}
        write_json(path, job | usage | memory | describe_machine() | gpu | code_version())


def resource_usages() -> list[resource.struct_rusage]:
    """Return the resource usage of this process and of its ended child processes."""
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its ended child processes."""
    return sum(usage.ru_utime + usage.ru_stime for usage in resource_usages())


@functools.cache
def describe_machine() -> dict[str, Any]:
    """Return the machine's name, its CPU and the number of cores that this process may use."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.open() if "model name" in line] if cpuinfo.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"host": platform.node(), "cpu": models[0] if models else platform.machine(), "cores": cores}


def gpus_used(allotted: int) -> int:
    """Return the number of GPUs that a job used: those allotted to it, or 0 if torch never initialized one."""
    torch = sys.modules.get("torch")
    return allotted if torch and torch.cuda.is_available() else 0


def describe_gpu() -> dict[str, Any]:
    """Return the first GPU's name, and its power limit in watts if `nvidia-smi` reports it."""
    query = ["nvidia-smi", "--query-gpu=name,power.limit", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        name, watts = output.splitlines()[0].rsplit(",", 1)
        return {"gpu": name.strip(), "gpu_watts": float(watts)}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):  # no tool, or an unknown limit
        return {"gpu": sys.modules["torch"].cuda.get_device_name(0), "gpu_watts": None}
