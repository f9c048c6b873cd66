"""Sheets of photos: a gallery of queries and what was found, and a dataset's contact sheet."""

import json
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from vprlib.data.checks.photo_scan import upright
from vprlib.data.dataset import Protocol
from vprlib.data.layouts.photo_folder import placeless
from vprlib.evaluation.recall import Searched, hits
from vprlib.figures.style import GREY, LINE, PAGE, RIGHT, SCREEN, WRONG, figure, lines_of, wrapped

SAME, OTHER = "same place", "other place"  # what is told where no distance is known
BOXES = {"solid": "#E69F00", "dashed": "#56B4E9", "dotted": "#FFFFFF"}


class Photo(NamedTuple):
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


def sheet(out, title: str, groups, columns: int):
    """Draw groups of photos, (heading, cells) each, in rows of `columns`; a cell of None stays empty.

    Of a group without cells only the heading is there.
    """
    title, wide, tall = wrapped(title, PAGE), PAGE / columns, 0.75 * PAGE / columns
    rows = []
    for head, cells in groups:
        lots = [cells[i : i + columns] for i in range(0, len(cells), columns)] or [[]]
        rows += [(head * (number == 0), lot) for number, lot in enumerate(lots)]
    heights = [LINE * (lines_of(title) + 0.7)]
    for head, cells in rows:
        below = max((len(cell.caption.splitlines()) for cell in cells if cell), default=0)
        heights.append(tall * bool(cells) + LINE * (1.8 * bool(head) + below))
    total = sum(heights)
    with figure(out, PAGE, total, SCREEN) as fig:
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


def telling(table, unit: str):
    """How a distance between photos of a table is told: in its unit, or of places without coordinates in words."""
    if placeless(table, unit):
        return lambda far: OTHER if far else SAME
    return lambda far: f"{far:,.{int(unit == 'm')}f} {unit}"


def gallery(out, found: Searched, *, title: str, protocol: Protocol, seed=0, rows=3, top=5):
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
    apart = telling(found.database, protocol.unit)
    query, database, positives = found.query, found.database, found.positives
    ranking_QK = np.pad(found.shown, ((0, 0), (0, top)), constant_values=-1)[:, :top]
    found_QK, sure_Q = hits(ranking_QK, positives), found.scores[found.kind][:, 0]
    right, wrong = np.flatnonzero(found_QK[:, 0]), np.flatnonzero(~found_QK[:, 0])

    def cells(q):
        yield Photo(query.path.iloc[q], f"query {q}" + ("" if len(positives[q]) else "\nhas no positive"), "black")
        far = np.hypot(database.east - query.east.iloc[q], database.north - query.north.iloc[q])
        for n, hit in zip(ranking_QK[q], found_QK[q], strict=True):
            mark, frame = ("✓", RIGHT) if hit else ("✗", WRONG)
            yield Photo(database.path[n], f"{mark} {apart(far[n])}", frame) if n >= 0 else None

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
    return sheet(out, f"{title}; {protocol.name}: {counts}, {hopeless}", groups, 1 + top)


def coco(path: Path) -> dict:
    """The boxes (x, y, width, height, label) of a COCO file, by the photo's path, which is relative to the file."""
    content, boxes = json.loads(path.read_text()), {}
    photos = {image["id"]: str(path.parent / image["file_name"]) for image in content["images"]}
    labels = {category["id"]: category["name"] for category in content["categories"]}
    for one in content["annotations"]:
        boxes.setdefault(photos[one["image_id"]], []).append((*one["bbox"], labels[one["category_id"]]))
    return boxes


def contact(out, table, *, title: str, unit="m", boxes=None, seed=0, columns=6):
    """Draw random photos of each split and role, the views of a place, what is around a query, photos with boxes."""
    apart = telling(table, unit)
    rng, boxes, groups, several = np.random.default_rng(seed), boxes or {}, [], 2 * columns

    def some(rows, count=columns):
        return rows.iloc[np.sort(rng.choice(len(rows), min(count, len(rows)), replace=False))]

    for (split, role), rows in table.groupby(["split", "role"], sort=False):
        groups.append((f"{split}, {role}: some of {len(rows):,} photos", [Photo(path) for path in some(rows).path]))
    database = table[table.role == "database"]
    shared = database[database.place.notna() & database.duplicated(["split", "place"], keep=False)]
    for one in some(shared, 1).itertuples():
        views = [Photo(path) for path in shared.path[(shared.split == one.split) & (shared.place == one.place)]]
        heading = f"{one.split}, place {one.place}: {len(views[:several])} of {len(views)} views, in order"
        groups.append((heading, views[:several]))
    for query in some(table[table.role == "query"], 1).itertuples():
        near = database[database.split == query.split]
        metres = np.hypot(near.east - query.east, near.north - query.north).sort_values(kind="stable")
        cells = [Photo(near.path[row], apart(value)) for row, value in metres.head(several - 1).items()]
        order = "of its place, then others" if apart(0.0) == SAME else "nearest to it, with their distance"
        heading = f"{query.split}: a query and the database photos {order}"
        groups.append((heading, [Photo(query.path, "query", "black"), *cells]))
    shown = some(table[table.path.isin(list(boxes))]).path
    lines = dict(zip(sorted({box[-1] for path in shown for box in boxes[path]}), cycle(BOXES), strict=False))
    cells = [Photo(path, boxes=[(*box[:4], lines[box[-1]]) for box in boxes[path]]) for path in shown]
    groups += [("annotated: " + ", ".join(f"{label} ({line})" for label, line in lines.items()), cells)] * bool(cells)
    return sheet(out, title, groups, columns)
