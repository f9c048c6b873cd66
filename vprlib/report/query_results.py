"""What each query of a dataset was answered by each network: compact arrays for the failure explorer and the map."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vprlib.data.catalogue import get_dataset
from vprlib.data.image_table import COLUMNS, has_no_coordinates, read_image_table, select_rows
from vprlib.data.layouts.utm_names import parse_utm_name
from vprlib.evaluation.predictions import read_predictions, select_evaluated_queries
from vprlib.evaluation.recall import hits
from vprlib.exceptions import InputError
from vprlib.report.artifacts import Artifacts
from vprlib.report.encoding import smallest_type
from vprlib.report.ground_truth import GroundTruth

TOP = 5  # candidates shown
VALUES = 50  # a condition with more distinct values is no filter
CENTI = 100  # coordinates are whole hundredths, of metres or frames
MILLI = 1000  # scores are whole thousandths
WORSE = 255  # the highest rank that is told
SCENE = 5000  # positions of the database on a map; a browser draws more of them slowly


class NetworkResults(NamedTuple):
    """What one network answered by one protocol; rows are the queries of the test split."""

    label: str
    run: str
    gen: int
    protocol: int  # which of the dataset's
    first: bool  # of those that photos are chosen by
    rank_Q: np.ndarray  # uint8: of the first hit; 0: none among the candidates, or not asked
    hit_Q: np.ndarray  # uint8: bit n is set if candidate n is a hit
    top_Q5: np.ndarray  # database indices; -1 pads
    score_Q5: np.ndarray  # float32, falling; 0 beside a -1
    asked_Q: np.ndarray  # bool


class QueryResults(NamedTuple):
    """A dataset's queries and what they were answered."""

    query: object  # rows of the image table
    database: object
    answers: list  # of Answers
    right: dict  # protocol's number -> (Q,) the database image that each query should be answered by; -1: none
    left_out: int  # how many more there are
    zone: str  # of UTM, as 54N; or nothing


def collect_query_results(campaign: Artifacts, dataset: str, most: int) -> QueryResults | None:
    """Read the answers of a dataset, the more important ones first, at most `most`; None where there are none.

    The most important are of each run's last generation, first seed and whitened descriptors, without re-ranking.
    """
    images = campaign.results / dataset / "images.csv"
    if not images.exists():
        campaign.lacks(f"{dataset}: answers to look at", f"{images} is not there yet")
        return None
    table = read_image_table(images)
    query, database = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    if query.empty:
        campaign.lacks(f"{dataset}: answers to look at", "its test split has no query")
        return None
    wanted = sorted(rankings_by_importance(campaign, dataset), key=lambda wish: wish[0])
    questions, right, found, left_out = {}, {}, [], 0
    for _, number, network, kind, rerank, path in wanted:
        if len(found) >= most:
            left_out += 1
            continue
        protocol = campaign.protocols[dataset][number]
        try:
            if number not in questions:
                questions[number] = select_evaluated_queries(images, protocol)
            judged = read_predictions(questions[number], images=images, ranking=path, protocol=protocol)
        except (InputError, OSError, KeyError) as error:
            campaign.lacks(f"{dataset}: answers of {network}", str(error))
            continue
        hit_QK = hits(judged.rankings[kind], judged.positives)
        if number not in right:
            right[number] = GroundTruth(questions[number])
        right[number].seen(judged.rankings[kind], hit_QK)
        found.append(ranking_results(campaign, network, kind, rerank, number, judged, hit_QK, questions[number]))
    if not found:
        campaign.lacks(f"{dataset}: answers to look at", "no ranking is there yet")
        return None
    known = get_dataset(dataset, campaign.config).zone or utm_zone(query.path.iloc[0])
    return QueryResults(
        query, database, found, {number: one.photos() for number, one in right.items()}, left_out, known
    )


def rankings_by_importance(campaign: Artifacts, dataset: str):
    """(importance, protocol's number, network, kind, re-ranker, file) of every ranking that is there."""
    for name, network in campaign.evaluated:
        if name != dataset:
            continue
        generations = len(campaign.config.runs[network.run].generations)
        for rerank, path in campaign.rankings(dataset, network).items():
            for number in range(len(campaign.protocols[dataset])):
                older = generations - 1 - network.gen
                for place, kind in enumerate(descriptor_kinds(campaign, network)):
                    importance = (place, rerank != "none", number, network.seed, older)
                    yield importance, number, network, kind, rerank, path


def descriptor_kinds(campaign: Artifacts, network) -> list:
    """The kinds of descriptors of a network, whitened ones first."""
    return sorted(campaign.config.runs[network.run].extract.descriptors, reverse=True)


def ranking_results(campaign: Artifacts, network, kind: str, rerank: str, number: int, judged, hit_QK, question):
    """The answers of one kind of descriptor of a ranking file."""
    queries, rows_Q = question.of, question.rows_Q
    generations = len(campaign.config.runs[network.run].generations)
    seeds = {one.seed for one in campaign.networks if one.run == network.run}
    label = network.run + ("" if generations == 1 else f", gen {network.gen}")
    label += f", seed {network.seed}" if len(seeds) > 1 else ""
    label += f", {kind} {judged.dims[kind]}-D" + ("" if rerank == "none" else f", {rerank}")
    rank_Q, hit_Q, asked_Q = np.zeros(queries, np.uint8), np.zeros(queries, np.uint8), np.zeros(queries, bool)
    rank_Q[rows_Q] = np.where(hit_QK.any(1), np.minimum(1 + hit_QK.argmax(1), WORSE), 0)
    asked_Q[rows_Q] = True
    hit_Q[rows_Q] = (hit_QK[:, :TOP] * (1 << np.arange(min(TOP, hit_QK.shape[1])))).sum(1)
    top_Q5, score_Q5 = np.full((queries, TOP), -1, np.int64), np.zeros((queries, TOP), np.float32)
    front, scores = judged.rankings[kind][:, :TOP], judged.scores[kind][:, :TOP]
    top_Q5[rows_Q, : front.shape[1]], score_Q5[rows_Q, : front.shape[1]] = front, np.where(front >= 0, scores, 0)
    first = network.gen == generations - 1 and kind == descriptor_kinds(campaign, network)[0]
    first = first and not number and rerank == "none" and network.seed == min(seeds)
    return NetworkResults(label, network.run, network.gen, number, first, rank_Q, hit_Q, top_Q5, score_Q5, asked_Q)


def shown_images(found: QueryResults) -> np.ndarray:
    """The database images that are shown with any query, increasing: the page numbers them in this order."""
    numbers = np.unique(np.concatenate([*(one.top_Q5.ravel() for one in found.answers), *found.right.values()]))
    return numbers[numbers >= 0]


def page_arrays(found: QueryResults, used) -> dict:
    """What the page needs of `explored`, for `encode_block`.

    `top<n>` holds 1 + a photo's place in `used`, of all first candidates, then all second ones; 0 is none. `score<n>`
    is likewise, in thousandths: of the first candidates, then how much lower the next one is. `right<protocol>` is as
    `top<n>`. `scene_xy` are positions of the database, `scene_of` how many there are in all.
    """
    places = {"query": found.query, "database": found.database.iloc[used]}
    east, north = (np.concatenate([table[axis] for table in places.values()]) for axis in ("east", "north"))
    origin = [float(np.floor(axis.min())) for axis in (east, north)]
    result = {"origin": origin, "zone": found.zone, "queries": len(found.query), "top": TOP}
    for name, table in places.items():
        result |= {f"{name}_paths": list(table.path), f"{name}_xy": to_centimetres(table, origin)}
    some, result["scene_of"] = map_background(found.database)
    result["scene_xy"] = to_centimetres(some, origin)
    result["conditions"] = []
    for name, values in filter_columns(found.query).items():
        labels = sorted(set(values))
        result["conditions"].append([name, labels])
        result[f"condition_{name}"] = np.searchsorted(labels, values).astype(np.uint8)

    def renumbered(photos):
        return smallest_type(np.where(photos >= 0, 1 + np.searchsorted(used, photos), 0))

    for number, one in enumerate(found.answers):
        result |= {f"rank{number}": one.rank_Q, f"hit{number}": one.hit_Q, f"top{number}": renumbered(one.top_Q5.T)}
        result |= {f"asked{number}": one.asked_Q.astype(np.uint8), f"score{number}": delta_encode(one.score_Q5)}
    result |= {f"right{number}": renumbered(photo_Q) for number, photo_Q in found.right.items()}
    result["systems"] = [
        {"label": one.label, "run": one.run, "gen": one.gen, "protocol": one.protocol, "first": one.first}
        for one in found.answers
    ]
    return result


def to_centimetres(table, origin: list) -> np.ndarray:
    """Positions from the origin, (2, N), in whole hundredths."""
    xy = ((table[["east", "north"]].to_numpy(float) - origin) * CENTI).T.round()
    near = np.abs(xy).max(initial=0) < np.iinfo(np.int32).max  # places without coordinates are far apart
    return xy.astype(np.int32) if near else xy


def delta_encode(score_Q5) -> np.ndarray:
    """Scores in thousandths, (5, Q): the first, and by how much each is lower than the one before it.

    Differences are small numbers, which take half of the bytes that scores take when they are deflated.
    """
    whole = (score_Q5 * MILLI).round().astype(np.int32).T
    fall = np.concatenate([whole[:1], whole[:-1] - whole[1:]])
    return smallest_type(fall) if fall.min(initial=0) >= 0 else fall


def map_background(database) -> tuple:
    """Where the database is: rows of distinct positions, at most SCENE of them by chance, and how many there are."""
    distinct = database[["east", "north"]].drop_duplicates()
    if not np.ptp(database.north.to_numpy(float)):  # a line, or places: there is no map
        return distinct.iloc[:0], 0
    chance = np.random.default_rng(0).permutation(len(distinct))[:SCENE]
    return distinct.iloc[np.sort(chance)], len(distinct)


def utm_zone(path: str) -> str:
    """The UTM zone, as `54N`, of a photo whose name holds it; or else nothing."""
    fields = parse_utm_name(Path(path).name) or {}
    if not fields.get("zone", "").isdigit():
        return ""
    return fields["zone"] + ("S" if fields.get("band", "N").upper() < "N" else "N")


def filter_columns(query) -> dict:
    """Column -> text of each query, of the columns that queries can be filtered by."""
    found = {}
    for name in [name for name in query if name not in COLUMNS] + ["time"]:
        values = query[name].convert_dtypes().astype("string").fillna("none").to_numpy(str)
        if 1 < len(set(values)) <= VALUES:
            found[name] = values
    return found


def coordinate_kind(found: QueryResults, unit: str) -> str:
    """What the coordinates are: `map`, `frames` of a traverse, or `places` that only a folder told apart."""
    if unit != "m":
        return "frames"
    return "places" if has_no_coordinates(found.query, unit) else "map"
