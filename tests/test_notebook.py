"""The notebook runs as it is, on what the demo leaves, and shows the recalls of the workflow."""

import json
import re
import shutil
import subprocess
import sys

import pandas as pd

from tests.helpers.workflow import ENVIRONMENT, ROOT, RUN

NOTEBOOK = "docs/tutorials/explore.ipynb"


def text_of(cell):
    parts = [output.get("text", output.get("data", {}).get("text/plain", [])) for output in cell["outputs"]]
    return "".join("".join(part) for part in parts)


def test_the_notebook_shows_the_recalls_of_the_workflow(done):
    (done / "results/models/tiny_netvlad").symlink_to("netvlad")
    shutil.copy(ROOT / NOTEBOOK, done / "explore.ipynb")
    command = [sys.executable, ROOT / "docs/notebook.py", "explore.ipynb"]
    subprocess.run(command, cwd=done, check=True, env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)})
    before, after = (json.loads(path.read_text()) for path in (ROOT / NOTEBOOK, done / "explore.ipynb"))
    ran = [cell for cell in after["cells"] if cell["cell_type"] == "code"]
    assert len(ran) == 10
    shown = next(text_of(cell) for cell in ran if "recall_intervals(" in "".join(cell["source"]))
    table = pd.read_csv(done / RUN.format("city") / "recalls.csv")
    wanted = table[table.descriptor == "raw"]
    for line, row in zip(shown.splitlines(), wanted.itertuples(), strict=True):
        values = [float(value) for value in re.findall(r"[\d.]+", line)]
        assert [values[0], *values[1:]] == [
            row.k,
            *(float(f"{100 * value:.1f}") for value in (row.recall, row.low, row.high)),
        ]
    pictures = [output for cell in ran for output in cell["outputs"] if "image/png" in output.get("data", {})]
    assert len(pictures) == 2
    for cells in (before["cells"], after["cells"]):  # what is stored in the repository was run in order, too
        numbers = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
        assert numbers == list(range(1, 11))
