"""Plot losses, validation recalls and learning rate over the epochs."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vprlib.evaluation.series import training_columns
from vprlib.figures.marks import DASHES
from vprlib.figures.style import COLUMN, LINE, REPORT, OutputPaths, Style, empty_panel, line_style, save_figure, wrap


def plot_training(
    out: OutputPaths, histories: Mapping[str, pd.DataFrame], runs: Sequence[str], style: Style = REPORT
) -> Figure:
    """Draw losses, validation recalls and learning rate over the epochs: a column of panels per generation.

    Args:
        out: the figure's files.
        histories: {`<run> seed <n> gen <n>`: training history}.
        runs: all runs of the experiment in their order, which gives each its hue.
        style: of the figure.
    """
    matches = [re.fullmatch(r"(.+) seed \d+ gen (\d+)", label) for label in histories]
    names = [match.groups() for match in matches if match]
    gens = sorted({int(gen) for _, gen in names})
    panels = training_columns(histories.values())
    handles = {}
    width = min(style.page, max(COLUMN, 0.6 + 1.6 * len(gens)))
    height = 1.3 * len(panels) + LINE * (len({run for run, _ in names}) + 3)
    with save_figure(out, width, height, style=style) as fig:
        grid = fig.subplots(len(panels), len(gens), squeeze=False, sharex="col", sharey="row")
        for (run, gen), table in zip(names, histories.values(), strict=True):
            look = line_style(runs.index(run)) | (
                {"linestyle": (0, DASHES[1]), "marker": ""} if len(table) == 1 else {}
            )
            look["label"] = wrap(run + ("" if "val_recall@1" in table else " (no val split)"), COLUMN - 0.65)
            for ax, column in zip(grid[:, gens.index(int(gen))], panels, strict=True):
                values = table.get(column, table.epoch * np.nan) * (100 if "%" in panels[column] else 1)
                line = ax.plot(table.epoch, values, **look)[0] if len(table) > 1 else ax.axhline(values[0], **look)
                handles[run] = line
        for (row, column), ax in np.ndenumerate(grid):
            ax.set(xlabel=style.caption("epoch (0: before training)", "epoch"))
            ax.set_ylabel(wrap(list(panels.values())[row], 1))
            ax.set_title("" if row else f"generation {gens[column]}", loc="center")
            ax.label_outer()
            ax.xaxis.get_major_locator().set_params(integer=True)
            if not any(np.isfinite(line.get_ydata()).any() for line in ax.lines):
                empty_panel(ax, "no values")
        grid[-1, 0].set_ylim(bottom=0)
        fig.legend(handles=list(handles.values()), loc="outside lower left")
    return fig
