"""Where a run errs: a map of the queries, each coloured by how far its first candidate lies from it."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.ticker import FuncFormatter

from vprlib.data.image_table import has_no_coordinates
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits
from vprlib.evaluation.statistics import wilson_interval
from vprlib.figures.style import COLUMN, GREY, LINE, PAGE, count_lines, empty_panel, save_figure, wrap

LINES, ABREAST, MOST = 1000, 3, 9  # lines to wrong candidates on the page; panels in a row, and on the page
COLOURS = "viridis_r"  # dark is far
TALL = 2.8  # inches: the height of a single map


def plot_errors(out, found: Predictions, *, title: str, protocol: Protocol, seed: int = 0):
    """Draw the queries where they were taken, coloured by the error of their first candidate, with lines to wrong ones.

    Where searches are within a city, each (the MOST largest) has a map. Positions on a line, as of frames, have the
    candidate's position over the query's instead. Places without coordinates are a labelled gap.

    Args:
        found: what was searched.
        title: which run and dataset.
        protocol: how a hit is judged.
        seed: which lines are drawn if there are more than LINES.
    """
    query, within, unit = found.query, protocol.within, protocol.unit
    first_Q, right_Q = found.shown[:, 0], hits(found.shown[:, :1], found.positives)[:, 0]
    near_N2, taken_Q2 = (table[["east", "north"]].to_numpy(float) for table in (found.database, query))
    answer_Q2 = np.where(first_Q[:, None] >= 0, near_N2[first_Q], np.nan)
    error_Q = np.hypot(*(answer_Q2 - taken_Q2).T)
    known = error_Q[np.isfinite(error_Q)]
    norm = Normalize(0, max(np.quantile(known, 0.95), 1e-9) if len(known) else 1)
    parts = {"": np.arange(len(query))} if within is None else query.reset_index(drop=True).groupby(within).indices
    large = sorted(parts, key=lambda name: -len(parts[name]))[:MOST]
    columns, width = (ABREAST, PAGE) if len(large) > 1 else (1, COLUMN)
    nowhere = has_no_coordinates(found.database, unit)
    flat = not np.ptp(np.append(near_N2[:, 1], taken_Q2[:, 1]))
    wrong = np.flatnonzero((first_Q >= 0) & ~right_Q)
    drawn = np.sort(np.random.default_rng(seed).choice(wrong, min(LINES, len(wrong)), replace=False))
    said = [title, f"{len(query):,} queries; {protocol.name}", recall_text(right_Q)]
    said += [f"lines: to {len(drawn):,} of {len(wrong):,} wrong candidates"] * (not flat)
    said += [f"the largest {len(large)} of {len(parts)} by {within}"] * (len(parts) > len(large))
    head, rows = "\n".join(wrap(line, width) for line in said), -(-len(large) // columns)
    tall = 3 * LINE if nowhere else TALL if columns == 1 else 1.9
    with save_figure(out, width, tall * rows + LINE * (count_lines(head) + 5 * (not nowhere))) as fig:
        fig.suptitle(head)
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        for ax, name in zip(axes, large, strict=False):
            own = parts[name]
            ax.set_title(name)
            if nowhere or not np.isfinite(taken_Q2[own]).all():
                empty_panel(ax, "no coordinates")
                ax.set_axis_off()
            elif flat:
                plot_position_scatter(ax, taken_Q2[own, 0], answer_Q2[own, 0], error_Q[own], norm, unit)
            else:
                draw_database(ax, near_N2 if within is None else near_N2[found.database[within] == name], unit)
                draw_error_lines(ax, taken_Q2, answer_Q2, error_Q, drawn[np.isin(drawn, own)], norm)
                draw_queries(ax, taken_Q2[own], error_Q[own], norm)
        for ax in axes[len(large) :]:
            ax.set_axis_off()
        if not nowhere:
            scale = ScalarMappable(norm, COLOURS)
            bar = fig.colorbar(scale, ax=axes, location="bottom", extend="max", aspect=40, pad=0.02)
            bar.set_label(f"distance of the first candidate ({unit})")
    return fig


def recall_text(right_Q) -> str:
    """Recall@1 with its interval, in words."""
    low, high = wilson_interval(right_Q.sum(), len(right_Q))
    return f"recall@1 {100 * right_Q.mean():.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def draw_error_lines(ax, taken_Q2, answer_Q2, error_Q, rows, norm):
    """Lines from some queries to their first candidates."""
    ends = np.stack([taken_Q2[rows], answer_Q2[rows]], axis=1)
    style = {"cmap": COLOURS, "norm": norm, "linewidths": 0.5, "alpha": 0.5}
    ax.add_collection(LineCollection(ends, array=error_Q[rows], **style))


def draw_database(ax, place_N2, unit: str):
    """Where the database photos are, in grey, and the axes: UTM coordinates of one scale, told from a round number."""
    ax.plot(*place_N2.T, ".", color="#C0C0C0", markersize=2, markeredgewidth=0, rasterized=True)
    ax.set_aspect("equal", adjustable="datalim")
    step = 10 ** np.ceil(np.log10(max(np.ptp(place_N2, axis=0).max(initial=1), 1)))
    for axis, values, name in zip((ax.xaxis, ax.yaxis), place_N2.T, ("east", "north"), strict=True):
        corner = step * np.floor(values.min(initial=np.inf if len(values) else 0) / step)
        axis.set_major_formatter(FuncFormatter(lambda value, _, corner=corner: f"{value - corner:,.0f}"))
        axis.set_label_text(f"{unit} {name} of {corner:,.0f}")
    ax.locator_params(nbins=4)


def plot_position_scatter(ax, taken_Q, answer_Q, error_Q, norm, unit: str):
    """The position of the first candidate over the query's: a hit lies on the diagonal."""
    ends = [np.nanmin([taken_Q, answer_Q]), np.nanmax([taken_Q, answer_Q])]
    ax.plot(ends, ends, color=GREY, linewidth=0.5)
    ax.set_aspect("equal")
    draw_queries(ax, np.stack([taken_Q, answer_Q], axis=1), error_Q, norm)
    ax.set(xlabel=f"position of the query ({unit})", ylabel=f"of its first candidate ({unit})")


def draw_queries(ax, place_N2, error_N, norm):
    """The queries, the farthest off on top; a query without any candidate is a cross."""
    order = np.argsort(np.nan_to_num(error_N, nan=-1), kind="stable")
    size = np.clip(1500 / max(len(order), 1), 2, 12)
    style = {"cmap": COLOURS, "norm": norm, "edgecolors": "black", "linewidths": 0.15}
    ax.scatter(*place_N2[order].T, c=error_N[order], s=size, zorder=3, rasterized=len(order) > 2000, **style)
    lost = np.isnan(error_N)
    if lost.any():
        ax.plot(*place_N2[lost].T, "x", color="black", linestyle="", label="no candidate")
