"""Measure recall, bytes per image and search time for each dimension and storage of the descriptors.

Axes: Q queries, N database images, D dimensions.
"""

import os
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from vprlib.config import DescriptorSizesConfig
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.recall_table import intervals_of
from vprlib.exceptions import InputError
from vprlib.io.files import open_h5
from vprlib.io.fingerprints import code_version
from vprlib.retrieval.compression import STORAGES, leading_dimensions
from vprlib.retrieval.descriptor_reader import Descriptors
from vprlib.retrieval.exact_search import Ranking
from vprlib.retrieval.search import search_database

KS = (1, 5, 10)
ROUNDS = 3  # repetitions of a search; their median time is reported
KIND = "whitened"


def measure_sizes(
    *,
    images: str | os.PathLike[str],
    database: str | os.PathLike[str],
    queries: str | os.PathLike[str],
    protocol: Protocol,
    sizes: DescriptorSizesConfig,
    seed: int,
) -> pd.DataFrame:
    """Evaluate the retrieval with compressed descriptors: a tidy table, one row per dimension, storage and k.

    The files hold float16 values of whitened descriptors, so float32 is no more exact than they are. `search_ms` is
    the wall time per query of a search of all queries together, by all threads, without encoding. Database and queries
    are held in memory, as float32 and encoded.

    Args:
        images: the image table.
        database, queries: the descriptor files; their `whitened` descriptors are measured.
        protocol: defines the queries and the hits.
        sizes: config section of the dimensions and storages.
        seed: seed of PQ's centres.

    Raises:
        InputError: if the descriptors are missing or have fewer dimensions than requested.
    """
    rows = []
    for path in (database, queries):
        with open_h5(path, verify=()) as file:  # the search reads it as a whole
            if KIND not in file:
                raise InputError(f"{path}: has no whitened descriptors; add them to extract.descriptors")
            if file[KIND].shape[1] < max(sizes.dims):
                raise InputError(
                    f"descriptor_sizes.dims: {max(sizes.dims)} exceeds the {file[KIND].shape[1]} dimensions of {path}"
                )
    for dim in sizes.dims:
        for storage in sizes.compression:
            spent: list[tuple[float, int, int]] = []
            rank = partial(timed_ranking, storage=storage, dim=dim, seed=seed, spent=spent)
            with tempfile.TemporaryDirectory() as folder:
                ranking = Path(folder) / "ranking.h5"
                search_database(
                    ranking,
                    database=database,
                    queries=queries,
                    images=images,
                    depth=max(KS) * (protocol.views_per_place or 1),
                    scopes=[protocol.search_scope],
                    kinds=[KIND],
                    rank=rank,
                )
                predictions = load_predictions(images=images, ranking=ranking, protocol=protocol)
            count, searched = len(predictions.query), sum(number for _, number, _ in spent)
            shared: dict[str, Any] = {"dim": dim, "compression": storage, "bytes": max(size for *_, size in spent)}
            shared["search_ms"] = 1000 * sum(seconds for seconds, *_ in spent) / searched
            ks = [k for k in KS if k <= len(predictions.database)]
            intervals, places = intervals_of(ks, predictions, KIND, protocol.radius)
            shared |= {"queries": count, "places": places, "database": len(predictions.database)}
            rows += [shared | row | {"protocol": protocol.name} | code_version() for row in intervals]
    return pd.DataFrame(rows)


def timed_ranking(
    query_QD: Descriptors,
    database_ND: Descriptors,
    k: int,
    *,
    storage: str,
    dim: int,
    seed: int,
    spent: list[tuple[float, int, int]],
) -> Ranking:
    """Rank by the leading dimensions in a storage, as `nearest` does, and measure the time.

    Args:
        query_QD, database_ND, k: as in `nearest`.
        storage: one of `STORAGES`.
        dim: number of leading dimensions.
        seed: seed of PQ's centres.
        spent: (seconds, queries, bytes of an image) is appended to it.
    """
    options = {"seed": seed} if storage == "pq" else {}
    stored = STORAGES[storage](leading_dimensions(database_ND, dim), **options)
    leading_QD = leading_dimensions(query_QD, dim)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ranking, score = stored.nearest(leading_QD, k)
        times.append(time.perf_counter() - start)
    spent.append((statistics.median(times), len(leading_QD), stored.bytes))
    return ranking, score
