"""Plot precision over recall of confident predictions."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import CONFIDENCE, add_series_labels
from vprlib.evaluation.statistics import interpolated_precision
from vprlib.figures.style import (
    COLUMN,
    LINE,
    REPORT,
    OutputPaths,
    Style,
    line_styles,
    save_figure,
    stack_panels,
    wrap,
)


def plot_precision(out: OutputPaths, points: pd.DataFrame, summary: pd.DataFrame, style: Style = REPORT) -> Figure:
    """Draw precision over recall of one dataset's confident predictions: a row per protocol, a panel per confidence.

    The legend has the average precision by each confidence, the mean over the seeds.

    Args:
        out: the figure's files.
        points: the points of the curves (`precision_recall_tables`).
        summary: their summary rows.
        style: of the figure.
    """
    points, summary = (last_generations(add_series_labels(table)) for table in (points, summary))
    parts = [part for _, part in summary.groupby("protocol", sort=False)]
    heights = [2.1 + LINE * (part.label.nunique() + (4.5 if style.titles else 2)) for part in parts]
    with save_figure(out, COLUMN, sum(heights), style=style) as fig:
        for row, series in zip(stack_panels(fig, heights), parts, strict=True):
            first = series.iloc[0]
            setting = f"{first.queries:,} queries, {first.answerable:,} with a positive; {first.protocol}"
            title = f"{first.dataset}\n{wrap(setting, COLUMN)}"
            row.suptitle(style.caption(title, wrap(first.protocol, COLUMN) * (len(parts) > 1)))
            shown = points[points.protocol == first.protocol]
            means = series.groupby("label", sort=False)[[f"average_precision_{by}" for by in CONFIDENCE]].mean() * 100
            means = means.sort_values(means.columns[0], ascending=False, kind="stable")
            axes = row.subplots(1, len(CONFIDENCE), sharex=True, sharey=True)
            for ax, (by, meaning) in zip(axes, CONFIDENCE.items(), strict=True):
                draw_precision_lines(ax, shown[shown.by == by], series, means)
                ax.set_title(wrap(meaning, COLUMN / 2 - 0.3))
            axes[0].set(ylabel="precision (%)", ylim=(0, 102), xlim=(0, 105 * max(shown.recall.max(), 0.01)))
            number = "average precision (%), left and right"
            row.legend(*axes[0].get_legend_handles_labels(), title=number, alignment="left", loc="outside lower left")
    return fig


def draw_precision_lines(ax: Axes, points: pd.DataFrame, summary: pd.DataFrame, means: pd.DataFrame) -> None:
    """Draw one panel of `plot_precision`: a stepped line per seed.

    Args:
        ax: the panel.
        points: the points of its curves.
        summary: the summary rows of the curves, for their styles.
        means: the numbers in the legend, a row per label, in the order of the legend.
    """
    styles = line_styles(summary)
    for label, numbers in means.iterrows():
        name = wrap("  ".join([*(f"{value:.1f}" for value in numbers), str(label)]), COLUMN - 0.65)
        for _, line in points[points.label == label].groupby("seed"):
            line = line.sort_values("recall", kind="stable")
            precision = interpolated_precision(line.recall.to_numpy(), line.precision.to_numpy())
            weight = {"linewidth": 0.5, "alpha": 0.5, "marker": ""} if name == "_" else {"markevery": 0.2}
            look = styles[str(label)] | weight | {"drawstyle": "steps-pre"}
            ax.plot(line.recall * 100, precision * 100, **look, label=name)
            name = "_"  # the lines of the other seeds are thin and not in the legend
    ax.set_xlabel("recall (%)")
