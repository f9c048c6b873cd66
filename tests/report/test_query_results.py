"""What the explorer and the map are given: the right photo by its definition, where the database is, the UTM zone."""

import numpy as np
import pandas as pd
import pytest

from vprlib.data.geometry import to_utm
from vprlib.data.protocol import Protocol
from vprlib.evaluation.predictions import EvaluatedQueries
from vprlib.evaluation.recall import hits
from vprlib.registry import load_object
from vprlib.report import query_results
from vprlib.report.ground_truth import GroundTruth
from vprlib.report.page import ANSWER_BYTES
from vprlib.report.query_results import (
    NetworkResults,
    QueryResults,
    delta_encode,
    map_background,
    page_arrays,
    utm_zone,
)


@pytest.fixture
def question():
    """40 queries, every other one asked, among 25 panoramas of 4 views each; some have no positive."""
    rng = np.random.default_rng(3)
    place = pd.DataFrame(rng.uniform(0, 100, (25, 2)), columns=["east", "north"])
    query = pd.DataFrame(rng.uniform(0, 100, (40, 2)), columns=["east", "north"])
    rows, database = np.arange(0, 40, 2), place.loc[place.index.repeat(4)].reset_index(drop=True)
    some = query.iloc[rows]
    return EvaluatedQueries(some, database, Protocol("15 m", 15).positives(some, database), rows, 40, "")


def test_it_is_the_nearest_positive_and_of_the_views_of_a_panorama_the_best_ranked_one(question):
    rng = np.random.default_rng(4)
    rankings = [np.stack([rng.permutation(100)[:30] for _ in question.rows_Q]) for _ in range(3)]
    right = GroundTruth(question)
    for ranking in rankings:
        right.add_ranking(ranking, hits(ranking, question.positives))
    found, kinds = right.photos(), set()
    assert (np.delete(found, question.rows_Q) == -1).all(), "what is not asked has no right photo"
    for number, row in enumerate(question.rows_Q):
        best = None
        for photo in question.positives[number]:
            far = np.hypot(
                question.database.east[photo] - question.query.east[row],
                question.database.north[photo] - question.query.north[row],
            )
            ranks = [list(ranking[number]).index(photo) for ranking in rankings if photo in ranking[number]]
            candidate = (round(far, 2), min(ranks, default=np.inf), photo)
            best = candidate if best is None else min(best, candidate)
        assert found[row] == (-1 if best is None else best[2])
        kinds.add("none" if best is None else "unranked" if best[1] == np.inf else "ranked")
    assert {"none", "ranked"} <= kinds


def test_without_a_ranking_it_is_the_first_of_the_nearest(question):
    found = GroundTruth(question).photos()
    assert (found[found >= 0] % 4 == 0).all(), "the first view of its panorama"


def test_the_map_has_each_position_of_the_database_once_and_of_many_a_sample(question, monkeypatch):
    some, count = map_background(question.database)
    assert (len(some), count) == (25, 25)
    monkeypatch.setattr(query_results, "SCENE", 10)
    some, count = map_background(question.database)
    assert (len(some), count) == (10, 25)
    assert set(map(tuple, some.to_numpy())) < set(map(tuple, question.database[["east", "north"]].to_numpy()))
    assert len(map_background(question.database.assign(north=0.0))[0]) == 0, "frames and places have no map"


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("@0585001.12@4476987.30@17@T@40.44@-79.99@pano@@@@@@@.jpg", "17N"),
        ("@0333123.12@6251234.30@56@H@.jpg", "56S"),
        ("@0333123.12@6251234.30@56@.jpg", "56N"),
        ("@0585001.12@4476987.30@.jpg", ""),
        ("000123_pitch1_yaw2.jpg", ""),
    ],
)
def test_the_zone_is_read_from_the_names(name, zone):
    assert utm_zone(f"data/a@b/{name}") == zone


def test_scores_are_whole_thousandths_again_when_their_falls_are_summed():
    score_Q5 = np.sort(np.random.default_rng(0).uniform(-1, 1, (30, 5)).astype(np.float32))[:, ::-1]
    for scores in (score_Q5, np.abs(score_Q5[score_Q5[:, -1] > 0])):
        fall = delta_encode(scores).astype(float)
        np.testing.assert_allclose((2 * fall[0] - fall.cumsum(0)) / 1000, scores.T, atol=6e-4)


def test_no_answer_takes_more_bytes_than_are_reckoned_with(question):
    query = question.query.assign(path="b.png", time="")
    many, queries = 1 << 17, len(query)
    database = pd.DataFrame({"path": "a.png", "east": np.arange(many, dtype=float), "north": 0.0})
    numbers, scores = np.full((queries, 5), many - 1), np.tile(np.float32([0.5, -0.5, 0.4, 0.3, 0.2]), (queries, 1))
    ones, asked = np.ones(queries, np.uint8), np.ones(queries, bool)
    one = NetworkResults("a", "a", 0, 0, True, ones, ones, numbers, scores, asked)
    found = QueryResults(query, database, [one], {0: numbers[:, 0]}, 0, "")
    arrays = page_arrays(found, np.arange(many))
    own = ("rank0", "hit0", "top0", "asked0", "score0", "right0")
    assert sum(arrays[name].nbytes for name in own) == ANSWER_BYTES * queries


@pytest.mark.parametrize(("name", "city"), [("pitts30k", (40.4406, -79.9959)), ("tokyo247", (35.6595, 139.7005))])
def test_the_zones_of_the_published_sets_are_those_of_their_cities(name, city):
    assert to_utm([city[0]], [city[1]])[2] == load_object("dataset", name).zone
