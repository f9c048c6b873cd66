"""Draw a contact sheet of a dataset: random photos of every split and role, a place's views, and annotated boxes."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vprlib.data.listed_positives import LISTED
from vprlib.figures.photo_sheets import BOXES, SAME, PhotoCell, distance_formatter, plot_sheet
from vprlib.figures.style import OutputPaths


def plot_contact_sheet(
    out: OutputPaths,
    table: pd.DataFrame,
    *,
    title: str,
    unit: str = "m",
    boxes: Mapping[str, Sequence[tuple[Any, ...]]] | None = None,
    seed: int = 0,
    columns: int = 6,
) -> Figure:
    """Draw random photos of each split and role, the views of a place, a query's surroundings, and photos with boxes.

    Args:
        out: the figure's files.
        table: the image table.
        title: the sheet's title.
        unit: of the coordinates.
        boxes: {path: (x, y, width, height, ..., label) in pixels of the upright photo}.
        seed: of the random choice.
        columns: photos per row.
    """
    format_distance = distance_formatter(table, unit)
    rng, boxes, several = np.random.default_rng(seed), boxes or {}, 2 * columns
    groups: list[tuple[str, Sequence[PhotoCell | None]]] = []

    def sample(rows: pd.DataFrame, count: int = columns) -> pd.DataFrame:
        return rows.iloc[np.sort(rng.choice(len(rows), min(count, len(rows)), replace=False))]

    for (split, role), rows in table.groupby(["split", "role"], sort=False):
        heading = f"{split}, {role}: some of {len(rows):,} photos"
        groups.append((heading, [PhotoCell(path) for path in sample(rows).path]))
    database = table[table.role == "database"]
    shared = database[database.place.notna() & database.duplicated(["split", "place"], keep=False)]
    for _, image in sample(shared, 1).iterrows():
        views = [PhotoCell(path) for path in shared.path[(shared.split == image.split) & (shared.place == image.place)]]
        heading = f"{image.split}, place {image.place}: {len(views[:several])} of {len(views)} views, in order"
        groups.append((heading, views[:several]))
    for _, query in sample(table[table.role == "query"], 1).iterrows():
        candidates = database[database.split == query.split]
        distances = np.hypot(candidates.east - query.east, candidates.north - query.north).sort_values(kind="stable")
        cells = [
            PhotoCell(candidates.path[row], format_distance(value))
            for row, value in distances.head(several - 1).items()
        ]
        order = "of its place, then others" if format_distance(0.0) == SAME else "nearest to it, with their distance"
        order = "around its positives in the list" if unit == LISTED else order
        heading = f"{query.split}: a query and the database photos {order}"
        groups.append((heading, [PhotoCell(query.path, "query", "black"), *cells]))
    shown = sample(table[table.path.isin(list(boxes))]).path
    lines = dict(zip(sorted({box[-1] for path in shown for box in boxes[path]}), cycle(BOXES), strict=False))
    cells = [PhotoCell(path, boxes=tuple((*box[:4], lines[box[-1]]) for box in boxes[path])) for path in shown]
    groups += [("annotated: " + ", ".join(f"{label} ({line})" for label, line in lines.items()), cells)] * bool(cells)
    return plot_sheet(out, title, groups, columns)
