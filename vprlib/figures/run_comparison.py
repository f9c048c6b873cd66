"""Plot recall@1 of all runs and datasets as bars, beside published results."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import published_labels, summarize_recalls
from vprlib.figures.style import (
    COLUMN,
    DARK,
    GREY,
    LIGHT,
    LINE,
    REPORT,
    OutputPaths,
    Style,
    count_lines,
    dataset_title,
    save_figure,
    split_by_protocol,
    stack_panels,
    wrap,
)

PANEL, NARROW, NAME = 1.6, 1.1, 1.6  # inches: the width of a panel of bars, its least, and that of the rows' names
NUMBER = 0.33  # inches: the width of a recall, printed behind its bar
BARS = {"raw": LIGHT, "whitened": DARK}


class Panel(NamedTuple):
    """The bars of one dataset under one protocol."""

    title: str
    rows: pd.DataFrame  # our recalls in percent, a row per series
    marks: dict[str, float]  # published recalls in percent, by label


def plot_comparison(
    out: OutputPaths, tables: Sequence[pd.DataFrame], published: pd.DataFrame, style: Style = REPORT
) -> Figure:
    """Draw recall@1 (or at the smallest k) as bars: a column per dataset and protocol, a row per run.

    A row has a bar for each kind of descriptor of the run's last generation. Below the runs, published recalls of the
    same dataset and protocol are drawn as marks only. All panels have the same axis, which ends where the recalls do.

    Args:
        out: the figure's files.
        tables: a table of recalls for each dataset.
        published: the table of `compare_with_published`; only its rows with the `origin` `published` are drawn.
        style: of the figure.
    """
    parts = [part for table in tables for part in split_by_protocol(table)]
    k = min(part.k.min() for part in parts)
    panels = [comparison_panel(part, published, k, style) for part in parts]
    ours = pd.concat([panel.rows for panel in panels])
    methods = list(dict.fromkeys(ours.method))
    theirs = list(dict.fromkeys(label for panel in panels for label in panel.marks))
    margin = max(len(line) for name in [*methods, *theirs] for line in wrap(name, NAME).split("\n")) / 16.5 + 0.2
    room = style.page - margin
    abreast = min(len(panels), max(1, int(room / (PANEL if PANEL * len(panels) <= room else NARROW))))
    size = min(PANEL, room / abreast) if abreast > 1 else max(PANEL, COLUMN - margin)
    top = max(ours.high.max(), *(value for panel in panels for value in panel.marks.values()), 1) * size
    strips = [panels[i : i + abreast] for i in range(0, len(panels), abreast)]
    places = [row_positions(ours, methods, [name for panel in strip for name in panel.marks]) for strip in strips]
    heights = [
        LINE * (1.2 * max(place.values()) + max(count_lines(panel.title) for panel in strip) + 3)
        for strip, place in zip(strips, places, strict=True)
    ]
    text = style.caption("black lines: 95 % intervals; dotted: chance" + "; diamonds: published" * bool(theirs))
    kinds = [f"{kind}, {'/'.join(map(str, sorted(rows.dim.unique())))}-D" for kind, rows in ours.groupby("descriptor")]
    note = LINE * (len(kinds) + 1.5 * bool(text) + 0.5)
    with save_figure(out, margin + size * abreast, sum(heights) + note, style=style) as fig:
        *subfigures, below = stack_panels(fig, [*heights, note])
        for subfigure, strip, place in zip(subfigures, strips, places, strict=True):
            axes = subfigure.subplots(1, abreast, squeeze=False)[0]
            for ax in axes[len(strip) :]:
                ax.set_axis_off()
            for ax, panel in zip(axes, strip, strict=False):
                draw_bars(ax, panel, place, methods)
                ax.set(title=panel.title, xlabel=f"recall@{k} (%)", xlim=(0, top / (size - NUMBER)))
            axes[0].set_yticklabels([wrap(name, NAME) for name in place])
        patches = [Patch(color=BARS[kind.split(",")[0]]) for kind in kinds]
        below.legend(
            patches, kinds, title=text or None, loc="upper left", alignment="left", borderpad=0, handlelength=1.5
        )
    return fig


def comparison_panel(part: pd.DataFrame, published: pd.DataFrame, k: int, style: Style) -> Panel:
    """Select the numbers of one panel: our recall@k of last generations, and the published ones of the protocol."""
    row = part.iloc[0]
    same = (published.origin == "published") & (published.k == k)
    same &= (published.dataset == row.dataset) & (published.protocol == row.protocol)
    marks = dict(zip(published_labels(published[same]), published.recall[same] * 100, strict=True))
    title = style.caption(dataset_title(part, PANEL), wrap(row.dataset, NARROW))
    return Panel(title, last_generations(summarize_recalls(part[part.k == k])), marks)


def row_positions(ours: pd.DataFrame, methods: list[str], theirs: list[str]) -> dict[str, float]:
    """Return the vertical middle of each name's row, in bars; a gap separates our names from the published ones.

    Args:
        ours: our recalls, which say how many bars a method has.
        methods: our names.
        theirs: the published names.
    """
    names = [*methods, *dict.fromkeys(theirs)]
    bars = ours.groupby("method").descriptor.nunique()
    tall = np.array([max(bars.get(name, 1), count_lines(wrap(name, NAME))) + 0.4 for name in names])
    return dict(zip(names, np.cumsum(tall) - tall / 2 + (np.arange(len(names)) >= len(methods)), strict=True))


def draw_bars(ax: Axes, panel: Panel, places: dict[str, float], methods: list[str]) -> None:
    """Draw one panel of `plot_comparison`.

    Args:
        ax: the panel.
        panel: its numbers.
        places: the middle of each name's row (`row_positions`).
        methods: our names, of which one without a recall is marked.
    """
    for name, middle in places.items():
        rows = panel.rows[panel.rows.method == name]
        for number, (_, row) in enumerate(rows.iterrows()):
            y = middle + number - (len(rows) - 1) / 2
            ax.barh(y, row.recall, 0.8, color=BARS[row.descriptor])
            ax.hlines(y, row.low, row.high, color="black", linewidth=1)
            ax.annotate(f"{row.recall:.1f}", (row.high, y), (3, 0), textcoords="offset points", va="center")
        if name in panel.marks:
            ax.plot(panel.marks[name], middle, "D", color="black", markerfacecolor="white", clip_on=False)
            text = f"{panel.marks[name]:.1f}"
            ax.annotate(text, (panel.marks[name], middle), (5, 0), textcoords="offset points", va="center")
        elif name in methods and rows.empty:
            ax.annotate("not evaluated", (0, middle), (3, 0), textcoords="offset points", va="center", color=GREY)
    ax.axvline(panel.rows.chance.mean(), color=GREY, linestyle=":", linewidth=1)
    ax.set_ylim(max(places.values()) + 1.2, -0.1)
    ax.set_yticks(list(places.values()), [""] * len(places))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
