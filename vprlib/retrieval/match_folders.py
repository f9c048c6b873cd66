"""Find the most similar photos of a folder for each photo of another one: no labels, no positions.

Axes: Q queries, N database photos, K candidates of a query.
"""

import os
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.retrieval.describe import describe_photos, load_network
from vprlib.retrieval.exact_search import nearest


class Matches(NamedTuple):
    """The candidates of each query, the most similar first."""

    queries: list[str]  # paths
    database: list[str]  # paths
    ranking_QK: NDArray[np.int64]  # numbers of database photos
    score_QK: NDArray[np.float32]  # cosine similarities

    def table(self) -> pd.DataFrame:
        """Return a row for each query and candidate: `query`, `rank` (from 1), `database` and `score`."""
        depth = self.ranking_QK.shape[1]
        return pd.DataFrame({
            "query": np.repeat(np.array(self.queries, object), depth),
            "rank": np.tile(np.arange(1, depth + 1), len(self.queries)),
            "database": np.array(self.database, object)[self.ranking_QK.ravel()],
            "score": self.score_QK.ravel(),
        })  # fmt: skip


def match_photos(
    queries: list[str],
    database: list[str],
    *,
    network: str | os.PathLike[str],
    whitening: str | os.PathLike[str] | None = None,
    top: int = 10,
    device: str = "auto",
    batch: int = 16,
) -> Matches:
    """Describe photos and rank the database for each query by cosine similarity.

    Args:
        queries: paths of Q photos.
        database: paths of N photos.
        network: a checkpoint or a name; see `load_network`.
        whitening: the PCA file of the network.
        top: number of candidates K of each query; at most N are returned.
        device, batch: as in `describe_photos`.

    Raises:
        InputError: as `load_network` and `describe_photos`.
    """
    loaded = load_network(network, whitening)
    describe = partial(describe_photos, loaded, device=device, batch=batch)
    database_ND = describe(database, desc="describe the database")
    query_QD = describe(queries, desc="describe the queries")
    return Matches(queries, database, *nearest(query_QD, database_ND, top))
