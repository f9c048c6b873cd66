"""Evaluate a network, or descriptors that were computed elsewhere, on two folders, by the workflow's functions.

Axes: N photos, D dimensions.
"""

import logging
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
from vprlib.exceptions import InputError
from vprlib.io.files import write_csv
from vprlib.retrieval.descriptor_files import KINDS, list_kinds
from vprlib.retrieval.import_descriptors import KEYS, import_descriptors
from vprlib.retrieval.search import search_database

log = logging.getLogger(__name__)

KS = (1, 5, 10)  # numbers of candidates if none are given
# columns of `recall_table` that tell of a training and a configuration, of which there are none here
OF_RUNS = ("descriptor", "rerank", "condition", "config_hash", "index", "epoch", "train_set", "epoch_selected_on")
ONE_PLACE = "of the query's sub-folder"  # the protocol where sub-folders are the places


def evaluate_folders(
    dataset: Dataset,
    *,
    recall_at: Sequence[int] | None = None,
    network: str | os.PathLike[str] | None = None,
    descriptors: Sequence[str] = (),
    kind: str | None = None,
    whitening: str | os.PathLike[str] | None = None,
    device: str = "auto",
    batch: int = 16,
) -> pd.DataFrame:
    """Compute the recalls of a network or of given descriptors on the test split of a dataset.

    Descriptors of a network are rounded to float16, as the workflow stores them, and given ones are kept as
    `import_descriptors` keeps them, so the recalls are those of the workflow.

    Args:
        dataset: the photos and their positions, with one protocol.
        recall_at: numbers of candidates k; by default those of KS that do not exceed the number of database photos.
        network: a checkpoint or a name; see `load_network`.
        descriptors: instead of a network, the files of the descriptors: that of the database and that of the queries,
            or one HDF5 file with both.
        kind: kind of descriptor to read from the `database.h5` and `queries.h5` of a run: `raw` or `whitened`; by
            default the raw ones, or the whitened ones if there are no raw ones.
        whitening: the PCA file of the network.
        device, batch: as in `describe_photos`.

    Returns:
        A row for each k with `of` (the network, or the files), `recall`, `low`, `high`, `design_effect`, `chance`, the
        numbers of queries, places and database photos, the protocol, `descriptors` (the first digits of their SHA-256),
        and the version of the code.

    Raises:
        InputError: a given k exceeds the number of database photos, `kind` is given for files that have one kind, or
            as the functions that are called.
    """
    protocol, table = dataset.protocols[0], dataset.table()
    ks = _select_ks(recall_at, len(select_rows(table, "test", "database")))
    kind = _select_kind(descriptors, kind)
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
        import_descriptors(folder, images=images, files=files, kind=kind, framings=[protocol.framing], source=source)
        search_database(
            ranking,
            database=Path(folder) / "database.h5",
            queries=Path(folder) / "queries.h5",
            images=images,
            depth=max(ks) * (protocol.views_per_place or 1),
            scopes=[protocol.search_scope],
        )
        recalls = recall_table(
            load_predictions(images=images, ranking=ranking, protocol=protocol),
            images=dataset.root / dataset.files[0],
            ranking=ranking,
            ks=ks,
            recipe={},
            config_hash="",
            protocol=protocol,
            selection={"checkpoint": "", "train_set": "", "validation": images},
        )
    recalls.insert(0, "of", str(network) if network else ", ".join(descriptors))
    if has_no_coordinates(table, protocol.unit):
        recalls["protocol"], recalls["radius"] = ONE_PLACE, np.nan
    return recalls.drop(columns=[*OF_RUNS]).rename(columns={"checkpoint": "descriptors"})


def _select_ks(recall_at: Sequence[int] | None, photos: int) -> Sequence[int]:
    """Return the given numbers of candidates, or those of KS that the database has; the log says which are left out.

    Raises:
        InputError: a given one exceeds the number of database photos.
    """
    largest = max(recall_at or KS)
    if recall_at and largest > photos:
        raise InputError(
            f"--recall-at: recall@{largest} needs {largest} database photos, there are {photos}; leave out this k"
        )
    if largest > photos:
        beyond = " and ".join(f"recall@{k}" for k in KS if k > photos)
        log.warning("%s left out, because there are %d database photos", beyond, photos)
    return recall_at or [k for k in KS if k <= photos]


def _select_kind(descriptors: Sequence[str], kind: str | None) -> str:
    """Return the kind of descriptor to read: the given one, or the first one that all files of a run among these hold.

    Raises:
        InputError: a kind is given, and no file is one of a run.
    """
    held = [kinds for path in descriptors if (kinds := list_kinds(path))]
    if kind and not held:
        raise InputError(f"--kind {kind}: {' and '.join(descriptors)} hold one kind of descriptors; leave it out")
    shared = [name for name in KINDS if all(name in kinds for kinds in held)]
    if held and shared == [*KINDS] and not kind:
        log.warning(
            "%s: the raw descriptors are evaluated; the whitened ones beside them are by `--kind whitened`",
            " and ".join(descriptors),
        )
    return kind or (shared or KINDS)[0]
