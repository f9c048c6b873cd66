"""Benchmarks of the report page of a large experiment: the time to build it, its size, and its speed in a browser."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Row, Size
from tests.helpers.chromium import chromium, installed, open_page


class Experiment(NamedTuple):
    """The size of a synthetic experiment."""

    runs: int
    datasets: int
    queries: int  # of each dataset
    database: int  # images of each dataset
    photo: tuple[int, int] = (640, 480)  # width and height, pixels


EXPERIMENTS = {
    "toy": Experiment(2, 1, 40, 60, (64, 48)),
    "normal": Experiment(10, 5, 800, 1000),
    "full": Experiment(10, 5, 8000, 10_000),
}
# milliseconds from a changed filter to the frame that shows its effect
REACTION = """async ([name, value]) => {
  const field = document.querySelector("#explorer-filters").elements[name];
  const count = document.querySelector("#explorer-count");
  const start = performance.now();
  field.value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [performance.now() - start, count.textContent];
}"""
FILTERS = [("a_is", "right"), ("b_is", "wrong"), ("least", "0"), ("order", "own"), ("condition0", "1"), ("text", "77")]
FILTERS += [("a", "3"), ("b_is", ""), ("text", ""), ("condition0", ""), ("a_is", ""), ("order", "worst")]
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
BLANK = "<!doctype html><html data-ready><title>blank</title><p>blank</p></html>"


def report(size: Size) -> Iterator[Row]:
    """Measure the page of an experiment with two kinds of descriptors; two runs have three seeds.

    A process of its own writes the experiment, which takes minutes in the full size, and builds the page. The limit of
    the time is reading the experiment's files and writing as many bytes as the page has; that of the page's first
    paint is the paint of a blank page.
    """
    experiment = EXPERIMENTS[size]
    text = f"{experiment.runs} runs, {experiment.datasets} x {experiment.queries} queries"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.report", folder, size]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        built = json.loads(process.stdout.splitlines()[-1])
        seconds, gb, mb = built["seconds"], built["gb"], built["mb"]
        row = Row("report", text, seconds, "s", built["limit"], seconds / built["limit"])
        row.target, row.ok = "<= 90 s", seconds <= 90
        yield row
        row = Row("report memory", "of the whole process; limit: before", gb, "GB", built["gb_before"])
        row.target, row.ok = "<= 2 GB", gb <= 2
        yield row
        row = Row("report size", "of the page; limit: setting", mb, "MB", built["megabytes"])
        row.target, row.ok = f"<= {row.limit:g} MB", mb <= built["megabytes"]
        yield row
        if installed():
            yield from browser_rows(Path(folder), text)


def browser_rows(folder: Path, text: str) -> Iterator[Row]:
    """Measure the first paint of the page, and the slowest reaction of its failure explorer to a filter.

    Args:
        folder: the experiment's folder, with the page.
        text: the size of the experiment, for the rows.
    """
    (folder / "blank.html").write_text(BLANK)
    with chromium() as browser:
        blank, _ = open_page(browser, folder / "blank.html")
        limit = blank.evaluate(PAINT) / 1e3
        page, _ = open_page(browser, folder / "results/report.html")
        paint = page.evaluate(PAINT) / 1e3
        row = Row("report first paint", f"{text}; limit: blank", paint, "s", limit, paint / limit)
        row.target, row.ok = "<= 2 s", paint <= 2
        yield row
        page.evaluate("document.querySelector('#failures').scrollIntoView()")
        page.wait_for_selector("#explorer-list .row")
        page.evaluate("document.querySelector('#explorer-filters').elements.whole.click()")
        reactions = [page.evaluate(REACTION, change)[0] for change in FILTERS]
        slowest, name = max(zip(reactions, (name for name, _ in FILTERS), strict=True))
        text = f"slowest of {len(FILTERS)}: {name}"
        yield Row("report filter", text, slowest, "ms", target="<= 200 ms", ok=slowest <= 200)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write an experiment into a folder and build its page; print the measurements as JSON.

    Args:
        arguments: the folder and the size; by default those of the command line.
    """
    from tests.helpers import experiment_files as campaign
    from vprlib.report.page import build_page

    path, size = sys.argv[1:] if arguments is None else arguments
    folder, experiment, megabytes = Path(path), EXPERIMENTS[size], 30
    datasets = [f"town_{number}" for number in range(experiment.datasets)]
    runs = [f"run_{number}" for number in range(experiment.runs)]
    made = campaign.make_campaign(
        folder,
        runs=runs,
        names=datasets,
        queries=experiment.queries,
        database=experiment.database,
        size=experiment.photo,
        checked=False,
        kinds=("raw", "whitened"),
        seeds={runs[1]: 3, runs[-1]: 3},
        stricter={datasets[-1]: 10},
    )
    inputs = [file for file in made.results.rglob("*") if file.is_file()]
    before = peak_gb(resource.getrusage(resource.RUSAGE_SELF))
    page = folder / "results/report.html"
    start = time.perf_counter()
    size_bytes = build_page(page, made, megabytes=megabytes)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    for file in inputs:
        file.read_bytes()
    (folder / "copy").write_bytes(bytes(size_bytes))
    limit = time.perf_counter() - start
    after = peak_gb(resource.getrusage(resource.RUSAGE_SELF))
    measured = {"seconds": seconds, "limit": limit, "gb": after, "gb_before": before}
    print(json.dumps(measured | {"mb": size_bytes / 1e6, "megabytes": megabytes}))


def peak_gb(usage: resource.struct_rusage) -> float:
    """Return the largest resident memory of a process in GB."""
    return usage.ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
