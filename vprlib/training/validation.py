"""Validate networks on the val split during training.

Axes: Q queries, N database images, D dimensions, K candidates of a query.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.config import TrainConfig
from vprlib.data.image_table import row_numbers, select_rows
from vprlib.data.protocol import Protocol
from vprlib.evaluation.recall import random_recall, recall_at
from vprlib.exceptions import InputError
from vprlib.retrieval.exact_search import nearest

KS = (1, 5, 10)


class Validation:
    """Compute val recalls, and compare the initial one with chance.

    Args:
        table: the image table of the training set.
        protocol: what a hit is.
        settings: the recipe; `monitor_recall_at` is the k that chooses the best epoch.

    Attributes:
        query: numbers of the table's rows that are queries of the val split.
        database: numbers of the rows that are its database images.
        positives: the positives of each query; empty without a val split.

    Raises:
        InputError: if the val split has fewer than `monitor_recall_at` database images.
    """

    def __init__(self, table: pd.DataFrame, protocol: Protocol, settings: TrainConfig) -> None:
        self.settings = settings
        self.query, self.database = row_numbers(table, "val", "query"), row_numbers(table, "val", "database")
        query, database = (select_rows(table, "val", role) for role in ("query", "database"))
        self.positives = protocol.positives(query, database) if (table.split == "val").any() else []
        if self.positives and settings.monitor_recall_at > len(self.database):
            raise InputError(
                f"train.monitor_recall_at: recall@{settings.monitor_recall_at} needs at least "
                f"{settings.monitor_recall_at} database images, but the val split has {len(self.database)}; lower it"
            )

    def recalls(
        self, describe: Callable[[NDArray[np.int64], str], NDArray[np.float32]], epoch: int
    ) -> dict[int, float]:
        """Return val recall@k by k; empty without a val split.

        Args:
            describe: (row numbers, text of the progress bar) -> (n, D) unit rows.
            epoch: number of the epoch, for error messages.

        Raises:
            InputError: if a photo cannot be described.
        """
        if not self.positives:
            return {}
        try:
            query_QD = describe(self.query, "val: queries")
            database_ND = describe(self.database, "val: database")
        except InputError as error:
            raise InputError(f"after epoch {epoch}, {error}") from error
        ks = sorted({*KS, self.settings.monitor_recall_at})
        ranking_QK, _ = nearest(query_QD, database_ND, max(ks))
        return recall_at([k for k in ks if k <= ranking_QK.shape[1]], ranking_QK, self.positives)

    def check_initial_recall(self, row: Mapping[str, float | None]) -> None:
        """Check that the initial recall reaches `min_initial_recall`, on a scale from 0, chance level, to 1, perfect.

        Args:
            row: the row of the history before training.

        Raises:
            InputError: with the recall before training, the required one and chance level.
        """
        k, fraction = self.settings.monitor_recall_at, self.settings.min_initial_recall
        if not (self.positives and fraction):
            return
        chance = random_recall([k], self.positives, len(self.database))[k]
        recall = row[f"val_recall@{k}"] or 0.0
        required = chance + fraction * (1 - chance)
        if recall < required:
            raise InputError(
                f"train.min_initial_recall: before training, val recall@{k} is {recall:.3f}, below {required:.3f} "
                f"(chance is {chance:.3f}): weights or centroids were likely not loaded; check them, or lower "
                f"train.min_initial_recall from {fraction:g}"
            )
