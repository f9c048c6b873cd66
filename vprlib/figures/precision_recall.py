"""Plot precision over recall of confident predictions."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import CONFIDENCE, add_series_labels
from vprlib.figures.style import COLUMN, LINE, PAGE, OutputPaths, line_styles, save_figure, wrap


def plot_precision(out: OutputPaths, points: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """Draw precision over recall of one dataset's confident predictions: a panel per protocol and confidence.

    Args:
        out: the figure's files.
        points: the points of the curves (`precision_recall_tables`).
        summary: their summary rows.
    """
    points, summary = (last_generations(add_series_labels(table)) for table in (points, summary))
    protocols = list(summary.protocol.unique())
    names = max(2, summary.groupby("protocol").label.nunique().max())
    height = 2.9 + LINE * (names + 5)
    with save_figure(out, PAGE, height * len(protocols)) as fig:
        grid = fig.subfigures(len(protocols), len(CONFIDENCE), squeeze=False)
        for (row, column), panel in np.ndenumerate(grid):
            by, meaning = list(CONFIDENCE.items())[column]
            series = summary[summary.protocol == protocols[row]]
            shown = points[(points.protocol == protocols[row]) & (points.by == by)]
            queries = f"{series.queries.iloc[0]:,} queries, {series.answerable.iloc[0]:,} with a positive"
            setting = wrap(f"{queries}; {protocols[row]}", COLUMN)
            panel.suptitle(f"{series.dataset.iloc[0]}\n{setting}\nconfidence: {meaning}")
            draw_precision_lines(panel.subplots(), shown, series, by)
            title = "average precision / recall at 100 % precision (%)"
            panel.legend(title=title, alignment="left", loc="outside lower left")
    return fig


def draw_precision_lines(ax: Axes, points: pd.DataFrame, summary: pd.DataFrame, by: str) -> None:
    """Draw one panel of `plot_precision`: one line per seed; the legend has the means over the seeds."""
    styles = line_styles(summary)
    ranked = summary.groupby("label", sort=False)[[f"average_precision_{by}", f"recall_at_100_{by}"]].mean() * 100
    for label, area, full in ranked.sort_values(ranked.columns[0], ascending=False, kind="stable").itertuples():
        name = wrap(f"{area:.1f} / {full:.1f}  {label}", COLUMN - 0.65)
        for _, line in points[points.label == label].groupby("seed"):
            weight = {"linewidth": 0.5, "alpha": 0.5, "marker": ""} if name == "_" else {"markevery": 0.2}
            style = styles[label] | weight
            ax.plot(line.recall * 100, line.precision * 100, **style, label=name)
            name = "_"  # the lines of the other seeds are thin and not in the legend
    ax.set(xlabel="recall (%): right of those with a positive", ylim=(0, 102))
    ax.set(ylabel="precision (%): right of those answered", xlim=(0, 105 * max(points.recall.max(), 0.01)))
