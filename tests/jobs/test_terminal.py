"""What the terminal says, of made-up events; and how long it still takes, of made-up records."""

import io
import json
import logging
import subprocess
import sys

import pytest

from tests.helpers.recall_tables import recalls
from tests.helpers.workflow import ROOT
from vprlib.__main__ import main
from vprlib.io.files import write_csv
from vprlib.jobs.recall_lines import experiment_lines, main_line
from vprlib.jobs.terminal import Terminal
from vprlib.jobs.time_left import START, TimeLeft, earlier_seconds

RULES = {
    "image_table": ("data", "logs/image_table/{dataset}.log"),
    "train": ("train", "logs/train/{run}/seed{seed}/gen{gen}.log"),
    "plot_training": ("plots", "logs/plot_training.log"),
    "evaluate": ("evaluate", "logs/evaluate/{dataset}/{run}/seed{seed}/gen{gen}.log"),
    "all": ("Snakefile", ""),
}


class Clock:
    """A clock that tests turn."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("vprlib.jobs.time_left.time.monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def terminal(tmp_path, monkeypatch):
    """terminal(dry) -> (said, event): what is said so far, and a function that logs an event."""
    monkeypatch.chdir(tmp_path)

    def make(dry=False):
        stream, logger = io.StringIO(), logging.Logger("workflow")
        logger.addHandler(Terminal(stream, dry=dry, rules=lambda: RULES, results="results"))
        return stream, lambda event, **fields: logger.info(None, extra={"event": event} | fields)

    return make


def write_record(path, seconds):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"seconds": seconds}))


def write_run(folder, dataset, run, **changes):
    table = recalls(dataset, runs=(run,), ks=(1, 5))
    write_csv(folder / dataset / run / "seed0/gen0/recalls.csv", table.assign(**changes))
    return folder / dataset / run / "seed0/gen0/recalls.csv"


def job(number, rule, log="", output=(), reason="Missing output files: x", **wildcards):
    files = {"log": [log] if log else [], "output": [*map(str, output)]}
    return {"jobid": number, "rule_name": rule, "wildcards": wildcards, "reason": reason} | files


def test_a_dry_run_is_a_line_a_stage_and_why(terminal):
    said, event = terminal(dry=True)
    stats = {"train": 2, "image_table": 1, "evaluate": 4, "all": 1, "total": 8}
    event("run_info", stats=stats)
    assert not said.getvalue(), "the reasons are not known yet"
    changed = "Params have changed since last execution: before: 1 now: 2; Input files updated by another job: y"
    event("job_info", **job(1, "train", reason=changed))
    event("job_info", **job(2, "evaluate"))
    event("run_info", stats=stats)
    assert said.getvalue().splitlines() == [
        "7 jobs to do",
        "  data      image_table 1",
        "  train     train 2",
        "  evaluate  evaluate 4",
        "  params changed: train 1",
        "  (-p lists every job, its files and why it runs)",
    ]


def test_a_finished_job_is_a_line_with_the_time_left_and_a_finished_run_its_recalls(terminal, tmp_path, clock):
    write_record(tmp_path / "logs/train/a/seed0/gen0.json", 97)
    write_record(tmp_path / "logs/evaluate/city/a/seed0/gen0.json", 7)
    said, event = terminal()
    event("run_info", stats={"train": 2, "evaluate": 1, "all": 1, "total": 4})
    assert said.getvalue().splitlines()[0] == "3 jobs to do, about 4 min of work by earlier jobs"  # 2 x 100 + 10 s
    event("job_info", **job(1, "train", "logs/train/a/seed0/gen0.log", run="a", seed="0", gen="0"))
    clock.now += 50  # two jobs side by side: it took half of its time
    event("job_finished", job_id=1)
    assert said.getvalue().splitlines()[-1].split("  ")[0] == "1 of 3"
    assert said.getvalue().endswith("train a 0 0" + " " * 40 + "about 60 s left\n")  # half of 110 s
    table = write_run(tmp_path / "results", "city", "a", recall=0.5, low=0.25, high=0.75)
    named = {"dataset": "city", "run": "a", "seed": "0", "gen": "0"}
    event("job_info", **job(2, "evaluate", "logs/evaluate/city/a/seed0/gen0.log", [table], **named))
    event("job_finished", job_id=2)
    assert said.getvalue().endswith("\n  city  a seed 0: R@1 50.0 [25.0, 75.0]  R@5 50.0\n")
    event("job_info", **job(0, "all"))
    event("job_finished", job_id=0)
    assert said.getvalue().splitlines()[-3:] == list(experiment_lines("results"))


def test_a_fault_in_the_terminal_ends_nothing(terminal, tmp_path, capsys):
    said, event = terminal()
    event("run_info", stats={"evaluate": 1, "total": 1})
    named = {"dataset": "city", "run": "a", "seed": "0", "gen": "0"}
    event("job_info", **job(1, "evaluate", output=[tmp_path / "recalls.csv"], **named))
    event("job_finished", job_id=1)
    assert "cannot be read as a table of recalls" in capsys.readouterr().err
    event("job_finished", job_id=7)  # one that never began
    assert "1 of 1" in said.getvalue()


def test_only_lines_of_snakemake_that_are_said_otherwise_are_hidden(terminal):
    one = Terminal(io.StringIO(), dry=False, rules=dict, results="results")

    def record(text, level=logging.INFO, **fields):
        made = logging.LogRecord("snakemake", level, "", 0, text, (), None)
        vars(made).update(fields)
        return made

    hidden = [record(None, event="job_info"), record("Reasons:\n  x"), record("Job stats:", event="run_info")]
    assert all(map(one.hides, hidden))
    shown = [record("Nothing to be done"), record("x", event="error"), record("x", logging.ERROR, event="job_error")]
    assert not any(map(one.hides, [*shown, record("Reasons:", logging.WARNING), record(None)]))


def test_the_time_left_is_the_work_left_at_the_pace_so_far(clock):
    left = TimeLeft({"a": 4, "b": 1}, {"a": [1.0, 7.0, 100.0]})
    assert left.text() == "", "nothing has finished"
    clock.now += 20
    left.finish("a", 7.0)  # 10 s of work in 20 s
    assert left.work() == (3 * (START + 7), False)
    assert left.text() == "more than 60 s left"
    left.finish("b", 7.0)
    assert left.work() == (3 * (START + 7), True)
    assert left.text() == "about 30 s left"  # 20 s of work in 20 s
    for _ in range(3):
        left.finish("a", 7.0)
    assert left.text() == ""


def test_records_of_earlier_jobs_are_read_by_rule_and_bad_ones_left_out(tmp_path):
    for name, seconds in (("train/a/seed0/gen0", 3), ("train/b/seed1/gen0", 5), ("plot_training", 7)):
        write_record(tmp_path / f"logs/{name}.json", seconds)
    (tmp_path / "logs/train/a/seed0/gen1.json").write_text("{")
    patterns = {rule: f"{tmp_path}/{log}" for rule, (_, log) in RULES.items() if log}
    found = earlier_seconds(patterns)
    assert {rule: sorted(seconds) for rule, seconds in found.items()} == {
        "image_table": [],
        "train": [3, 5],
        "plot_training": [7],
        "evaluate": [],
    }


def test_show_prints_what_is_there(tmp_path, capsys):
    results = tmp_path / "results"
    write_run(results, "city", "a", recall=0.5, low=0.25, high=0.75)
    write_run(results, "city", "b", recall=0.25, low=0, high=0.5, descriptor="raw")
    write_run(results / "experiments/x", "town", "a", rerank="qe", protocol="5 m")
    (results / "report.html").touch()
    assert main(["show", str(results)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "city: 10 m, 1300 queries; recall in %, [95 % interval]"
    assert "city  a seed 0, whitened: R@1 50.0 [25.0, 75.0]  R@5 50.0" in lines
    assert lines[-2:] == [f"page: {results}/report.html", f"another experiment: {results}/experiments/x"]
    assert main(["show", str(results / "experiments/x")]) == 0
    assert ", qe: R@1" in capsys.readouterr().out
    assert main(["show", str(tmp_path)]) == 1
    assert "has no recalls yet" in capsys.readouterr().err
    assert main_line(results / "city/a/seed0/gen0/recalls.csv") == "city  a seed 0: R@1 50.0 [25.0, 75.0]  R@5 50.0"


def test_show_needs_neither_torch_nor_pandas(tmp_path):
    write_run(tmp_path, "city", "a")
    code = f"from vprlib.__main__ import main; main(['show', {str(tmp_path)!r}]); import sys; "
    code += "sys.exit([name for name in ('torch', 'pandas', 'numpy', 'pydantic') if name in sys.modules] or 0)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
