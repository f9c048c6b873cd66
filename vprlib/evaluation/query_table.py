"""Build the per-query result table: the rank of the first hit, its distance and two confidences."""

import numpy as np
import pandas as pd

from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits
from vprlib.evaluation.recall_table import query_conditions


def per_query_table(found: Predictions, *, images, ks, config: str, protocol: Protocol, by=()):
    """What each query was answered: a row for each kind of descriptor and query.

    Columns, beside those that say which evaluation it is: `positives`, how many database images are hits; `rank` of
    the first hit, from 1, empty if none is among the candidates; `top`, the first candidate, and its `score`, the dot
    product (re-ranked by k-reciprocal neighbours: 1 - distance); `ratio`, see `ratios`, where scores are dot products;
    `error@k`, the distance of the nearest of the first k candidates, for k = 1 and all of `ks`, in the unit of the
    protocol; the columns of `by`. A query without any candidate has positives only.
    Arguments as of `judge`.
    """
    query_conditions(found.query, by, images)
    own = {"protocol": protocol.name, "radius": protocol.radius, "unit": protocol.unit, "config": config}
    tables = []
    for kind, ranking_QK in found.rankings.items():
        hit_QK = hits(ranking_QK, found.positives)
        there = ranking_QK[:, 0] >= 0
        off_QK = candidate_distances(found, ranking_QK[:, : max(ks)])
        table = found.query[["path"]].rename(columns={"path": "query"}).reset_index(drop=True)
        table["positives"] = [len(right) for right in found.positives]
        table["rank"] = pd.Series(1 + hit_QK.argmax(1)).where(hit_QK.any(1)).astype("Int64")
        table["top"] = pd.Series(found.database.path.to_numpy()[ranking_QK[:, 0]]).where(there)
        table["score"] = pd.Series(found.scores[kind][:, 0]).where(there)
        jaccard = found.reranked == "k_reciprocal"  # whose scores are no dot products
        table["ratio"] = np.nan if jaccard else distance_ratios(found, kind, protocol.radius).astype(np.float32)
        for k in sorted({1, *ks}):
            nearest = off_QK[:, :k].min(1)
            table[f"error@{k}"] = np.where(np.isfinite(nearest), nearest, np.nan)
        form = {"descriptor": kind, "dim": found.dims[kind], "rerank": found.reranked}
        conditions_Q = found.query[[*by]].reset_index(drop=True)
        tables.append(pd.concat([table.assign(**form | own), conditions_Q], axis=1))
    return pd.concat(tables, ignore_index=True)


def candidate_distances(found: Predictions, ranking_QK) -> np.ndarray:
    """How far each candidate is from its query, (Q, K) float64; infinite where there is none."""
    query_Q2, database_N2 = (table[["east", "north"]].to_numpy(float) for table in (found.query, found.database))
    return np.where(ranking_QK >= 0, np.hypot(*np.moveaxis(database_N2[ranking_QK] - query_Q2[:, None], 2, 0)), np.inf)


def distance_ratios(found: Predictions, kind: str, radius: float) -> np.ndarray:
    """How sure each query's first candidate is: its descriptor's distance by that of the second place's, in [0, 1].

    Lowe's ratio test (2004, section 7.1) for places: the second place is the first candidate that lies farther than
    the hit radius from the first candidate, whatever the labels. If all candidates are one place, the last stands in
    for the second place, which is farther still: the ratio is then at most that. NaN without a candidate.
    """
    ranking_QK, database_N2 = found.rankings[kind], found.database[["east", "north"]].to_numpy(float)
    distance_QK = np.sqrt(np.maximum(2 - 2 * found.scores[kind].astype(float), 0))  # of unit vectors
    place_QK2 = database_N2[ranking_QK]
    apart_QK = np.hypot(*np.moveaxis(place_QK2 - place_QK2[:, :1], 2, 0)) > radius
    apart_QK &= ranking_QK >= 0
    last = np.maximum((ranking_QK >= 0).sum(1) - 1, 0)
    second = np.where(apart_QK.any(1), apart_QK.argmax(1), last)
    far = np.take_along_axis(distance_QK, second[:, None], 1)[:, 0]
    near = distance_QK[:, 0]
    with np.errstate(invalid="ignore"):
        ratio = np.where(far > 0, near / np.where(far > 0, far, 1), 1.0)
    return np.where(ranking_QK[:, 0] >= 0, ratio, np.nan)
