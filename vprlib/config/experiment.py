"""The configuration as a whole: which runs are evaluated on which datasets, how, and by which jobs."""

import os
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from vprlib.config.base import Name, Section, Seed, distinct_values
from vprlib.config.datasets import CityConfig, OwnDatasetConfig, VerifyConfig
from vprlib.config.descriptor_files import DATASET
from vprlib.config.recipe import RunConfig
from vprlib.config.stages import (
    DescriptorSizesConfig,
    EvaluateConfig,
    ExecutionConfig,
    FiguresConfig,
    PretrainConfig,
    ProtocolChoice,
    ReportConfig,
    RerankConfig,
    SearchConfig,
    ShardsConfig,
)
from vprlib.exceptions import did_you_mean
from vprlib.registry import FAMILIES, find_entry

RESERVED = ("models", "weights", "centroids", "trunk", "thumbnails")  # folders in `results` that are no datasets
NOT_FOR_RESULTS = (".", "~", "benchmarks", "config", "data", "docs", "profiles", "tests", "vprlib", "workflow")
EXPERIMENTS = "experiments"  # the folder in `results` that is free for experiments


def _as_folder(path: str) -> str:
    """Return the path of a folder of results in its shortest form.

    Raises:
        ValueError: it is empty, has a part that paths of results cannot have, or holds other things.
    """
    first, *_ = os.path.normpath(path).split("/")
    if first in NOT_FOR_RESULTS or os.path.normpath(path) == "/":
        raise ValueError(f"{path!r} holds other things; name a folder of its own, such as results/experiments/strict")
    if not path.strip() or {"{", "}"} & set(path) or {"..", "logs"} & set(path.split("/")):
        raise ValueError(f"{path!r} must be the path of a folder, without braces, `..` and `logs`")
    return os.path.normpath(path)


class Config(Section):
    """The whole configuration: which runs are evaluated on which datasets, how, and by which jobs."""

    datasets: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="datasets to evaluate on"),
        AfterValidator(distinct_values),
    ]
    seeds: Annotated[
        tuple[Seed, ...],
        Field(min_length=1, description="seeds to train every run with"),
        AfterValidator(distinct_values),
    ] = (0,)
    runs: dict[Name, RunConfig] = Field(
        min_length=1, description="recipes by run name; each holds what differs from `base`"
    )
    custom_datasets: dict[Name, OwnDatasetConfig] = Field({}, description="datasets of your own, by name")
    dataset_roots: dict[str, str] = Field(
        {}, description="folder of a dataset's files, by dataset, if it is not in `data/`"
    )
    protocols: dict[str, ProtocolChoice] = Field(
        {}, description="protocols to evaluate a dataset under, by dataset; default: its first protocol"
    )
    results: Annotated[str, AfterValidator(_as_folder)] = Field(
        "results",
        description="folder of the experiment's evaluations, tables, figures and page; what takes long stays in "
        "`results`, where all experiments share it",
    )
    offline: bool = Field(False, description="download nothing; a missing file is an error that names it")
    shards: ShardsConfig = ShardsConfig()
    pretrain: PretrainConfig = PretrainConfig()
    city: CityConfig = CityConfig()
    verify: VerifyConfig = VerifyConfig()
    search: SearchConfig = SearchConfig()
    rerank: tuple[RerankConfig, ...] = Field(
        (),
        description="re-rankers; each ranks the database again for every query, not only the candidates of the search",
    )
    descriptor_sizes: DescriptorSizesConfig = DescriptorSizesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    figures: FiguresConfig = FiguresConfig()
    report: ReportConfig = ReportConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Every dataset that a key names must be known, and new names must be free."""
        reserved = {*RESERVED, EXPERIMENTS}
        if len(self.registered) < len(FAMILIES["dataset"]) or self.city.name in reserved:
            raise ValueError(f"city.name: {self.city.name!r} is reserved; choose another")
        used = [("datasets", name) for name in self.datasets]
        used += [(key, name) for key in ("dataset_roots", "protocols") for name in getattr(self, key)]
        used += [("evaluate.group_by", name) for name in self.evaluate.group_by]
        used += [(f"runs.{name}.train_set", run.train_set) for name, run in self.runs.items() if not run.descriptors]
        for key, name in used:
            if name not in self.dataset_names:
                raise ValueError(f"{key}: unknown dataset {name!r}; {did_you_mean(name, self.dataset_names)}")
        if clash := set(self.custom_datasets) & {*self.registered, *reserved}:
            raise ValueError(f"custom_datasets.{clash.pop()}: the name is reserved; choose another")
        below = self.results.split("/")
        if below[0] == "results" and {*below[1:2]} & {*RESERVED, *self.dataset_names}:
            raise ValueError(
                f"results: {self.results} lies among what experiments share; choose another folder, such as "
                f"{below[0]}/{EXPERIMENTS}/{below[-1]}"
            )
        return self

    @model_validator(mode="after")
    def check_top_k(self) -> Self:
        """A search must keep as many places as the largest k of recall@k."""
        largest = max(self.evaluate.recall_at)
        if largest > self.search.top_k:
            raise ValueError(f"evaluate.recall_at: recall@{largest} needs a search.top_k of at least {largest}")
        return self

    @model_validator(mode="after")
    def check_rerankers(self) -> Self:
        """Re-rankings are told apart by their labels, so each label is given once."""
        labels = [settings.series for settings in self.rerank]
        if len(set(labels)) < len(labels):
            twice = next(label for label in labels if labels.count(label) > 1)
            raise ValueError(f"rerank: {twice!r} is given twice; give each of them a `label` of its own")
        return self

    @model_validator(mode="after")
    def check_descriptor_sizes(self) -> Self:
        """Measured runs must exist and have whitened descriptors of at least the largest dimension."""
        for name in self.descriptor_sizes.runs:
            if name not in self.runs:
                raise ValueError(f"descriptor_sizes.runs: unknown run {name!r}; {did_you_mean(name, self.runs)}")
            if "whitened" not in self.runs[name].kinds:
                raise ValueError(
                    f"descriptor_sizes.runs: {name!r} has no whitened descriptors; add them to its extract.descriptors"
                )
        for name in set(self.sized) & set(self.trained):
            if max(self.descriptor_sizes.dims) > self.runs[name].whiten.dim:
                raise ValueError(
                    f"descriptor_sizes.dims: {max(self.descriptor_sizes.dims)} dimensions are more than the whiten.dim "
                    f"{self.runs[name].whiten.dim} of runs.{name}"
                )
        if self.descriptor_sizes.dims and not self.sized:
            raise ValueError(
                "descriptor_sizes.dims: whitened descriptors are measured, and no run has them; add `whitened` to "
                "extract.descriptors"
            )
        return self

    @property
    def sized(self) -> list[str]:
        """The names of the runs whose descriptors are measured at several sizes."""
        asked = (self.descriptor_sizes.runs or self.runs) if self.descriptor_sizes.dims else ()
        return [name for name in self.runs if name in asked and "whitened" in self.runs[name].kinds]

    @model_validator(mode="after")
    def check_descriptor_files(self) -> Self:
        """Each of several datasets has descriptors of its own."""
        for name, run in self.external.items():
            for key, path in run.descriptors.files.items() if run.descriptors and len(self.datasets) > 1 else ():
                if DATASET not in path:
                    raise ValueError(
                        f"runs.{name}.descriptors.{key}: {path} would be that of {len(self.datasets)} datasets; put "
                        f"{DATASET} into the path, which becomes the name of each, or evaluate one dataset"
                    )
        return self

    @model_validator(mode="after")
    def check_processes(self) -> Self:
        """A training step must have at least one tuple for each process."""
        together = self.execution.processes * self.execution.nodes
        for name, run in self.trained.items():
            least = min(run.generation(number).batch_size for number in range(len(run.generations)))
            if together > least:
                raise ValueError(
                    f"execution.processes: {together} (on all nodes) is more than the {least} tuples per step "
                    f"of runs.{name}; lower it, or raise train.batch_size"
                )
        return self

    @model_validator(mode="after")
    def check_pixels(self) -> Self:
        """A weights file does not say which pixels it wants, so the configuration does."""
        for name, run in self.trained.items():
            if run.backbone.file and not {"mean", "std"} <= run.image.model_fields_set:
                raise ValueError(
                    f"runs.{name}.backbone.file: the file does not say which pixels its weights want; set image: "
                    f"{{mean: [R, G, B], std: [R, G, B]}} of values in [0, 1], and backbone.channel_order: bgr if they "
                    f"take blue first (torchvision: mean [0.485, 0.456, 0.406], std [0.229, 0.224, 0.225]; MatConvNet: "
                    f"mean [0.48502, 0.45796, 0.40760], std [0.0039216, 0.0039216, 0.0039216])"
                )
        return self

    @model_validator(mode="after")
    def check_shared_files(self) -> Self:
        """Runs that use the same weights, features or centroids file must agree on everything that it depends on."""
        owners: dict[tuple, tuple[str, dict[str, Any]]] = {}
        for name, run in self.trained.items():
            needs: dict[tuple, dict[str, Any]] = {
                ("weights", run.backbone.path, run.backbone.weights): {
                    "backbone": run.backbone,
                    "image": run.image if run.backbone.weights == "pretrain" else None,
                    "image.mean, image.std": (run.image.mean, run.image.std) if run.backbone.file else None,
                },
                ("trunk", run.train_set, run.backbone.path, run.backbone.weights, *run.image.size): {
                    "backbone": run.backbone,
                    "image": run.image,
                },
                ("centroids", run.train_set, run.backbone.path, run.backbone.weights): {
                    "backbone": run.backbone,
                    "image": run.image,
                    "clusters": run.aggregator.option("clusters") if run.aggregator.has_trait("centroids") else None,
                    "centroids": run.centroids,
                },
            }
            if not run.aggregator.has_trait("centroids"):
                needs.popitem()
            for file, parts in needs.items():
                other, theirs = owners.setdefault(file, (name, parts))
                differ = [part for part in parts if parts[part] != theirs[part]]
                if differ:
                    raise ValueError(
                        f"runs.{name} and runs.{other} differ in {differ[0]} but would share one {file[0]} file; "
                        f"give one of them its own backbone.cache_name"
                    )
        return self

    @property
    def outside_methods(self) -> set[str]:
        """The methods outside vprlib that this configuration names."""
        rerankers = {one.name for one in self.rerank if find_entry("rerank", one.name).target == one.name}
        return rerankers.union(*(run.outside_methods for run in self.runs.values()))

    @property
    def trained(self) -> dict[str, RunConfig]:
        """The runs that are trained here."""
        return {name: run for name, run in self.runs.items() if not run.checkpoint and not run.descriptors}

    @property
    def published(self) -> dict[str, RunConfig]:
        """The runs that evaluate a published network."""
        return {name: run for name, run in self.runs.items() if run.checkpoint}

    @property
    def external(self) -> dict[str, RunConfig]:
        """The runs that evaluate descriptors that were computed elsewhere."""
        return {name: run for name, run in self.runs.items() if run.descriptors}

    @cached_property
    def registered(self) -> dict[str, str]:
        """Registered datasets: name -> the name in the registry, which is another one for a city that has a name."""
        named = {"city": self.city.name, "city_night": f"{self.city.name}_night"}
        return {named.get(name, name): name for name in FAMILIES["dataset"]}

    @cached_property
    def dataset_names(self) -> tuple[str, ...]:
        """All names of datasets: registered ones, then your own."""
        return (*self.registered, *self.custom_datasets)

    def sharing(
        self,
        *,
        backbone: str,
        weights: str,
        train_set: str | None = None,
        size: tuple[int, int] | None = None,
        clustered: bool = False,
    ) -> RunConfig:
        """Return a run that uses the weights, features or centroids file of these names; all such runs agree on it."""
        return next(
            run
            for run in self.trained.values()
            if (run.backbone.path, run.backbone.weights) == (backbone, weights)
            and train_set in (None, run.train_set)
            and size in (None, run.image.size)
            and (not clustered or run.aggregator.has_trait("centroids"))
        )
