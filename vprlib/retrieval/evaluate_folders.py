"""Evaluate a network, or descriptors that were computed elsewhere, on two folders, by the workflow's functions.

Axes: N photos, D dimensions.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vprlib.data.dataset import Dataset
from vprlib.data.image_table import ROLES, has_no_coordinates, select_rows
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.recall_table import recall_table
from vprlib.io.files import write_csv
from vprlib.retrieval.import_descriptors import KEYS, import_descriptors
from vprlib.retrieval.search import search_database

# columns of `recall_table` that tell of a training and a configuration, of which there are none here
OF_RUNS = ("descriptor", "rerank", "condition", "config_hash", "index", "epoch", "train_set", "epoch_selected_on")
ONE_PLACE = "of the query's sub-folder"  # the protocol where sub-folders are the places


def evaluate_folders(
    dataset: Dataset,
    *,
    recall_at: Sequence[int],
    network: str | os.PathLike[str] | None = None,
    descriptors: Sequence[str] = (),
    whitening: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch: int = 16,
) -> pd.DataFrame:
    """Compute the recalls of a network or of given descriptors on the test split of a dataset.

    Descriptors are rounded to float16, as the workflow stores them, so the recalls are those of the workflow.

    Args:
        dataset: the photos and their positions, with one protocol.
        recall_at: numbers of candidates k.
        network: a checkpoint or a name; see `load_network`.
        descriptors: instead of a network, the files of the descriptors: that of the database and that of the queries,
            or one HDF5 file with both.
        whitening: the PCA file of the network.
        device, batch: as in `describe_photos`.

    Returns:
        A row for each k with `of` (the network, or the files), `recall`, `low`, `high`, `design_effect`, `chance`, the
        numbers of queries, places and database photos, the protocol, `descriptors` (the first digits of their SHA-256),
        and the version of the code.

    Raises:
        InputError: as the functions that are called.
    """
    protocol, table = dataset.protocols[0], dataset.table()
    with tempfile.TemporaryDirectory() as folder:
        images, ranking = Path(folder) / "images.csv", Path(folder) / "ranking.h5"
        write_csv(images, table)
        files = dict(zip(("file",) if len(descriptors) == 1 else KEYS.values(), descriptors, strict=False))
        if network:
            from vprlib.retrieval.describe import describe_photos, load_network  # needs torch, given files do not

            loaded = load_network(network, whitening)
            for role in ROLES:
                paths = select_rows(table, "test", role).path.tolist()
                x_ND = describe_photos(loaded, paths, device=device, batch=batch, desc=f"describe {role}")
                files[KEYS[role]] = str(Path(folder) / f"{role}.npy")
                np.save(files[KEYS[role]], x_ND.astype(np.float16))
        source = " and ".join(dataset.files[:2])
        import_descriptors(folder, images=images, files=files, framings=[protocol.framing], source=source)
        search_database(
            ranking,
            database=Path(folder) / "database.h5",
            queries=Path(folder) / "queries.h5",
            images=images,
            depth=max(recall_at) * (protocol.views_per_place or 1),
            scopes=[protocol.search_scope],
        )
        recalls = recall_table(
            load_predictions(images=images, ranking=ranking, protocol=protocol),
            images=dataset.root / dataset.files[0],
            ranking=ranking,
            ks=recall_at,
            recipe={},
            config_hash="",
            protocol=protocol,
            selection={"checkpoint": "", "train_set": "", "validation": images},
        )
    recalls.insert(0, "of", str(network) if network else ", ".join(descriptors))
    if has_no_coordinates(table, protocol.unit):
        recalls["protocol"], recalls["radius"] = ONE_PLACE, np.nan
    return recalls.drop(columns=[*OF_RUNS]).rename(columns={"checkpoint": "descriptors"})
