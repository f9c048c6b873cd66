import json
import re
import runpy
import subprocess
import sys
from typing import get_args

import pytest
import yaml
from pydantic import ValidationError

from vprlib.config import (
    Config,
    JitterConfig,
    OwnDatasetConfig,
    TrainConfig,
    overlay,
    parse_config,
)
from vprlib.config.base import Section
from vprlib.registry import FAMILIES, load_object

BASE = {"datasets": ["city"], "base": {"train_set": "city"}, "runs": {"a": {}}}
SARE = {"name": "sare_ind", "options": {"temperature": 0.07}}
SFRS = {"loss": SARE, "regions": True, "soft": {"weight": 0.5}}
FILE = {
    "backbone": {"weights": "mine", "file": "x.pth"},
    "image": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
}
OWN = {"csv": "x.csv", "radius": 5}
LISTS = {"positives": "x.npy", "database": "d", "queries": "q"}


def changed(**changes) -> dict:
    return overlay(BASE, changes)


def base(**changes) -> dict:
    return changed(base=changes)


def margin(value) -> dict:
    return {"options": {"margin": value}}


def two_runs(**second) -> dict:
    return changed(runs={"b": second})


BAD = {
    "unknown key": (changed(dataset=["city"]), "dataset:", "'datasets'", "seeds"),
    "unknown key in base": (base(trian={}), "base.trian", "'train'", "backbone"),
    "unknown key in a section": (base(train={"epoch": 1}), "base.train.epoch", "'epochs'", "patience"),
    "unknown key in a run": (changed(runs={"a": {"imge": {}}}), "runs.a.imge", "'image'"),
    "unknown key in a generation": (base(generations=[{}, {"los": 1}]), "generations.1.los", "'loss'"),
    "bad value in a generation": (base(generations=[{"epochs": -1}]), "generations.0.epochs", "-1", "0"),
    "generation that is no dict": (base(generations=[5]), "base.generations.0", "dictionary", "5"),
    "no generation": (base(generations=[]), "base.generations", "[]"),
    "unknown backbone": (base(backbone={"name": "vgg61"}), "base.backbone.name", "'vgg61'", "'vgg16'", "alexnet"),
    "unknown aggregator": (base(aggregator={"name": "netvald"}), "aggregator.name", "'netvald'", "'netvlad'", "gem"),
    "unknown loss": (base(train={"loss": "tripet"}), "train.loss", "'tripet'", "'triplet'"),
    "unknown dataset": (changed(datasets=["cty"]), "datasets", "'cty'", "'city'", "tokyo247"),
    "unknown training set": (changed(runs={"a": {"train_set": "cty"}}), "runs.a.train_set", "'cty'", "'city'"),
    "conditions of an unknown dataset": (
        changed(evaluate={"group_by": {"cty": ["time"]}}),
        "evaluate.group_by",
        "'cty'",
        "'city'",
    ),
    "root of an unknown dataset": (changed(dataset_roots={"cty": "x"}), "dataset_roots", "'cty'", "'city'"),
    "no dataset": ({"runs": {"a": {"train_set": "city"}}}, "datasets", "missing"),
    "empty datasets": (changed(datasets=[]), "datasets", "[]"),
    "datasets as a word": (changed(datasets="city"), "datasets", "'city'"),
    "a training without a training set": (
        BASE | {"base": {"train": {"loss": "sare_ind"}}},
        "runs.a.train_set",
        "missing, and train.loss needs training photos",
    ),
    "generations without a training set": (BASE | {"base": {"generations": [{}, {}]}}, "train_set", "generations"),
    "whitening without a training set": (
        BASE | {"base": {"train": {"epochs": 0}, "extract": {"descriptors": ["raw", "whitened"]}}},
        "runs.a.train_set",
        "extract.descriptors: whitened",
    ),
    "a fitted whitening without a training set": (
        BASE | {"base": {"checkpoint": {"file": "a.pth", "whitening": "fitted"}}},
        "runs.a.train_set",
        "checkpoint.whitening: fitted",
    ),
    "no training set and several datasets": (
        BASE | {"datasets": ["city", "city_night"], "base": {}},
        "runs.a.train_set",
        "2 datasets",
    ),
    "no run": (BASE | {"runs": {}}, "runs", "{}"),
    "runs as a list": (BASE | {"runs": ["vlad"]}, "runs", "['vlad']"),
    "runs as a word": (BASE | {"runs": "vlad"}, "runs", "'vlad'"),
    "run that is no dict": (changed(runs={"a": [1]}), "runs.a", "[1]"),
    "base that is no dict": (BASE | {"base": [1]}, "base", "[1]"),
    "section that is no dict": (base(train=None), "base.train", "None"),
    "run named by a number": (changed(runs={1: {}}), "runs.1", "string"),
    "run named with a blank": (changed(runs={"a b": {}}), "runs.a b", "'a b'"),
    "run that leaves its folder": (changed(runs={"..": {}}), "runs", "'..'"),
    "radius of zero": (
        changed(custom_datasets={"own": OWN | {"radius": 0}}),
        "custom_datasets.own.radius",
        "greater than 0",
        "not 0",
    ),
    "a dataset without a source": (changed(custom_datasets={"own": {}}), "custom_datasets.own", "give one of `csv`"),
    "a radius of listed positives": (
        changed(custom_datasets={"own": LISTS | {"radius": 5}}),
        "custom_datasets.own",
        "`radius` does nothing beside `positives`",
    ),
    "views of pairs": (
        changed(custom_datasets={"own": {"pairs": "x", "database": "d", "queries": "q", "views_per_place": 2}}),
        "`views_per_place` does nothing beside `pairs`",
    ),
    "a track in frames": (
        changed(
            custom_datasets={
                "own": {"database_track": "x", "queries_track": "y", "database": "d", "queries": "q", "unit": "frames"}
            }
        ),
        "`unit` 'frames' does not fit `database_track`",
    ),
    "one track": (
        changed(custom_datasets={"own": {"database_track": "x", "database": "d", "queries": "q"}}),
        "`database_track` needs `queries_track`, `database`, `queries`; `queries_track` is missing",
    ),
    "a track beside a table": (
        changed(custom_datasets={"own": OWN | {"queries_track": "x"}}),
        "`queries_track` does nothing beside `csv`",
    ),
    "the unit of listed positives": (changed(custom_datasets={"own": LISTS | {"unit": "m"}}), "`unit` does nothing"),
    "the first number of a table": (changed(custom_datasets={"own": OWN | {"first_index": 1}}), "`first_index` does"),
    "a first number that is none": (changed(custom_datasets={"own": LISTS | {"first_index": 2}}), "first_index", "2"),
    "photos of a dbStruct": (changed(custom_datasets={"own": {"mat": "x", "npz": "y"}}), "not `npz` and `mat`"),
    "a source without a name": (changed(custom_datasets={"own": {"csv": ""}}), "`csv` is empty"),
    "two sources": (changed(custom_datasets={"own": OWN | {"npz": "x"}}), "one of", "not `csv` and `npz`"),
    "a misspelt source": (changed(custom_datasets={"own": {"npx": "x"}}), "custom_datasets.own.npx", "'npz'"),
    "a source without its photos": (
        changed(custom_datasets={"own": {"npz": "x", "queries": "q"}}),
        "custom_datasets.own",
        "`npz` needs `database`, `queries`; `database` is missing",
    ),
    "photos beside a table that names them": (
        changed(custom_datasets={"own": OWN | {"queries": "q"}}),
        "custom_datasets.own",
        "`queries` does nothing beside `csv`",
    ),
    "negative number": (base(train={"epochs": -1}), "base.train.epochs", "greater than", "-1"),
    "a negative learning rate": (base(train={"optimiser": {"options": {"lr": -1}}}), "optimiser.options", "lr", "> 0"),
    "a margin that is not finite": (base(train={"loss": margin(float("nan"))}), "loss.options", "margin", "finite"),
    "a schedule that never steps": (
        base(train={"schedule": {"options": {"step_size": 0}}}),
        "schedule.options",
        "step_size",
        ">= 1",
        "0",
    ),
    "an optimiser that training cannot use": (base(train={"optimiser": "LBFGS"}), "optimiser.name", "not supported"),
    "a schedule that is a function": (base(train={"schedule": "wraps"}), "train.schedule.name", "wraps"),
    "a schedule that is a module": (base(train={"optimiser": "lr_scheduler"}), "train.optimiser.name"),
    "a section as a word": (overlay(base(image={"height": 480}), {"runs": {"a": {"image": "big"}}}), "image", "'big'"),
    "not a number": (base(image={"std": [float("nan"), 1, 1]}), "base.image.std", "nan"),
    "an option out of bounds": (
        base(train={"loss": {"options": {"margin": -1}}}),
        "base.train.loss",
        "margin",
        "> 0",
        "-1",
    ),
    "an option that is no number": (base(train={"loss": {"options": {"margin": True}}}), "margin", "float", "True"),
    "a misspelt option": (base(backbone={"options": {"widht": 1}}), "base.backbone", "vgg16", "'widht'", "'width'"),
    "an option of another method": (base(aggregator={"name": "gem", "options": {"clusters": 8}}), "gem", "'clusters'"),
    "an option with a word that is none of its": (
        base(backbone={"options": {"train_from": "conv6"}}),
        "train_from",
        "conv5",
        "'conv6'",
    ),
    "unknown optimiser": (base(train={"optimiser": "Adm"}), "base.train.optimiser.name", "'Adm'", "'Adam'", "SGD"),
    "unknown option of an optimiser": (
        base(train={"optimiser": {"options": {"lrr": 1}}}),
        "base.train.optimiser",
        "SGD",
        "'lrr'",
        "'lr'",
    ),
    "a schedule without what it needs": (base(train={"schedule": "CosineAnnealingLR"}), "schedule", "'T_max'"),
    "a method of no package": (base(aggregator="nets.mine:Pool"), "base.aggregator.name", "'nets.mine'", "installed"),
    "positives among the negatives": (
        base(train={"positive_radius_m": 30}),
        "positive_radius_m",
        "30",
        "negative_radius_m",
        "25",
    ),
    "repeated ks": (changed(evaluate={"recall_at": [1, 5, 5]}), "evaluate.recall_at", "5"),
    "no ks": (changed(evaluate={"recall_at": []}), "evaluate.recall_at"),
    "ks over the depth": (changed(search={"top_k": 15}), "evaluate.recall_at", "20", "search.top_k"),
    "more bits than a hash can tell": (
        changed(verify={"max_hash_distance": 40}),
        "verify.max_hash_distance",
        "31",
        "40",
    ),
    "repeated seeds": (changed(seeds=[3, 3]), "seeds", "3"),
    "unknown word": (base(extract={"checkpoint": "first"}), "base.extract.checkpoint", "'best'", "'last'", "'first'"),
    "unknown device": (changed(execution={"device": "gpu"}), "execution.device", "cuda", "'gpu'"),
    "own weights without a file": (base(backbone={"weights": "mine"}), "base.backbone", "'mine'", "`file`"),
    "a file of weights that are not one's own": (base(backbone={"file": "x.pth"}), "base.backbone", "'imagenet'"),
    "a checksum that is none": (base(checkpoint={"file": "x", "sha256": "abc"}), "sha256", "'abc'", "64 hexadecimal"),
    "a run's name with a slash": (changed(runs={"a/b": {}}), "runs.a/b", "letters"),
    "a city named as a dataset": (changed(city={"name": "msls"}), "city.name", "'msls'", "reserved"),
    "a dataset of the city's old name": (changed(city={"name": "toy"}), "'city'", "did you mean"),
    "results among shared files": (changed(results="results/models/x"), "results/models/x", "results/experiments/x"),
    "results in a dataset's folder": (changed(results="./results/city/"), "results/city", "results/experiments/city"),
    "results in a pattern": (changed(results="{x}"), "results", "braces"),
    "results in a folder of logs": (changed(results="logs/a"), "results", "`logs`"),
    "results among raw data": (changed(results="./data/city"), "results", "'./data/city' holds other things"),
    "results in a home": (changed(results="~/results"), "results", "'~/results' holds other things"),
    "results in the working folder": (changed(results="."), "results", "'.' holds other things"),
    "no results": (changed(results=" "), "results", "path of a folder"),
    "a name that is reserved": (changed(custom_datasets={"city": OWN}), "custom_datasets.city", "reserved"),
    "soft labels without a teacher": (base(train=SFRS), "generations.0", "no teacher", "soft.weight"),
    "soft labels without a temperature": (base(train=SFRS | {"loss": "sare_ind"}), "base.train", "temperature"),
    "more soft labels than the pool": (base(train={"soft": {"positives": 30}}), "base.train.soft", "30", "20"),
    "more processes than tuples": (
        changed(execution={"processes": 5}),
        "execution.processes",
        "5",
        "4 tuples",
        "runs.a",
    ),
    "regions for the triplet loss": (base(train={"regions": True}), "base.train", "regions", "sare_ind", "'triplet'"),
    "regions of a pooled map": (
        base(train={"loss": "sare_ind", "regions": True}, aggregator={"name": "gem"}),
        "generations.0",
        "'gem'",
    ),
    "bias of a pooling": (
        base(aggregator={"name": "gem", "options": {"bias": True}}),
        "base.aggregator",
        "bias",
        "gem",
    ),
    "misspelt inner key": (base(train={"soft": {"wight": 1}}), "base.train.soft.wight", "weight"),
    "unknown re-ranker": (
        changed(rerank=[{"name": "alpha"}]),
        "rerank.0.name",
        "'alpha'",
        "'alpha_qe'",
        "k_reciprocal",
    ),
    "misspelt key of a re-ranker": (
        changed(rerank=[{"name": "alpha_qe", "options": {"alfa": 1}}]),
        "rerank.0",
        "'alfa'",
        "'alpha'",
    ),
    "a re-ranker twice": (changed(rerank=[{"name": "alpha_qe"}] * 2), "'alpha_qe'", "twice"),
    "unknown index": (changed(search={"index": "ivf"}), "search.index", "'ivf'", "ivf-pq", "hnsw"),
    "odd dimension": (changed(descriptor_sizes={"dims": [100]}), "descriptor_sizes.dims.0", "multiple of 8", "100"),
    "unknown storage": (
        changed(descriptor_sizes={"dims": [8], "compression": ["int4"]}),
        "descriptor_sizes.compression.0",
        "'int4'",
        "int8",
    ),
    "more dimensions than are fitted": (
        changed(descriptor_sizes={"dims": [8192]}),
        "descriptor_sizes.dims",
        "8192",
        "whiten.dim",
        "4096",
    ),
    "sizes of an unknown run": (
        changed(descriptor_sizes={"dims": [8], "runs": ["c"]}),
        "descriptor_sizes.runs",
        "'c'",
        "known: a",
    ),
    "sizes of a run with raw descriptors": (
        overlay(two_runs(extract={"descriptors": ["raw"]}), {"descriptor_sizes": {"dims": [8], "runs": ["a", "b"]}}),
        "descriptor_sizes.runs",
        "'b'",
        "whitened",
    ),
    "sizes of raw descriptors": (
        overlay(changed(descriptor_sizes={"dims": [8]}), {"base": {"extract": {"descriptors": ["raw"]}}}),
        "descriptor_sizes.dims",
        "extract.descriptors",
    ),
    "shared centroids": (
        two_runs(aggregator={"options": {"clusters": 8}}),
        "runs.a",
        "runs.b",
        "clusters",
        "backbone.cache_name",
    ),
    "shared weights of two scales": (
        overlay(two_runs(image={"std": [1, 1, 1]}), {"base": FILE, "runs": {"b": {"image": {"height": 64}}}}),
        "runs.b",
        "image.mean, image.std",
        "cache_name",
    ),
    "pixels of a file": (
        base(backbone=FILE["backbone"]),
        "runs.a.backbone.file",
        "image: {mean",
        "std",
        "channel_order: bgr",
    ),
    "half of the pixels of a file": (base(**FILE | {"image": {"mean": [0, 0, 0]}}), "runs.a.backbone.file", "std"),
    "channels of no file": (base(backbone={"channel_order": "bgr"}), "base.backbone", "`channel_order`", "`file`"),
    "unknown order": (base(backbone={"channel_order": "gbr"}), "base.backbone.channel_order", "'bgr'", "'gbr'"),
    "a boolean for a whole number": (base(train={"epochs": True}), "base.train.epochs", "a number", "True"),
    "a boolean for a number": (changed(search={"memory_gb": False}), "search.memory_gb", "a number", "False"),
    "booleans in a list": (changed(evaluate={"recall_at": [1, True]}), "evaluate.recall_at", "a number", "True"),
    "a boolean for a number or none": (
        changed(custom_datasets={"own": OWN | {"views_per_place": True}}),
        "custom_datasets.own.views_per_place",
        "a number",
    ),
    "a boolean for an option's number": (
        base(train={"optimiser": {"name": "Adam", "options": {"eps": True}}}),
        "base.train.optimiser",
        "eps",
        "True",
    ),
    "a seed that k-means cannot take": (changed(seeds=[0, 2**31]), "seeds.1", "2147483647", "2147483648"),
    "a seed of the city": (changed(city={"seed": 2**31}), "city.seed", "2147483647"),
    "a seed of pretraining": (changed(pretrain={"seed": 2**40}), "pretrain.seed", "2147483647"),
    "distances squared three times": (base(train={"soft": {"squarings": 3}}), "base.train.soft.squarings", "3"),
    "a re-ranker's distances not squared": (
        changed(rerank=[{"name": "k_reciprocal", "options": {"squarings": 0}}]),
        "rerank.0",
        "squarings",
        "0",
    ),
    "a temperature of the triplet loss": (
        base(train={"loss": {"name": "triplet", "options": {"temperature": 0.1}}}),
        "triplet",
        "'temperature'",
    ),
    "a margin of SARE": (
        base(train={"loss": {"name": "sare_joint", "options": {"margin": 0.1}}}),
        "sare_joint",
        "'margin'",
    ),
    "a misspelt option of timm": (
        base(backbone={"name": "timm/resnet50", "options": {"stge": 1}}),
        "'stge'",
        "did you mean 'stage'",
    ),
    "shared weights": (two_runs(backbone={"options": {"width": 0.5}}), "runs.a", "runs.b", "backbone", "cache_name"),
}


@pytest.mark.parametrize(("raw", "fragments"), [(raw, words) for raw, *words in BAD.values()], ids=list(BAD))
def test_bad_input_is_one_line_with_key_value_and_what_is_allowed(raw, fragments, refused):
    with refused("config: ", *fragments):
        parse_config(raw)


def test_several_faults_are_told_once_each_in_one_line(refused):
    raw = {"dataset": ["city"], "base": {"trian": {}, "train": {"epochs": -1, "minning": 1}}}
    faults = [
        "config: base.train.epochs: Input should be greater than or equal to 0, not -1",
        "base.train.minning: unknown key; did you mean 'mining'?",
        "base.trian: unknown key; did you mean 'train'?",
        "datasets: missing; this key has no default",
        "runs.b.imge: unknown key; did you mean 'image'?",
    ]
    with refused("; also: ".join(faults) + " (and 1 more)"):  # `dataset`
        parse_config(raw | {"runs": {"a": {}, "b": {"imge": {}}}})
    with refused("datasets.0: Input should be a valid string, not 1; also: seeds: "):
        parse_config(changed(datasets=[1], seeds=[]))
    with refused("generations.0.epochs: ", "-1; also: generations.0.los: unknown key; did you mean 'loss'?"):
        parse_config(base(generations=[{"los": 1, "epochs": -1}]))


def test_runs_may_share_what_they_agree_on():
    pooled = two_runs(aggregator="gem", centroids={"images": 3})
    boolean = base(train={"loss": SARE, "regions": True})
    assert parse_config(boolean).runs["a"].train.regions
    labelled = two_runs(aggregator={"options": {"clusters": 8}}, backbone={"cache_name": "other"})
    for raw in (pooled, labelled, two_runs(train={"loss": {"options": {"margin": 1}}})):
        assert list(parse_config(raw).runs) == ["a", "b"]
    run = parse_config(labelled).sharing(backbone="other", weights="imagenet", clustered=True)
    assert run.aggregator.option("clusters") == 8


@pytest.mark.parametrize("family", list(FAMILIES))
def test_unknown_names_come_with_the_closest_and_all_known_ones(family):
    known = [name for name in FAMILIES[family] if "*" not in name] or ["SGD" if family == "optimiser" else "StepLR"]
    name = known[0] + "x"
    with pytest.raises(ValueError, match=f"{family} '{name}'; did you mean") as caught:
        load_object(family, name)
    assert all(one in str(caught.value) for one in known)


def test_an_overlay_changes_what_it_names_and_neither_of_its_arguments():
    below, above = {"a": 1, "s": {"x": 1, "y": [1, 2]}}, {"s": {"y": [3]}, "b": {"z": 0}}
    copies = json.dumps([below, above])
    assert overlay(below, above) == {"a": 1, "s": {"x": 1, "y": [3]}, "b": {"z": 0}}
    assert json.dumps([below, above]) == copies
    assert overlay(below, {}) == below


def test_a_configuration_is_frozen():
    config = parse_config(BASE)
    for section, key in ((config, "seeds"), (config.runs["a"], "train"), (config.runs["a"].train, "epochs")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, key, getattr(section, key))


def test_runs_overlay_the_base_and_generations_the_train_section(refused):
    raw = base(
        train={"epochs": 2, "loss": margin(0.5)}, generations=[{"loss": margin(1)}, {"initialize_from": "previous"}]
    )
    raw["runs"] = {"a": None, "b": {"train": {"epochs": 7}}}
    config = parse_config(raw)
    first, second = (config.runs["b"].generation(number) for number in range(2))
    assert (first.epochs, first.loss.option("margin"), first.initialize_from) == (7, 1, "weights")
    assert (second.epochs, second.loss.option("margin"), second.initialize_from) == (7, 0.5, "previous")
    assert config.runs["a"].train.epochs == 2
    for number in (-1, 2):
        with refused(f"not {number}"):
            config.runs["a"].generation(number)


def test_an_identity_changes_with_the_recipe_and_not_with_a_later_generation():
    def identity(number, **recipe):
        return parse_config(base(**recipe)).runs["a"].identity(number)

    assert identity(0) == identity(0)
    assert identity(0) != identity(0, train={"loss": margin(0.5)})
    assert identity(0, generations=[{}, {"loss": margin(1)}]) == identity(0, generations=[{}, {"loss": margin(2)}])
    assert identity(0, generations=[{}]) == identity(0, generations=[{}, {}])
    assert identity(1, generations=[{}, {"loss": margin(1)}]) != identity(1, generations=[{}, {"loss": margin(2)}])
    assert identity(1, generations=[{"loss": margin(1)}, {}]) != identity(1, generations=[{"loss": margin(2)}, {}])


def test_an_option_is_a_number_however_yaml_writes_it():
    for lr in ("1e-2", "1.0E-2", 0.01):
        train = parse_config(base(train={"optimiser": {"options": {"lr": lr}}})).runs["a"].train
        assert train.optimiser.options == {"lr": 0.01, "momentum": 0.9, "weight_decay": 1e-3}


def test_a_default_that_is_written_down_changes_no_identity():
    def identity(**recipe):
        return parse_config(base(**recipe)).runs["a"].identity(0)

    written = {"name": "netvlad", "options": {"bias": False, "clusters": 64}}
    assert identity(generations=[{"epochs": 5}]) == identity(generations=[{}]) == identity()
    assert identity(train={"optimiser": {"options": {"dampening": 0}}}) == identity()
    assert identity(train={"optimiser": {"options": {"lr": "1e-3"}}}) == identity()
    adam = {"name": "Adam", "options": {"lr": 0.001}}
    assert identity(train={"optimiser": adam}) == identity(train={"optimiser": "Adam"}) != identity()
    assert identity() == identity(aggregator=written) == identity(aggregator="netvlad")
    assert identity(train={"loss": margin(1)}) == identity(train={"loss": margin(1.0)})
    assert identity(train={"optimiser": "SGD"}) == identity()
    assert identity(train={"optimiser": {"options": {"lr": 1e-3}}}) == identity()


def test_a_key_that_does_not_apply_changes_no_identity():
    def identity(**recipe):
        return parse_config(base(**recipe)).runs["a"].identity(0)

    more = {"centroids": {"iterations": 7}}
    assert identity(**more) != identity()
    assert identity(aggregator="gem", **more) == identity(aggregator="gem")
    raw = {"extract": {"descriptors": ["raw"]}}
    assert identity(whiten={"dim": 8}) != identity()
    assert identity(**raw, whiten={"dim": 8}) == identity(**raw)


def test_a_section_without_defaults_is_what_the_user_changed():
    """So a new key with a default changes no param, no recipe and no identity."""
    train = parse_config(base(train={"epochs": 7, "loss": margin(0.5)})).runs["a"].train
    changed = train.without_defaults()
    assert changed["epochs"] == 7
    assert changed["loss"]["options"] == {"margin": 0.5}
    assert not {"patience", "mining", "batch_size", "schedule_unit"} & set(changed)
    assert type(train).model_validate(changed) == train


@pytest.mark.parametrize("name", [{}, {"name": "netvlad"}])
def test_the_name_of_the_same_method_drops_no_option(name):
    raw = base(aggregator={"options": {"clusters": 32}})
    raw["runs"] = {"a": {"aggregator": name | {"options": {"bias": True}}}}
    assert parse_config(raw).runs["a"].aggregator.options == {"bias": True, "clusters": 32}


def test_another_method_inherits_no_option():
    adam = parse_config(base(train={"optimiser": {"name": "Adam", "options": {"lr": 1e-4}}})).runs["a"].train.optimiser
    assert adam.options == {"lr": 1e-4}
    raw = base(train={"loss": margin(0.5)}, generations=[{}, {"loss": "sare_ind"}, {"loss": margin(0.7)}])
    run = parse_config(raw).runs["a"]
    options = [(one.loss.name, one.loss.options) for one in map(run.generation, range(3))]
    assert options == [("triplet", {"margin": 0.5}), ("sare_ind", {}), ("triplet", {"margin": 0.7})]


@pytest.mark.parametrize("path", ["config/config.yaml", "config/city.yaml", "tests/tiny.yaml"])
def test_the_configurations_that_are_shipped_parse(repository, path):
    config = parse_config(yaml.safe_load((repository / path).read_text()))
    assert [name for name in config.runs if name.removeprefix("tiny_").removeprefix("toy_") == "netvlad"]


def test_the_largest_seed_is_one_that_all_libraries_take():
    assert parse_config(changed(seeds=[2**31 - 1])).seeds == (2**31 - 1,)


def test_new_keys_at_their_default_change_no_identity_and_no_params():
    def run(**recipe):
        return parse_config(base(**recipe)).runs["a"]

    written = run(train={"soft": {"squarings": 1}}, backbone={"channel_order": "rgb"})
    assert written.identity(0) == run().identity(0)
    assert "squarings" not in json.dumps(run().model_dump(mode="json"))
    assert "channel_order" not in json.dumps(run().model_dump(mode="json"))
    twice = run(train={"soft": {"squarings": 2}})
    assert twice.identity(0) != run().identity(0)
    assert twice.generation(0).soft.squarings == 2


def test_the_recipes_of_the_paper_are_those_that_openibl_published(repository):
    config = parse_config(yaml.safe_load((repository / "config/config.yaml").read_text()))
    jitter = {"brightness": 0.7, "contrast": 0.7, "saturation": 0.7, "hue": 0.5}  # OpenIBL, get_transformer_train
    trained = ("netvlad", "sare_ind", "sare_joint", "sfrs")
    for name in trained:
        run = config.runs[name]
        assert {one.jitter == JitterConfig(**jitter) for one in map(run.generation, range(len(run.generations)))} == {
            True
        }
    assert [config.runs[name].train.loss.name for name in trained] == ["triplet", "sare_ind", "sare_joint", "sare_ind"]
    assert config.runs["netvlad"].train.loss.option("margin") == pytest.approx(0.1**0.5)
    assert {config.runs[name].train.loss.option("temperature") for name in ("sare_ind", "sare_joint")} == {None}
    assert {config.runs["sfrs"].generation(number).soft.squarings for number in (1, 2, 3)} == {2}


def test_matconvnet_s_weights_are_laid_over_the_paper_s_recipes(repository):
    files = [repository / f"config/{name}.yaml" for name in ("config", "matconvnet")]
    raw, changes = (yaml.safe_load(path.read_text()) for path in files)
    for run in parse_config(overlay(raw, changes)).runs.values():
        assert (run.backbone.name, run.backbone.weights) == ("vgg16", "matconvnet")
        assert run.backbone.file.endswith("vd16_offtheshelf_conv5_3_max.pth")
        assert [255 * value for value in run.image.mean] == pytest.approx([123.68, 116.779, 103.939], abs=1e-3)
        assert [255 * value for value in run.image.std] == pytest.approx([1, 1, 1], abs=1e-5)


def test_the_paper_s_sfrs_is_four_generations(repository):
    run = parse_config(yaml.safe_load((repository / "config/config.yaml").read_text())).runs["sfrs"]
    generations = [run.generation(number) for number in range(4)]
    assert [one.epochs for one in generations] == [1, 5, 5, 5]
    assert [one.soft.weight for one in generations] == [0, 0.5, 0.5, 0.5]
    assert [one.soft.temperature for one in generations[1:]] == [0.07, 0.06, 0.05]
    assert [one.regions for one in generations] == [False, True, True, True]
    assert {
        (one.loss.name, one.loss.option("temperature"), one.initialize_from, one.teacher) for one in generations
    } == {("sare_ind", 0.07, "weights", "last")}
    assert generations[0].jitter.model_dump() == {"brightness": 0.7, "contrast": 0.7, "saturation": 0.7, "hue": 0.5}


def test_parsing_a_configuration_imports_nothing_heavy(repository):
    code = "import json, sys, vprlib.config; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "numpy", "scipy", "h5py", "snakemake"} & set(json.loads(done.stdout))


def test_every_key_is_documented(repository):
    page = runpy.run_path(str(repository / "docs/generate.py"))["configuration"]()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert not [row for row in rows if len(row) != 4], "a key without a description"
    documented = {row[0].strip("`") for row in rows}
    sections = [Config]
    for section in sections:
        assert not [key for key in section.model_fields if key not in documented], section
        kinds = [kind for field in section.model_fields.values() for kind in nested_sections(field.annotation)]
        sections += [kind for kind in kinds if kind not in sections]
    assert TrainConfig in sections
    assert OwnDatasetConfig in sections


def nested_sections(annotation):
    """The sections in a field's type."""
    inner = [section for part in get_args(annotation) for section in nested_sections(part)]
    return [*inner, annotation] if isinstance(annotation, type) and issubclass(annotation, Section) else inner


def test_the_readme_is_finished(repository):
    text = (repository / "README.md").read_text()
    assert "@@" not in text
    for path in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (repository / path).exists(), path
