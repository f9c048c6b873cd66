"""What each job took, and on what machine: a JSON file beside its log, which the report adds up."""

import functools
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

from vprlib.io.files import write_json
from vprlib.io.fingerprints import code_version


class ResourceMeter:
    """Started with a job; `write` records the job once it has ended well."""

    def __init__(self):
        self.began, self.wall, self.cpu = time.time(), time.monotonic(), cpu_seconds()

    def write(self, path, *, rule: str, wildcards: dict, threads: int, gpus: int, nodes: int):
        """Write `began` (seconds since 1970), `seconds`, `cpu_seconds` of all threads and ended child processes,
        `peak_gb` of resident memory, and the machine: `host`, `cpu`, `cores`, `gpu` and its power limit `gpu_watts`.

        Args:
            path: the JSON file.
            gpus: that the job was given.
            nodes: that the job ran on; the times are those of this one.
        """
        took = {"began": self.began, "seconds": time.monotonic() - self.wall, "cpu_seconds": cpu_seconds() - self.cpu}
        memory = {"peak_gb": max(usage.ru_maxrss for usage in resource_usages()) * 1024 / 1e9}
        asked = {"rule": rule, "wildcards": wildcards, "threads": threads, "gpus": gpus, "nodes": nodes}
        gpu = describe_gpu() if gpus else {"gpu": None, "gpu_watts": None}
        write_json(path, asked | took | memory | describe_machine() | gpu | code_version())


def resource_usages() -> list:
    return [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]


def cpu_seconds() -> float:
    return sum(usage.ru_utime + usage.ru_stime for usage in resource_usages())


@functools.cache
def describe_machine() -> dict:
    """This machine's name, CPU and number of cores that we may use."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.open() if "model name" in line] if cpuinfo.exists() else []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"host": platform.node(), "cpu": models[0] if models else platform.machine(), "cores": cores}


def gpus_used(given: int) -> int:
    """How many GPUs a job worked with, of those that it was given: none, if torch never woke one."""
    torch = sys.modules.get("torch")
    return given if torch and torch.cuda.is_available() else 0


def describe_gpu() -> dict:
    """The first GPU's name, and its power limit in watts where the driver's tool tells it."""
    query = ["nvidia-smi", "--query-gpu=name,power.limit", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, check=True, timeout=20).stdout
        name, watts = said.splitlines()[0].rsplit(",", 1)
        return {"gpu": name.strip(), "gpu_watts": float(watts)}
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):  # no tool, or a limit that it does not know
        return {"gpu": sys.modules["torch"].cuda.get_device_name(0), "gpu_watts": None}
