"""A run of descriptors that were computed elsewhere: what it may say, and what it is then."""

import pytest

from vprlib.config import parse_config, unused_settings

TWO = {"database": "db.npy", "queries": "q.npy"}


def raw(datasets=("city",), **run):
    return {"datasets": list(datasets), "seeds": [3, 4], "runs": {"mine": run}}


def test_it_needs_nothing_but_its_files_and_is_neither_trained_nor_published():
    config = parse_config(raw(descriptors=TWO))
    assert (list(config.external), config.trained, config.published) == (["mine"], {}, {})
    assert config.runs["mine"].kinds == ("raw",)
    other = parse_config(raw(descriptors=TWO | {"kind": "whitened"})).runs["mine"]
    assert other.kinds == ("whitened",)
    assert other.identity(0) != config.runs["mine"].identity(0)


def test_its_identity_depends_on_its_files_only():
    plain = parse_config(raw(descriptors=TWO)).runs["mine"].identity(0)
    with_base = parse_config(raw(descriptors=TWO) | {"base": {"train_set": "city", "aggregator": "gem"}})
    assert with_base.runs["mine"].identity(0) == plain


@pytest.mark.parametrize(
    ("run", "fragments"),
    [
        ({"descriptors": {}}, ["give `database` and `queries`, or `file`"]),
        ({"descriptors": {"database": "a.npy"}}, ["`queries` is missing"]),
        ({"descriptors": TWO | {"file": "a.h5"}}, ["give `database` and `queries`, or `file`"]),
        ({"descriptors": {"file": ""}}, ["`file` is empty"]),
        ({"descriptors": {"file": "a.h5", "queries_paths": "q.txt"}}, ["`queries_paths` does nothing beside `file`"]),
        ({"descriptors": {"file": "{datset}.h5"}}, ["{datset} is unknown", "{dataset}"]),
        ({"descriptors": TWO, "checkpoint": {"file": "x.pth"}}, ["not both"]),
        ({"descriptors": TWO, "generations": [{}, {}]}, ["`descriptors` is not trained", "generations"]),
        ({"descriptors": TWO | {"quries": "x"}}, ["quries", "did you mean 'queries'"]),
    ],
)
def test_a_fault_is_one_line_that_names_the_run(run, fragments, refused):
    with refused("config: runs.mine", *fragments):
        parse_config(raw(**run))


def test_several_datasets_need_a_file_each(refused):
    with refused("runs.mine.descriptors.queries: q.npy", "2 datasets", "{dataset}"):
        parse_config(raw(["city", "city_night"], descriptors={"database": "{dataset}/db.npy", "queries": "q.npy"}))
    assert parse_config(raw(["city", "city_night"], descriptors={"file": "{dataset}.h5"}))


def test_keys_of_a_network_do_nothing_beside_descriptors():
    given = raw(descriptors=TWO, train_set="city", train={"epochs": 3}, extract={"descriptors": ["raw"]})
    (line,) = [line for line in unused_settings(given, parse_config(given)) if "descriptors" in line]
    assert line.startswith("config: runs.mine.train_set, runs.mine.train, runs.mine.extract: no effect")
    in_base = raw(descriptors=TWO) | {"base": {"train_set": "city", "train": {"epochs": 3}}}
    assert not unused_settings(in_base, parse_config(in_base)), "base may be meant for other runs"
