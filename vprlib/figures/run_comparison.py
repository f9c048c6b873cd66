"""Plot recall@1 of all runs and datasets as bars, beside published results."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import published_labels, summarize_recalls
from vprlib.figures.style import (
    COLUMN,
    DARK,
    GREY,
    LIGHT,
    LINE,
    PAGE,
    OutputPaths,
    count_lines,
    dataset_title,
    save_figure,
    split_by_protocol,
    stack_panels,
    wrap,
)

PANEL, NAME = 1.15, 2.6  # inches: the widths of a panel of bars with their numbers, and of the names of the rows


def plot_comparison(out: OutputPaths, tables: Sequence[pd.DataFrame], published: pd.DataFrame) -> Figure:
    """Draw recall@1 (or at the smallest k) as bars: a column per dataset and protocol, a row per series.

    The series are of each run's last generation. Below them, published recalls of the same dataset and protocol are
    drawn as marks only.

    Args:
        out: the figure's files.
        tables: a table of recalls for each dataset.
        published: the table of `compare_with_published`; only its rows with the `origin` `published` are drawn.
    """
    parts = [part for table in tables for part in split_by_protocol(table)]
    k = min(part.k.min() for part in parts)
    candidates = published[(published.origin == "published") & (published.k == k)]
    panels = []
    for part in parts:
        row = part.iloc[0]
        same = candidates[(candidates.dataset == row.dataset) & (candidates.protocol == row.protocol)]
        marks = dict(zip(published_labels(same), same.recall * 100, strict=True))
        rows = last_generations(summarize_recalls(part[part.k == k])).set_index("label")
        panels.append((dataset_title(part, PANEL), rows, marks))
    ours = list(dict.fromkeys(label for _, rows, _ in panels for label in rows.index))
    theirs = list(dict.fromkeys(label for *_, marks in panels for label in marks))
    lines = "\n".join(wrap(name, NAME) for name in [*ours, *theirs]).split("\n")
    margin = max(map(len, lines)) / 16.5 + 0.2
    abreast = int((PAGE - margin) / PANEL)
    strips = [panels[i : i + abreast] for i in range(0, len(panels), abreast)]
    places = [row_positions(ours, [label for *_, marks in strip for label in marks]) for strip in strips]
    heights = [
        LINE * (1.2 * (max(place.values()) + 1) + max(count_lines(head) for head, *_ in strip) + 2.5)
        for strip, place in zip(strips, places, strict=True)
    ]
    width = max(COLUMN, margin + PANEL * len(strips[0]))
    with save_figure(out, width, sum(heights) + 2 * LINE) as fig:
        *subfigures, note = stack_panels(fig, [*heights, 2 * LINE])
        for subfigure, strip, place in zip(subfigures, strips, places, strict=True):
            axes = subfigure.subplots(1, len(strips[0]), squeeze=False)[0]
            for ax in axes[len(strip) :]:
                ax.set_axis_off()
            for ax, (head, rows, marks) in zip(axes, strip, strict=False):
                draw_bars(ax, rows, marks, place, len(ours))
                ax.set(title=head, xlabel=f"recall@{k} (%)")
            axes[0].set_yticklabels([wrap(name, NAME) for name in place])
        text = "black lines: 95 % intervals; dotted: chance"
        text += "; diamonds: published, measured by others" * bool(theirs)
        note.text(0.01, 0.5, wrap(text, width), va="center")
    return fig


def row_positions(ours: list[str], theirs: list[str]) -> dict[str, float]:
    """Return the vertical middle of each name's row, in lines; a gap separates our names from the published ones."""
    names = [*ours, *dict.fromkeys(theirs)]
    lines = np.array([count_lines(wrap(name, NAME)) for name in names])
    return dict(zip(names, np.cumsum(lines) - lines / 2 + (np.arange(len(names)) >= len(ours)), strict=True))


def draw_bars(ax: Axes, rows: pd.DataFrame, marks: dict[str, float], places: dict[str, float], first: int) -> None:
    """Draw one panel of `plot_comparison`.

    Args:
        ax: the panel.
        rows: our recalls in percent, by label; drawn as bars.
        marks: the published recalls in percent, by label; drawn as diamonds.
        places: the middle of each label's row (`row_positions`).
        first: number of our labels, which come first in `places`.
    """
    for number, (label, y) in enumerate(places.items()):
        if label in rows.index:
            row = rows.loc[label]
            ax.barh(y, row.recall, 0.7, color=LIGHT if row.descriptor == "raw" else DARK)
            ax.hlines(y, row.low, row.high, color="black", linewidth=1)
            ax.text(105, y, f"{row.recall:.1f}", va="center")
        elif label in marks:
            ax.plot(marks[label], y, "D", color="black", markerfacecolor="white", clip_on=False)
            ax.text(105, y, f"{marks[label]:.1f}", va="center")
        elif number < first:
            ax.text(4, y, "not evaluated", va="center", color=GREY)
    ax.axvline(rows.chance.mean(), color=GREY, linestyle=":", linewidth=1)
    ax.set(xlim=(0, 100), ylim=(max(places.values()) + 0.7, 0), xticks=(0, 50, 100))
    ax.set_yticks(list(places.values()), [""] * len(places))
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
