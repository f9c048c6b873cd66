"""The report page of a large campaign: how long it takes to write, and how quick it is in a browser."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chromium import chromium, installed, opened
from benchmarks.measure import Row

RUNS, DATASETS, QUERIES, DATABASE = 10, 5, 8000, 10_000
# milliseconds from a changed filter to the frame that shows it
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


def report(full: bool):
    """Ten runs, two of three seeds, on five datasets of 8,000 queries, one of two protocols, by two kinds of
    descriptors; a tenth of the queries unless `full`. Making them takes minutes."""
    queries, database = (QUERIES, DATABASE) if full else (QUERIES // 10, DATABASE // 10)
    size = f"{RUNS} runs, {DATASETS} datasets of {queries} queries"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.report", folder, str(queries), str(database)]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        built = json.loads(done.stdout.splitlines()[-1])
        yield Row("report", size, built["seconds"], "s", target="<= 90 s", ok=built["seconds"] <= 90)
        yield Row("report memory", "of the whole process", built["gb"], "GB", target="<= 2 GB", ok=built["gb"] <= 2)
        yield Row("report size", "the page", built["mb"], "MB", target="<= 30 MB", ok=built["mb"] <= 30)
        if installed():
            yield from browsed(Path(folder) / "results/report.html", size)


def browsed(page: Path, size: str):
    """First paint, and the slowest reaction of the failure explorer to a filter."""
    with chromium() as browser:
        tab, _ = opened(browser, page)
        paint = tab.evaluate(PAINT) / 1e3
        yield Row("report first paint", size, paint, "s", target="<= 2 s", ok=paint <= 2)
        tab.evaluate("document.querySelector('#failures').scrollIntoView()")
        tab.wait_for_selector("#explorer-list .row")
        tab.evaluate("document.querySelector('#explorer-filters').elements.whole.click()")
        reactions = [tab.evaluate(REACTION, filter)[0] for filter in FILTERS]
        slowest, name = max(zip(reactions, (name for name, _ in FILTERS), strict=True))
        yield Row(
            "report filter", f"slowest of {len(FILTERS)}: {name}", slowest, "ms", target="<= 200 ms", ok=slowest <= 200
        )


def main(folder: Path, queries: int, database: int):
    """Make a campaign and its page; tell what the page took, in a process of its own for the memory's sake."""
    import resource

    from benchmarks import campaign
    from vprlib.report.page import build_page

    names = [f"town_{number}" for number in range(DATASETS)]
    runs = [f"run_{number}" for number in range(RUNS)]
    varied = {"kinds": ("raw", "whitened"), "seeds": {runs[1]: 3, runs[-1]: 3}, "stricter": {names[1]: 10}}
    made = campaign.made(folder, runs=runs, names=names, queries=queries, database=database, checked=False, **varied)
    start = time.perf_counter()
    size = build_page(folder / "results/report.html", made)
    took = {"seconds": time.perf_counter() - start, "mb": size / 1e6}
    print(json.dumps(took | {"gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
