"""Every way of mining, on random geometry."""

import numpy as np
import pytest

from tests.retrieval.test_k_reciprocal_graph import by_definition
from vprlib.config import TrainConfig
from vprlib.data.geometry import within
from vprlib.training.miners.tuple_mining import mine_tuples


class Scene:
    """Photos on a square of 100 m, with random descriptors."""

    def __init__(self, seed=0, queries=12, database=60):
        rng = np.random.default_rng(seed)
        self.count = database
        self.where = {"query": rng.uniform(0, 100, (queries, 2)), "database": rng.uniform(0, 100, (database, 2))}
        self.x = {role: rng.standard_normal((len(where), 8)) for role, where in self.where.items()}
        self.x = {role: (x / np.linalg.norm(x, axis=1)[:, None]).astype(np.float32) for role, x in self.x.items()}
        self.positives = within(self.where["query"], self.where["database"], 10)
        self.excluded = within(self.where["query"], self.where["database"], 25)
        self.usable = np.flatnonzero([len(own) > 0 for own in self.positives])
        self.described = {"query": set(), "database": set()}

    def describe(self, role, some):
        self.described[role] |= set(np.asarray(some).tolist())
        return self.x[role][some]

    def mine(self, known=None, seed=1, **settings):
        return mine_tuples(
            self.usable,
            settings=TrainConfig(**{"negatives_per_query": 5, "negative_pool_size": 20} | settings),
            describe=self.describe,
            positives=self.positives,
            excluded=self.excluded,
            database=self.count,
            known=known or {},
            generator=np.random.default_rng(seed),
            device="cpu",
        )

    def metres(self, query, other):
        return np.linalg.norm(self.where["query"][query] - self.where["database"][other])


MODES = [{"mining": mode} for mode in ("full", "partial", "random")]
SOFT = {"loss": {"name": "sare_ind", "options": {"temperature": 0.07}}, "soft": {"weight": 0.5, "k1": 5}}


@pytest.mark.parametrize("settings", [*MODES, SOFT, SOFT | {"mining": "partial"}])
def test_positives_are_near_and_negatives_far_in_every_mode(settings):
    for seed in range(5):
        scene, known = Scene(seed), {}
        for refresh in range(3):
            tuples = scene.mine(known, refresh, **settings)
            assert [one.query for one in tuples] == scene.usable.tolist()
            for one in tuples:
                assert len(set(one.negatives)) == len(one.negatives) == 5
                assert min(scene.metres(one.query, other) for other in one.negatives) > 25
                assert max(scene.metres(one.query, other) for other in (one.positive, *one.difficult)) <= 10
                nearest = max(
                    scene.positives[one.query], key=lambda i: scene.x["query"][one.query] @ scene.x["database"][i]
                )
                assert one.positive == nearest
                assert bool(one.difficult) == ("soft" in settings)
            known = {one.query: one.negatives for one in tuples}


def test_partial_mining_with_a_pool_of_everything_is_full_mining():
    full, partial = (Scene().mine(mining=mode, negative_pool_size=10**6) for mode in ("full", "partial"))
    assert full == partial


def test_a_partial_refresh_describes_only_what_may_be_chosen():
    scene = Scene()
    known = {int(query): [0, 1, 2, 3, 4] for query in scene.usable}
    tuples = scene.mine(known, mining="partial", negative_pool_size=7)
    own = {int(i) for query in scene.usable for i in scene.positives[query]}
    assert own <= scene.described["database"]
    assert len(scene.described["database"] - own) <= 7 + 5
    assert {i for one in tuples for i in one.negatives} <= scene.described["database"]


def test_a_random_refresh_describes_only_positives():
    scene = Scene()
    scene.mine(mining="random")
    assert scene.described["database"] == {int(i) for query in scene.usable for i in scene.positives[query]}


def test_neighbourhoods_are_looked_for_among_all_queries():
    scene = Scene()
    scene.mine(**SOFT)
    assert scene.described["query"] == set(range(12))


@pytest.mark.parametrize("squarings", [1, 2])
def test_difficult_positives_are_chosen_by_the_distance_that_the_recipe_names(squarings):
    soft = SOFT["soft"] | {"pool": 20, "positives": 3, "euclidean_weight": 0.1}
    changed = 0
    for seed in range(10):
        scene = Scene(seed, queries=30, database=60)
        scene.positives = within(scene.where["query"], scene.where["database"], 25)
        scene.usable = np.flatnonzero([len(own) > 0 for own in scene.positives])
        query, database = scene.x["query"], scene.x["database"]
        jaccard = {number: by_definition(query, database, 5, 1, 0.1, number) for number in (1, 2)}
        for one in scene.mine(loss=SOFT["loss"], soft=soft | {"squarings": squarings}):
            chosen = {number: promoted(scene, one.query, jaccard[number])[:3] for number in (1, 2)}
            assert one.difficult == chosen[squarings]
            changed += chosen[1] != chosen[2]
    assert changed


def promoted(scene, query, jaccard):
    """SFRS: of the nearest positives, those that the Jaccard distance ranks higher or equally, largest gain first."""
    similar = {i: float(scene.x["database"][i] @ scene.x["query"][query]) for i in scene.positives[query]}
    nearest = sorted(similar, key=lambda i: -similar[i])[:20]
    again = sorted(nearest, key=lambda i: jaccard[query, i])
    gain = {i: nearest.index(i) - again.index(i) for i in nearest}
    return [int(i) for i in sorted(again, key=lambda i: -gain[i]) if gain[i] >= 0]


@pytest.mark.parametrize("mode", ["full", "partial", "random"])
def test_too_few_negatives_are_one_line(mode, refused):
    with refused("mining", "train.negatives_per_query"):
        Scene().mine(mining=mode, negatives_per_query=1000, negative_pool_size=2000)
