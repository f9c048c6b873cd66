"""How every figure looks, and how it is written: sized for print, safe for the colour-blind, no time stamps."""

import textwrap
from contextlib import contextmanager
from pathlib import Path

import matplotlib.style
from matplotlib.figure import Figure

from vprlib.evaluation.recall_table import ALL
from vprlib.figures.marks import DASHES, HUES, MARKERS, series_numbers, series_style
from vprlib.io.files import atomic

COLUMN, PAGE, LINE = 3.5, 7.0, 0.165  # inches: the widths of a column and of a page, the height of a line of text
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
PRINT, SCREEN = 300, 200  # dots per inch: of figures, and of sheets of photos, which have no more to show
STYLE = {"font.size": 8, "axes.titlesize": 8, "figure.titlesize": 8, "axes.titlelocation": "left"}
STYLE |= {"legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
STYLE |= {"axes.grid": True, "grid.color": "#E0E0E0", "grid.linewidth": 0.5, "lines.linewidth": 1.2}
STYLE |= {"text.parse_math": False}  # a `$` in a name is a dollar
STYLE |= {"lines.markersize": 4, "legend.handlelength": 3, "svg.hashsalt": "vprlib", "pdf.fonttype": 42}
PLAIN = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}  # metadata without a stamp


@contextmanager
def save_figure(out, width: float, height: float, dpi: int = PRINT):
    """Yield a figure in the common style, in inches; then write it to `out`.

    Args:
        out: a path, or several of the same picture: SVG, PDF or PNG by their names. Same picture, same bytes.
        dpi: of a PNG, and of what is drawn as pixels in the others.
    """
    with matplotlib.style.context(STYLE, after_reset=True):
        fig = Figure((width, height), layout="constrained")
        yield fig
        for path in [out] if isinstance(out, (str, Path)) else out:
            kind = Path(path).suffix.removeprefix(".")
            with atomic(path) as partial:
                fig.savefig(partial, format=kind, dpi=dpi, metadata=PLAIN[kind])
            if fig.get_layout_engine():  # what it found holds for the other files
                fig.set_layout_engine("none")


def line_style(run: int, variant: int = 0) -> dict:
    """How a line is drawn, by its numbers (`series_style`)."""
    mark = series_style(run, variant)
    colour, dashes = COLOURS[mark["hue"]], DASHES[mark["dash"]]
    return {
        "color": colour,
        "marker": MATPLOTLIB_MARKERS[MARKERS[mark["marker"]]],
        "markerfacecolor": "white" if mark["hollow"] else colour,
        "linestyle": (0, dashes) if dashes else "-",
    }


def wrap(text: str, width: float) -> str:
    """Break a text into lines that fit into so many inches."""
    return textwrap.fill(str(text), int(width * 16.5))


def count_lines(text: str) -> int:
    """How many lines a text takes."""
    return text.count("\n") + 1


def empty_panel(ax, text: str):
    """Say in a panel that stays empty what it lacks."""
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)


def dataset_title(table, width: float = COLUMN) -> str:
    """A dataset's name, and what its recalls were measured on, in lines of so many inches."""
    row = table.iloc[0]
    sizes = f"{row.queries:,} queries, {row.database:,} database photos; {row.protocol}"
    return "\n".join(wrap(text, width) for text in (row.dataset, sizes))


def split_by_protocol(table) -> list:
    """A table for each protocol, of all queries: numbers of two protocols share no panel."""
    return [part for _, part in table[table.condition == ALL].groupby("protocol", sort=False)]


def band_alpha(lines) -> float:
    """How dark the bands of so many lines are, so that they do not hide each other."""
    return min(0.15, 0.6 / max(len(lines), 1))


def line_styles(rows) -> dict:
    """How each line is drawn, by its label. See `series_numbers` and `look`."""
    return {label: line_style(*numbers) for label, numbers in series_numbers(rows).items()}
