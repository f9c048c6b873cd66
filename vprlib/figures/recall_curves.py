"""Plot recall@N over N, and recall@1 over the hit radius, from tidy tables only."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vprlib.data.listed_positives import LISTED
from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import summarize_recalls
from vprlib.figures.style import (
    COLUMN,
    GREY,
    LINE,
    OutputPaths,
    band_alpha,
    count_lines,
    dataset_title,
    line_styles,
    save_figure,
    split_by_protocol,
    stack_panels,
    wrap,
)


def plot_recalls(out: OutputPaths, table: pd.DataFrame) -> Figure:
    """Draw recall@N over N of one dataset: a panel per protocol, a line per series of each run's last generation."""
    panels = []
    for part in split_by_protocol(table):
        rows, title = last_generations(summarize_recalls(part)), dataset_title(part)
        lines = [line.sort_values("k") for _, line in rows.groupby("label", sort=False)]
        lines.sort(key=lambda line: -line.recall.iloc[0])
        names = [wrap(f"{line.recall.iloc[0]:.1f}  {line.label.iloc[0]}", COLUMN - 0.65) for line in lines]
        height = 2.6 + LINE * (count_lines("\n".join([*names, title])) + 2)
        panels.append((height, title, rows, dict(zip(names, lines, strict=True))))
    heights = [height for height, *_ in panels]
    with save_figure(out, COLUMN, sum(heights)) as fig:
        for panel, (_, title, rows, lines_by_name) in zip(stack_panels(fig, heights), panels, strict=True):
            panel.suptitle(title)
            draw_recall_lines(panel.subplots(), rows, lines_by_name)
            k = rows.k.min()
            panel.legend(title=f"recall@{k} (%); bands: 95 % intervals", alignment="left", loc="outside lower left")
    return fig


def draw_recall_lines(ax: Axes, rows: pd.DataFrame, lines: dict[str, pd.DataFrame]) -> None:
    """Draw the lines of one panel of `plot_recalls`.

    Args:
        ax: the panel.
        rows: the rows of all lines.
        lines: {name in the legend: rows of the line}.
    """
    ks, styles = sorted(rows.k.unique()), line_styles(rows)
    for name, line in lines.items():
        style = styles[line.label.iloc[0]]
        ax.plot(line.k, line.recall, **style, label=name)
        if len(ks) > 1:
            ax.fill_between(line.k, line.low, line.high, color=style["color"], linewidth=0, alpha=band_alpha(lines))
        else:
            ax.vlines(line.k, line.low, line.high, color=style["color"])
    chance = rows.groupby("k").chance.mean()
    ax.plot(chance, color=GREY, linestyle=":", marker="_", label=f"{chance.iloc[0]:.1f}  chance")
    ax.set(xscale="log", xlabel="N, number of candidates", ylabel="recall@N (%)")
    ax.set(xlim=(ks[0] / 1.15, ks[-1] * 1.15), ylim=(0, min(102, 1.1 * rows[["high", "chance"]].max().max())))
    spacing = (ks[-1] / ks[0]) ** 0.08  # the labels of ks with a smaller ratio would touch
    ax.set_xticks(ks, [str(k) if after >= k * spacing else "" for k, after in zip(ks, [*ks[1:], np.inf], strict=True)])
    ax.minorticks_off()


def plot_thresholds(out: OutputPaths, table: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw recall@1 over the hit radius of one dataset: a panel per protocol, a line per series of last generations.

    Args:
        out: the figure's files.
        table: recalls by radius (`recall_by_threshold`).
        summary: the summary rows of `precision_recall_tables`, for the numbers of queries.
    """
    queries = summary.groupby("protocol").queries.max()
    parts = [part for _, part in table.groupby("protocol", sort=False)]
    panels = [(part.iloc[0], last_generations(summarize_recalls(part, "threshold"))) for part in parts]
    heights = [2.6 + LINE * (rows.label.nunique() + 4) for _, rows in panels]
    with save_figure(out, COLUMN, sum(heights)) as fig:
        for panel, (first, rows) in zip(stack_panels(fig, heights), panels, strict=True):
            radius, styles = nearest_value(rows.threshold, first.radius), line_styles(rows)
            ax = panel.subplots()
            ranked = rows[rows.threshold == radius].sort_values("recall", ascending=False, kind="stable")
            for label, recall in zip(ranked.label, ranked.recall, strict=True):
                line, style = rows[rows.label == label], styles[label] | {"markevery": 0.2}
                ax.plot(line.threshold, line.recall, **style, label=wrap(f"{recall:.1f}  {label}", COLUMN - 0.65))
                ax.fill_between(
                    line.threshold, line.low, line.high, color=style["color"], alpha=band_alpha(ranked), linewidth=0
                )
            ax.axvline(first.radius, color=GREY, linestyle=":")
            ax.set(xscale="log", xlabel=f"hit radius ({first.unit}); dotted: the protocol's", ylabel="recall@1 (%)")
            ax.set(xlim=(rows.threshold.min(), rows.threshold.max()), ylim=(0, min(102, 1.1 * rows.high.max())))
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
            ax.minorticks_off()
            setting = f"{queries[first.protocol]:,} queries; {first.protocol}"
            panel.suptitle(f"{first.dataset}\n{wrap(setting, COLUMN)}")
            at = "of listed positives" if first.unit == LISTED else f"at {radius:g} {first.unit}"
            title = f"recall@1 (%) {at}; bands: 95 % intervals"
            panel.legend(title=title, alignment="left", loc="outside lower left")
    return fig


def nearest_value(values: Iterable[float], wanted: float) -> float:
    """Return the value nearest to `wanted`, the smaller one of two equally near ones."""
    return min(set(values), key=lambda value: (abs(value - wanted), value))
