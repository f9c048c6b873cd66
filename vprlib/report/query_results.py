"""Collect the per-query results of each network as compact arrays, for the failure explorer and the map.

Axes: Q queries of the test split, K candidates of a query, 5 the TOP first candidates.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.data.catalogue import get_dataset
from vprlib.data.image_table import COLUMNS, has_no_coordinates, read_image_table, select_rows
from vprlib.data.layouts.utm_names import parse_utm_name
from vprlib.data.listed_positives import LISTED, LISTED_POSITIVES
from vprlib.data.positions import parse_grid
from vprlib.evaluation.predictions import EvaluatedQueries, Predictions, read_predictions, select_evaluated_queries
from vprlib.evaluation.recall import hits
from vprlib.exceptions import InputError
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork
from vprlib.report.encoding import smallest_type
from vprlib.report.ground_truth import GroundTruth

TOP = 5  # candidates shown per query
VALUES = 50  # a column with more distinct values is not offered as a filter
CENTI = 100  # coordinates are stored as integers, in hundredths of a metre or frame
MILLI = 1000  # scores are stored as integers, in thousandths
WORSE = 255  # larger ranks are stored as this
SCENE = 5000  # maximum number of database positions on a map; a browser draws more of them slowly


class NetworkResults(NamedTuple):
    """The predictions of one network under one protocol; rows are the queries of the test split."""

    label: str
    run: str
    gen: int
    protocol: int  # index among the dataset's protocols
    first: bool  # whether this is one of the main results, by which photos are chosen
    rank_Q: NDArray[np.uint8]  # of the first hit, at most WORSE; 0: no candidate is a hit, or not evaluated
    hit_Q: NDArray[np.uint8]  # bit n is set if candidate n is a hit
    top_Q5: NDArray[np.int64]  # database indices; -1 pads
    score_Q5: NDArray[np.float32]  # falling; 0 beside a -1
    asked_Q: NDArray[np.bool_]  # whether the protocol evaluates the query


class QueryResults(NamedTuple):
    """The queries of a dataset, and each network's predictions for them."""

    query: pd.DataFrame  # rows of the image table
    database: pd.DataFrame  # rows of the image table
    answers: list[NetworkResults]
    right: dict[int, NDArray[np.int64]]  # protocol's index -> (Q,) the ground-truth database image; -1: none
    left_out: int  # number of rankings that were left out
    zone: str  # of UTM, as 54N; or empty


def collect_query_results(campaign: Artifacts, dataset: str, most: int) -> QueryResults | None:
    """Read the per-query results of a dataset, at most `most` rankings, the most important ones first.

    The most important ones are of each run's last generation, first seed and whitened descriptors, without re-ranking.
    Returns None if there is no ranking.
    """
    images = campaign.file("images", dataset)
    if not images.exists():
        campaign.add_missing(f"{dataset}: per-query results", f"{images} is not there yet")
        return None
    table = read_image_table(images)
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    if query.empty:
        campaign.add_missing(f"{dataset}: per-query results", "its test split has no query")
        return None
    rankings = sorted(rankings_by_importance(campaign, dataset), key=lambda entry: entry[0])
    questions: dict[int, EvaluatedQueries] = {}
    ground_truth: dict[int, GroundTruth] = {}
    results: list[NetworkResults] = []
    left_out = 0
    for _, number, network, kind, rerank, path in rankings:
        if len(results) >= most:
            left_out += 1
            continue
        protocol = campaign.protocols[dataset][number]
        try:
            if number not in questions:
                questions[number] = select_evaluated_queries(images, protocol)
            predictions = read_predictions(questions[number], images=images, ranking=path, protocol=protocol)
        except (InputError, OSError, KeyError) as error:
            campaign.add_missing(f"{dataset}: predictions of {network}", str(error))
            continue
        hit_QK = hits(predictions.rankings[kind], predictions.positives)
        if number not in ground_truth:
            ground_truth[number] = GroundTruth(questions[number])
        ground_truth[number].add_ranking(predictions.rankings[kind], hit_QK)
        question = questions[number]
        results.append(ranking_results(campaign, network, kind, rerank, number, predictions, hit_QK, question))
    if not results:
        campaign.add_missing(f"{dataset}: per-query results", "no ranking is there yet")
        return None
    zones = {utm_zone(path) for path in query.path}
    zone = get_dataset(dataset, campaign.config).zone or (zones.pop() if len(zones) == 1 else "")
    photos = {number: truth.photos() for number, truth in ground_truth.items()}
    return QueryResults(query, database, results, photos, left_out, zone)


def rankings_by_importance(
    campaign: Artifacts, dataset: str
) -> Iterator[tuple[tuple, int, EvaluatedNetwork, str, str, Path]]:
    """Yield (importance, protocol's index, network, kind of descriptor, re-ranker, file) of every ranking.

    The smallest importance comes first.
    """
    for name, network in campaign.evaluated:
        if name != dataset:
            continue
        generations = len(campaign.config.runs[network.run].generations)
        for rerank, path in campaign.rankings(dataset, network).items():
            for number in range(len(campaign.protocols[dataset])):
                generations_back = generations - 1 - network.gen
                for kind_number, kind in enumerate(descriptor_kinds(campaign, network)):
                    importance = (kind_number, rerank != "none", number, network.seed, generations_back)
                    yield importance, number, network, kind, rerank, path


def descriptor_kinds(campaign: Artifacts, network: EvaluatedNetwork) -> list[str]:
    """Return the kinds of descriptors of a network, whitened ones first."""
    return sorted(campaign.config.runs[network.run].kinds, reverse=True)


def ranking_results(
    campaign: Artifacts,
    network: EvaluatedNetwork,
    kind: str,
    rerank: str,
    number: int,
    predictions: Predictions,
    hit_QK: NDArray[np.bool_],
    question: EvaluatedQueries,
) -> NetworkResults:
    """Build the results of one kind of descriptor in a ranking file, under the protocol with index `number`."""
    queries, rows_Q = question.test_count, question.rows_Q
    generations = len(campaign.config.runs[network.run].generations)
    seeds = {other.seed for other in campaign.networks if other.run == network.run}
    label = network.run + ("" if generations == 1 else f", gen {network.gen}")
    label += f", seed {network.seed}" if len(seeds) > 1 else ""
    label += f", {kind} {predictions.dimensions[kind]}-D" + ("" if rerank == "none" else f", {rerank}")
    rank_Q, hit_Q, asked_Q = np.zeros(queries, np.uint8), np.zeros(queries, np.uint8), np.zeros(queries, bool)
    rank_Q[rows_Q] = np.where(hit_QK.any(1), np.minimum(1 + hit_QK.argmax(1), WORSE), 0)
    asked_Q[rows_Q] = True
    hit_Q[rows_Q] = (hit_QK[:, :TOP] * (1 << np.arange(min(TOP, hit_QK.shape[1])))).sum(1)
    top_Q5, score_Q5 = np.full((queries, TOP), -1, np.int64), np.zeros((queries, TOP), np.float32)
    front, scores = predictions.rankings[kind][:, :TOP], predictions.scores[kind][:, :TOP]
    top_Q5[rows_Q, : front.shape[1]], score_Q5[rows_Q, : front.shape[1]] = front, np.where(front >= 0, scores, 0)
    first = network.gen == generations - 1 and kind == descriptor_kinds(campaign, network)[0]
    first = first and not number and rerank == "none" and network.seed == min(seeds)
    return NetworkResults(label, network.run, network.gen, number, first, rank_Q, hit_Q, top_Q5, score_Q5, asked_Q)


def shown_images(found: QueryResults) -> NDArray[np.int64]:
    """Return the database images that are shown with any query, increasing; the page numbers them in this order."""
    shown = [results.top_Q5.ravel() for results in found.answers]
    numbers = np.unique(np.concatenate([*shown, *found.right.values()]))
    return numbers[numbers >= 0]


def page_arrays(found: QueryResults, used: NDArray[np.int64]) -> dict[str, Any]:
    """Build the values that the page needs of the per-query results, for `encode_block`.

    Args:
        found: the per-query results.
        used: what `shown_images` returns.

    Returns:
        For the network with index n, `top<n>` holds 1 + the position of a photo in `used`, or 0 for none: all first
        candidates, then all second ones, and so on. `score<n>` has the same order, in thousandths: the score of the
        first candidates, then how much lower each next one is. `rank<n>`, `hit<n>` and `asked<n>` are the fields of
        `NetworkResults`. `right<protocol>` is the ground-truth photo, encoded as in `top<n>`. `scene_xy` are positions
        of the database, `scene_of` the number of all of them.
    """
    tables = {"query": found.query, "database": found.database.iloc[used]}
    east, north = (np.concatenate([table[axis] for table in tables.values()]) for axis in ("east", "north"))
    origin = [float(np.floor(axis.min())) for axis in (east, north)]
    result: dict[str, Any] = {"origin": origin, "zone": found.zone, "queries": len(found.query), "top": TOP}
    for name, table in tables.items():
        result |= {f"{name}_paths": list(table.path), f"{name}_xy": to_centimetres(table, origin)}
    background, result["scene_of"] = map_background(found.database)
    result["scene_xy"] = to_centimetres(background, origin)
    result["conditions"] = []
    for name, values in filter_columns(found.query).items():
        labels = sorted(set(values))
        result["conditions"].append([name, labels])
        result[f"condition_{name}"] = np.searchsorted(labels, values).astype(np.uint8)

    def renumber(photos: NDArray[np.int64]) -> NDArray:
        return smallest_type(np.where(photos >= 0, 1 + np.searchsorted(used, photos), 0))

    for number, results in enumerate(found.answers):
        result[f"rank{number}"], result[f"hit{number}"] = results.rank_Q, results.hit_Q
        result[f"top{number}"] = renumber(results.top_Q5.T)
        result[f"asked{number}"] = results.asked_Q.astype(np.uint8)
        result[f"score{number}"] = delta_encode(results.score_Q5)
    result |= {f"right{number}": renumber(photo_Q) for number, photo_Q in found.right.items()}
    result["systems"] = [
        {name: getattr(results, name) for name in ("label", "run", "gen", "protocol", "first")}
        for results in found.answers
    ]
    return result


def to_centimetres(table: pd.DataFrame, origin: list[float]) -> NDArray:
    """Convert positions to hundredths of a unit from the origin, (2, N): int32, or float64 where that overflows."""
    xy = ((table[["east", "north"]].to_numpy(float) - origin) * CENTI).T.round()
    fits = np.abs(xy).max(initial=0) < np.iinfo(np.int32).max  # places without coordinates are placed far apart
    return xy.astype(np.int32) if fits else xy


def delta_encode(score_Q5: NDArray[np.float32]) -> NDArray:
    """Encode scores in thousandths, (5, Q): the first one, and how much lower each is than the one before it.

    Differences are small numbers: deflated, they take half as many bytes as the scores.
    """
    score_5Q = (score_Q5 * MILLI).round().astype(np.int32).T
    fall_5Q = np.concatenate([score_5Q[:1], score_5Q[:-1] - score_5Q[1:]])
    return smallest_type(fall_5Q) if fall_5Q.min(initial=0) >= 0 else fall_5Q


def map_background(database: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return distinct positions of the database, at most SCENE of them at random, and the number of all of them."""
    distinct = database[["east", "north"]].drop_duplicates()
    if not np.ptp(database.north.to_numpy(float)):  # frames of a traverse, or no coordinates: there is no map
        return distinct.iloc[:0], 0
    sample = np.random.default_rng(0).permutation(len(distinct))[:SCENE]
    return distinct.iloc[np.sort(sample)], len(distinct)


def utm_zone(path: str) -> str:
    """Return the UTM zone, as `54N`, that a photo's name contains; empty if it has none."""
    fields = parse_utm_name(Path(path).name) or {"north": 0.0}
    grid = parse_grid(fields.get("zone"), fields.get("band"), fields["north"], fields.get("latitude"))
    return f"{grid.zone}{'S' if grid.south else 'N'}" if grid else ""


def filter_columns(query: pd.DataFrame) -> dict[str, NDArray[np.str_]]:
    """Return the columns that queries can be filtered by, {column: text of each query}."""
    columns = {}
    for name in [*(str(column) for column in query if column not in (*COLUMNS, LISTED_POSITIVES)), "time"]:
        values = query[name].convert_dtypes().astype("string").fillna("none").to_numpy(str)
        if 1 < len(set(values)) <= VALUES:
            columns[name] = values
    return columns


def coordinate_kind(found: QueryResults, unit: str) -> Literal["map", "frames", "places", "listed"]:
    """Return the kind of coordinates: `map`, `frames`, `places` (only the place is known), or `listed` (none)."""
    if unit == LISTED:
        return "listed"
    if unit != "m":
        return "frames"
    return "places" if has_no_coordinates(found.query, unit) else "map"
