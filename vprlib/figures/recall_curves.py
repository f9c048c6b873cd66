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
    REPORT,
    OutputPaths,
    Style,
    band_alpha,
    count_lines,
    explain_bands,
    line_styles,
    lines_with_bands,
    percent_limits,
    protocol_title,
    save_figure,
    split_by_protocol,
    stack_panels,
    wrap,
)


def plot_recalls(out: OutputPaths, table: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw recall@N over N of one dataset: a panel per protocol, a line per series of each run's last generation.

    With many lines, only each run's main one has a band.
    """
    panels = []
    parts = split_by_protocol(table)
    for part in parts:
        rows, title = last_generations(summarize_recalls(part)), protocol_title(part, parts, style)
        lines = [line.sort_values("k") for _, line in rows.groupby("label", sort=False)]
        lines.sort(key=lambda line: -line.recall.iloc[0])
        names = [wrap(f"{line.recall.iloc[0]:.1f}  {line.label.iloc[0]}", COLUMN - 0.65) for line in lines]
        height = 2.6 + LINE * (count_lines("\n".join(names)) + count_lines(title) + 2)
        panels.append((height, title, rows, dict(zip(names, lines, strict=True))))
    heights = [height for height, *_ in panels]
    with save_figure(out, COLUMN, sum(heights), style=style) as fig:
        for panel, (_, title, rows, lines_by_name) in zip(stack_panels(fig, heights), panels, strict=True):
            panel.suptitle(title)
            draw_recall_lines(panel.subplots(), rows, lines_by_name)
            number = f"recall@{rows.k.min()} (%)"
            caption = style.caption(f"{number}; {explain_bands(line_styles(rows))}", number)
            panel.legend(title=caption, alignment="left", loc="outside lower left")
    return fig


def draw_recall_lines(ax: Axes, rows: pd.DataFrame, lines: dict[str, pd.DataFrame]) -> None:
    """Draw the lines of one panel of `plot_recalls`.

    Args:
        ax: the panel.
        rows: the rows of all lines.
        lines: {name in the legend: rows of the line}.
    """
    ks, styles = sorted(rows.k.unique()), line_styles(rows)
    banded = lines_with_bands(styles)
    for name, line in lines.items():
        style = styles[line.label.iloc[0]]
        ax.plot(line.k, line.recall, **style, label=name)
        if len(ks) == 1:
            ax.vlines(line.k, line.low, line.high, color=style["color"])
        elif line.label.iloc[0] in banded:
            ax.fill_between(line.k, line.low, line.high, color=style["color"], linewidth=0, alpha=band_alpha(banded))
    chance = rows.groupby("k").chance.mean()
    ax.plot(chance, color=GREY, linestyle=":", marker="_", label=f"{chance.iloc[0]:.1f}  chance")
    ax.set(xscale="log", xlabel="N, number of candidates", ylabel="recall@N (%)")
    ax.set(
        xlim=(ks[0] / 1.15, ks[-1] * 1.15), ylim=percent_limits(rows.low.min(), rows[["high", "chance"]].max().max())
    )
    spacing = (ks[-1] / ks[0]) ** 0.08  # the labels of ks with a smaller ratio would touch
    ax.set_xticks(ks, [str(k) if after >= k * spacing else "" for k, after in zip(ks, [*ks[1:], np.inf], strict=True)])
    ax.minorticks_off()


def plot_thresholds(out: OutputPaths, table: pd.DataFrame, summary: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw recall@1 over the hit radius of one dataset: a panel per protocol, a line per series of last generations.

    Args:
        out: the figure's files.
        table: recalls by radius (`recall_by_threshold`).
        summary: the summary rows of `precision_recall_tables`, for the numbers of queries.
        style: of the figure.
    """
    queries = summary.groupby("protocol").queries.max()
    parts = [part for _, part in table.groupby("protocol", sort=False)]
    panels = [(part.iloc[0], last_generations(summarize_recalls(part, "threshold"))) for part in parts]
    heights = [2.6 + LINE * (rows.label.nunique() + (4 if style.titles else 2)) for _, rows in panels]
    with save_figure(out, COLUMN, sum(heights), style=style) as fig:
        for panel, (first, rows) in zip(stack_panels(fig, heights), panels, strict=True):
            radius, styles = nearest_value(rows.threshold, first.radius), line_styles(rows)
            ax, banded = panel.subplots(), lines_with_bands(styles)
            ranked = rows[rows.threshold == radius].sort_values("recall", ascending=False, kind="stable")
            for label, recall in zip(ranked.label, ranked.recall, strict=True):
                line, look = rows[rows.label == label], styles[label] | {"markevery": 0.2}
                ax.plot(line.threshold, line.recall, **look, label=wrap(f"{recall:.1f}  {label}", COLUMN - 0.65))
                band = {"color": look["color"], "alpha": band_alpha(banded), "linewidth": 0}
                if label in banded:
                    ax.fill_between(line.threshold, line.low, line.high, **band)
            ax.axvline(first.radius, color=GREY, linestyle=":")
            unit = style.caption(f"{first.unit}); dotted: the protocol's", f"{first.unit})")
            ax.set(xscale="log", xlabel=f"hit radius ({unit}", ylabel="recall@1 (%)")
            limits = percent_limits(rows.low.min(), rows.high.max())
            ax.set(xlim=(rows.threshold.min(), rows.threshold.max()), ylim=limits)
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100], ["1", "2", "5", "10", "20", "50", "100"])
            ax.minorticks_off()
            setting = f"{queries[first.protocol]:,} queries; {first.protocol}"
            title = f"{first.dataset}\n{wrap(setting, COLUMN)}"
            panel.suptitle(style.caption(title, wrap(first.protocol, COLUMN) * (len(panels) > 1)))
            at = "of listed positives" if first.unit == LISTED else f"at {radius:g} {first.unit}"
            number = f"recall@1 (%) {at}"
            caption = style.caption(f"{number}; {explain_bands(styles)}", number)
            panel.legend(title=caption, alignment="left", loc="outside lower left")
    return fig


def nearest_value(values: Iterable[float], wanted: float) -> float:
    """Return the value nearest to `wanted`, the smaller one of two equally near ones."""
    return min(set(values), key=lambda value: (abs(value - wanted), value))
