"""What a user sees in the terminal: the plan in ten lines, a line for each job, the recalls of each finished run."""

import re

from tests.helpers.workflow import RUN, snakemake

RULES = ("render_city 2", "train 2", "extract_descriptors 8", "search 4", "plot_gallery 4", "build_report 1")


def test_a_dry_run_is_ten_lines_and_an_option_prints_the_paragraphs(tmp_path):
    status, text = snakemake(tmp_path, "--dry-run", "all", own_lines=False)
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Using profile")]
    assert status == 0
    assert len(lines) <= 10, text
    assert lines[0] == "54 jobs to do"
    assert [line.split()[0] for line in lines[1:6]] == ["data", "train", "evaluate", "plots", "report"]
    assert not [rule for rule in RULES if rule not in text]
    assert "rule train:" in snakemake(tmp_path, "--dry-run", "all")[1]


def test_a_finished_run_says_its_recalls_and_all_the_summary(done):
    target = RUN.format("city") + "/recalls.csv"
    (done / target).unlink()
    (done / "results/report.html").unlink()
    status, text = snakemake(done, "all", own_lines=False)
    assert status == 0, text
    assert "params changed" not in text
    recalls = re.search(r"^1 of 7  evaluate city netvlad 0 0 .*\n  (.*)$", text, re.MULTILINE)[1]
    number = r"\d+\.\d"
    line = rf"city  netvlad seed 0: R@1 {number} \[{number}, {number}\]  R@5 {number}  R@10 {number}  R@20 {number}"
    assert re.fullmatch(line, recalls)
    summary = text[text.index("7 of 7") :]
    assert "city  vlad seed 0, raw: R@1" in summary
    assert "city_night  netvlad seed 0, whitened: R@1" in summary
    assert "page: results/report.html" in summary
    assert "rule evaluate" not in text
    log = max((done / ".snakemake/log").glob("*.log"), key=lambda path: path.stat().st_mtime_ns)
    assert "rule evaluate:" in log.read_text(), "the whole log is kept"
