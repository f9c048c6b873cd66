"""Build the per-query result table: the rank of the first hit, its distance and two confidences.

Axes: Q queries, K candidates of a query, N database images, 2 east and north.
"""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.data.image_table import APART
from vprlib.data.listed_positives import LISTED
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import Predictions
from vprlib.evaluation.recall import hits
from vprlib.evaluation.recall_table import query_conditions
from vprlib.registry import has_trait


def per_query_table(
    predictions: Predictions,
    *,
    images: str | os.PathLike[str],
    ks: Sequence[int],
    config_hash: str,
    protocol: Protocol,
    group_by: Sequence[str] = (),
) -> pd.DataFrame:
    """Build the per-query results, one row per kind of descriptor and query.

    The arguments are those of `recall_table`.

    Returns:
        Besides the columns that identify the evaluation:

        - `query`: the path of the query photo.
        - `east`, `north`: its position.
        - `positives`: the number of database images that are hits.
        - `rank`: the rank of the first hit, from 1; empty if no candidate is a hit.
        - `top1_image`: the path of the first candidate.
        - `score`: the dot product of the first candidate (1 - distance after k-reciprocal re-ranking).
        - `distance_ratio`: see `distance_ratios`; empty where a re-ranker's scores are not dot products.
        - `error@k`: the distance of the nearest of the first k candidates, for k = 1 and all of `ks`, in the unit of
          the protocol; see `listed_distances` where positives are listed.
        - the columns of `group_by`.

        A query without any candidate has `positives` only.

    Raises:
        InputError: if a column of `group_by` is unknown.
    """
    query_conditions(predictions.query, group_by, images)
    setting: dict[str, Any] = {
        "protocol": protocol.name,
        "radius": protocol.radius,
        "unit": protocol.unit,
        "config_hash": config_hash,
    }
    tables = []
    for kind, ranking_QK in predictions.rankings.items():
        hit_QK = hits(ranking_QK, predictions.positives)
        has_candidate_Q = ranking_QK[:, 0] >= 0
        if protocol.unit == LISTED:
            distance_QK = listed_distances(ranking_QK[:, : max(ks)], hit_QK[:, : max(ks)])
        else:
            distance_QK = candidate_distances(predictions, ranking_QK[:, : max(ks)])
        table = predictions.query[["path", "east", "north"]].rename(columns={"path": "query"}).reset_index(drop=True)
        table["positives"] = [len(right) for right in predictions.positives]
        table["rank"] = pd.Series(1 + hit_QK.argmax(1)).where(pd.Series(hit_QK.any(1))).astype("Int64")
        table["top1_image"] = pd.Series(predictions.database.path.to_numpy()[ranking_QK[:, 0]]).where(has_candidate_Q)
        table["score"] = pd.Series(predictions.scores[kind][:, 0]).where(has_candidate_Q)
        reranker = predictions.reranker.partition("(")[0]
        other_scores = reranker != "none" and has_trait("rerank", reranker, "other_scores")
        table["distance_ratio"] = (
            np.nan if other_scores else distance_ratios(predictions, kind, protocol.radius).astype(np.float32)
        )
        for k in sorted({1, *ks}):
            nearest_Q = distance_QK[:, :k].min(1)
            table[f"error@{k}"] = np.where(np.isfinite(nearest_Q), nearest_Q, np.nan)
        kind_columns: dict[str, Any] = {
            "descriptor": kind,
            "dim": predictions.dimensions[kind],
            "rerank": predictions.rerank,
        }
        conditions_Q = predictions.query[[*group_by]].reset_index(drop=True)
        tables.append(pd.concat([table.assign(**(kind_columns | setting)), conditions_Q], axis="columns"))
    return pd.concat(tables, ignore_index=True)


def candidate_distances(predictions: Predictions, ranking_QK: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the distance of each candidate from its query, (Q, K); infinite where there is no candidate."""
    query_Q2, database_N2 = (
        table[["east", "north"]].to_numpy(float) for table in (predictions.query, predictions.database)
    )
    return np.where(ranking_QK >= 0, np.hypot(*np.moveaxis(database_N2[ranking_QK] - query_Q2[:, None], 2, 0)), np.inf)


def listed_distances(ranking_QK: NDArray[np.int64], hit_QK: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return what stands for the distances of candidates where positives are listed, (Q, K).

    It is 0 for a hit, APART for another image and infinite where there is no candidate, so that the recall is the same
    at every radius.
    """
    return np.where(ranking_QK >= 0, np.where(hit_QK, 0.0, APART), np.inf)


def distance_ratios(predictions: Predictions, kind: str, radius: float) -> NDArray[np.float64]:
    """Compute the ratio of the descriptor distances of the first and the second place, (Q,) in [0, 1].

    This is Lowe's ratio test (2004, section 7.1) for places; a small ratio means a confident first candidate. The
    second place is the first candidate that lies farther than the hit radius from the first candidate, whatever the
    labels. If all candidates are one place, the last candidate stands in for the second place. The second place is
    farther still, so the true ratio is at most the one returned. NaN without a candidate.

    Args:
        predictions: queries, database and rankings under one protocol.
        kind: the kind of descriptor.
        radius: the hit radius, in the unit of the coordinates.
    """
    ranking_QK, database_N2 = predictions.rankings[kind], predictions.database[["east", "north"]].to_numpy(float)
    distance_QK = np.sqrt(np.maximum(2 - 2 * predictions.scores[kind].astype(float), 0))  # of unit vectors
    position_QK2 = database_N2[ranking_QK]
    other_place_QK = np.hypot(*np.moveaxis(position_QK2 - position_QK2[:, :1], 2, 0)) > radius
    other_place_QK &= ranking_QK >= 0
    last_Q = np.maximum((ranking_QK >= 0).sum(1) - 1, 0)
    second_Q = np.where(other_place_QK.any(1), other_place_QK.argmax(1), last_Q)
    second_distance_Q = np.take_along_axis(distance_QK, second_Q[:, None], 1)[:, 0]
    first_distance_Q = distance_QK[:, 0]
    with np.errstate(invalid="ignore"):
        ratio_Q = np.where(
            second_distance_Q > 0, first_distance_Q / np.where(second_distance_Q > 0, second_distance_Q, 1), 1.0
        )
    return np.where(ranking_QK[:, 0] >= 0, ratio_Q, np.nan)
