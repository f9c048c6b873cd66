"""Say in the terminal what a workflow will do, how far it is and what it found, instead of a paragraph for each job.

Snakemake gives its log events to `logging` handlers. These names of events and fields are those of its logger plugins.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TextIO

from vprlib.exceptions import InputError
from vprlib.jobs.recall_lines import experiment_lines, main_line
from vprlib.jobs.time_left import TimeLeft, duration, earlier_seconds, recorded_seconds

HIDDEN = {"job_info", "group_info", "shellcmd", "job_started", "job_finished", "progress", "run_info", "resources_info"}
HIDDEN |= {"workflow_started", "rulegraph"}
# beginnings of Snakemake's other lines that say nothing which the lines here do not say
HIDDEN_TEXTS = (
    *("Building DAG", "Using shell", "Rules claiming", "Singularity containers", "Conda environments", "Group jobs"),
    *("Select jobs", "Reasons:", "Removing temporary", "Would remove", "Assuming unrestricted", "host: "),
    *("Some jobs were triggered by provenance information", "Rules with provenance triggered jobs"),
)
WHY = {  # what Snakemake's reason of a job has in it -> in short; missing files, and what follows, are no news
    "Params have changed": "params changed",
    "Updated input files": "input changed",
    "Set of input files has changed": "other input files",
    "Code has changed": "code changed",
    "Software environment definition has changed": "environment changed",
    "Forced execution": "forced",
}
SHOWN = 20  # lines of the summary at the end
AGGREGATE = "all"  # the rule that makes nothing itself


class Terminal(logging.Handler):
    """Print a workflow's plan, one line for each finished job with the time that is left, and its recalls."""

    def __init__(self, stream: TextIO, *, dry: bool, rules: Callable[[], dict[str, tuple[str, str]]], results: str):
        """Print to a stream.

        Args:
            stream: the terminal.
            dry: whether nothing runs, so that only the plan is printed.
            rules: called once all rules are known; returns rule -> the name of its stage and the pattern of its log, in
                the order in which they are to be shown.
            results: the folder of the experiment.
        """
        super().__init__(logging.INFO)
        self.stream, self.dry, self.rules, self.results = stream, dry, rules, results
        self.counts: dict[str, int] = {}
        self.reasons: dict[str, Counter[str]] = {}
        self.jobs: dict[int, dict[str, Any]] = {}
        self.left = TimeLeft({}, {})

    def hides(self, record: logging.LogRecord) -> bool:
        """Whether a record is one of Snakemake's that the lines here stand for."""
        if record.levelno > logging.INFO:
            return False
        event, text = getattr(record, "event", None), str(record.msg or "")
        return str(event) in HIDDEN or (event is None and text.startswith(HIDDEN_TEXTS))

    def emit(self, record: logging.LogRecord) -> None:
        """Take one of Snakemake's events. A fault in here is printed and ends nothing."""
        take = {"run_info": self._plan, "job_info": self._start, "job_finished": self._finish}
        try:
            if one := take.get(str(getattr(record, "event", None))):
                one(record)
        except Exception:
            self.handleError(record)

    def _say(self, lines: Iterable[str]) -> None:
        self.stream.writelines(f"{line}\n" for line in lines)
        self.stream.flush()

    def _plan(self, record: logging.LogRecord) -> None:
        first, rules, stats = not self.counts, self.rules(), vars(record)["stats"]
        self.counts = {rule: stats[rule] for rule in rules if rule in stats and rule != AGGREGATE}
        if first:
            self.left = TimeLeft(self.counts, earlier_seconds({rule: rules[rule][1] for rule in self.counts}))
        if first != self.dry:  # a dry run is told again at its end, when the reasons are known
            self._say(self.plan_lines())

    def plan_lines(self) -> list[str]:
        """The lines of the plan: a stage each, with the number of jobs of its rules; and why, if it is not obvious."""
        work, all_known = self.left.work()
        total = sum(self.counts.values())
        known = f", {'about' if all_known else 'more than'} {duration(work)} of work by earlier jobs" if work else ""
        stages: dict[str, list[str]] = {}
        for rule, (stage, _) in self.rules().items():
            if rule in self.counts:
                stages.setdefault(stage, []).append(f"{rule} {self.counts[rule]}")
        lines = [f"{total} {'job' if total == 1 else 'jobs'} to do{known}"]
        lines += [f"  {stage:9} {', '.join(counts)}" for stage, counts in stages.items()]
        for reason, rules in self.reasons.items():
            lines.append(f"  {reason}: " + ", ".join(f"{rule} {count}" for rule, count in rules.items()))
        return lines + (["  (-p lists every job, its files and why it runs)"] if self.dry else [])

    def _start(self, record: logging.LogRecord) -> None:
        job = vars(record)
        self.jobs[job["jobid"]] = job
        for text, reason in WHY.items():
            if text in str(job["reason"]):
                self.reasons.setdefault(reason, Counter())[job["rule_name"]] += 1

    def _finish(self, record: logging.LogRecord) -> None:
        job = self.jobs.pop(vars(record)["job_id"], None)
        if self.dry or job is None:
            return
        if job["rule_name"] == AGGREGATE:
            self._say(self.summary_lines())
            return
        recorded = recorded_seconds(Path(job["log"][0]).with_suffix(".json")) if job["log"] else None
        self.left.finish(job["rule_name"], record.created - job["created"] if recorded is None else recorded)
        total = sum(self.counts.values())
        done = total - sum(self.left.left.values())
        subject = " ".join([job["rule_name"], *map(str, job["wildcards"].values())])
        self._say([f"{done:{len(str(total))}} of {total}  {subject:50} {self.left.text()}".rstrip()])
        tables = [path for path in job["output"] if Path(path).name == "recalls.csv" and "run" in job["wildcards"]]
        self._say(f"  {main_line(path)}" for path in tables)

    def summary_lines(self) -> list[str]:
        """The lines of the experiment that has finished: its recalls, and where its page is."""
        try:
            lines = list(experiment_lines(self.results))
        except InputError:
            return []
        more = [f"and {len(lines) - SHOWN} more lines: python -m vprlib show {self.results}"]
        return lines if len(lines) <= SHOWN else lines[:SHOWN] + more
