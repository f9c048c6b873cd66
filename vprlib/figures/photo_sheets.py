"""Sheets of photos: a gallery of queries and what was found, and a dataset's contact sheet."""

from typing import NamedTuple

import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from vprlib.data.image_table import has_no_coordinates
from vprlib.data.photos import upright
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits
from vprlib.figures.style import GREY, LINE, PAGE, RIGHT, SCREEN, WRONG, count_lines, save_figure, wrap

SAME, OTHER = "same place", "other place"  # what is told where no distance is known
BOXES = {"solid": "#E69F00", "dashed": "#56B4E9", "dotted": "#FFFFFF"}  # line style -> colour


class PhotoCell(NamedTuple):
    """A cell of a sheet; boxes are (x, y, width, height, line style) in pixels of the upright photo."""

    path: str
    caption: str = ""
    frame: str = GREY
    boxes: tuple = ()

    def draw(self, ax):
        photo = upright(Image.open(self.path)).convert("RGB")
        ax.imshow(ImageOps.contain(photo, (320, 320)), extent=(0, photo.width, photo.height, 0))
        ax.set(xticks=[], yticks=[], anchor="N", xlabel=self.caption)
        ax.spines[:].set(visible=True, color=self.frame, linewidth=0.5 if self.frame == GREY else 2.5)
        for x, y, w, h, line in self.boxes:
            ax.add_patch(Rectangle((x, y), w, h, fill=False, color=BOXES[line], linestyle=line))


def plot_sheet(out, title: str, groups, columns: int):
    """Draw groups of photos, (heading, cells) each, in rows of `columns`; a cell of None stays empty.

    Of a group without cells only the heading is there.
    """
    title, wide, tall = wrap(title, PAGE), PAGE / columns, 0.75 * PAGE / columns
    rows = []
    for head, cells in groups:
        lots = [cells[i : i + columns] for i in range(0, len(cells), columns)] or [[]]
        rows += [(head * (number == 0), lot) for number, lot in enumerate(lots)]
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
                    cell.draw(fig.add_axes(np.divide(box, [PAGE, total, PAGE, total])))
    return fig


def distance_formatter(table, unit: str):
    """How a distance between photos of a table is told: in its unit, or of places without coordinates in words."""
    if has_no_coordinates(table, unit):
        return lambda far: OTHER if far else SAME
    return lambda far: f"{far:,.{int(unit == 'm')}f} {unit}"


def plot_gallery(out, found: Predictions, *, title: str, protocol: Protocol, seed=0, rows=3, top=5):
    """Draw queries beside their first candidates: the best, which are right and the surest; the worst, which are
    wrong and yet the surest; and random ones.

    Args:
        found: what was searched; a query that has no positive is marked.
        title: which run and dataset.
        protocol: how a hit is judged; its unit is that of the distances below the candidates, if there are any: of
            places without coordinates it is said whether a candidate is of the same place.
        rows: queries of a kind.
        top: candidates of a query.
    """
    apart = distance_formatter(found.database, protocol.unit)
    query, database, positives = found.query, found.database, found.positives
    ranking_QK = np.pad(found.shown, ((0, 0), (0, top)), constant_values=-1)[:, :top]
    found_QK, sure_Q = hits(ranking_QK, positives), found.scores[found.kind][:, 0]
    right, wrong = np.flatnonzero(found_QK[:, 0]), np.flatnonzero(~found_QK[:, 0])

    def cells(q):
        yield PhotoCell(query.path.iloc[q], f"query {q}" + ("" if len(positives[q]) else "\nhas no positive"), "black")
        far = np.hypot(database.east - query.east.iloc[q], database.north - query.north.iloc[q])
        for n, hit in zip(ranking_QK[q], found_QK[q], strict=True):
            mark, frame = ("✓", RIGHT) if hit else ("✗", WRONG)
            yield PhotoCell(database.path[n], f"{mark} {apart(far[n])}", frame) if n >= 0 else None

    def surest(numbers):
        return numbers[np.argsort(-sure_Q[numbers], kind="stable")][:rows]

    chance = np.sort(np.random.default_rng(seed).choice(len(query), min(rows, len(query)), replace=False))
    groups = []
    for name, numbers, of in (
        ("Best: right at rank 1, the highest similarities", surest(right), len(right)),
        ("Worst: wrong at rank 1, the highest similarities", surest(wrong), len(wrong)),
        ("Random", chance, len(query)),
    ):
        groups.append((f"{name}, {len(numbers)} of {of}", [cell for q in numbers for cell in cells(q)]))
    counts = f"{len(right)} of {len(query)} queries right at rank 1, {len(wrong)} wrong"
    hopeless = f"{sum(not len(p) for p in positives)} of these without a positive"
    return plot_sheet(out, f"{title}; {protocol.name}: {counts}, {hopeless}", groups, 1 + top)
