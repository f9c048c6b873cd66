"""A refresh: which photos are described anew, and the tuples that are mined among them."""

import numpy as np

from vprlib.config import TrainConfig
from vprlib.exceptions import InputError
from vprlib.retrieval.k_reciprocal_graph import k_reciprocal_jaccard
from vprlib.training.miners.hardest import difficult_positives, draw_negatives, select_tuples
from vprlib.training.objective import TrainingTuple


def mine_tuples(
    queries,
    *,
    settings: TrainConfig,
    describe,
    positives,
    excluded,
    database: int,
    known: dict,
    generator,
    device,
    group=None,
):
    """The tuples of some queries, with the network of the moment.

    `full` describes the whole database; `partial` the queries' positives, `negative_pool` random photos and the last
    negatives (deep-visual-geo-localization-benchmark); `random` the positives only, and draws the negatives. Soft
    labels need all queries of the split beside: neighbourhoods are looked for among all photos.

    Departs from OpenIBL, which describes all queries at each refresh even where only these are mined.

    Args:
        queries: query numbers of the training split.
        describe: (role, numbers) -> (n, D) unit rows.
        positives, excluded: for every query of the split, as `select_tuples` takes them, both increasing.
        database: number of database photos of the split.
        known: query -> its last negatives.
        generator: numpy Generator.
        device, group: where the neighbourhoods are computed, and by whom.

    Returns:
        A list of Tuple.
    """
    soft, wanted = settings.soft, 0 if settings.mining == "random" else settings.negatives
    cache = np.array([known.get(int(query), [-1] * settings.negatives) for query in queries])
    near = [positives[query] for query in queries]
    if settings.mining == "full":
        some, pool = np.arange(database), settings.negative_pool
    else:
        drawn = generator.choice(database, min(settings.negative_pool, database), replace=False)
        others = () if settings.mining == "random" else (drawn, cache[cache >= 0])
        some, pool = np.unique(np.concatenate([*near, *others])), wanted and database
    place = np.full(database + 1, -1)  # the last is of no photo
    place[some] = np.arange(len(some))
    query_QD = describe("query", np.arange(len(positives)) if soft.weight else queries)
    database_DD = describe("database", some)
    asked_QD = query_QD[queries] if soft.weight else query_QD
    near = [place[own] for own in near]
    mined = select_tuples(
        asked_QD,
        database_DD,
        near,
        [place[own][place[own] >= 0] for own in (excluded[query] for query in queries)],
        negatives=wanted,
        pool=pool,
        cache=place[cache] if wanted else None,
        generator=generator,
    )
    difficult = [[]] * len(queries)
    if soft.weight:
        jaccard_QN = k_reciprocal_jaccard(
            query_QD, database_DD, soft.k1, soft.k2, soft.euclid, rows=queries, device=device, group=group
        )
        found = difficult_positives(asked_QD, database_DD, near, jaccard_QN, pool=soft.pool, count=soft.positives)
        difficult = [some[own].tolist() for own in found]
    tuples = []
    for (number, positive, negatives), hard in zip(mined, difficult, strict=True):
        query = int(queries[number])
        negatives = (
            some[negatives] if wanted else random_negatives(database, excluded[query], settings.negatives, generator)
        )
        tuples.append(TrainingTuple(query, int(some[positive]), negatives.tolist(), hard))
    return tuples


def random_negatives(count: int, excluded, size: int, generator):
    """`size` random negatives.

    Raises:
        InputError: if there are fewer.
    """
    found = draw_negatives(count, excluded, size, generator)
    if len(found) < size:
        raise InputError(f"mining: a query has {len(found)} photos beyond train.negative_m for train.negatives {size}")
    return found
