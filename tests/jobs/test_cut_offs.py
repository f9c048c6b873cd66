"""What a dataset must hold for the configuration, when its image table is made."""

import logging
from contextlib import nullcontext

import pandas as pd
import pytest

from vprlib.config import overlay, parse_config
from vprlib.jobs.cut_offs import check_cut_offs, check_train_split

BASE = {
    "datasets": ["msls"],
    "base": {"train_set": "pitts30k"},
    "runs": {"a": {}},
    "evaluate": {"recall_at": [1, 5]},
    "search": {"top_k": 12},
}


def table(test: int, val: int) -> pd.DataFrame:
    """An image table with these numbers of database photos, and many queries."""
    parts = [("test", "database", test), ("val", "database", val), ("test", "query", 50), ("val", "query", 50)]
    return pd.DataFrame(
        [(split, role) for split, role, count in parts for _ in range(count)], columns=["split", "role"]
    )


def check(dataset: str, test: int = 12, val: int = 12, **changes) -> None:
    check_cut_offs(table(test, val), dataset, parse_config(overlay(BASE, changes)))


def test_a_database_that_is_large_enough_says_nothing(caplog):
    check("msls")
    check("pitts30k", val=5)
    check("pitts30k", test=1, val=0)  # is not evaluated, and has no val split
    assert not caplog.text


def test_a_k_beyond_the_database_is_refused(refused):
    check("msls", test=5)
    with refused("evaluate.recall_at", "recall@5", "5 database photos", "msls has 4"):
        check("msls", test=4)


def test_a_k_of_the_default_beyond_the_database_is_left_out(caplog):
    default = {key: value for key, value in BASE.items() if key != "evaluate"} | {"search": {"top_k": 20}}
    check_cut_offs(table(test=9, val=0), "msls", parse_config(default))
    assert "recall@10 and recall@20 left out, because msls has 9 database photos" in caplog.text


@pytest.mark.parametrize(
    ("recipe", "wanted"),
    [
        ({}, "train.epochs: 5"),
        ({"generations": [{"epochs": 0}, {"epochs": 2}]}, "train.epochs: 2"),
        ({"train": {"epochs": 0}}, "centroids.split: train"),
        ({"train": {"epochs": 0}, "aggregator": "gem"}, "extract.descriptors: whitened"),
        ({"train": {"epochs": 0}, "aggregator": "gem", "extract": {"descriptors": ["raw"]}}, ""),
        ({"checkpoint": {"file": "a.pth"}}, ""),
        ({"checkpoint": {"file": "a.pth", "whitening": "fitted"}}, "extract.descriptors: whitened"),
    ],
)
def test_a_training_set_without_train_photos_is_refused_where_they_are_needed(recipe, wanted, refused):
    config = parse_config(overlay(BASE, {"runs": {"a": recipe}}))
    photos = table(test=5, val=0)
    check_train_split(photos, "msls", config)  # nothing is trained on it
    check_train_split(photos.assign(split="train"), "pitts30k", config)
    expected = refused("runs.a.train_set: pitts30k", wanted, "leave out train_set") if wanted else nullcontext()
    with expected:
        check_train_split(photos, "pitts30k", config)


def test_a_database_without_queries_is_described_only():
    photos = table(test=2, val=0)
    config = parse_config(BASE)
    check_cut_offs(photos[photos.role == "database"], "msls", config)


def test_shards_beyond_the_database_are_refused(refused):
    check("msls", shards={"search": 12})
    with refused("shards.search", "13 jobs", "12 photos"):
        check("msls", shards={"search": 13})


def test_more_places_kept_than_there_are_is_told(caplog):
    check("msls", test=11)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "search.top_k: 12" in record.getMessage()
    assert "11 photos" in record.getMessage()


@pytest.mark.parametrize("where", ["train", "generations"])
def test_a_monitored_k_beyond_the_val_split_is_refused_for_the_training_set(where, refused):
    monitored = {"train": {"monitor_recall_at": 9}} if where == "train" else {"generations": [{"monitor_recall_at": 9}]}
    runs = {"a": monitored}
    check("msls", val=4, runs=runs)  # nothing is trained on it
    check("pitts30k", val=9, runs=runs)
    with refused("runs.a.train.monitor_recall_at", "recall@9", "pitts30k has 8"):
        check("pitts30k", val=8, runs=runs)
