"""Select the ground-truth photo that the failure explorer shows next to a query that a network got wrong.

Axes: Q queries, K candidates of a query, F pairs of a query and one of its positives.
"""

import numpy as np
from numpy.typing import NDArray

from vprlib.evaluation.predictions import EvaluatedQueries

ALIKE = 100  # distances are rounded to 1/100 of a metre or frame; positives with equal rounded distances are tied
NEVER = np.iinfo(np.int32).max  # the rank of a photo that no network found


class GroundTruth:
    """The nearest positive of each query that a protocol evaluates.

    A panorama is cut into views that share one position, and only one of them faces the same way as the query. Of
    equally near positives, the one that any of the added networks ranks best is therefore selected.
    """

    def __init__(self, question: EvaluatedQueries) -> None:
        self.question = question
        self.owner_F = np.repeat(np.arange(len(question.positives)), [len(rows) for rows in question.positives])
        self.photo_F = np.concatenate([np.empty(0, np.int64), *question.positives])
        self.size = 1 + len(question.database)
        self.rank_F = np.full(len(self.photo_F), NEVER, np.int32)

    def add_ranking(self, ranking_QK: NDArray[np.int64], hit_QK: NDArray[np.bool_]) -> None:
        """Take a network's ranking into account, and which of its candidates are hits."""
        query, candidate = np.nonzero(hit_QK)
        pair = np.searchsorted(
            self.owner_F * self.size + self.photo_F, query * self.size + ranking_QK[query, candidate]
        )
        np.minimum.at(self.rank_F, pair, candidate.astype(np.int32))

    def photos(self) -> NDArray[np.int64]:
        """Return one database index per query of the test split; -1 if it has no positive or is not evaluated."""
        query_Q2, database_N2 = (
            table[["east", "north"]].to_numpy(float) for table in (self.question.query, self.question.database)
        )
        distance_F = (np.hypot(*(query_Q2[self.owner_F] - database_N2[self.photo_F]).T) * ALIKE).round()
        order_F = np.lexsort([self.photo_F, self.rank_F, distance_F, self.owner_F])
        with_positives, first = np.unique(self.owner_F[order_F], return_index=True)
        result = np.full(self.question.test_count, -1, np.int64)
        result[self.question.rows_Q[with_positives]] = self.photo_F[order_F][first]
        return result
