"""Plot recall@1 of all runs and datasets as bars, beside published results."""

import numpy as np

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import interval_name, published_labels, summarize_recalls
from vprlib.figures.style import (
    COLUMN,
    DARK,
    GREY,
    LIGHT,
    LINE,
    PAGE,
    count_lines,
    dataset_title,
    save_figure,
    split_by_protocol,
    wrap,
)

PANEL, NAME = 1.15, 2.6  # inches: a panel of bars with their numbers, and their names


def plot_comparison(out, tables, published):
    """Draw recall@1 (or at the smallest k) as bars: a column for each dataset and protocol, a row for each run's last
    generation and kind; below them, as marks only, published recalls of the same dataset and protocol.

    Args:
        tables: a table of recalls for each dataset.
        published: the rows of `compare_with_published` whose `origin` is `published`; others are not drawn.
    """
    parts = [part for table in tables for part in split_by_protocol(table)]
    k = min(part.k.min() for part in parts)
    known = published[(published.origin == "published") & (published.k == k)]
    panels = []
    for part in parts:
        row = part.iloc[0]
        same = known[(known.dataset == row.dataset) & (known.protocol == row.protocol)]
        marks = dict(zip(published_labels(same), same.recall * 100, strict=True))
        rows = last_generations(summarize_recalls(part[part.k == k])).set_index("label")
        panels.append((dataset_title(part, PANEL), rows, marks))
    ours = list(dict.fromkeys(label for _, rows, _ in panels for label in rows.index))
    theirs = list(dict.fromkeys(label for *_, marks in panels for label in marks))
    lines = "\n".join(wrap(name, NAME) for name in [*ours, *theirs]).split("\n")
    margin = max(map(len, lines)) / 16.5 + 0.2
    abreast = int((PAGE - margin) / PANEL)
    lots = [panels[i : i + abreast] for i in range(0, len(panels), abreast)]
    places = [row_positions(ours, [label for *_, marks in lot for label in marks]) for lot in lots]
    heights = [
        LINE * (1.2 * (max(place.values()) + 1) + max(count_lines(head) for head, *_ in lot) + 2.5)
        for lot, place in zip(lots, places, strict=True)
    ]
    width = max(COLUMN, margin + PANEL * len(lots[0]))
    with save_figure(out, width, sum(heights) + 2 * LINE) as fig:
        *parts, note = fig.subfigures(len(lots) + 1, 1, height_ratios=[*heights, 2 * LINE])
        for part, lot, place in zip(parts, lots, places, strict=True):
            axes = part.subplots(1, len(lots[0]), squeeze=False)[0]
            for ax in axes[len(lot) :]:
                ax.set_axis_off()
            for ax, (head, rows, marks) in zip(axes, lot, strict=False):
                draw_bars(ax, rows, marks, place, len(ours))
                ax.set(title=head, xlabel=f"recall@{k} (%)")
            axes[0].set_yticklabels([wrap(name, NAME) for name in place])
        said = f"black lines: {interval_name(n for _, rows, _ in panels for n in rows.seeds)}; dotted: chance"
        said += "; diamonds: published, measured by others" * bool(theirs)
        note.text(0.01, 0.5, wrap(said, width), va="center")
    return fig


def row_positions(ours: list, theirs: list) -> dict:
    """Where the rows of names are, in lines, {name: middle}; a gap separates our names from the published ones."""
    names = [*ours, *dict.fromkeys(theirs)]
    lines = np.array([count_lines(wrap(name, NAME)) for name in names])
    return dict(zip(names, np.cumsum(lines) - lines / 2 + (np.arange(len(names)) >= len(ours)), strict=True))


def draw_bars(ax, rows, marks: dict, places: dict, first: int):
    """One panel of `comparison`: bars of our `rows`, diamonds of `marks`, at their names' places, ours the `first`."""
    for number, (label, place) in enumerate(places.items()):
        if label in rows.index:
            row = rows.loc[label]
            ax.barh(place, row.recall, 0.7, color=LIGHT if row.descriptor == "raw" else DARK)
            ax.hlines(place, row.low, row.high, color="black", linewidth=1)
            ax.text(105, place, f"{row.recall:.1f}", va="center")
        elif label in marks:
            ax.plot(marks[label], place, "D", color="black", markerfacecolor="white", clip_on=False)
            ax.text(105, place, f"{marks[label]:.1f}", va="center")
        elif number < first:
            ax.text(4, place, "not evaluated", va="center", color=GREY)
    ax.axvline(rows.chance.mean(), color=GREY, linestyle=":", linewidth=1)
    ax.set(xlim=(0, 100), ylim=(max(places.values()) + 0.7, 0), xticks=(0, 50, 100))
    ax.set_yticks(list(places.values()), [""] * len(places))
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
