"""Custom datasets with ground truth in the formats of others, and their positives by a slow definition."""

import numpy as np

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset

FILES = ("npz", "mat", "positives", "pairs", "database", "queries", "database_track", "queries_track")


def own_dataset(folder, keys):
    """The dataset that the keys of `custom_datasets.{name}` declare; files are relative to the folder."""
    keys = {key: str(folder / value) if key in FILES else value for key, value in keys.items()}
    raw = {"datasets": ["own"], "runs": {"a": {"train_set": "city"}}, "custom_datasets": {"own": keys}}
    return get_dataset("own", parse_config(raw))


def write_list(path, names):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))


def slow_positives(queries, database, radius):
    """The numbers of the database positions within the radius of each query, one distance at a time."""
    return [
        [n for n, other in enumerate(database) if np.sqrt(((other - query) ** 2).sum()) <= radius] for query in queries
    ]
