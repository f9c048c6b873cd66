"""Plot where a run errs: a map of the queries, coloured by the distance of their first candidates.

Axes: Q queries, N positions, 2 east and north, 4 both of a query and of its candidate, G groups of queries, L lines.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from vprlib.data.image_table import has_no_coordinates
from vprlib.data.protocol import Protocol
from vprlib.evaluation.correlated_queries import correlated_groups
from vprlib.evaluation.intervals import recall_intervals
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits
from vprlib.figures.style import (
    COLUMN,
    GREY,
    LINE,
    REPORT,
    OutputPaths,
    Style,
    count_lines,
    empty_panel,
    save_figure,
    wrap,
)

LINES, ABREAST, MOST = 40, 3, 9  # at most: lines to wrong candidates in a panel, panels in a row, panels in all
CELLS = 12  # cells along the longer side of a map, within which wrong candidates are put together
COLOURS = "viridis_r"  # dark is far
TALL = 2.8  # inches: the height of a single map


def plot_errors(
    out: OutputPaths, found: Predictions, *, title: str, protocol: Protocol, style: Style = REPORT
) -> Figure:
    """Draw the queries at their positions, coloured by the error of their first candidate, with lines to wrong ones.

    Of many wrong candidates, those from one place to another are put together, and the most frequent ones are drawn:
    see `confusions`. If searches are within a city, each of the MOST largest cities has a map. For positions on a line,
    such as frames, the candidate's position is drawn over the query's instead. Places without coordinates are a
    labelled gap.

    Args:
        out: the figure's files.
        found: the predictions.
        title: run and dataset.
        protocol: defines a hit.
        style: of the figure.
    """
    query, within, unit = found.query, protocol.same_column, protocol.unit
    first_Q, right_Q = found.default_ranking[:, 0], hits(found.default_ranking[:, :1], found.positives)[:, 0]
    database_N2, query_Q2 = (table[["east", "north"]].to_numpy(float) for table in (found.database, query))
    candidate_Q2 = np.where(first_Q[:, None] >= 0, database_N2[first_Q], np.nan)
    error_Q = np.hypot(*(candidate_Q2 - query_Q2).T)
    finite = error_Q[np.isfinite(error_Q)]
    norm = Normalize(0, max(np.quantile(finite, 0.95), 1e-9) if len(finite) else 1)
    parts = {"": np.arange(len(query))}
    if within is not None:
        groups = query.reset_index(drop=True).groupby(within).indices
        parts = {str(name): np.asarray(rows) for name, rows in groups.items()}
    large = sorted(parts, key=lambda name: -len(parts[name]))[:MOST]
    columns, width = (ABREAST, style.page) if len(large) > 1 else (1, COLUMN)
    without_coordinates = has_no_coordinates(found.database, unit)
    flat = not np.ptp(np.append(database_N2[:, 1], query_Q2[:, 1]))
    wrong_Q = (first_Q >= 0) & ~right_Q
    lines = {name: confusions(query_Q2[rows], candidate_Q2[rows], wrong_Q[rows]) for name, rows in parts.items()}
    captions = [title, f"{len(query):,} queries; {protocol.name}", recall_text(right_Q, query_Q2, protocol.radius)]
    captions += [describe_lines([lines[name][1] for name in large], wrong_Q.sum())] * (not flat)
    captions += [f"the largest {len(large)} of {len(parts)} by {within}"] * (len(parts) > len(large))
    head, rows = style.caption("\n".join(wrap(line, width) for line in captions)), -(-len(large) // columns)
    tall = 3 * LINE if without_coordinates else TALL if columns == 1 else 1.9
    height = tall * rows + LINE * (count_lines(head) + 5 * (not without_coordinates))
    with save_figure(out, width, height, style=style) as fig:
        fig.suptitle(head)
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        for ax, name in zip(axes, large, strict=False):
            part = parts[name]
            ax.set_title(name)
            if without_coordinates or not np.isfinite(query_Q2[part]).all():
                empty_panel(ax, "no coordinates")
                ax.set_axis_off()
            elif flat:
                plot_position_scatter(ax, query_Q2[part, 0], candidate_Q2[part, 0], error_Q[part], norm, unit)
            else:
                in_part_N = slice(None) if within is None else (found.database[within].astype(str) == name).to_numpy()
                draw_database(ax, database_N2[in_part_N], unit)
                draw_confusions(ax, *lines[name])
                draw_queries(ax, query_Q2[part], error_Q[part], norm)
        for ax in axes[len(large) :]:
            ax.set_axis_off()
        if not without_coordinates:
            scale = ScalarMappable(norm, COLOURS)
            bar = fig.colorbar(scale, ax=axes, location="bottom", extend="max", aspect=40, pad=0.02)
            bar.set_label(f"distance of the first candidate ({unit})")
    return fig


def recall_text(right_Q: NDArray[np.bool_], query_Q2: NDArray[np.float64], radius: float) -> str:
    """Format recall@1 with its 95 % interval.

    Args:
        right_Q: whether the first candidate of each query is a hit.
        query_Q2: position of each query.
        radius: the hit radius, in the unit of the positions.
    """
    hit_QC = right_Q[:, None]
    (low,), (high,), _ = recall_intervals(correlated_groups(query_Q2, radius, hit_QC), hit_QC)
    return f"recall@1 {100 * right_Q.mean():.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def confusions(
    query_Q2: NDArray[np.float64], candidate_Q2: NDArray[np.float64], wrong_Q: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Compute the lines from queries to their wrong candidates, or the most frequent ones if they are many.

    Above LINES, those from one cell of a grid to another are put together, a line from their mean query to their mean
    candidate.

    Args:
        query_Q2: position of each query.
        candidate_Q2: position of its first candidate.
        wrong_Q: whether that is a wrong one.

    Returns:
        The ends of at most LINES lines, (lines, 2, 2), and the number of queries that each stands for, in its order.
    """
    ends_Q4 = np.concatenate([query_Q2, candidate_Q2], axis=1)[wrong_Q]
    ends_Q4 = ends_Q4[np.isfinite(ends_Q4).all(1)]
    if len(ends_Q4) <= LINES:
        return ends_Q4.reshape(-1, 2, 2), np.ones(len(ends_Q4), np.int64)
    points = ends_Q4.reshape(-1, 2)
    cell = max(np.ptp(points, axis=0).max(), 1e-9) / CELLS
    cell_Q4 = np.minimum((ends_Q4 - np.tile(points.min(0), 2)) // cell, CELLS - 1)
    _, group_Q, count_G = np.unique(cell_Q4, axis=0, return_inverse=True, return_counts=True)
    mean_G4 = np.stack([np.bincount(group_Q.ravel(), end) for end in ends_Q4.T], axis=1) / count_G[:, None]
    frequent = np.argsort(count_G, kind="stable")[-LINES:]
    return mean_G4[frequent].reshape(-1, 2, 2), count_G[frequent]


def describe_lines(counts: Sequence[NDArray[np.int64]], wrong: int) -> str:
    """Describe the lines of all panels: what they stand for, of `wrong` queries."""
    shown, most = sum(int(count.sum()) for count in counts), max((count.max(initial=1) for count in counts), default=1)
    if most == 1:
        return f"lines: to {shown:,} of {wrong:,} wrong candidates"
    return f"lines: the most frequent confusions, {shown:,} of {wrong:,} wrong candidates; the widest line: {most}"


def draw_confusions(ax: Axes, ends_L22: NDArray[np.float64], counts: NDArray[np.int64]) -> None:
    """Draw the lines of `confusions`; their widths are proportional to the numbers of queries."""
    widths = (0.6 if counts.max(initial=1) == 1 else 2.5) * counts / counts.max(initial=1)
    ax.add_collection(LineCollection(list(ends_L22), linewidths=widths, colors="#404040", alpha=0.5, capstyle="round"))


def draw_database(ax: Axes, position_N2: NDArray[np.float64], unit: str) -> None:
    """Draw the positions of the database photos in grey, and label the axes.

    Both axes have the same scale; coordinates are relative to a round number, which the label names.
    """
    ax.plot(*position_N2.T, ".", color="#C0C0C0", markersize=2, markeredgewidth=0, rasterized=True)
    ax.set_aspect("equal", adjustable="datalim")
    step = 10 ** np.ceil(np.log10(max(np.ptp(position_N2, axis=0).max(initial=1), 1)))
    for axis, values, name in zip((ax.xaxis, ax.yaxis), position_N2.T, ("east", "north"), strict=True):
        corner = step * np.floor(values.min(initial=np.inf if len(values) else 0) / step)
        axis.set_major_formatter(FuncFormatter(lambda value, _, corner=corner: f"{value - corner:,.0f}"))
        axis.set_label_text(f"{unit} {name} of {corner:,.0f}")
    ax.locator_params(nbins=4)


def plot_position_scatter(
    ax: Axes,
    query_Q: NDArray[np.float64],
    candidate_Q: NDArray[np.float64],
    error_Q: NDArray[np.float64],
    norm: Normalize,
    unit: str,
) -> None:
    """Draw the position of the first candidate over that of the query; a hit lies on the diagonal."""
    ends = [np.nanmin([query_Q, candidate_Q]), np.nanmax([query_Q, candidate_Q])]
    ax.plot(ends, ends, color=GREY, linewidth=0.5)
    ax.set_aspect("equal")
    draw_queries(ax, np.stack([query_Q, candidate_Q], axis=1), error_Q, norm)
    ax.set(xlabel=f"position of the query ({unit})", ylabel=f"of its first candidate ({unit})")


def draw_queries(ax: Axes, position_Q2: NDArray[np.float64], error_Q: NDArray[np.float64], norm: Normalize) -> None:
    """Draw the queries, those with the largest error on top; a query without any candidate is a cross."""
    order = np.argsort(np.nan_to_num(error_Q, nan=-1), kind="stable")
    size = np.clip(1500 / max(len(order), 1), 2, 12)
    style: dict[str, Any] = {"cmap": COLOURS, "norm": norm, "edgecolors": "black", "linewidths": 0.15}
    x, y = position_Q2[order].T
    ax.scatter(x, y, c=error_Q[order], s=size, zorder=3, rasterized=len(order) > 2000, **style)
    without_candidate_Q = np.isnan(error_Q)
    if without_candidate_Q.any():
        ax.plot(*position_Q2[without_candidate_Q].T, "x", color="black", linestyle="", label="no candidate")
