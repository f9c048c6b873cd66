"""What each query of a dataset was answered by each network: compact arrays for the failure explorer and the map."""

import logging
from typing import NamedTuple

import numpy as np

from vprlib.datasets.base import COLUMNS, read_table, select
from vprlib.datasets.folder import APART
from vprlib.evaluate import answered, asked, hits
from vprlib.files import BadInput
from vprlib.report.campaign import Campaign
from vprlib.report.packing import smallest

log = logging.getLogger(__name__)

TOP = 5  # candidates shown
VALUES = 50  # a condition with more distinct values is no filter
CENTI = 100  # coordinates are whole hundredths, of metres or frames
WORSE = 255  # the highest rank that is told


class Answers(NamedTuple):
    """What one network answered by one protocol; rows are the queries of the test split."""

    label: str
    run: str
    gen: int
    protocol: int  # which of the dataset's
    first: bool  # of those that photos are chosen by
    rank_Q: np.ndarray  # uint8: of the first hit; 0: none among the candidates, or not asked
    hit_Q: np.ndarray  # uint8: bit n is set if candidate n is a hit
    top_Q5: np.ndarray  # database indices; -1 pads
    asked_Q: np.ndarray  # bool


class Explored(NamedTuple):
    """A dataset's queries and what they were answered."""

    query: object  # rows of the image table
    database: object
    answers: list  # of Answers
    left_out: int  # how many more there are


def explored(campaign: Campaign, dataset: str, most: int) -> Explored | None:
    """Read the answers of a dataset, the more important ones first, at most `most`; None where there are none.

    The most important are of each run's last generation, first seed and whitened descriptors, without re-ranking.
    """
    images = campaign.results / dataset / "images.csv"
    if not images.exists():
        campaign.lacks(f"{dataset}: answers to look at", f"{images} is not there yet")
        return None
    table = read_table(images)
    query, database = select(table, "test", "query"), select(table, "test", "database")
    if query.empty:
        campaign.lacks(f"{dataset}: answers to look at", "its test split has no query")
        return None
    wanted = sorted(wishes(campaign, dataset), key=lambda wish: wish[0])
    questions, found, left_out = {}, [], 0
    for _, number, network, kind, rerank, path in wanted:
        if len(found) >= most:
            left_out += 1
            continue
        protocol = campaign.protocols[dataset][number]
        try:
            if number not in questions:
                questions[number] = asked(images, protocol)
            judged = answered(questions[number], images=images, ranking=path, protocol=protocol)
        except (BadInput, OSError, KeyError) as error:
            campaign.lacks(f"{dataset}: answers of {network}", str(error))
            continue
        found.append(of_ranking(campaign, network, kind, rerank, number, judged, questions[number], len(query)))
    if not found:
        campaign.lacks(f"{dataset}: answers to look at", "no ranking is there yet")
        return None
    return Explored(query, database, found, left_out)


def wishes(campaign: Campaign, dataset: str):
    """(importance, protocol's number, network, kind, re-ranker, file) of every ranking that is there."""
    for name, network in campaign.evaluated:
        if name != dataset:
            continue
        generations = len(campaign.config.runs[network.run].generations)
        for rerank, path in campaign.rankings(dataset, network).items():
            for number in range(len(campaign.protocols[dataset])):
                older = generations - 1 - network.gen
                for place, kind in enumerate(kinds(campaign, network)):
                    importance = (place, rerank != "none", number, network.seed, older)
                    yield importance, number, network, kind, rerank, path


def kinds(campaign: Campaign, network) -> list:
    """The kinds of descriptors of a network, whitened ones first."""
    return sorted(campaign.config.runs[network.run].extract.descriptors, reverse=True)


def of_ranking(campaign: Campaign, network, kind: str, rerank: str, number: int, judged, question, queries: int):
    """The answers of one kind of descriptor of a ranking file."""
    generations = len(campaign.config.runs[network.run].generations)
    seeds = {one.seed for one in campaign.networks if one.run == network.run}
    label = network.run + ("" if generations == 1 else f", gen {network.gen}")
    label += f", seed {network.seed}" if len(seeds) > 1 else ""
    label += f", {kind} {judged.dims[kind]}-D" + ("" if rerank == "none" else f", {rerank}")
    hit_QK = hits(judged.rankings[kind], judged.positives)
    rank = np.where(hit_QK.any(1), np.minimum(1 + hit_QK.argmax(1), WORSE), 0)
    top_Q5 = np.full((queries, TOP), -1, np.int64)
    front = judged.rankings[kind][:, :TOP]
    top_Q5[question.rows_Q, : front.shape[1]] = front
    rank_Q, hit_Q, asked_Q = np.zeros(queries, np.uint8), np.zeros(queries, np.uint8), np.zeros(queries, bool)
    rank_Q[question.rows_Q], asked_Q[question.rows_Q] = rank, True
    bits = 1 << np.arange(min(TOP, hit_QK.shape[1]))
    hit_Q[question.rows_Q] = (hit_QK[:, :TOP] * bits).sum(1)
    first = network.gen == generations - 1 and kind == kinds(campaign, network)[0]
    first = first and not number and rerank == "none" and network.seed == min(seeds)
    return Answers(label, network.run, network.gen, number, first, rank_Q, hit_Q, top_Q5, asked_Q)


def used(found: Explored) -> np.ndarray:
    """The database images that were answered to any query, increasing: the page numbers them in this order."""
    numbers = np.unique(np.concatenate([one.top_Q5.ravel() for one in found.answers]))
    return numbers[numbers >= 0]


def arrays(found: Explored, used) -> dict:
    """What the page needs of `explored`, for `packing.block`.

    `top<n>` holds 1 + a photo's place in `used`, of all first candidates, then all second ones; 0 is none.
    """
    places = {"query": found.query, "database": found.database.iloc[used]}
    east, north = (np.concatenate([table[axis] for table in places.values()]) for axis in ("east", "north"))
    origin = [float(np.floor(axis.min())) for axis in (east, north)]
    result = {"origin": origin, "queries": len(found.query), "top": TOP}
    for name, table in places.items():
        xy = ((table[["east", "north"]].to_numpy(float) - origin) * CENTI).T.round()
        near = np.abs(xy).max(initial=0) < np.iinfo(np.int32).max  # places without coordinates are far apart
        result |= {f"{name}_paths": list(table.path), f"{name}_xy": xy.astype(np.int32) if near else xy}
    result["conditions"] = []
    for name, values in conditions(found.query).items():
        labels = sorted(set(values))
        result["conditions"].append([name, labels])
        result[f"condition_{name}"] = np.searchsorted(labels, values).astype(np.uint8)
    for number, one in enumerate(found.answers):
        renumbered = np.where(one.top_Q5 >= 0, 1 + np.searchsorted(used, one.top_Q5), 0)
        result |= {f"rank{number}": one.rank_Q, f"hit{number}": one.hit_Q, f"top{number}": smallest(renumbered.T)}
        result[f"asked{number}"] = one.asked_Q.astype(np.uint8)
    result["systems"] = [
        {"label": one.label, "run": one.run, "gen": one.gen, "protocol": one.protocol, "first": one.first}
        for one in found.answers
    ]
    return result


def conditions(query) -> dict:
    """Column -> text of each query, of the columns that queries can be filtered by."""
    found = {}
    for name in [name for name in query if name not in COLUMNS] + ["time"]:
        values = query[name].convert_dtypes().astype("string").fillna("none").to_numpy(str)
        if 1 < len(set(values)) <= VALUES:
            found[name] = values
    return found


def positions(found: Explored, unit: str) -> str:
    """What the coordinates are: `map`, `frames` of a traverse, or `places` that only a folder told apart."""
    if unit != "m":
        return "frames"
    places = (found.query.north == 0).all() and (found.query.east % APART == 0).all()
    return "places" if places else "map"
