"""Runs without `train_set`: what they take instead, and what is said of it."""

import pytest

from vprlib.config import parse_config, untrained_runs

WALK = {"datasets": ["walk"], "custom_datasets": {"walk": {"folder": "photos"}}}


def lines(raw):
    return untrained_runs(raw, parse_config(raw))


def test_a_run_without_a_training_set_is_what_the_keys_written_down_are():
    written = {
        "train_set": "walk",
        "centroids": {"split": "test", "roles": ["database"]},
        "cache_frozen_features": "never",
        "train": {"epochs": 0},
        "extract": {"descriptors": ["raw"]},
    }
    short = parse_config(WALK | {"runs": {"a": {"backbone": "resnet18"}}})
    assert short == parse_config(WALK | {"base": written, "runs": {"a": {"backbone": "resnet18"}}})


def test_the_defaults_that_are_taken_are_said_once_for_all_runs():
    assert lines(WALK | {"runs": {"a": {}, "b": {"backbone": "resnet18"}, "c": {"aggregator": "gem"}}}) == [
        "config: runs.a, runs.b: no train_set is named, so: not trained, centroids from the database of walk, raw "
        "descriptors",
        "config: runs.c: no train_set is named, so: not trained, raw descriptors",
    ]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"train_set": "walk"}, None),
        ({"train": {"epochs": 0}}, "centroids from the database of walk, raw descriptors"),
        ({"centroids": {"roles": ["query"]}}, "not trained, raw descriptors"),
        ({"extract": {"descriptors": ["raw"]}}, "not trained, centroids from the database of walk"),
    ],
)
def test_what_a_run_gives_itself_is_kept_and_not_said(recipe, said):
    raw = WALK | {"base": recipe, "runs": {"a": None}}
    run = parse_config(raw).runs["a"].model_dump(mode="json")
    assert all(run[key] == value or value.items() <= run[key].items() for key, value in recipe.items())
    assert lines(raw) == ([f"config: runs.a: no train_set is named, so: {said}"] if said else [])


def test_a_published_network_needs_no_training_set_on_any_number_of_datasets():
    raw = {"datasets": ["pitts30k", "tokyo247"], "runs": {"a": {"checkpoint": {"file": "a.pth"}}}}
    assert parse_config(raw).runs["a"].extract.descriptors == ("whitened",)
    assert not lines(raw)


def test_a_value_that_is_none_of_the_kinds_is_one_line(refused):
    with refused("runs.a.extract.descriptors"):
        parse_config(WALK | {"runs": {"a": {"extract": {"descriptors": 5}}}})
