"""The params of every rule: what a job depends on besides its files, as plain data, the only kind Snakemake compares.

Each method takes a job's wildcards. A value that changes no result (`execution`) is not here.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from vprlib.config import Config
from vprlib.config.base import Section
from vprlib.data.dataset import Dataset
from vprlib.jobs.paths import Wildcards
from vprlib.jobs.targets import Targets

Plain = dict[str, Any]


class Params:
    """The params of every rule, as functions of a job's wildcards."""

    def __init__(self, config: Config, catalogue: Mapping[str, Dataset], targets: Targets):
        self.config, self.catalogue, self.targets = config, catalogue, targets
        # cached: thousands of jobs need them, and few values are different
        self._sections = cache(self._run_sections)
        self._generation = cache(lambda run, gen: config.runs[run].generation(gen).without_defaults())
        self._identity = cache(lambda run, gen: config.runs[run].identity(gen))
        self._protocols = cache(lambda dataset: [asdict(protocol) for protocol in catalogue[dataset].protocols])

    # of a dataset

    def root(self, w: Wildcards) -> str:
        """The folder of a dataset's raw files."""
        return str(self.catalogue[w.dataset].root)

    def protocols(self, w: Wildcards) -> list[Plain]:
        """The protocols that a dataset is evaluated by."""
        return self._protocols(w.dataset)

    def shown_protocol(self, w: Wildcards) -> Plain:
        """The protocol of figures that show one only: the first."""
        return self._protocols(w.dataset)[0]

    def unit(self, w: Wildcards) -> str:
        """The unit of a dataset's positions."""
        return self.catalogue[w.dataset].own_protocol.unit

    def search_scopes(self, w: Wildcards) -> list[str]:
        """The search scopes of a dataset's protocols."""
        return sorted({one.search_scope for one in self.catalogue[w.dataset].protocols})

    def framings(self, w: Wildcards) -> list[str]:
        """The framings of a dataset's query photos."""
        return sorted({one.framing for one in self.catalogue[w.dataset].protocols})

    def candidates(self, w: Wildcards) -> int:
        """The number of candidates that a search keeps: `search.top_k` places are among them under any protocol."""
        return self.config.search.top_k * self.catalogue[w.dataset].views_per_place

    # of what runs share

    def shared(self, *sections: str, clustered: bool = False) -> Callable[[Wildcards], Plain]:
        """A param function: sections of the runs that share the weights, features or centroids of the wildcards."""

        def of_wildcards(w: Wildcards) -> Plain:
            names = {"backbone": w.backbone, "weights": getattr(w, "weights", "pretrain")}
            names |= {"train_set": w.train_set} if hasattr(w, "train_set") else {}
            size = (int(w.height), int(w.width)) if hasattr(w, "height") else None
            run = self.config.sharing(**names, size=size, clustered=clustered)
            return {name: getattr(run, name).without_defaults() for name in sections}

        return of_wildcards

    def weights(self, w: Wildcards) -> Plain:
        """What initial weights are made from; of a file of one's own, also the mean and std that it is used with."""
        run = self.config.sharing(backbone=w.backbone, weights=w.weights)
        pixels = {key: list(getattr(run.image, key)) for key in ("mean", "std")}
        return {"backbone": run.backbone.without_defaults()} | ({"image": pixels} if run.backbone.file else {})

    def clusters(self, w: Wildcards) -> int:
        """The number of centroids of the runs that share the wildcards' centroids."""
        run = self.config.sharing(backbone=w.backbone, weights=w.weights, train_set=w.train_set, clustered=True)
        return run.aggregator.option("clusters")

    # of a run

    def _run_sections(self, run: str, sections: tuple[str, ...]) -> Plain:
        return {name: getattr(self.config.runs[run], name).without_defaults() for name in sections}

    def network(self, w: Wildcards) -> Plain:
        """The sections that define a run's network."""
        return self._sections(w.run, ("image", "backbone", "aggregator"))

    def whitening(self, w: Wildcards) -> Plain:
        """The section that defines a run's whitening."""
        return self._sections(w.run, ("whiten",))["whiten"]

    def train(self, w: Wildcards) -> Plain:
        """The `train` section of a generation."""
        return self._generation(w.run, int(w.gen))

    def validation(self, w: Wildcards) -> Plain:
        """The definition of a hit on the training set, whose val split selects the best epoch.

        It is the dataset's own, so that an evaluation by another protocol trains nothing again.
        """
        protocol = self.catalogue[self.config.runs[w.run].train_set].own_protocol
        named = {"radius": protocol.radius, "unit": protocol.unit, "different_column": protocol.different_column}
        return {key: value for key, value in named.items() if value is not None}

    def descriptors(self, w: Wildcards) -> list[str]:
        """The kinds of descriptors that a run extracts."""
        return list(self.config.runs[w.run].kinds)

    def descriptor_files(self, w: Wildcards) -> Plain:
        """The files of descriptors that were computed elsewhere, by their key, and their kind."""
        given = self.config.runs[w.run].descriptors
        if not given:
            raise ValueError(f"run {w.run} has no `descriptors`")
        return {"files": self.targets.descriptor_files(w.run, w.dataset), "kind": given.kind}

    def recipe(self, w: Wildcards) -> Plain:
        """The sections that an evaluated network must have been made with; those of others are not known."""
        run = self.config.runs[w.run]
        sections: dict[str, Section] = {}
        if run.descriptors:
            return {}
        if "whitened" in run.kinds and w.run not in self.targets.with_published_whitening:
            sections["whiten"] = run.whiten
        if run.checkpoint:
            return {name: section.without_defaults() for name, section in sections.items()}
        sections |= {name: getattr(run, name) for name in ("image", "backbone", "aggregator")}
        sections |= {"centroids": run.centroids} if run.aggregator.has_trait("centroids") else {}
        sections |= {"pretrain": self.config.pretrain} if run.backbone.weights == "pretrain" else {}
        trains = {"train": [self._generation(w.run, number) for number in range(int(w.gen) + 1)]}
        return {name: section.without_defaults() for name, section in sections.items()} | trains

    def identity(self, w: Wildcards) -> str:
        """The fingerprint of a network's recipe."""
        return self._identity(w.run, int(w.gen))

    def selection(self, w: Wildcards) -> Plain:
        """Which checkpoint of a training is evaluated, and where its val split is."""
        run = self.config.runs[w.run]
        train_set = run.train_set if w.run in self.config.trained else ""
        return {"checkpoint": run.extract.checkpoint, "train_set": train_set}

    def published(self, *keys: str) -> Callable[[Wildcards], Plain]:
        """A param function: keys of the published checkpoint that a run evaluates."""
        return lambda w: {key: getattr(self.config.runs[w.run].checkpoint, key) for key in keys}

    def reranking(self, w: Wildcards) -> Plain:
        """The settings of a re-ranker: its method and options."""
        settings = next(one for one in self.config.rerank if one.series == w.rerank).without_defaults()
        return {key: value for key, value in settings.items() if key != "label"}

    # of the whole experiment

    def index(self) -> Plain:
        """The kind of index, and the bytes that it may take."""
        kind = self.config.search.index
        return {"kind": kind, "memory": self.config.search.memory_gb * 1e9 * (kind != "flat")}

    def sizes(self) -> Plain:
        """The dimensions and compressions that descriptors are measured in."""
        return {key: value for key, value in self.config.descriptor_sizes.without_defaults().items() if key != "runs"}

    def group_by(self, w: Wildcards) -> list[str]:
        """The columns of a dataset's image table by which recalls are grouped."""
        return list(self.config.evaluate.group_by.get(w.dataset, ()))

    def experiment(self) -> Plain:
        """The settings that the report needs besides its files."""
        networks = zip(self.targets.networks(), self.targets.identities(), strict=True)
        return {
            "networks": [[*network, identity] for network, identity in networks],
            "protocols": {name: self._protocols(name) for name in self.config.datasets},
            "report": self.config.report.without_defaults(),
        }
