"""The seam to Snakemake, without a Snakemake process."""

from types import SimpleNamespace

import pytest
import yaml

from tests.helpers.workflow import ROOT, TINY
from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.exceptions import InputError
from vprlib.jobs.inputs import Inputs
from vprlib.jobs.params import Params
from vprlib.jobs.paths import Paths, fill
from vprlib.jobs.targets import Network, Targets

SFRS = {"generations": [{}, {"teacher": "best"}, {}]}
POOLED = {"aggregator": "gem", "extract": {"descriptors": ["raw"]}, "cache_frozen_features": "never"}
PUBLISHED = {"checkpoint": {"file": "own.pth"}, "extract": {"checkpoint": "last", "descriptors": ["raw", "whitened"]}}


class Disk:
    """A disk that holds some paths, and counts what it is asked."""

    def __init__(self, *paths, folders=()):
        self.paths, self.folders, self.asked = set(paths), list(folders), []

    def exists(self, path):
        self.asked.append(path)
        return path in self.paths

    def folders_below(self, path):
        return [folder for folder in self.folders if folder.startswith(path)]

    def stamp(self, path):
        return [1.0, 2.0] if path in self.paths else []


def made(*paths, folders=(), **config):
    raw = TINY | {"runs": TINY["runs"] | {"sfrs": SFRS, "pooled": POOLED, "published": PUBLISHED}} | config
    cfg = parse_config(raw)
    catalogue = {name: get_dataset(name, cfg) for name in cfg.dataset_names}
    targets = Targets(cfg, catalogue)
    inputs = Inputs(cfg, catalogue, targets, Disk(*paths, folders=folders))
    return SimpleNamespace(cfg=cfg, targets=targets, inputs=inputs, params=Params(cfg, catalogue, targets))


def w(**values):
    return SimpleNamespace(**values)


def test_a_pattern_holds_exactly_the_wildcards_of_its_artefact():
    paths = Paths()
    assert fill(paths.images, dataset="a {b} ü") == "results/a {b} ü/images.csv"
    assert fill(paths.ranking, dataset="d", run="r", seed=0, gen=1) == "results/d/r/seed0/gen1/ranking.h5"
    assert fill(paths.ranking, dataset="d") == "results/d/{run}/seed{seed}/gen{gen}/ranking.h5"
    assert paths.gathered(paths.ranking_shard) == (
        "results/{{dataset}}/{{run}}/seed{{seed}}/gen{{gen}}/ranking.{scatteritem}.h5"
    )
    assert paths.figure("x") == ["x.svg", "x.pdf", "x.png"]


def test_every_pattern_is_spelled_once_and_below_its_root():
    patterns = {name: value for name, value in vars(Paths("elsewhere")).items() if name != "results"}
    assert len(set(patterns.values())) == len(patterns)
    assert all(value.startswith(("elsewhere/", "results/")) for value in patterns.values())


def test_an_experiment_has_what_depends_on_its_evaluation_and_shares_the_rest():
    own = [name for name, value in vars(Paths("mine")).items() if value.startswith("mine/")]
    shared = [name for name, value in vars(Paths("mine")).items() if value.startswith("results/")]
    assert not {"images", "weights", "centroids", "last", "whitening", "database", "ranking", "reranking"} - set(shared)
    assert not {"run_recalls", "dataset_recalls", "verification", "report", "training_figure", "logs"} - set(own)
    assert Paths("mine").log("evaluate/x") == "mine/logs/evaluate/x.log"
    assert Paths().log("evaluate/x") == "logs/evaluate/x.log"


def test_paths_of_results_are_spelled_in_one_module_only():
    for path in [*(ROOT / "workflow/rules").glob("*.smk"), *(ROOT / "vprlib").rglob("*.py")]:
        if path.name not in ("paths.py", "columns.py", "generate.py"):
            code = "\n".join(line.split("#")[0] for line in path.read_text().splitlines())
            assert '"results/{' not in code, path


def test_networks_are_every_run_generation_and_seed():
    one = made(seeds=[0, 7])
    networks = one.targets.networks()
    assert networks[:2] == [Network("vlad", 0, 0), Network("vlad", 7, 0)]
    assert [network for network in networks if network.run == "sfrs"] == [
        Network("sfrs", seed, gen) for gen in range(3) for seed in (0, 7)
    ]
    assert [network for network in networks if network.run == "published"] == [Network("published", 0, 0)]
    assert one.targets.last_networks(["sfrs"]) == [Network("sfrs", 0, 2)]
    assert len(one.targets.identities()) == len(networks)


def test_a_generation_reads_the_one_before():
    inputs = made().inputs
    assert inputs.teacher(w(run="sfrs", seed=0, gen="0")) == []
    assert inputs.teacher(w(run="sfrs", seed=0, gen="1")) == "results/models/sfrs/seed0/gen0/best.safetensors"
    assert inputs.teacher(w(run="sfrs", seed=0, gen="2")) == "results/models/sfrs/seed0/gen1/last.safetensors"


def test_what_an_aggregator_needs_is_its_trait():
    inputs = made().inputs
    assert inputs.centroids(w(run="sfrs", seed=3)) == "results/centroids/city/vgg16/pretrain/seed3.h5"
    assert inputs.centroids(w(run="pooled", seed=3)) == []
    assert inputs.features(w(run="sfrs")) == "results/trunk/city/vgg16/pretrain/36x48.h5"
    assert inputs.features(w(run="pooled")) == inputs.features(w(run="published")) == []
    assert inputs.whitening(w(run="pooled", seed=0, gen=0)) == []


def test_a_published_network_is_evaluated_as_it_is():
    one = made("own.pth")
    network = {"run": "published", "seed": "0", "gen": "0"}
    assert one.inputs.evaluated_checkpoint(w(**network)) == "results/models/published/seed0/gen0/published.safetensors"
    assert one.inputs.validation_images(w(**network)) == []
    assert one.inputs.published_file("file", Paths().published)(w(**network)) == ["own.pth"]
    assert one.params.recipe(w(**network)) == {}
    assert one.params.selection(w(**network)) == {"checkpoint": "last", "train_set": ""}


def test_a_recipe_has_the_sections_that_apply_of_all_generations_so_far():
    params = made().params
    recipe = params.recipe(w(run="sfrs", seed=0, gen="1"))
    assert set(recipe) == {"image", "backbone", "aggregator", "centroids", "pretrain", "train", "whiten"}
    assert recipe["train"] == [params.train(w(run="sfrs", gen=number)) for number in (0, 1)]
    pooled = params.recipe(w(run="pooled", seed=0, gen="0"))
    assert not {"centroids", "whiten"} & set(pooled)
    assert len(pooled["train"]) == 1


def test_a_file_that_is_gone_is_missed_only_while_what_is_made_from_it_is():
    made_from = "results/models/published/seed0/gen0/published.safetensors"
    network = w(run="published", seed=0, gen=0)
    with pytest.raises(InputError, match=r"config: runs.published.checkpoint.file: own.pth: no such file or folder"):
        made().inputs.published_file("file", Paths().published)(network)
    assert made(made_from).inputs.published_file("file", Paths().published)(network) == ["own.pth"]


@pytest.mark.parametrize("name", ["own {x} list.csv", "a b/ü.csv", "caf\udce9.csv"])
def test_a_name_that_snakemake_cannot_take_is_no_input_but_is_watched(name):
    own = {"custom_datasets": {"own": {"csv": name}}}
    one = made(name, **own)
    listed, watched = one.inputs.image_table(w(dataset="own")), one.inputs.unwatched(w(dataset="own"))
    assert (listed, watched) == (([], [[1.0, 2.0]]) if name != "a b/ü.csv" else ([name], []))
    with pytest.raises(InputError, match=r"custom_datasets\.own\.csv"):
        made(**own).inputs.image_table(w(dataset="own"))


def test_ground_truth_is_watched_with_the_lists_of_its_photos():
    files = {"npz": "gt.npz", "database": "db.txt", "queries": "photos/q"}
    own = {"custom_datasets": {"own": files}}
    inputs = made(*files.values(), folders=["photos/q/a"], **own).inputs.image_table(w(dataset="own"))
    assert inputs == [*files.values(), "photos/q/a"]
    for key, file in files.items():
        others = [other for other in files.values() if other != file]
        with pytest.raises(InputError, match=rf"custom_datasets\.own\.{key}: {file}: no such file"):
            made(*others, **own).inputs.image_table(w(dataset="own"))


def test_a_folder_of_photos_is_watched_with_its_sub_folders():
    own, folders = {"custom_datasets": {"walk": {"folder": "walk"}}}, ["walk/a", "walk/b"]
    assert made("walk", folders=folders, **own).inputs.image_table(w(dataset="walk")) == ["walk", *folders]
    gone = made("results/walk/images.csv", **own).inputs.image_table(w(dataset="walk"))
    assert gone == ["walk"], "a folder that is gone makes no table again"


def test_published_files_are_downloaded_unless_they_lie_there():
    raw = made().targets.catalogue["nordland"]
    files = [str(raw.root / name) for name in raw.files]
    assert made().inputs.image_table(w(dataset="nordland")) == ["results/nordland/download.json"]
    assert made(*files).inputs.image_table(w(dataset="nordland")) == files
    begun = made(*files, str(raw.root / "downloads.json")).inputs.image_table(w(dataset="nordland"))
    assert begun == ["results/nordland/download.json"]


def test_a_search_keeps_enough_candidates_for_the_views_of_a_place():
    one = made(protocols={"city_night": ["10 m, first view of a place"]})
    assert one.params.candidates(w(dataset="city")) == 20
    assert one.params.candidates(w(dataset="city_night")) == 20 * 12


def test_params_are_plain_data_and_leave_out_how_jobs_run():
    one, network = made(execution={"device": "cpu"}), w(run="sfrs", seed=0, gen="1", dataset="city")
    plain = [one.params.network(network), one.params.train(network), one.params.experiment(), one.params.index()]
    plain += [one.params.protocols(network), one.params.validation(network), one.params.sizes()]
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    assert "execution" not in yaml.safe_dump(plain)
    assert one.params.validation(network) == {"radius": 10.0, "unit": "m"}


def test_a_radius_is_a_param_of_evaluations_only():
    """Of a dataset of one's own: its `radius`. Of any dataset: a protocol with another one."""
    network, dataset = w(run="vlad", seed=0, gen="0", dataset="own"), w(dataset="own")
    before, after, beside = (
        made("own.csv", custom_datasets={"own": {"csv": "own.csv", "radius": radius}}, datasets=["own"], **protocols)
        for radius, protocols in ((25, {}), (5, {}), (25, {"protocols": {"own": ["own", {"name": "b", "radius": 5}]}}))
    )
    for one in (after, beside):
        assert one.params.protocols(dataset) != before.params.protocols(dataset)
        for name in ("root", "search_scopes", "framings", "candidates", "unit"):
            assert getattr(one.params, name)(dataset) == getattr(before.params, name)(dataset)
        assert one.params.validation(network) == before.params.validation(network), "it is trained on the city"
        assert one.inputs.image_table(dataset) == before.inputs.image_table(dataset)
    trained = [
        made(runs={"a": {"train_set": "own"}}, **{"custom_datasets": {"own": {"csv": "o", "radius": 25}}} | more)
        for more in ({}, {"protocols": {"own": [{"name": "b", "radius": 5}]}})
    ]
    assert (
        trained[0].params.validation(w(run="a"))
        == trained[1].params.validation(w(run="a"))
        == {
            "radius": 25,
            "unit": "m",
        }
    )


def test_the_targets_of_all_are_files_of_patterns():
    one = made()
    finals = one.targets.everything()
    assert len(set(finals)) == len(finals)
    assert {"results/report.html", "results/training.svg", "results/city/generations.svg"} <= set(finals)
    assert "results/city/sfrs/seed0/gen2/gallery.png" in finals
    assert not [path for path in finals if "{" in path]


def test_tables_that_the_configuration_does_not_ask_for_are_one_line(refused):
    jobs = made(descriptor_sizes={})
    with refused("descriptor_sizes.dims", "results/city/sizes.csv", "dims: [256, 64]"):
        jobs.inputs.sizes(w(dataset="city"))
    with refused("descriptor_sizes", "netvlad"):
        jobs.inputs.database_to_measure(w(dataset="city", run="netvlad", seed=0, gen=0))
    measured = made(descriptor_sizes={"dims": [8], "runs": ["netvlad"]})
    assert measured.inputs.sizes(w(dataset="city")) == ["results/city/netvlad/seed0/gen0/sizes.csv"]
    path = measured.inputs.database_to_measure(w(dataset="city", run="netvlad", seed=0, gen=0))
    assert path == "results/city/netvlad/seed0/gen0/database.h5"
    with refused("descriptor_sizes.runs", "vlad"):
        measured.inputs.database_to_measure(w(dataset="city", run="vlad", seed=0, gen=0))
    assert len(jobs.inputs.histories(w())) == 6
    with refused("none is trained"):
        made(runs={"published": PUBLISHED}).inputs.histories(w())


def test_weights_of_one_s_own_are_made_with_the_pixels_that_they_are_used_with():
    pixels = {"mean": [0.5, 0.5, 0.5], "std": [1, 1, 1]}
    mine = {"backbone": {"weights": "mine", "file": "x.pth"}, "image": {"height": 48, **pixels}}
    jobs = made(runs={"netvlad": {}, "mine": mine})
    assert jobs.params.weights(w(backbone="vgg16", weights="mine"))["image"] == pixels
    assert set(jobs.params.weights(w(backbone="vgg16", weights="pretrain"))) == {"backbone"}
