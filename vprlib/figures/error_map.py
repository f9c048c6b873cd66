"""Plot where a run errs: a map of the queries, coloured by the distance of their first candidates.

Axes: Q queries, N positions, 2 east and north.
"""

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
from vprlib.figures.style import COLUMN, GREY, LINE, PAGE, OutputPaths, count_lines, empty_panel, save_figure, wrap

LINES, ABREAST, MOST = 1000, 3, 9  # at most: lines to wrong candidates, panels in a row, panels in all
COLOURS = "viridis_r"  # dark is far
TALL = 2.8  # inches: the height of a single map


def plot_errors(out: OutputPaths, found: Predictions, *, title: str, protocol: Protocol, seed: int = 0) -> Figure:
    """Draw the queries at their positions, coloured by the error of their first candidate, with lines to wrong ones.

    If searches are within a city, each of the MOST largest cities has a map. For positions on a line, such as frames,
    the candidate's position is drawn over the query's instead. Places without coordinates are a labelled gap.

    Args:
        out: the figure's files.
        found: the predictions.
        title: run and dataset.
        protocol: defines a hit.
        seed: of the random choice of lines, if there are more than LINES.
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
    columns, width = (ABREAST, PAGE) if len(large) > 1 else (1, COLUMN)
    without_coordinates = has_no_coordinates(found.database, unit)
    flat = not np.ptp(np.append(database_N2[:, 1], query_Q2[:, 1]))
    wrong = np.flatnonzero((first_Q >= 0) & ~right_Q)
    drawn = np.sort(np.random.default_rng(seed).choice(wrong, min(LINES, len(wrong)), replace=False))
    captions = [title, f"{len(query):,} queries; {protocol.name}", recall_text(right_Q, query_Q2, protocol.radius)]
    captions += [f"lines: to {len(drawn):,} of {len(wrong):,} wrong candidates"] * (not flat)
    captions += [f"the largest {len(large)} of {len(parts)} by {within}"] * (len(parts) > len(large))
    head, rows = "\n".join(wrap(line, width) for line in captions), -(-len(large) // columns)
    tall = 3 * LINE if without_coordinates else TALL if columns == 1 else 1.9
    with save_figure(out, width, tall * rows + LINE * (count_lines(head) + 5 * (not without_coordinates))) as fig:
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
                draw_error_lines(ax, query_Q2, candidate_Q2, error_Q, drawn[np.isin(drawn, part)], norm)
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


def draw_error_lines(
    ax: Axes,
    query_Q2: NDArray[np.float64],
    candidate_Q2: NDArray[np.float64],
    error_Q: NDArray[np.float64],
    rows: NDArray[np.int64],
    norm: Normalize,
) -> None:
    """Draw lines from some queries (row numbers `rows`) to their first candidates."""
    segments = np.stack([query_Q2[rows], candidate_Q2[rows]], axis=1)
    style: dict[str, Any] = {"cmap": COLOURS, "norm": norm, "linewidths": 0.5, "alpha": 0.5}
    ax.add_collection(LineCollection(list(segments), array=error_Q[rows], **style))


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
