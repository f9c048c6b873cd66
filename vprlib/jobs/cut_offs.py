"""Compare a dataset's image table with the numbers that the configuration asks of it, before anything is trained."""

import logging
from typing import TYPE_CHECKING

from vprlib.config import Config
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def check_cut_offs(table: "pd.DataFrame", dataset: str, config: Config) -> None:
    """Check that the database of a dataset is as large as the configuration needs.

    A `search.top_k` that is larger only keeps all photos, and is warned of.

    Args:
        table: the image table.
        dataset: its name.
        config: the configuration.

    Raises:
        InputError: if a k of `evaluate.recall_at`, of a run's `train.monitor_recall_at` or of `shards.search` exceeds
            the number of photos that are ranked.
    """
    database = table[table.role == "database"]
    count, validation = (int((database.split == split).sum()) for split in ("test", "val"))
    evaluated = dataset in config.datasets and ((table.split == "test") & (table.role == "query")).any()
    if evaluated and count:  # without queries it is described only
        shards, largest = config.shards.search, max(config.evaluate.recall_at)
        if largest > count:
            raise InputError(
                f"evaluate.recall_at: recall@{largest} needs {largest} database photos, {dataset} has {count}; leave "
                f"out this k"
            )
        if shards > count:
            raise InputError(f"shards.search: {shards} jobs cannot share the {count} photos of {dataset}; lower it")
        if config.search.top_k > count:
            log.warning("search.top_k: %d, and %s has %d photos: all are kept", config.search.top_k, dataset, count)
    for name, run in config.trained.items():
        largest = max(run.generation(number).monitor_recall_at for number in range(len(run.generations)))
        if validation and run.train_set == dataset and largest > validation:
            raise InputError(
                f"runs.{name}.train.monitor_recall_at: recall@{largest} needs {largest} database photos, the val split "
                f"of {dataset} has {validation}; lower it"
            )
