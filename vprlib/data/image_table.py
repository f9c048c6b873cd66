"""The image table, one row per photo: its columns, splits and roles, and how rows are read and selected."""

COLUMNS = ("path", "split", "role", "place", "east", "north", "heading", "time")  # any others are conditions
OPTIONAL = ("place", "heading", "time")
SPLITS = ("train", "val", "test")
ROLES = ("database", "query")


def read_image_table(path):
    """An image table from its file; places and times are labels, whatever they look like."""
    import pandas as pd

    return pd.read_csv(path, dtype={"place": str, "time": str})


def row_numbers(table, split: str, role: str):
    """The row numbers of one split and role, increasing."""
    import numpy as np

    return np.flatnonzero((table.split == split) & (table.role == role))


def select_rows(table, split: str, role: str):
    """The rows of one split and role, renumbered from 0 in the table's order."""
    return table.iloc[row_numbers(table, split, role)].reset_index(drop=True)


APART = 1e6  # metres from one place without coordinates to the next


def has_no_coordinates(table, unit: str) -> bool:
    """Whether positions, in a protocol's unit, are those of places without coordinates, as `index` makes them up."""
    return unit == "m" and bool((table.north == 0).all() and (table.east % APART == 0).all())
