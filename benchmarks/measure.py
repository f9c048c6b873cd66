"""Measure durations and peak memory next to a limit, and format the results as rows of a table.

A limit is what the work cannot beat on this machine, for example the bare matrix products. It is measured in the same
run, in alternation with the work itself, so that a change of the machine's load affects both.
"""

import ctypes
import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

CPU = torch.device("cpu")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

# toy: seconds, to check that everything runs; normal: minutes; full: the sizes of the papers, an hour or more
Size = Literal["toy", "normal", "full"]
Work = Callable[[], object]  # what is measured; its result is not used


def load_average() -> float | None:
    """Return the average number of running threads of the last minute, or None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


@dataclass
class Row:
    """One measurement next to its limit.

    Attributes:
        name: what is measured.
        size: the size of the input, or what the limit is.
        measured: the value, in `unit`.
        unit: unit of `measured` and `limit`.
        limit: the limit, measured in the same run; None if there is none.
        ratio: measured / limit in wall time; for a rate, that of the rates.
        cpu_ratio: the same in CPU time, which other work on the machine changes less.
        target: what is expected, as text.
        ok: whether the target is met; None without a target.
        load: the load average of the machine, this benchmark's own threads included.
    """

    name: str
    size: str
    measured: float
    unit: str
    limit: float | None = None
    ratio: float | None = None
    cpu_ratio: float | None = None
    target: str = ""
    ok: bool | None = None
    load: float | None = field(default_factory=load_average)

    def __str__(self) -> str:
        numbers = (self.measured, self.limit, self.ratio, self.cpu_ratio, self.load)
        measured, limit, ratio, cpu_ratio, load = (format_number(value) for value in numbers)
        verdict = {None: "", True: "ok", False: "missed"}[self.ok]
        return LAYOUT.format(
            self.name, self.size, measured, limit, self.unit, ratio, cpu_ratio, load, self.target, verdict
        ).rstrip()


LAYOUT = "{:<25} {:<41} {:>8} {:>8} {:<8} {:>6} {:>6} {:>5}  {:<9} {}"
HEADER = LAYOUT.format("name", "size", "measured", "limit", "unit", "ratio", "cpu", "load", "target", "").rstrip()


def format_number(value: float | None) -> str:
    """Format a number with three significant digits; None is a dash.

    >>> format_number(0.12345), format_number(83952.4), format_number(None)
    ('0.123', '83952', '-')
    """
    return "-" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


class Durations(list[tuple[float, float]]):
    """The (wall, CPU) seconds of each repetition; CPU time is that of all threads."""

    @property
    def wall(self) -> float:
        """The median of the wall times."""
        return statistics.median(wall for wall, _ in self)

    def plus(self, other: Self) -> Self:
        """Return the sums of repetitions that were made in alternation."""
        pairs = zip(self, other, strict=True)
        return type(self)((wall + other_wall, cpu + other_cpu) for (wall, cpu), (other_wall, other_cpu) in pairs)

    def times(self, factor: float) -> Self:
        """Return all durations multiplied by a factor."""
        return type(self)((wall * factor, cpu * factor) for wall, cpu in self)

    def ratios(self, other: Self) -> tuple[float, float | None]:
        """Return the median ratios (self / other) in wall and CPU time of repetitions that were made in alternation.

        There is no ratio of CPU times for work on a GPU.
        """
        pairs = list(zip(self, other, strict=True))
        wall = statistics.median(own[0] / others[0] for own, others in pairs)
        return wall, None if any(not others[1] for _, others in pairs) else statistics.median(
            own[1] / others[1] for own, others in pairs
        )


def alternate(*works: Work, rounds: int, device: torch.device = DEVICE) -> list[Durations]:
    """Time functions in alternation (A B A B ...), after one round that is not timed.

    Args:
        works: the functions.
        rounds: repetitions of each.
        device: where they compute; work on a GPU is awaited.

    Returns:
        The durations of each function.
    """
    durations = [Durations() for _ in works]
    for turn in range(rounds + 1):
        for work, own in zip(works, durations, strict=True):
            synchronize(device)
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            synchronize(device)
            if turn:
                used = time.process_time() - cpu if device.type == "cpu" else 0
                own.append((time.perf_counter() - wall, used))
    return durations


def time_once(work: Work) -> Durations:
    """Time a single run on the CPU, of work that takes too long to be repeated."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Durations([(time.perf_counter() - wall, time.process_time() - cpu)])


def keep_freed_memory(size: Size) -> None:
    """Make this process keep freed memory from here on, as the workflow's jobs on a CPU do.

    The toy size leaves the process as it is, because tests share it.
    """
    from vprlib.compute import device

    if DEVICE.type == "cpu" and size != "toy":
        device.keep_freed_memory()


def synchronize(device: torch.device) -> None:
    """Wait until a GPU has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def duration_row(
    name: str,
    size: str,
    measured: Durations,
    limit: Durations,
    most: float | None = None,
    *,
    scale: float = 1.0,
    unit: str = "s",
) -> Row:
    """Return the row of a duration.

    Args:
        name, size, unit: as in `Row`.
        measured, limit: durations of the work and of its limit.
        most: largest ratio that meets the target; None for no target.
        scale: factor from seconds to `unit`.
    """
    ratio, cpu_ratio = measured.ratios(limit)
    row = Row(name, size, measured.wall * scale, unit, limit.wall * scale, ratio, cpu_ratio)
    if most is not None:
        row.target, row.ok = f"<= {most:g} x", ratio <= most
    return row


def rate_row(
    name: str, size: str, amount: float, measured: Durations, limit: Durations, least: float | None = None, *, unit: str
) -> Row:
    """Return the row of a rate.

    Args:
        name, size, unit: as in `Row`.
        amount: what one repetition processes, in the unit's numerator.
        measured, limit: durations of the work and of its limit.
        least: smallest ratio of the rates that meets the target; None for no target.
    """
    ratio, cpu_ratio = limit.ratios(measured)
    row = Row(name, size, amount / measured.wall, unit, amount / limit.wall, ratio, cpu_ratio)
    if least is not None:
        row.target, row.ok = f">= {least:g} x", ratio >= least
    return row


def random_unit_rows(generator: np.random.Generator, count: int, width: int) -> NDArray[np.float32]:
    """Draw `count` random vectors of unit length, (count, width)."""
    x_ND = generator.standard_normal((count, width), np.float32)
    x_ND /= np.linalg.norm(x_ND, axis=1, keepdims=True)
    return x_ND


class PeakMemory:
    """Measure the largest growth of this process's resident memory during a `with` block, sampled every 2 ms.

    Memory that was freed but not returned to the system is returned first; otherwise the block could reuse it unseen.

    Attributes:
        gb: the growth in GB, set at the end of the block.
    """

    gb: float

    def __enter__(self) -> Self:
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.most = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.most = max(self.most, self.process.memory_info().rss)
        self.done.set()
        self.thread.join()
        self.gb = (self.most - self.before) / 1e9


def describe_machine() -> dict[str, Any]:
    """Return what the figures are measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.open() if "model name" in line] if cpuinfo.exists() else []
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else None,
        "load": load_average(),
        "torch": torch.__version__,
    }
