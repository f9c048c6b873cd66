"""Compare a dataset's image table with what the configuration asks of it, before anything is trained."""

import logging
from typing import TYPE_CHECKING

from vprlib.config import Config, RunConfig
from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)


def check_cut_offs(table: "pd.DataFrame", dataset: str, config: Config) -> None:
    """Check that the database of a dataset is as large as the configuration needs.

    A `search.top_k` that is larger only keeps all photos, and is warned of. So are a dataset without queries, and the
    values of `evaluate.recall_at` that are left out, if the configuration does not give them.

    Args:
        table: the image table.
        dataset: its name.
        config: the configuration.

    Raises:
        InputError: if a given k of `evaluate.recall_at`, of a run's `train.monitor_recall_at` or of `shards.search`
            exceeds the number of photos that are ranked.
    """
    database = table[table.role == "database"]
    count, validation = (int((database.split == split).sum()) for split in ("test", "val"))
    evaluated = dataset in config.datasets and ((table.split == "test") & (table.role == "query")).any()
    if dataset in config.datasets and not evaluated:
        log.warning("%s has no query photos: it can be checked and described, but its evaluation will fail", dataset)
    if evaluated and count:  # without queries it is described only
        shards, largest = config.shards.search, max(config.evaluate.recall_at)
        if largest > count and config.evaluate.fitting_only:
            beyond = " and ".join(f"recall@{k}" for k in config.evaluate.recall_at if k > count)
            log.warning("evaluate.recall_at: %s left out, because %s has %d database photos", beyond, dataset, count)
        elif largest > count:
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


def check_train_split(table: "pd.DataFrame", dataset: str, config: Config) -> None:
    """Check that a dataset that runs are trained on has train photos.

    Args:
        table: the image table.
        dataset: its name.
        config: the configuration.

    Raises:
        InputError: naming the first run that needs train photos, and the key for which it does.
    """
    if (table.split == "train").any():
        return
    for name, run in config.runs.items():
        if run.train_set == dataset and (wanted := _needs_train_photos(run)):
            raise InputError(
                f"runs.{name}.train_set: {dataset} has no train photos, and {wanted} needs some; name another dataset, "
                "or leave out train_set, then nothing is trained"
            )


def _needs_train_photos(run: RunConfig) -> str:
    """Return the first key of a run that needs train photos; empty without one."""
    epochs = [run.generation(number).epochs for number in range(len(run.generations))]
    published = run.checkpoint and run.checkpoint.whitening == "published"
    if not run.checkpoint and max(epochs):
        return f"train.epochs: {max(epochs)}"
    if not run.checkpoint and run.aggregator.has_trait("centroids") and run.centroids.split == "train":
        return "centroids.split: train"
    return "extract.descriptors: whitened" if "whitened" in run.extract.descriptors and not published else ""
