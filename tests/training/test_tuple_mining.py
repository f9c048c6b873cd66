"""Every way of mining, on random geometry."""

import numpy as np
import pytest

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


@pytest.mark.parametrize("mode", ["full", "partial", "random"])
def test_too_few_negatives_are_one_line(mode, refused):
    with refused("mining", "train.negatives_per_query"):
        Scene().mine(mining=mode, negatives_per_query=1000, negative_pool_size=2000)
