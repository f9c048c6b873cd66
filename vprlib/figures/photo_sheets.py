"""Draw sheets of photos: a gallery of queries with their candidates, and the cells of a dataset's contact sheet.

Axes: Q queries, K candidates of a query.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import ImageOps

from vprlib.data.image_table import has_no_coordinates
from vprlib.data.listed_positives import LISTED
from vprlib.data.photos import open_image, upright
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits
from vprlib.figures.style import GREY, LINE, PAGE, RIGHT, SCREEN, WRONG, OutputPaths, count_lines, save_figure, wrap

SAME, OTHER = "same place", "other place"  # captions of photos without coordinates
BOXES = {"solid": "#E69F00", "dashed": "#56B4E9", "dotted": "#FFFFFF"}  # line style -> colour


class PhotoCell(NamedTuple):
    """A cell of a sheet; boxes are (x, y, width, height, line style) in pixels of the upright photo."""

    path: str
    caption: str = ""
    frame: str = GREY
    boxes: tuple[tuple[Any, ...], ...] = ()

    def draw(self, ax: Axes) -> None:
        """Draw the photo, its caption, frame and boxes."""
        photo = upright(open_image(self.path)).convert("RGB")
        ax.imshow(ImageOps.contain(photo, (320, 320)), extent=(0, photo.width, photo.height, 0))
        ax.set(xticks=[], yticks=[], anchor="N", xlabel=self.caption)
        ax.spines[:].set(visible=True, color=self.frame, linewidth=0.5 if self.frame == GREY else 2.5)
        for x, y, w, h, line in self.boxes:
            ax.add_patch(Rectangle((x, y), w, h, fill=False, color=BOXES[line], linestyle=line))


def plot_sheet(
    out: OutputPaths, title: str, groups: Iterable[tuple[str, Sequence[PhotoCell | None]]], columns: int
) -> Figure:
    """Draw groups of photos in rows.

    Args:
        out: the figure's files.
        title: the sheet's title.
        groups: (heading, cells) each. A cell of None stays empty; a group without cells has only its heading.
        columns: cells per row.
    """
    title, wide, tall = wrap(title, PAGE), PAGE / columns, 0.75 * PAGE / columns
    rows = []
    for head, cells in groups:
        group_rows = [cells[i : i + columns] for i in range(0, len(cells), columns)] or [[]]
        rows += [(head * (number == 0), row) for number, row in enumerate(group_rows)]
    heights = [LINE * (count_lines(title) + 0.7)]
    for head, cells in rows:
        below = max((len(cell.caption.splitlines()) for cell in cells if cell), default=0)
        heights.append(tall * bool(cells) + LINE * (1.8 * bool(head) + below))
    total = sum(heights)
    with save_figure(out, PAGE, total, SCREEN) as fig:
        fig.set_layout_engine("none")
        fig.text(0.005, 1 - 0.05 / total, title, va="top")
        for (head, cells), top in zip(rows, total - np.cumsum(heights), strict=False):
            top -= 1.8 * LINE * bool(head)
            fig.text(0.005, (top + 0.05) / total, head)
            for column, cell in enumerate(cells):
                box = column * wide + 0.04, top - tall + 0.04, wide - 0.08, tall - 0.04
                if cell:
                    left, bottom, box_width, box_height = np.divide(box, [PAGE, total, PAGE, total]).tolist()
                    cell.draw(fig.add_axes((left, bottom, box_width, box_height)))
    return fig


def distance_formatter(table: pd.DataFrame, unit: str) -> Callable[[float], str]:
    """Return a function that formats a distance between photos of a table.

    The distance is in the table's unit. Without coordinates it is `same place` or `other place` instead, and empty
    where positives are listed.
    """
    if unit == LISTED:
        return lambda distance: ""
    if has_no_coordinates(table, unit):
        return lambda distance: OTHER if distance else SAME
    return lambda distance: f"{distance:,.{int(unit == 'm')}f} {unit}"


def plot_gallery(
    out: OutputPaths,
    found: Predictions,
    *,
    title: str,
    protocol: Protocol,
    seed: int = 0,
    rows: int = 3,
    top: int = 5,
) -> Figure:
    """Draw queries beside their first candidates: the most confident right ones, the most confident wrong ones, random.

    A query without a positive is marked. Below each candidate stands its distance from the query in the unit of the
    protocol or, without coordinates, whether it is of the same place.

    Args:
        out: the figure's files.
        found: the predictions.
        title: run and dataset.
        protocol: defines a hit, and the unit of distances.
        seed: of the random queries.
        rows: number of queries of each kind.
        top: number of candidates per query.
    """
    format_distance = distance_formatter(found.database, protocol.unit)
    query, database, positives = found.query, found.database, found.positives
    ranking_QK = np.pad(found.default_ranking, ((0, 0), (0, top)), constant_values=-1)[:, :top]
    hit_QK, score_Q = hits(ranking_QK, positives), found.scores[found.default_descriptor][:, 0]
    right, wrong = np.flatnonzero(hit_QK[:, 0]), np.flatnonzero(~hit_QK[:, 0])

    def cells(q: int) -> Iterator[PhotoCell | None]:
        yield PhotoCell(query.path.iloc[q], f"query {q}" + ("" if len(positives[q]) else "\nhas no positive"), "black")
        distance = np.hypot(database.east - query.east.iloc[q], database.north - query.north.iloc[q])
        for n, hit in zip(ranking_QK[q], hit_QK[q], strict=True):
            mark, frame = ("✓", RIGHT) if hit else ("✗", WRONG)
            yield PhotoCell(database.path[n], f"{mark} {format_distance(distance[n])}", frame) if n >= 0 else None

    def most_confident(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        return numbers[np.argsort(-score_Q[numbers], kind="stable")][:rows]

    sample = np.sort(np.random.default_rng(seed).choice(len(query), min(rows, len(query)), replace=False))
    groups = []
    for name, numbers, total in (
        ("Best: right at rank 1, the highest similarities", most_confident(right), len(right)),
        ("Worst: wrong at rank 1, the highest similarities", most_confident(wrong), len(wrong)),
        ("Random", sample, len(query)),
    ):
        groups.append((f"{name}, {len(numbers)} of {total}", [cell for q in numbers for cell in cells(q)]))
    counts = f"{len(right)} of {len(query)} queries right at rank 1, {len(wrong)} wrong"
    hopeless = f"{sum(not len(p) for p in positives)} of these without a positive"
    return plot_sheet(out, f"{title}; {protocol.name}: {counts}, {hopeless}", groups, 1 + top)
