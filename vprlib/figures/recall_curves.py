"""Figures of recalls, trainings and visual words, from tidy tables only; each function returns its figure."""

import numpy as np

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import interval_name, summarize_recalls
from vprlib.figures.style import (
    COLUMN,
    GREY,
    LINE,
    band_alpha,
    count_lines,
    dataset_title,
    line_styles,
    save_figure,
    split_by_protocol,
    wrap,
)


def plot_recalls(out, table):
    """Draw recall@N over N of one dataset: a panel a protocol, a line for each run's last generation and descriptor."""
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
        parts = np.atleast_1d(fig.subfigures(len(panels), height_ratios=heights))
        for part, (_, title, rows, lines) in zip(parts, panels, strict=True):
            part.suptitle(title)
            draw_recall_lines(part.subplots(), rows, lines)
            k = rows.k.min()
            part.legend(
                title=f"recall@{k} (%); bands: {interval_name(rows.seeds)}", alignment="left", loc="outside lower left"
            )
    return fig


def draw_recall_lines(ax, rows, lines: dict):
    """The lines of one panel of `curves`, by their names in the legend."""
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
    apart = (ks[-1] / ks[0]) ** 0.08  # labels of ks that are closer touch each other
    ax.set_xticks(ks, [k if after >= k * apart else "" for k, after in zip(ks, [*ks[1:], np.inf], strict=True)])
    ax.minorticks_off()


def plot_thresholds(out, table, summary):
    """Draw recall@1 over the hit radius of one dataset: a panel a protocol, a line a run's last generation and kind."""
    queries = summary.groupby("protocol").queries.max()
    parts = [part for _, part in table.groupby("protocol", sort=False)]
    panels = [(part.iloc[0], last_generations(summarize_recalls(part, "threshold"))) for part in parts]
    heights = [2.6 + LINE * (rows.label.nunique() + 4) for _, rows in panels]
    with save_figure(out, COLUMN, sum(heights)) as fig:
        subfigures = np.atleast_1d(fig.subfigures(len(panels), height_ratios=heights))
        for panel, (first, rows) in zip(subfigures, panels, strict=True):
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
            ax.set_xticks([1, 2, 5, 10, 20, 50, 100], [1, 2, 5, 10, 20, 50, 100])
            ax.minorticks_off()
            asked = f"{queries[first.protocol]:,} queries; {first.protocol}"
            panel.suptitle(f"{first.dataset}\n{wrap(asked, COLUMN)}")
            title = f"recall@1 (%) at {radius:g} {first.unit}; bands: {interval_name(rows.seeds)}"
            panel.legend(title=title, alignment="left", loc="outside lower left")
    return fig


def nearest_value(values, wanted):
    """The value that is nearest to another one."""
    return min(set(values), key=lambda value: (abs(value - wanted), value))
