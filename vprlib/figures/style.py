"""Define the common style of all figures and write them: sized for print, safe for the colour-blind, no time stamps."""

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure, SubFigure
from matplotlib.ticker import MaxNLocator

from vprlib.evaluation.recall_table import ALL
from vprlib.figures.marks import DASHES, HUES, MARKERS, series_numbers, series_style
from vprlib.io.files import atomic

OutputPaths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]  # one or several files of the same figure

COLUMN, PAGE, LINE = 3.5, 7.0, 0.165  # inches: the widths of a column and of a page, the height of a line of text
FEW = 3  # lines that can all have a band
COLOURS = HUES["light"]
MATPLOTLIB_MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "diamond": "D",
    "triangle-down": "v",
    "cross": "P",
}
MATPLOTLIB_MARKERS |= {"x": "X", "star": "*"}
DARK, LIGHT, GREY, RIGHT, WRONG = "#0072B2", "#56B4E9", "#808080", "#009E73", "#D55E00"
SHARES = "cividis"  # the colour map of values; light is more
PRINT, SCREEN = 300, 200  # dots per inch: of figures, and of sheets of photos, which have no more detail
STYLE: dict[str, Any] = {"axes.titlelocation": "left"}
STYLE |= {"legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
STYLE |= {"axes.grid": True, "grid.color": "#E0E0E0", "grid.linewidth": 0.5, "lines.linewidth": 1.2}
STYLE |= {"text.parse_math": False}  # a `$` in a name is no formula
STYLE |= {"lines.markersize": 4, "legend.handlelength": 3, "svg.hashsalt": "vprlib", "pdf.fonttype": 42}
PLAIN: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}


@dataclass(frozen=True)
class Style:
    """How figures are drawn: with titles and captions, which the report needs, or bare, as a paper prints them."""

    titles: bool = True  # whether titles and captions are drawn
    font: float = 8  # points
    page: float = PAGE  # inches: the largest width

    def caption(self, text: str, figure: str = "") -> str:
        """Return the text, a caption; without titles return `figure` instead, the part that no caption can replace."""
        return text if self.titles else figure


REPORT = Style()
STYLES = {"report": REPORT, "paper": Style(titles=False, font=7, page=COLUMN)}


@contextmanager
def save_figure(
    out: OutputPaths, width: float, height: float, dpi: int = PRINT, style: Style = REPORT
) -> Iterator[Figure]:
    """Yield a figure in the common style, and write it to `out` afterwards. The same figure gives the same bytes.

    Args:
        out: a path, or several of the same figure: SVG, PDF or PNG by suffix.
        width: in inches.
        height: in inches.
        dpi: resolution of a PNG, and of the rasterized parts of the other formats.
        style: the size of its text.
    """
    sizes = dict.fromkeys(("font.size", "axes.titlesize", "figure.titlesize"), style.font)
    with matplotlib.style.context(STYLE | sizes, after_reset=True):
        fig = Figure((width, height), layout="constrained")
        yield fig
        for path in [out] if isinstance(out, str | os.PathLike) else out:
            kind = Path(path).suffix.removeprefix(".")
            with atomic(path) as partial:
                fig.savefig(partial, format=kind, dpi=dpi, metadata=PLAIN[kind])
            if fig.get_layout_engine():  # keep the layout of the first file for the others
                fig.set_layout_engine("none")


def line_style(run: int, variant: int = 0) -> dict[str, Any]:
    """Return the matplotlib style of a line, by the numbers of its run and variant (`series_style`)."""
    mark = series_style(run, variant)
    colour, dashes = COLOURS[mark["hue"]], DASHES[mark["dash"]]
    return {
        "color": colour,
        "marker": MATPLOTLIB_MARKERS[MARKERS[mark["marker"]]],
        "markerfacecolor": "white" if mark["hollow"] else colour,
        "linestyle": (0, dashes) if dashes else "-",
    }


def wrap(text: str, width: float) -> str:
    """Break a text into lines of at most `width` inches."""
    return textwrap.fill(str(text), int(width * 16.5))


def count_lines(text: str) -> int:
    """Count the lines of a text; an empty one has none."""
    return text.count("\n") + 1 if text else 0


def empty_panel(ax: Axes, text: str) -> None:
    """Write in an empty panel why it is empty."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)


def dataset_title(table: pd.DataFrame, width: float = COLUMN) -> str:
    """Return a title with the dataset, its numbers of queries and database photos, and the protocol.

    Args:
        table: recalls of one dataset under one protocol.
        width: maximum width of its lines, in inches.
    """
    row = table.iloc[0]
    sizes = f"{row.queries:,} queries, {row.database:,} database photos; {row.protocol}"
    return "\n".join(wrap(text, width) for text in (row.dataset, sizes))


def protocol_title(part: pd.DataFrame, parts: Sequence[pd.DataFrame], style: Style, width: float = COLUMN) -> str:
    """Return the title of a panel: that of the dataset or, in a figure without titles, what distinguishes its panels.

    Args:
        part: recalls of one dataset under one protocol.
        parts: those of all panels.
        style: of the figure.
        width: maximum width of its lines, in inches.
    """
    return style.caption(dataset_title(part, width), wrap(part.protocol.iloc[0], width) * (len(parts) > 1))


def split_by_protocol(table: pd.DataFrame) -> list[pd.DataFrame]:
    """Split recalls over all queries by protocol: numbers of two protocols never share a panel."""
    return [part for _, part in table[table.condition == ALL].groupby("protocol", sort=False)]


def stack_panels(part: Figure | SubFigure, heights: Sequence[float]) -> list[SubFigure]:
    """Divide a figure into sub-figures below each other, with heights in these proportions."""
    return list(part.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])


def use_integer_ticks(axis: Axis) -> None:
    """Put ticks at integers only, at least one."""
    locator = axis.get_major_locator()
    assert isinstance(locator, MaxNLocator)
    locator.set_params(integer=True, min_n_ticks=1)


def lines_with_bands(styles: Mapping[str, dict[str, Any]]) -> set[str]:
    """Return the labels of the lines that have a band: all if they are few, else the solid ones.

    Args:
        styles: the style of each line, by its label.
    """
    return {label for label, style in styles.items() if len(styles) <= FEW or style["linestyle"] == "-"}


def explain_bands(styles: Mapping[str, dict[str, Any]]) -> str:
    """Return the words that explain the bands of these lines."""
    return "bands: 95 % intervals" + " of the solid lines" * (len(lines_with_bands(styles)) < len(styles))


def band_alpha(lines: Sized) -> float:
    """Return the opacity of the bands of these lines. It falls with their number, so that bands do not hide others."""
    return min(0.15, 0.6 / max(len(lines), 1))


def percent_limits(low: float, high: float) -> tuple[float, float]:
    """Return the limits of an axis of percentages between `low` and `high`: from 0, unless they are all far from it.

    >>> percent_limits(10, 60), percent_limits(80, 90)
    ((0.0, 66.0), (79.0, 91.0))
    """
    bottom = low - 0.1 * (high - low) if low > high / 2 else 0.0
    return bottom, min(102, high + 0.1 * (high - (low if bottom else 0)))


def line_styles(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the style of each line by its label; see `series_numbers` and `line_style`."""
    return {label: line_style(*numbers) for label, numbers in series_numbers(rows).items()}
