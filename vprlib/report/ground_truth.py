"""Which photo a query should have been answered by: what the explorer shows beside a query that a network misses."""

import numpy as np

from vprlib.evaluation.predictions import EvaluatedQueries

ALIKE = 100  # parts of a metre, or a frame; photos that are nearer to each other in distance are equally near
NEVER = np.iinfo(np.int32).max


class GroundTruth:
    """The nearest positive of each query that a protocol asks.

    A panorama is cut into views that share its position, and only one of them looks where the query does. So of
    equally near positives the one is taken that some network, of those `seen`, ranks best.
    """

    def __init__(self, question: EvaluatedQueries):
        self.question = question
        self.owner_F = np.repeat(np.arange(len(question.positives)), [len(one) for one in question.positives])
        self.photo_F = np.concatenate([np.empty(0, np.int64), *question.positives])
        self.size = 1 + len(question.database)
        self.rank_F = np.full(len(self.photo_F), NEVER, np.int32)

    def seen(self, ranking_QK, hit_QK):
        """Take a network's ranking into account, and which of its candidates are hits."""
        query, place = np.nonzero(hit_QK)
        pair = np.searchsorted(self.owner_F * self.size + self.photo_F, query * self.size + ranking_QK[query, place])
        np.minimum.at(self.rank_F, pair, place.astype(np.int32))

    def photos(self) -> np.ndarray:
        """The database image of each query of the test split; -1 where none is right, or which is not asked."""
        taken, stored = (
            table[["east", "north"]].to_numpy(float) for table in (self.question.query, self.question.database)
        )
        far_F = (np.hypot(*(taken[self.owner_F] - stored[self.photo_F]).T) * ALIKE).round()
        order = np.lexsort([self.photo_F, self.rank_F, far_F, self.owner_F])
        asked, first = np.unique(self.owner_F[order], return_index=True)
        result = np.full(self.question.of, -1, np.int64)
        result[self.question.rows_Q[asked]] = self.photo_F[order][first]
        return result
