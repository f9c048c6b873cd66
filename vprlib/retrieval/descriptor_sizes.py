"""Descriptor size as an axis: recall, bytes and search time of each dimension in each storage."""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import h5py
import pandas as pd

from vprlib.config import DescriptorSizesConfig
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.recall import recall_at
from vprlib.evaluation.statistics import wilson_interval
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import code_version
from vprlib.retrieval.compression import STORAGES, leading_dimensions
from vprlib.retrieval.search import search_database

KS = (1, 5, 10)
ROUNDS = 3  # of a search; its median time counts
KIND = "whitened"


def measure_sizes(*, images, database, queries, protocol: Protocol, sizes: DescriptorSizesConfig, seed: int):
    """A tidy table: a row for each dimension, storage and k.

    The files hold float16 values of whitened descriptors, so float32 is no more exact than they are. `search_ms` is the
    wall time of one query in a search of all at once, by all threads, without encoding. Database and queries are held
    in memory, as float32 and encoded.

    Args:
        images: the image table.
        database, queries: the files of descriptors; their `whitened` ones are measured.
        protocol: what is asked, and what is a hit.
        sizes: the dimensions and storages.
        seed: of the centres of PQ.

    Raises:
        InputError: the descriptors are missing or shorter than a dimension.
    """
    rows = []
    for path in (database, queries):
        with h5py.File(path, "r") as file:
            if KIND not in file:
                raise InputError(f"{path}: has no whitened descriptors; add them to extract.descriptors")
            if file[KIND].shape[1] < max(sizes.dims):
                raise InputError(f"sizes.dims: {max(sizes.dims)} dimensions of {path}, which has {file[KIND].shape[1]}")
    for dim in sizes.dims:
        for storage in sizes.storage:
            spent = []
            rank = partial(timed_ranking, storage=storage, dim=dim, seed=seed, spent=spent)
            with tempfile.TemporaryDirectory() as folder:
                ranking = Path(folder) / "ranking.h5"
                options = {"depth": max(KS) * (protocol.views_per_place or 1), "scopes": [protocol.scope]}
                search_database(
                    ranking, database=database, queries=queries, images=images, rank=rank, kinds=[KIND], **options
                )
                found = load_predictions(images=images, ranking=ranking, protocol=protocol)
            count, asked = len(found.query), sum(number for _, number, _ in spent)
            shared = {"dim": dim, "storage": storage, "bytes": max(size for *_, size in spent)}
            shared["search_ms"] = 1000 * sum(seconds for seconds, *_ in spent) / asked
            ks = [k for k in KS if k <= len(found.database)]
            for k, recall in recall_at(ks, found.rankings[KIND], found.positives).items():
                low, high = wilson_interval(recall * count, count)
                rows.append(shared | {"k": k, "recall": recall, "low": low, "high": high, "queries": count})
                rows[-1] |= {"database": len(found.database), "protocol": protocol.name} | code_version()
    return pd.DataFrame(rows)


def timed_ranking(query_QD, database_ND, k: int, *, storage: str, dim: int, seed: int, spent: list) -> tuple:
    """As `nearest`, of the leading values in a storage; appends (seconds, queries, bytes of an image)."""
    options = {"seed": seed} if storage == "pq" else {}
    stored, query_QD = (
        STORAGES[storage](leading_dimensions(database_ND, dim), **options),
        leading_dimensions(query_QD, dim),
    )
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ranking, score = stored.nearest(query_QD, k)
        times.append(time.perf_counter() - start)
    spent.append((statistics.median(times), len(query_QD), stored.bytes))
    return ranking, score
