"""Figures of recalls, trainings and visual words, from tidy tables only; each function returns its figure."""

import re

import numpy as np

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.recall_table import ALL
from vprlib.figures.marks import (
    CONFIDENCE,
    DASHES,
    labelled,
    numbered,
    published_names,
    spread,
    summarise,
    trained_columns,
)
from vprlib.figures.style import COLUMN, DARK, GREY, LIGHT, LINE, PAGE, figure, gap, lines_of, look, wrapped

PANEL, NAME = 1.15, 2.6  # inches: a panel of bars with their numbers, and their names


def setting(table, width: float = COLUMN) -> str:
    """A dataset's name, and what its recalls were measured on, in lines of so many inches."""
    row = table.iloc[0]
    sizes = f"{row.queries:,} queries, {row.database:,} database photos; {row.protocol}"
    return "\n".join(wrapped(text, width) for text in (row.dataset, sizes))


def by_protocol(table) -> list:
    """A table for each protocol, of all queries: numbers of two protocols share no panel."""
    return [part for _, part in table[table.condition == ALL].groupby("protocol", sort=False)]


def curves(out, table):
    """Draw recall@N over N of one dataset: a panel a protocol, a line for each run's last generation and descriptor."""
    panels = []
    for part in by_protocol(table):
        rows, title = last_generations(summarise(part)), setting(part)
        lines = [line.sort_values("k") for _, line in rows.groupby("label", sort=False)]
        lines.sort(key=lambda line: -line.recall.iloc[0])
        names = [wrapped(f"{line.recall.iloc[0]:.1f}  {line.label.iloc[0]}", COLUMN - 0.65) for line in lines]
        height = 2.6 + LINE * (lines_of("\n".join([*names, title])) + 2)
        panels.append((height, title, rows, dict(zip(names, lines, strict=True))))
    heights = [height for height, *_ in panels]
    with figure(out, COLUMN, sum(heights)) as fig:
        parts = np.atleast_1d(fig.subfigures(len(panels), height_ratios=heights))
        for part, (_, title, rows, lines) in zip(parts, panels, strict=True):
            part.suptitle(title)
            recall_lines(part.subplots(), rows, lines)
            k = rows.k.min()
            part.legend(
                title=f"recall@{k} (%); bands: {spread(rows.seeds)}", alignment="left", loc="outside lower left"
            )
    return fig


def recall_lines(ax, rows, lines: dict):
    """The lines of one panel of `curves`, by their names in the legend."""
    ks, styles = sorted(rows.k.unique()), looks(rows)
    for name, line in lines.items():
        style = styles[line.label.iloc[0]]
        ax.plot(line.k, line.recall, **style, label=name)
        if len(ks) > 1:
            ax.fill_between(line.k, line.low, line.high, color=style["color"], linewidth=0, alpha=shade(lines))
        else:
            ax.vlines(line.k, line.low, line.high, color=style["color"])
    chance = rows.groupby("k").chance.mean()
    ax.plot(chance, color=GREY, linestyle=":", marker="_", label=f"{chance.iloc[0]:.1f}  chance")
    ax.set(xscale="log", xlabel="N, number of candidates", ylabel="recall@N (%)")
    ax.set(xlim=(ks[0] / 1.15, ks[-1] * 1.15), ylim=(0, min(102, 1.1 * rows[["high", "chance"]].max().max())))
    apart = (ks[-1] / ks[0]) ** 0.08  # labels of ks that are closer touch each other
    ax.set_xticks(ks, [k if after >= k * apart else "" for k, after in zip(ks, [*ks[1:], np.inf], strict=True)])
    ax.minorticks_off()


def shade(lines) -> float:
    """How dark the bands of so many lines are, so that they do not hide each other."""
    return min(0.15, 0.6 / max(len(lines), 1))


def thresholds(out, table, summary):
    """Draw recall@1 over the hit radius of one dataset: a panel a protocol, a line a run's last generation and kind."""
    queries = summary.groupby("protocol").queries.max()
    parts = [part for _, part in table.groupby("protocol", sort=False)]
    panels = [(part.iloc[0], last_generations(summarise(part, "threshold"))) for part in parts]
    heights = [2.6 + LINE * (rows.label.nunique() + 4) for _, rows in panels]
    with figure(out, COLUMN, sum(heights)) as fig:
        subfigures = np.atleast_1d(fig.subfigures(len(panels), height_ratios=heights))
        for panel, (first, rows) in zip(subfigures, panels, strict=True):
            radius, styles = nearest(rows.threshold, first.radius), looks(rows)
            ax = panel.subplots()
            ranked = rows[rows.threshold == radius].sort_values("recall", ascending=False, kind="stable")
            for label, recall in zip(ranked.label, ranked.recall, strict=True):
                line, style = rows[rows.label == label], styles[label] | {"markevery": 0.2}
                ax.plot(line.threshold, line.recall, **style, label=wrapped(f"{recall:.1f}  {label}", COLUMN - 0.65))
                ax.fill_between(
                    line.threshold, line.low, line.high, color=style["color"], alpha=shade(ranked), linewidth=0
                )
            ax.axvline(first.radius, color=GREY, linestyle=":")
            ax.set(xscale="log", xlabel=f"hit radius ({first.unit}); dotted: the protocol's", ylabel="recall@1 (%)")
            ax.set(xlim=(rows.threshold.min(), rows.threshold.max()), ylim=(0, min(102, 1.1 * rows.high.max())))
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100], [1, 2, 5, 10, 20, 50, 100])
            ax.minorticks_off()
            asked = f"{queries[first.protocol]:,} queries; {first.protocol}"
            panel.suptitle(f"{first.dataset}\n{wrapped(asked, COLUMN)}")
            title = f"recall@1 (%) at {radius:g} {first.unit}; bands: {spread(rows.seeds)}"
            panel.legend(title=title, alignment="left", loc="outside lower left")
    return fig


def nearest(values, wanted):
    """The value that is nearest to another one."""
    return min(set(values), key=lambda value: (abs(value - wanted), value))


def precision(out, points, summary):
    """Draw precision over recall of one dataset's confident answers: panels for each protocol and confidence."""
    points, summary = (last_generations(labelled(table)) for table in (points, summary))
    protocols = list(summary.protocol.unique())
    names = max(2, summary.groupby("protocol").label.nunique().max())
    height = 2.9 + LINE * (names + 5)
    with figure(out, PAGE, height * len(protocols)) as fig:
        grid = fig.subfigures(len(protocols), len(CONFIDENCE), squeeze=False)
        for (row, column), panel in np.ndenumerate(grid):
            by, meaning = list(CONFIDENCE.items())[column]
            some = summary[summary.protocol == protocols[row]]
            shown = points[(points.protocol == protocols[row]) & (points.by == by)]
            asked = f"{some.queries.iloc[0]:,} queries, {some.answerable.iloc[0]:,} with a positive; {protocols[row]}"
            panel.suptitle(f"{some.dataset.iloc[0]}\n{wrapped(asked, COLUMN)}\nconfidence: {meaning}")
            precision_lines(panel.subplots(), shown, some, by)
            title = "average precision / recall at 100 % precision (%)"
            panel.legend(title=title, alignment="left", loc="outside lower left")
    return fig


def precision_lines(ax, points, summary, by: str):
    """The lines of one panel of `precision`, one a seed; the legend has the means over the seeds."""
    styles = looks(summary)
    ranked = summary.groupby("label", sort=False)[[f"average_precision_{by}", f"recall_at_100_{by}"]].mean() * 100
    for label, area, full in ranked.sort_values(ranked.columns[0], ascending=False, kind="stable").itertuples():
        name = wrapped(f"{area:.1f} / {full:.1f}  {label}", COLUMN - 0.65)
        for _, line in points[points.label == label].groupby("seed"):
            weight = {"linewidth": 0.5, "alpha": 0.5, "marker": ""} if name == "_" else {"markevery": 0.2}
            style = styles[label] | weight
            ax.plot(line.recall * 100, line.precision * 100, **style, label=name)
            name = "_"  # the other seeds are thin, and not in the legend
    ax.set(xlabel="recall (%): right of those with a positive", ylim=(0, 102))
    ax.set(ylabel="precision (%): right of those answered", xlim=(0, 105 * max(points.recall.max(), 0.01)))


def looks(rows) -> dict:
    """How each line is drawn, by its label. See `lines.numbered` and `look`."""
    return {label: look(*numbers) for label, numbers in numbered(rows).items()}


def comparison(out, tables, published):
    """Draw recall@1 (or at the smallest k) as bars: a column for each dataset and protocol, a row for each run's last
    generation and kind; below them, as marks only, published recalls of the same dataset and protocol.

    Args:
        tables: a table of recalls for each dataset.
        published: the rows of `compare.beside` whose `origin` is `published`; others are not drawn.
    """
    parts = [part for table in tables for part in by_protocol(table)]
    k = min(part.k.min() for part in parts)
    known = published[(published.origin == "published") & (published.k == k)]
    panels = []
    for part in parts:
        row = part.iloc[0]
        same = known[(known.dataset == row.dataset) & (known.protocol == row.protocol)]
        marks = dict(zip(published_names(same), same.recall * 100, strict=True))
        rows = last_generations(summarise(part[part.k == k])).set_index("label")
        panels.append((setting(part, PANEL), rows, marks))
    ours = list(dict.fromkeys(label for _, rows, _ in panels for label in rows.index))
    theirs = list(dict.fromkeys(label for *_, marks in panels for label in marks))
    lines = "\n".join(wrapped(name, NAME) for name in [*ours, *theirs]).split("\n")
    margin = max(map(len, lines)) / 16.5 + 0.2
    abreast = int((PAGE - margin) / PANEL)
    lots = [panels[i : i + abreast] for i in range(0, len(panels), abreast)]
    places = [places_of(ours, [label for *_, marks in lot for label in marks]) for lot in lots]
    heights = [
        LINE * (1.2 * (max(place.values()) + 1) + max(lines_of(head) for head, *_ in lot) + 2.5)
        for lot, place in zip(lots, places, strict=True)
    ]
    width = max(COLUMN, margin + PANEL * len(lots[0]))
    with figure(out, width, sum(heights) + 2 * LINE) as fig:
        *parts, note = fig.subfigures(len(lots) + 1, 1, height_ratios=[*heights, 2 * LINE])
        for part, lot, place in zip(parts, lots, places, strict=True):
            axes = part.subplots(1, len(lots[0]), squeeze=False)[0]
            for ax in axes[len(lot) :]:
                ax.set_axis_off()
            for ax, (head, rows, marks) in zip(axes, lot, strict=False):
                bars(ax, rows, marks, place, len(ours))
                ax.set(title=head, xlabel=f"recall@{k} (%)")
            axes[0].set_yticklabels([wrapped(name, NAME) for name in place])
        said = f"black lines: {spread(n for _, rows, _ in panels for n in rows.seeds)}; dotted: chance"
        said += "; diamonds: published, measured by others" * bool(theirs)
        note.text(0.01, 0.5, wrapped(said, width), va="center")
    return fig


def places_of(ours: list, theirs: list) -> dict:
    """Where the rows of names are, in lines, {name: middle}; a gap separates our names from the published ones."""
    names = [*ours, *dict.fromkeys(theirs)]
    lines = np.array([lines_of(wrapped(name, NAME)) for name in names])
    return dict(zip(names, np.cumsum(lines) - lines / 2 + (np.arange(len(names)) >= len(ours)), strict=True))


def bars(ax, rows, marks: dict, places: dict, first: int):
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


def training(out, histories: dict, runs: list):
    """Draw losses, val recalls and learning rate over the epochs from tables of `train` by `<run> seed <n> gen <n>`.

    Args:
        runs: all runs of the campaign in their order, which gives each its hue.
    """
    names = [re.fullmatch(r"(.+) seed \d+ gen (\d+)", label).groups() for label in histories]
    gens = sorted({int(gen) for _, gen in names})
    panels = trained_columns(histories.values())
    handles = {}
    with figure(
        out, max(COLUMN, 0.6 + 1.6 * len(gens)), 1.3 * len(panels) + LINE * (len({run for run, _ in names}) + 3)
    ) as fig:
        grid = fig.subplots(len(panels), len(gens), squeeze=False, sharex="col", sharey="row")
        for (run, gen), table in zip(names, histories.values(), strict=True):
            style = look(runs.index(run)) | ({"linestyle": (0, DASHES[1]), "marker": ""} if len(table) == 1 else {})
            style["label"] = wrapped(run + ("" if "val_recall@1" in table else " (no val split)"), COLUMN - 0.65)
            for ax, column in zip(grid[:, gens.index(int(gen))], panels, strict=True):
                values = table.get(column, table.epoch * np.nan) * (100 if "%" in panels[column] else 1)
                line = ax.plot(table.epoch, values, **style)[0] if len(table) > 1 else ax.axhline(values[0], **style)
                handles[run] = line
        for (row, column), ax in np.ndenumerate(grid):
            ax.set(xlabel="epoch (0: before training)", ylabel=wrapped(list(panels.values())[row], 1))
            ax.set_title("" if row else f"generation {gens[column]}", loc="center")
            ax.label_outer()
            ax.xaxis.get_major_locator().set_params(integer=True)
            if not any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
                gap(ax, "no values")
        grid[-1, 0].set_ylim(bottom=0)
        fig.legend(handles=list(handles.values()), loc="outside lower left")
    return fig


def clusters(out, centroids_KC, descriptors_MC):
    """Draw how evenly words share the sampled features, and the gap that sets how sharp NetVLAD's assignment starts."""
    unit_KC, unit_MC = (x / np.linalg.norm(x, axis=1)[:, None].clip(1e-12) for x in (centroids_KC, descriptors_MC))
    similar_MK = unit_MC @ unit_KC.T
    count, words = similar_MK.shape
    share_K = np.sort(np.bincount(similar_MK.argmax(1), minlength=words))[::-1] * 100 / count
    with figure(out, COLUMN, 4.2) as fig:
        fig.suptitle(f"{words} visual words of {count:,} sampled {unit_MC.shape[1]}-D features")
        top, bottom = fig.subplots(2)
        top.bar(np.arange(1, words + 1), share_K, color=LIGHT)
        top.axhline(100 / words, color="black", linestyle=":", label=f"even share, {100 / words:.3g} %")
        top.set(xlabel="visual words, most frequent first", ylabel="share of features (%)")
        top.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        bottom.set(xlabel="largest minus second largest dot product", ylabel="share of features (%)")
        if words > 1:
            gap_M = np.subtract(*np.partition(similar_MK, -2, axis=1)[:, :-3:-1].T)
            bottom.hist(gap_M, 50, weights=np.full(count, 100 / count), color=LIGHT)
            bottom.axvline(gap_M.mean(), color="black", linestyle=":", label=f"mean, {gap_M.mean():.3g}")
        for ax in (top, bottom)[:words]:
            ax.legend(loc="lower right", bbox_to_anchor=(1, 1), borderpad=0)
    return fig
