"""Draw a contact sheet of a dataset: random photos of every split and role, a place's views, and annotated boxes."""

from itertools import cycle

import numpy as np

from vprlib.figures.photo_sheets import BOXES, SAME, PhotoCell, distance_formatter, plot_sheet


def plot_contact_sheet(out, table, *, title: str, unit="m", boxes=None, seed=0, columns=6):
    """Draw random photos of each split and role, the views of a place, what is around a query, photos with boxes."""
    apart = distance_formatter(table, unit)
    rng, boxes, groups, several = np.random.default_rng(seed), boxes or {}, [], 2 * columns

    def some(rows, count=columns):
        return rows.iloc[np.sort(rng.choice(len(rows), min(count, len(rows)), replace=False))]

    for (split, role), rows in table.groupby(["split", "role"], sort=False):
        groups.append((f"{split}, {role}: some of {len(rows):,} photos", [PhotoCell(path) for path in some(rows).path]))
    database = table[table.role == "database"]
    shared = database[database.place.notna() & database.duplicated(["split", "place"], keep=False)]
    for one in some(shared, 1).itertuples():
        views = [PhotoCell(path) for path in shared.path[(shared.split == one.split) & (shared.place == one.place)]]
        heading = f"{one.split}, place {one.place}: {len(views[:several])} of {len(views)} views, in order"
        groups.append((heading, views[:several]))
    for query in some(table[table.role == "query"], 1).itertuples():
        near = database[database.split == query.split]
        metres = np.hypot(near.east - query.east, near.north - query.north).sort_values(kind="stable")
        cells = [PhotoCell(near.path[row], apart(value)) for row, value in metres.head(several - 1).items()]
        order = "of its place, then others" if apart(0.0) == SAME else "nearest to it, with their distance"
        heading = f"{query.split}: a query and the database photos {order}"
        groups.append((heading, [PhotoCell(query.path, "query", "black"), *cells]))
    shown = some(table[table.path.isin(list(boxes))]).path
    lines = dict(zip(sorted({box[-1] for path in shown for box in boxes[path]}), cycle(BOXES), strict=False))
    cells = [PhotoCell(path, boxes=[(*box[:4], lines[box[-1]]) for box in boxes[path]]) for path in shown]
    groups += [("annotated: " + ", ".join(f"{label} ({line})" for label, line in lines.items()), cells)] * bool(cells)
    return plot_sheet(out, title, groups, columns)
