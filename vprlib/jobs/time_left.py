"""Estimate how long the jobs of a workflow still take, from the records that earlier jobs left beside their logs."""

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from statistics import median

START = 3.0  # seconds that each job takes besides, to start Python and import the library, which no record holds
RECORDS = 50  # records that are read of a rule; more do not change a median much
MINUTE, HOUR = 60, 3600


class TimeLeft:
    """The work that is left of a workflow: the jobs of each rule, and how long such jobs took before."""

    def __init__(self, counts: Mapping[str, int], seconds: Mapping[str, list[float]]):
        """Begin with all jobs left.

        Args:
            counts: rule -> number of jobs to run.
            seconds: rule -> how long its earlier jobs took.
        """
        self.left, self.seconds = Counter(counts), {rule: list(values) for rule, values in seconds.items()}
        self.began, self.worked = time.monotonic(), 0.0  # seconds of the jobs that have finished since

    def finish(self, rule: str, seconds: float) -> None:
        """Note that a job of a rule has finished, and how long it took."""
        self.left[rule] -= 1
        self.worked += START + seconds
        self.seconds.setdefault(rule, []).append(seconds)

    def work(self) -> tuple[float, bool]:
        """Return the seconds that the jobs that are left take one after the other, and whether all of them are known.

        A job takes the median of its rule's earlier jobs. A rule without any is not known, and left out.
        """
        left = [(rule, count) for rule, count in self.left.items() if count > 0]
        known = [(START + median(self.seconds[rule])) * count for rule, count in left if self.seconds.get(rule)]
        return sum(known), len(known) == len(left)

    def text(self) -> str:
        """Return how long it still takes, as `about 4 min left`; empty if no finished job tells, or none is left.

        As many jobs are taken to run side by side as since the beginning. It is `more than` with an unknown rule.
        """
        work, all_known = self.work()
        if not self.worked or not work:
            return ""
        left = work * (time.monotonic() - self.began) / self.worked
        return f"{'about' if all_known else 'more than'} {duration(left)} left"


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(3), duration(42), duration(250), duration(9000), duration(200000)
    ('10 s', '50 s', '4 min', '2.5 h', '56 h')
    """
    if seconds < 1.5 * MINUTE:
        return f"{max(1, -(-seconds // 10)) * 10:.0f} s"
    if seconds < 1.5 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h" if seconds < 10 * HOUR else f"{seconds / HOUR:.0f} h"


def earlier_seconds(logs: Mapping[str, str]) -> dict[str, list[float]]:
    """Read how long earlier jobs took, rule -> seconds of some of its jobs.

    Args:
        logs: rule -> the pattern of its jobs' logs, beside which they leave their records.
    """
    found = {}
    for rule, pattern in logs.items():
        beginning, wildcard, _ = pattern.partition("{")
        folder = Path(os.path.dirname(beginning))  # noqa: PTH120 - of `logs/train/`, this is `logs/train`
        records = folder.rglob("*.json") if wildcard else [Path(pattern).with_suffix(".json")]
        seconds = (recorded_seconds(record) for record in islice(records, RECORDS))
        found[rule] = [value for value in seconds if value is not None]
    return found


def recorded_seconds(record: Path) -> float | None:
    """Return how long a job took by its record (`vprlib.jobs.resource_usage`); None if there is none."""
    try:
        return float(json.loads(record.read_text(encoding="utf-8"))["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
