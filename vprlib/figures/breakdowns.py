"""Plot how recalls depend on the generation, the seed and the condition of the queries."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.recall_table import ALL
from vprlib.evaluation.series import SERIES_KEY, add_series_labels, summarize_recalls, summarize_seeds
from vprlib.figures.run_comparison import NAME
from vprlib.figures.style import (
    COLUMN,
    DARK,
    GREY,
    LINE,
    REPORT,
    SHARES,
    OutputPaths,
    Style,
    band_alpha,
    count_lines,
    empty_panel,
    line_styles,
    protocol_title,
    save_figure,
    split_by_protocol,
    stack_panels,
    use_integer_ticks,
    wrap,
)

CELL = 0.34  # inches: the side of a cell of the heat map


def plot_generations(out: OutputPaths, table: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw recall@1 and recall@5 (or at the smallest two k) over the generation: a line per run that has several."""
    parts = split_by_protocol(table)
    with_several = [part[part.groupby("run").gen.transform("nunique") > 1] for part in parts]
    ks = sorted(k for k in table.k.unique() if k in (1, 5)) or sorted(table.k.unique())[:2]
    rows = [summarize_recalls(part) for part in with_several]
    rows = [lines.assign(label=add_series_labels(lines.assign(gen=0)).label) for lines in rows]
    styles = [line_styles(add_series_labels(part.assign(gen=0))) for part in parts]
    heads = [protocol_title(part, parts, style) for part in parts]
    heights = [
        1.7 * len(ks) + LINE * (lines.label.nunique() + count_lines(head) + 3)
        for lines, head in zip(rows, heads, strict=True)
    ]
    with save_figure(out, COLUMN, sum(heights), style=style) as fig:
        for panel, head, lines, panel_styles in zip(stack_panels(fig, heights), heads, rows, styles, strict=True):
            panel.suptitle(head)
            axes = panel.subplots(len(ks), sharex=True, squeeze=False)[:, 0]
            for ax, k in zip(axes, ks, strict=True):
                draw_generation_lines(ax, lines[lines.k == k], panel_styles)
                ax.set_ylabel(f"recall@{k} (%)")
                if lines.empty:
                    empty_panel(ax, "no run has several generations")
            axes[-1].set_xlabel("generation")
            if len(lines):
                title = style.caption("bands: 95 % intervals") or None
                panel.legend(
                    *axes[0].get_legend_handles_labels(), title=title, alignment="left", loc="outside lower left"
                )
    return fig


def draw_generation_lines(ax: Axes, rows: pd.DataFrame, styles: dict[str, dict[str, Any]]) -> None:
    """Draw the lines of one panel of `plot_generations`, all of one k."""
    alpha = band_alpha(rows.label.unique())
    for label, line in rows.groupby("label", sort=False):
        line = line.sort_values("gen")
        style = styles[str(label)]
        ax.plot(line.gen, line.recall, **style, label=wrap(str(label), COLUMN - 0.65))
        ax.fill_between(line.gen, line.low, line.high, color=style["color"], linewidth=0, alpha=alpha)
    use_integer_ticks(ax.xaxis)


def plot_seeds(out: OutputPaths, table: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw recall@1 (or at the smallest k) of every seed, their mean, and its 95 % interval over queries and seeds."""
    parts = [part[part.k == part.k.min()] for part in split_by_protocol(table)]
    rows = [last_generations(add_series_labels(part)) for part in parts]
    names = [[wrap(label, NAME) for label in part.label.unique()] for part in rows]
    heads = [protocol_title(part, parts, style) for part in parts]
    tall = [max(1.25, *map(count_lines, labels)) * LINE * len(labels) for labels in names]
    heights = [high + LINE * (count_lines(head) + 2.5) for high, head in zip(tall, heads, strict=True)]
    width = min(style.page, max(COLUMN, 1.8 + label_margin(names)))
    text = wrap(
        style.caption("circles: seeds; black: their mean; grey: its 95 % interval over queries and seeds"), width
    )
    below = LINE * (0.5 + count_lines(text))
    with save_figure(out, width, sum(heights) + below, style=style) as fig:
        *panels, note = stack_panels(fig, [*heights, below])
        for panel, part, head, labels in zip(panels, rows, heads, names, strict=True):
            panel.suptitle(head)
            ax = panel.subplots()
            for y, (_, seeds) in enumerate(part.groupby("label", sort=False)):
                mean = summarize_seeds(seeds)
                ax.hlines(y, 100 * mean["low"], 100 * mean["high"], color=GREY)
                ax.plot(100 * mean["recall"], y, "|", color="black", markersize=9)
                ax.plot(seeds.recall * 100, [y] * len(seeds), "o", color=DARK, markerfacecolor="none", linestyle="")
            ax.set_yticks(range(len(labels)), labels)
            ax.tick_params(axis="y", length=0)
            ax.set(ylim=(len(labels) - 0.4, -0.6), xlabel=f"recall@{part.k.iloc[0]} (%)")
            ax.margins(x=0.08)
            ax.set_xlim(max(0, ax.get_xlim()[0]), min(100, ax.get_xlim()[1]))
        note.text(0.01, 0.5, text, va="center")
    return fig


def label_margin(names: Sequence[Sequence[str]]) -> float:
    """Return the width of the longest line of some lists of labels, in inches."""
    return max(len(line) for labels in names for name in labels for line in name.split("\n")) / 16.5 + 0.2


def plot_conditions(out: OutputPaths, table: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw recall@1 (or at the smallest k) by run and condition of the queries as a heat map: means over the seeds."""
    table = table[table.k == table.k.min()]
    means = table.groupby(["protocol", *SERIES_KEY, "condition"], sort=False).agg({"recall": "mean", "queries": "max"})
    grids = [
        last_generations(add_series_labels(rows)) for _, rows in means.reset_index().groupby("protocol", sort=False)
    ]
    names = [[wrap(label, NAME) for label in rows.label.unique()] for rows in grids]
    width = max(COLUMN, label_margin(names) + CELL * max(rows.condition.nunique() for rows in grids) + 0.2)
    parts = [table[(table.protocol == rows.protocol.iloc[0]) & (table.condition == ALL)] for rows in grids]
    heads = [protocol_title(part, parts, style, width) for part in parts]
    text = f"recall@{table.k.iloc[0]} (%), number of queries in brackets; light is more"
    if (table.condition == ALL).all():
        text = "no conditions were evaluated: `evaluate.group_by` names columns"
    text = wrap(style.caption(text), width)
    note_height = LINE * (0.5 + count_lines(text))
    below = max(len(column) for rows in grids for column in condition_columns(rows)) / 15
    heights = [
        CELL * max(1, 0.55 * max(map(count_lines, labels))) * len(labels) + LINE * (count_lines(head) + 1) + below
        for labels, head in zip(names, heads, strict=True)
    ]
    with save_figure(out, width, sum(heights) + note_height, style=style) as fig:
        *panels, note = stack_panels(fig, [*heights, note_height])
        for panel, rows, head, labels in zip(panels, grids, heads, names, strict=True):
            panel.suptitle(head)
            draw_heat_map(panel.subplots(), rows, labels)
        note.text(0.01, 0.5, text, va="center")
    return fig


def condition_columns(rows: pd.DataFrame) -> list[str]:
    """Label the conditions, with the number of queries of each."""
    counts = rows.groupby("condition", sort=False).queries.max()
    return [f"{name} ({count:,})" for name, count in counts.items()]


def draw_heat_map(ax: Axes, rows: pd.DataFrame, names: list[str]) -> None:
    """Draw one heat map of `plot_conditions` with its numbers; an empty cell was not evaluated."""
    wide = rows.pivot(index="label", columns="condition", values="recall") * 100  # noqa: PD010 - nothing is aggregated
    wide = wide.loc[rows.label.unique(), rows.condition.unique()]
    ax.imshow(wide, cmap=SHARES, vmin=0, vmax=100, aspect="auto")
    for (row, column), percent in np.ndenumerate(wide.to_numpy()):
        if np.isfinite(percent):
            color = "white" if percent < 45 else "black"
            ax.text(column, row, f"{percent:.0f}", ha="center", va="center", color=color)
    ax.set_xticks(range(len(wide.columns)), condition_columns(rows), rotation=90)
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    ax.grid(visible=False)
