"""Keys that do nothing are told, each with its reason, and no key that does something."""

import pytest
import yaml

from vprlib.config import overlay, parse_config, unused_settings

BASE = {"datasets": ["city"], "base": {"train_set": "city"}, "runs": {"a": {}}}
RAW = {"descriptors": ["raw"]}
SARE = {"name": "sare_ind", "options": {"temperature": 0.07}}
OTHER = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def told(raw: dict) -> str:
    return "\n".join(unused_settings(raw, parse_config(raw)))


def one_run(**run) -> dict:
    return overlay(BASE, {"runs": {"a": run}})


IDLE = {
    "centroids of GeM": (one_run(aggregator="gem", centroids={"images": 9}), "runs.a.centroids", "gem"),
    "image beside a checkpoint": (
        one_run(checkpoint={"file": "x.pth"}, image={"height": 64}),
        "runs.a.image",
        "`checkpoint`",
    ),
    "training beside a checkpoint": (
        one_run(checkpoint={"file": "x.pth"}, train={"epochs": 2}),
        "runs.a.train",
        "`checkpoint`",
    ),
    "whitening beside a published one": (
        one_run(checkpoint={"file": "x.pth"}, whiten={"dim": 9}),
        "runs.a.whiten",
        "whitening: fitted",
    ),
    "whitening of raw descriptors": (one_run(extract=RAW, whiten={"dim": 9}), "runs.a.whiten", "`whitened`"),
    "a PCA that is not used": (
        one_run(checkpoint={"file": "x.pth", "pca": "y.h5"}, extract=RAW),
        "runs.a.checkpoint.pca",
        "`whitened`",
    ),
    "neighbours of no soft labels": (one_run(train={"soft": {"k1": 5}}), "runs.a.train.soft.k1", "soft.weight is 0"),
    "a pool of random negatives": (
        one_run(train={"mining": "random", "negative_pool_size": 9}),
        "runs.a.train.negative_pool_size",
        "random",
    ),
    "a teacher of one generation": (one_run(train={"teacher": "best"}), "runs.a.train.teacher", "generation 0"),
    "a teacher of the first generation": (
        one_run(generations=[{"initialize_from": "previous"}, {}]),
        "runs.a.generations.0.initialize_from",
        "generation 0",
    ),
    "an optimiser that takes no step": (
        one_run(train={"epochs": 0, "optimiser": "Adam"}),
        "runs.a.train.optimiser",
        "epochs is 0",
    ),
    "in base, for every run": (
        overlay(BASE, {"base": {"aggregator": "mean", "centroids": {"images": 3}}}),
        "base.centroids",
        "mean",
    ),
    "memory of no index": (overlay(BASE, {"search": {"memory_gb": 3}}), "search.memory_gb", "flat"),
    "compressions of no sizes": (
        overlay(BASE, {"descriptor_sizes": {"compression": ["pq"]}}),
        "descriptor_sizes.compression",
        "dims",
    ),
    "pretraining of no run": (overlay(BASE, {"pretrain": {"epochs": 2}}), "pretrain", "backbone.weights"),
    "a city that nobody uses": (
        {"datasets": ["pitts30k"], "base": {"train_set": "pitts30k"}, "runs": {"a": {}}, "city": {"blocks": 3}},
        "city",
        "no run uses",
    ),
    "conditions of a dataset that is not evaluated": (
        overlay(BASE, {"evaluate": {"group_by": {"msls": ["night"]}}}),
        "evaluate.group_by.msls",
        "`datasets`",
    ),
    "pixels that torchvision's weights do not want": (one_run(image=OTHER), "runs.a.image.mean", "torchvision"),
    "a mean that begins with blue": (
        one_run(image={"mean": [0.406, 0.456, 0.485]}, backbone={"weights": "pretrain"}),
        "runs.a.image.mean",
        "blue, green, red",
    ),
}


@pytest.mark.parametrize(("raw", "words"), [(raw, words) for raw, *words in IDLE.values()], ids=list(IDLE))
def test_a_key_that_does_nothing_is_told_with_its_reason(raw, words):
    lines = told(raw).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"config: {words[0]}")
    assert all(word in lines[0] for word in words)


NEEDED = {
    "a key that base has for another run": overlay(
        BASE, {"base": {"centroids": {"images": 9}}, "runs": {"a": {}, "b": {"aggregator": "gem"}}}
    ),
    "base beside a checkpoint": overlay(
        BASE, {"base": {"image": {"height": 64}}, "runs": {"a": {"checkpoint": {"file": "x.pth"}}}}
    ),
    "a whitening that is fitted to a checkpoint": one_run(
        checkpoint={"file": "x.pth", "whitening": "fitted"}, whiten={"dim": 9}
    ),
    "soft labels of a later generation": one_run(
        train={"loss": SARE, "soft": {"k1": 5}, "teacher": "best"}, generations=[{}, {"soft": {"weight": 1}}]
    ),
    "an index with memory": overlay(BASE, {"search": {"memory_gb": 3, "index": "hnsw"}}),
    "a network that is not trained": one_run(train={"epochs": 0, "min_initial_recall": 0.2}, centroids={"images": 3}),
    "pixels of pretrained weights": one_run(image=OTHER, backbone={"weights": "pretrain"}),
    "pixels of a file": one_run(image=OTHER, backbone={"weights": "mine", "file": "x.pth"}),
}


@pytest.mark.parametrize("raw", NEEDED.values(), ids=list(NEEDED))
def test_a_key_that_does_something_is_not_told(raw):
    assert not told(raw)


def test_keys_that_do_nothing_for_one_reason_share_a_line():
    raw = one_run(checkpoint={"file": "x.pth"}, image={"height": 64}, backbone="alexnet", aggregator="gem")
    assert "runs.a.image, runs.a.backbone, runs.a.aggregator: no effect" in told(raw)


@pytest.mark.parametrize("path", ["config/config.yaml", "config/city.yaml", "tests/tiny.yaml"])
def test_the_configurations_that_are_shipped_have_no_idle_key(repository, path):
    assert not told(yaml.safe_load((repository / path).read_text()))
