"""Run a notebook and keep what its cells show, and turn a notebook into a page of the site.

    python docs/notebook.py docs/tutorials/explore.ipynb

It runs in the working folder. Jupyter is not needed; a notebook that it ran opens there as any other.
"""

import ast
import base64
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def run_cells(cells: list[Cell]) -> None:
    """Run the code cells in one namespace, in order, and set their outputs: text, the last value and figures."""
    import matplotlib

    matplotlib.use("agg")
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate((cell for cell in cells if cell["cell_type"] == "code"), 1):
        cell["execution_count"], cell["outputs"] = number, run_code("".join(cell["source"]), namespace, number)


def run_code(source: str, namespace: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Run one cell and return its outputs, as the format of notebooks has them."""
    import matplotlib.pyplot as plt

    *body, last = ast.parse(source).body
    printed, value = io.StringIO(), None
    with redirect_stdout(printed):
        shows = isinstance(last, ast.Expr)
        exec(compile(ast.Module([*body, *([] if shows else [last])], []), f"cell {number}", "exec"), namespace)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), namespace)
    outputs: list[dict[str, Any]] = []
    if text := printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
    if value is not None and not plt.get_fignums():
        data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append({"output_type": "execute_result", "execution_count": number, "data": data, "metadata": {}})
    for figure in plt.get_fignums():
        data = {"image/png": base64.b64encode(draw_small(plt.figure(figure))).decode()}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    plt.close("all")
    return outputs


def draw_small(figure: Any) -> bytes:
    """Return a figure as PNG of 256 colours, because notebooks are kept in the repository."""
    from PIL import Image

    whole, small = io.BytesIO(), io.BytesIO()
    figure.savefig(whole, format="png", dpi=80, bbox_inches="tight")
    Image.open(whole).convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()


def to_markdown(text: str) -> str:
    """Turn a notebook into Markdown, with the outputs that it holds."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if shown := "".join(output.get("text", data.get("text/plain", ()))):
                parts.append(f"```text\n{shown.rstrip()}\n```")
            if "image/png" in data:
                parts.append(f"![figure](data:image/png;base64,{data['image/png']})")
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        notebook = json.loads(Path(name).read_text(encoding="utf-8"))
        run_cells(notebook["cells"])
        Path(name).write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
