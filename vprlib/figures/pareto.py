"""Plot recall@1 over the cost of a descriptor: bytes per image, dimensions, or search time."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vprlib.figures.style import (
    COLUMN,
    LINE,
    REPORT,
    OutputPaths,
    Style,
    count_lines,
    dataset_title,
    line_style,
    percent_limits,
    save_figure,
    wrap,
)

COSTS = {"bytes": "bytes per image", "dim": "dimensions", "search_ms": "ms per query"}
FORMS = {"float32": "float32", "float16": "float16", "int8": "int8", "pq": "PQ", "binary": "binary"}


def plot_pareto(out: OutputPaths, table: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw recall@1 over the cost of a descriptor, and the Pareto front: the best recall at each cost.

    There is a row of panels per run, a column per cost, a line per storage, and a point per dimension.
    """
    table = table[table.k == table.k.min()]
    groups = table.groupby(["run", "compression", "dim"], sort=False)[["bytes", "search_ms", "recall", "low", "high"]]
    rows = groups.mean().reset_index()
    runs, storages = list(rows.run.unique()), list(rows.compression.unique())
    title = style.caption(dataset_title(table))
    half = (rows.high - rows.low).max() * 50
    text = f"points of a line: dimensions; 95 % intervals: at most ± {half:.1f}; times of all threads of one machine"
    text = wrap(style.caption(text), COLUMN)
    height = 1.6 * len(runs) + LINE * (count_lines(title) + count_lines(text) + 4)
    with save_figure(out, COLUMN, height, style=style) as fig:
        fig.suptitle(title)
        grid = fig.subplots(len(runs), len(COSTS), sharex="col", sharey=True, squeeze=False)
        for (line, column), ax in np.ndenumerate(grid):
            part, cost = rows[rows.run == runs[line]], list(COSTS)[column]
            draw_cost_panel(ax, part, cost, storages)
            ax.set(ylabel=f"recall@{table.k.min()} (%)" if column == 0 else "")
            ax.set_title("" if column else runs[line])
        for ax, words in zip(grid[-1], COSTS.values(), strict=True):
            ax.set_xlabel(words)
        grid[0, 0].set_ylim(percent_limits(100 * rows.recall.min(), 100 * rows.recall.max()))
        fig.align_xlabels(grid[-1])
        handles, labels = grid[0, 0].get_legend_handles_labels()
        legend: dict[str, Any] = {"title": text or None, "ncols": 3, "handlelength": 2, "columnspacing": 1}
        fig.legend(handles, labels, **legend, alignment="left", loc="outside lower left")
    return fig


def draw_cost_panel(ax: Axes, rows: pd.DataFrame, cost: str, storages: list[str]) -> None:
    """Draw one panel of `plot_pareto`."""
    front = rows.sort_values([cost, "recall"], ascending=[True, False])
    front = front[front.recall > front.recall.cummax().shift(fill_value=-1)]
    best: dict[str, Any] = {"color": "black", "linewidth": 4, "alpha": 0.12, "label": "best at its cost"}
    ax.step(front[cost], front.recall * 100, where="post", **best)
    for number, storage in enumerate(storages):
        line = rows[rows.compression == storage].sort_values("dim")
        ax.plot(line[cost], line.recall * 100, label=FORMS[storage], **line_style(number))
    ax.set_xscale("log", base=4 if cost == "dim" else 10)
    if cost != "dim" and rows[cost].max() < 50 * rows[cost].min():  # few powers of ten, so label ticks between them
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.tick_params(axis="x", labelrotation=45)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
