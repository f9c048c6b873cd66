"""The artefacts that a configuration requests, and the jobs that make them."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from vprlib.config import Config, RunConfig
from vprlib.data.dataset import Dataset
from vprlib.jobs.paths import Paths, fill


class Network(NamedTuple):
    """One network of an experiment: a generation of a run, trained with one seed."""

    run: str
    seed: int
    gen: int


class Targets:
    """The networks, final artefacts and jobs of a configuration."""

    def __init__(self, config: Config, catalogue: Mapping[str, Dataset], paths: Paths | None = None):
        self.config, self.catalogue, self.paths = config, catalogue, paths or Paths()

    @property
    def with_published_whitening(self) -> set[str]:
        """The runs that evaluate a published network by the whitening published with it."""
        runs = self.config.published.items()
        return {name for name, run in runs if run.checkpoint and run.checkpoint.whitening == "published"}

    def descriptor_files(self, run: str, dataset: str) -> dict[str, str]:
        """The files of a run's descriptors that were computed elsewhere, by their key; empty for another run."""
        given = self.config.runs[run].descriptors
        return {key: fill(path, dataset=dataset) for key, path in given.files.items()} if given else {}

    def seeds(self, run: str) -> tuple[int, ...]:
        """The seeds of a run. A run of which nothing is trained or fitted here has the first one only."""
        fixed = self.with_published_whitening | self.config.external.keys()
        return self.config.seeds[:1] if run in fixed else self.config.seeds

    def networks(self, runs: Iterable[str] | None = None) -> list[Network]:
        """All networks of some runs, by default of all: run by run, its generations, and of each its seeds."""
        names = self.config.runs if runs is None else runs
        generations = ((run, gen) for run in names for gen in range(len(self.config.runs[run].generations)))
        return [Network(run, seed, gen) for run, gen in generations for seed in self.seeds(run)]

    def last_networks(self, runs: Iterable[str] | None = None) -> list[Network]:
        """The last generation of some runs, by default of all, with their first seed."""
        names = self.config.runs if runs is None else runs
        return [Network(run, self.seeds(run)[0], len(self.config.runs[run].generations) - 1) for run in names]

    def identities(self) -> list[str]:
        """The fingerprint of every network's recipe, in the order of `networks`."""
        return [self.config.runs[run].identity(gen) for run, _, gen in self.networks()]

    def each(self, pattern: str, networks: Iterable[Network] | None = None, **wildcards: object) -> list[str]:
        """A pattern filled for some networks, by default for all."""
        chosen = self.networks() if networks is None else networks
        return [fill(pattern, **network._asdict(), **wildcards) for network in chosen]

    def training_histories(self) -> list[str]:
        """The history of every trained network."""
        return self.each(self.paths.history, self.networks(self.config.trained))

    def training_labels(self) -> list[str]:
        """The names of the trained networks, in the order of `training_histories`."""
        return self.each("{run} seed {seed} gen {gen}", self.networks(self.config.trained))

    def sizes(self, dataset: str) -> list[str]:
        """The tables of descriptor sizes of a dataset: of each run's last generation, of all seeds."""
        last = [one for one in self.networks(self.config.sized) if one.gen == self._last(one.run)]
        return self.each(self.paths.run_sizes, last, dataset=dataset)

    def breakdowns(self) -> list[str]:
        """The figures by generation, seed and condition, as far as these vary in this configuration."""
        several = {
            "generations": any(len(run.generations) > 1 for run in self.config.runs.values()),
            "seeds": len(self.config.seeds) > 1,
            "conditions": any(self.config.evaluate.group_by.values()),
        }
        return [name for name, varies in several.items() if varies]

    def page(self) -> list[str]:
        """The input files of the report, except the resource records of the jobs."""
        paths, config = self.paths, self.config
        tables = [paths.images, paths.verification, paths.differences, paths.thresholds, paths.precision]
        tables += [paths.dataset_sizes] if config.sized else []
        rankings = [paths.ranking, *(fill(paths.reranking, rerank=one.series) for one in config.rerank)]
        results = [paths.run_recalls, paths.run_queries, *rankings]
        files = [fill(table, dataset=name) for name in config.datasets for table in tables]
        files += [path for name in config.datasets for one in results for path in self.each(one, dataset=name)]
        return files + self.training_histories()

    def everything(self) -> list[str]:
        """The targets of `all`."""
        paths, config = self.paths, self.config
        finals = [paths.report, f"{paths.comparison_figure}.svg", f"{paths.wide_recalls}.tex"]
        trains = [run.generation(number) for run in config.trained.values() for number in range(len(run.generations))]
        finals += [f"{paths.training_figure}.svg"] if any(train.epochs for train in trains) else []
        finals += [fill(paths.verification, dataset=name) for name in self.trained_on() if name not in config.datasets]
        for name in config.datasets:
            finals += self._finals_of(name)
        seeds = [(run, seed) for run in config.trained.values() for seed in config.seeds]
        figures = {self.centroids_of(run, seed, paths.centroids_figure) for run, seed in seeds}
        return finals + [f"{figure}.svg" for figure in sorted(filter(None, figures))]

    def _finals_of(self, dataset: str) -> list[str]:
        """The targets of `all` of one dataset.

        The tables of each network are among them, although others are made from these: a deleted one is made again.
        """
        paths, config = self.paths, self.config
        tables = (paths.dataset_recalls, paths.differences, paths.verification, paths.contact_sheet)
        finals = [fill(table, dataset=dataset) for table in tables]
        for table in (paths.run_recalls, paths.run_queries):
            finals += self.each(table, dataset=dataset)
        varying = [one for one in self.breakdowns() if one != "conditions" or config.evaluate.group_by.get(dataset)]
        drawn = ["recalls", "thresholds", "precision", *varying, *(["sizes"] if config.sized else [])]
        finals += [fill(f"{paths.dataset_figure}.svg", dataset=dataset, figure=one) for one in drawn]
        every = self.last_networks()
        finals += self.each(paths.gallery, every, dataset=dataset)
        finals += self.each(f"{paths.error_map}.svg", every, dataset=dataset)
        # of the last run only, because they take longer; those of other runs are made when their file is requested
        finals += self.each(f"{paths.projection}.svg", every[-1:], dataset=dataset)
        with_words = [name for name, run in config.trained.items() if run.aggregator.has_trait("words")]
        return finals + self.each(paths.visual_words, self.last_networks(with_words[-1:]), dataset=dataset)

    def trained_on(self) -> list[str]:
        """The datasets that runs are trained on."""
        return sorted({run.train_set for run in self.config.trained.values()})

    def features_of(self, run: RunConfig) -> str | None:
        """The cache of the frozen layers' output that a run reads; None if it reads none."""
        if run.cache_frozen_features != "auto":
            return None
        return self._shared(run, self.paths.features, height=run.image.height, width=run.image.width)

    def centroids_of(self, run: RunConfig, seed: int | str, pattern: str | None = None) -> str | None:
        """The centroids that a run starts from; None if its aggregator needs none."""
        wanted = run.aggregator.has_trait("centroids")
        return self._shared(run, pattern or self.paths.centroids, seed=seed) if wanted else None

    def stage_jobs(self) -> dict[str, list[str]]:
        """The jobs of each stage of the workflow, in its order: rule -> the names of its jobs' logs.

        A log's name is its path below `logs/` without suffix.
        """
        config, trained, external = self.config, self.config.trained, self.config.external
        whitened = {name for name, run in config.runs.items() if "whitened" in run.kinds} - config.external.keys()
        fitted = whitened - self.with_published_whitening
        indexed = sorted({*config.datasets, *self.trained_on(), *(config.runs[name].train_set for name in fitted)})
        weights = {f"{run.backbone.path}/{run.backbone.weights}": run.backbone for run in trained.values()}
        networks = {one: f"{one.run}/seed{one.seed}/gen{one.gen}" for one in self.networks()}
        evaluated = [f"{name}/{network}" for name in config.datasets for network in networks.values()]
        given = [f"{name}/{path}" for name in config.datasets for one, path in networks.items() if one.run in external]
        extracted = [name for name in evaluated if name not in set(given)]
        sharded = config.shards.search > 1
        jobs = {
            "render_city": [name for name in indexed if self.catalogue[name].render],
            "download_dataset": indexed,
            "image_table": indexed,
            "verify_dataset": sorted({*config.datasets, *self.trained_on()}),
            "backbone_weights": [name for name, one in weights.items() if one.weights != "pretrain"],
            "pretrain_backbone": [one.path for one in weights.values() if one.weights == "pretrain"],
            "cache_features": [_log_name(self.features_of(run), "trunk") for run in trained.values()],
            "cluster_features": [
                _log_name(self.centroids_of(trained[one.run], one.seed), "centroids")
                for one in networks
                if one.run in trained
            ],
            "train": [path for one, path in networks.items() if one.run in trained],
            "import_checkpoint": [path for one, path in networks.items() if one.run in config.published],
            "import_whitening": [path for one, path in networks.items() if one.run in whitened - fitted],
            "fit_whitening": [path for one, path in networks.items() if one.run in fitted],
            "extract_descriptors": _shard_names(extracted, config.shards.extract),
            "merge_descriptors": extracted,
            "import_descriptors": given,
            "search": [] if sharded else evaluated,
            "search_shard": _shard_names(evaluated, config.shards.search) if sharded else [],
            "merge_rankings": evaluated if sharded else [],
            "rerank": [f"{name}/{one.series}" for name in evaluated for one in config.rerank],
            "evaluate": evaluated,
        }
        return {rule: [f"{rule}/{name}" for name in dict.fromkeys(names) if name] for rule, names in jobs.items()}

    def _last(self, run: str) -> int:
        return len(self.config.runs[run].generations) - 1

    def _shared(self, run: RunConfig, pattern: str, **wildcards: object) -> str:
        """A pattern of what runs share that agree on the training set and the backbone."""
        names = {"train_set": run.train_set, "backbone": run.backbone.path, "weights": run.backbone.weights}
        return fill(pattern, **names, **wildcards)


def _log_name(path: str | None, folder: str) -> str:
    """The name of the log of a job that makes `results/{folder}/{name}.h5`; empty without a path."""
    return path.partition(f"/{folder}/")[2].removesuffix(".h5") if path else ""


def _shard_names(names: list[str], count: int) -> list[str]:
    """Jobs that `count` shards divide, as Snakemake names them."""
    return [f"{name}/{number}-of-{count}" for name in names for number in range(1, count + 1)]
