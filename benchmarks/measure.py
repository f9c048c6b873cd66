"""Time things beside their limits: interleaved repetitions, medians, peak memory, rows of the table."""

import os
import platform
import statistics
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass
class Row:
    """A figure beside its limit. `ratio` is measured / limit, in wall time; `cpu` the same in CPU time.

    `load` is what the machine's cores had to do in the last minute, this benchmark's own threads included.
    """

    name: str
    size: str
    measured: float
    unit: str
    limit: float | None = None
    ratio: float | None = None
    cpu: float | None = None
    target: str = ""
    ok: bool | None = None
    load: float | None = field(default_factory=lambda: load())

    def __str__(self):
        cells = (number(self.measured), number(self.limit), self.unit, number(self.ratio), number(self.cpu))
        cells += (number(self.load),)
        verdict = {None: "", True: "ok", False: "over"}[self.ok]
        return LAYOUT.format(self.name, self.size, *cells, self.target, verdict)


LAYOUT = "{:<24} {:<39} {:>8} {:>8} {:<8} {:>6} {:>6} {:>5}  {:<9} {}"
HEAD = LAYOUT.format("name", "size", "measured", "limit", "unit", "ratio", "cpu", "load", "target", "")


def number(value) -> str:
    return "-" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.3g}"


def load() -> float | None:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


class Times(list):
    """(wall, CPU) seconds of each repetition; CPU time is of all threads."""

    @property
    def wall(self) -> float:
        return statistics.median(wall for wall, _ in self)

    def __add__(self, other):
        return Times((a + c, b + d) for (a, b), (c, d) in zip(self, other, strict=True))

    def over(self, other) -> tuple:
        """The medians of the wall and CPU ratios of repetitions made side by side; no CPU ratio for a GPU's work."""
        pairs = [(a / c, b / d if d else None) for (a, b), (c, d) in zip(self, other, strict=True)]
        return tuple(None if None in column else statistics.median(column) for column in zip(*pairs, strict=True))


def race(*runs, rounds: int, device=DEVICE) -> list:
    """Time functions in turn, A B A B, after one untimed turn, so that a change of the machine's load meets them all.

    Returns:
        the Times of each, of `rounds` repetitions.
    """
    times = [Times() for _ in runs]
    for turn in range(rounds + 1):
        for run, taken in zip(runs, times, strict=True):
            wait(device)
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            wait(device)
            if turn:
                used = time.process_time() - cpu if device.type == "cpu" else 0
                taken.append((time.perf_counter() - wall, used))
    return times


def wait(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def lasts(name, size, measured: Times, limit: Times, most: float | None = None, *, scale=1.0, unit="s") -> Row:
    """A duration that should be at most `most` times its limit."""
    ratio, cpu = measured.over(limit)
    judged = {} if most is None else {"target": f"<= {most:g} x", "ok": ratio <= most}
    return Row(name, size, measured.wall * scale, unit, limit.wall * scale, ratio, cpu, **judged)


def yields(name, size, amount, measured: Times, limit: Times, least: float, *, unit) -> Row:
    """A rate, `amount` per duration, that should be at least `least` times its limit."""
    ratio, cpu = limit.over(measured)
    judged = {"target": f">= {least:g} x", "ok": ratio >= least}
    return Row(name, size, amount / measured.wall, unit, amount / limit.wall, ratio, cpu, **judged)


def unit_rows(rng, count: int, width: int) -> np.ndarray:
    x = rng.standard_normal((count, width), np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


class PeakMemory:
    """The most resident memory, in GB, that a `with` block had above what there was before it, sampled each 2 ms."""

    def __enter__(self):
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.most = self.process.memory_info().rss
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.done.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()
        self.gb = (self.most - self.before) / 1e9


def machine() -> dict:
    """What the figures were measured on."""
    cpuinfo = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in cpuinfo.open() if "model name" in line] if cpuinfo.exists() else []
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(DEVICE) if DEVICE.type == "cuda" else None,
        "load": load(),
        "torch": torch.__version__,
    }
