"""Describe photos with the current network and mine training tuples among them.

Axes: Q queries, N described database images, D dimensions.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from vprlib.compute.process_group import ProcessGroup
from vprlib.config import TrainConfig
from vprlib.exceptions import InputError
from vprlib.retrieval.k_reciprocal_graph import k_reciprocal_jaccard
from vprlib.training.miners.hardest import difficult_positives, draw_negatives, select_tuples
from vprlib.training.objective import TrainingTuple


def mine_tuples(
    queries: NDArray[np.int64],
    *,
    settings: TrainConfig,
    describe: Callable[[str, NDArray[np.int64]], NDArray[np.float32]],
    positives: Sequence[NDArray[np.int64]],
    excluded: Sequence[NDArray[np.int64]],
    database: int,
    known: Mapping[int, list[int]],
    generator: np.random.Generator,
    device: torch.device | str,
    group: ProcessGroup | None = None,
) -> list[TrainingTuple]:
    """Mine the tuples of some queries with the current network.

    With `full` mining the whole database is described. With `partial` the queries' positives, `negative_pool_size`
    random photos and the last negatives are (deep-visual-geo-localization-benchmark). With `random` only the positives
    are, and the negatives are drawn at random. Soft labels also need all queries of the split: neighbourhoods are
    computed among all photos.

    Departs from OpenIBL, which describes all queries at each refresh even where only some are mined.

    Args:
        queries: query numbers of the training split.
        settings: the recipe.
        describe: (role, numbers) -> (n, D) unit rows.
        positives, excluded: of every query of the split, as in `select_tuples`; both increase.
        database: number of database photos of the split.
        known: query -> its last negatives.
        generator: source of randomness.
        device: where the neighbourhoods are computed.
        group: the processes that share that work.

    Returns:
        One tuple per query, in their order; its numbers count the queries and database images of the split.

    Raises:
        InputError: if a query has no positive or too few negatives, or a photo cannot be described.
    """
    soft, negatives_mined = settings.soft, 0 if settings.mining == "random" else settings.negatives_per_query
    cache = np.array([known.get(int(query), [-1] * settings.negatives_per_query) for query in queries])
    query_positives = [positives[query] for query in queries]
    if settings.mining == "full":
        described, pool = np.arange(database), settings.negative_pool_size
    else:
        drawn = generator.choice(database, min(settings.negative_pool_size, database), replace=False)
        others = () if settings.mining == "random" else (drawn, cache[cache >= 0])
        described, pool = np.unique(np.concatenate([*query_positives, *others])), negatives_mined and database
    position = np.full(database + 1, -1)  # of a database photo among the described ones; -1 as an index gives -1
    position[described] = np.arange(len(described))
    query_QD = describe("query", np.arange(len(positives)) if soft.weight else queries)
    database_ND = describe("database", described)
    mined_QD = query_QD[queries] if soft.weight else query_QD
    candidates = [position[images] for images in query_positives]
    mined = select_tuples(
        mined_QD,
        database_ND,
        candidates,
        [position[images][position[images] >= 0] for images in (excluded[query] for query in queries)],
        negatives=negatives_mined,
        pool=pool,
        cache=position[cache] if negatives_mined else None,
        generator=generator,
    )
    difficult: list[list[int]] = [[]] * len(queries)
    if soft.weight:
        jaccard_QN = k_reciprocal_jaccard(
            *(query_QD, database_ND, soft.k1, soft.k2, soft.euclidean_weight),
            squarings=soft.squarings,
            rows=queries,
            device=device,
            group=group,
        )
        promoted = difficult_positives(
            mined_QD, database_ND, candidates, jaccard_QN, pool=soft.pool, count=soft.positives
        )
        difficult = [described[images].tolist() for images in promoted]
    tuples = []
    for (number, positive, hardest), soft_positives in zip(mined, difficult, strict=True):
        query = int(queries[number])
        negatives = (
            described[hardest]
            if negatives_mined
            else random_negatives(database, excluded[query], settings.negatives_per_query, generator)
        )
        tuples.append(TrainingTuple(query, int(described[positive]), negatives.tolist(), soft_positives))
    return tuples


def random_negatives(
    count: int, excluded: NDArray[np.int64], size: int, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw a query's negatives at random.

    Args:
        count: number of database photos.
        excluded: increasing numbers of photos that are not drawn.
        size: number of negatives.
        generator: source of randomness.

    Raises:
        InputError: if there are fewer.
    """
    negatives = draw_negatives(count, excluded, size, generator)
    if len(negatives) < size:
        raise InputError(
            f"mining: a query has {len(negatives)} photos beyond train.negative_radius_m for "
            f"train.negatives_per_query {size}; lower one of them"
        )
    return negatives
