"""The configuration as a whole: which runs are tested on which datasets, how, and by which jobs."""

from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from vprlib.config.base import Name, Section, distinct_values, matching, registered
from vprlib.config.recipe import RunConfig
from vprlib.exceptions import did_you_mean
from vprlib.registry import FAMILIES


class PretrainConfig(Section):
    """Contrastive pretraining on pairs of rendered photos: the stand-in for ImageNet weights of the embedded city."""

    cities: PositiveInt = 30
    pairs: PositiveInt = 3000
    epochs: PositiveInt = 4
    batch: PositiveInt = 64
    learning_rate: PositiveFloat = 3e-3
    temperature: PositiveFloat = 0.1
    night: float = Field(0.15, ge=0, le=1, description="the darkest light of its photos; 0 is day, 1 is night")
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def a_batch_is_there(self):
        if self.pairs < self.batch:
            raise ValueError(f"{self.pairs} pairs are too few for a batch of {self.batch}")
        return self


class CityConfig(Section):
    """The size of the embedded city: places and queries a split, `spacing` in metres, images in pixels."""

    seed: NonNegativeInt = 0
    height: PositiveInt = 96
    width: PositiveInt = 128
    blocks: PositiveInt = 6
    spacing: PositiveFloat = 10
    train_places: PositiveInt = 120
    train_queries: PositiveInt = 1500
    val_places: PositiveInt = 40
    val_queries: PositiveInt = 300
    test_places: PositiveInt = 40
    test_queries: PositiveInt = 500


class OwnDatasetConfig(Section):
    """A dataset of one's own: a CSV with a row an image, or a folder of photos that know where they were taken."""

    csv: str | None = None
    folder: str | None = Field(None, description="photos with GPS in their EXIF, with UTM in their names, or by place")
    radius_m: PositiveFloat = Field(25, description="a hit lies at most this far, in the unit of east and north")
    unit: Literal["m", "frames"] = Field("m", description="of the positions: metres (UTM), or numbers of frames")
    views_per_place: PositiveInt | None = Field(None, description="count only the first image of each place as found")
    framing: Literal["fixed", "shorter", "crop", "five_mean", "five_nearest"] = Field(
        "fixed", description="how query photos of another shape are fitted to the network's size"
    )
    protocol: str = "own"

    @model_validator(mode="after")
    def one_source(self):
        if (self.csv is None) == (self.folder is None):
            raise ValueError("give either `csv` or `folder`")
        return self


class SearchConfig(Section):
    depth: PositiveInt = Field(100, description="places kept a query")
    index: Literal["flat", "ivf-pq", "hnsw"] = Field("flat", description="flat is exact; the others are for millions")
    memory_gb: PositiveFloat = Field(8, description="that an index may take, GB; its parameters follow from it")
    shards: PositiveInt = Field(1, description="jobs that share one search, of a part of the database each")


class RerankConfig(Section):
    """A second ranking, whose recalls stand beside those of the first."""

    name: Annotated[str, registered("rerank")]
    neighbours: PositiveInt = Field(10, description="of alpha_qe: images that a query is expanded by")
    alpha: NonNegativeFloat = Field(3, description="of alpha_qe: power of the similarity that weighs them")
    k1: PositiveInt = Field(25, description="of k_reciprocal: neighbours of an image")
    k2: PositiveInt = Field(1, description="of k_reciprocal: neighbours that its neighbourhood is averaged over")
    weight: float = Field(0, ge=0, le=1, description="of k_reciprocal: of the original distance")


Storage = Literal["float32", "float16", "int8", "pq", "binary"]


class DescriptorSizesConfig(Section):
    """Descriptor size as an axis: each dimension in each storage; none, and nothing is measured."""

    dims: Annotated[tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...], AfterValidator(distinct_values)] = ()
    storage: Annotated[tuple[Storage, ...], Field(min_length=1), AfterValidator(distinct_values)] = get_args(Storage)
    runs: Annotated[tuple[str, ...], AfterValidator(distinct_values)] = Field(
        (), description="that are measured; all whose descriptors are whitened, if not said"
    )


class VerifyConfig(Section):
    hamming: int = Field(4, ge=0, le=31, description="bits of 64 in which perceptual hashes of near-duplicates differ")


class EvaluateConfig(Section):
    ks: Annotated[tuple[PositiveInt, ...], Field(min_length=1), AfterValidator(distinct_values)] = (1, 5, 10, 20)
    by: dict[str, Annotated[tuple[str, ...], AfterValidator(distinct_values)]] = Field(
        {}, description="dataset: columns of its image table; queries that share a value have rows of their own"
    )


class ReportConfig(Section):
    """The page `results/report.html`."""

    images: Literal["inline", "folder"] = Field(
        "inline", description="thumbnails in the page as far as they fit, or all of them in a folder beside it"
    )
    megabytes: float = Field(30, ge=5, description="that the page may take; photos get what charts and tables leave")


class ExecutionConfig(Section):
    """How jobs run. It changes results in their last digits only, so nothing here makes a job run again."""

    device: Annotated[str, matching(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:<number>")] = "auto"
    search: Literal["cpu", "device"] = Field(
        "cpu", description="where exact search is done; `device`: on the GPU, if there is one"
    )
    processes: PositiveInt = Field(1, description="that train one network on a machine; on GPUs, one for each")
    nodes: PositiveInt = Field(1, description="of a SLURM job that train one network, `processes` on each")
    checkpoint_minutes: PositiveFloat = 10
    batch: PositiveInt = Field(16, description="images in a forward pass without gradients")
    chunk: PositiveInt = Field(64, description="images in a pass with gradients; a step adds up as many as it needs")
    compile: bool = Field(False, description="translate the trained layers by torch.compile")


class Config(Section):
    datasets: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct_values)]
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), AfterValidator(distinct_values)] = (0,)
    runs: dict[Name, RunConfig] = Field(min_length=1)
    custom: dict[Name, OwnDatasetConfig] = Field({}, description="datasets of one's own")
    roots: dict[str, str] = Field({}, description="where a dataset's files lie, if not in its folder of `data/`")
    protocols: dict[str, Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct_values)]] = Field(
        {}, description="dataset: the protocols that it is judged by; its first one, if not said"
    )
    offline: bool = Field(False, description="nothing is downloaded; a missing file is named")
    shards: PositiveInt = Field(1, description="jobs that share one extraction")
    pretrain: PretrainConfig = PretrainConfig()
    city: CityConfig = CityConfig()
    verify: VerifyConfig = VerifyConfig()
    search: SearchConfig = SearchConfig()
    rerank: tuple[RerankConfig, ...] = ()
    sizes: DescriptorSizesConfig = DescriptorSizesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @model_validator(mode="after")
    def names_are_known(self):
        used = [("datasets", name) for name in self.datasets]
        used += [(key, name) for key in ("roots", "protocols") for name in getattr(self, key)]
        used += [("evaluate.by", name) for name in self.evaluate.by]
        used += [(f"runs.{run}.train_set", self.runs[run].train_set) for run in self.runs]
        for key, name in used:
            if name not in self.dataset_names:
                raise ValueError(f"{key}: unknown dataset {name!r}; {did_you_mean(name, self.dataset_names)}")
        if clash := set(self.custom) & {*FAMILIES["dataset"], "models", "weights", "centroids", "trunk"}:
            raise ValueError(f"custom.{clash.pop()}: the name is taken")
        return self

    @model_validator(mode="after")
    def ks_fit_the_depth(self):
        if max(self.evaluate.ks) > self.search.depth:
            raise ValueError(f"evaluate.ks: recall@{max(self.evaluate.ks)} needs search.depth of at least that")
        return self

    @model_validator(mode="after")
    def rerankers_are_told_apart(self):
        distinct_values([settings.name for settings in self.rerank])
        return self

    @model_validator(mode="after")
    def sizes_are_there(self):
        for name in self.sizes.runs:
            if name not in self.runs:
                raise ValueError(f"sizes.runs: unknown run {name!r}; {did_you_mean(name, self.runs)}")
            if "whitened" not in self.runs[name].extract.descriptors:
                raise ValueError(
                    f"sizes.runs: {name!r} has no whitened descriptors; add them to its extract.descriptors"
                )
        for name in set(self.sized) & set(self.trained):
            if max(self.sizes.dims) > self.runs[name].whiten.dim:
                raise ValueError(
                    f"sizes.dims: {max(self.sizes.dims)} dimensions of runs.{name}, whose whiten.dim is "
                    f"{self.runs[name].whiten.dim}"
                )
        if self.sizes.dims and not self.sized:
            raise ValueError("sizes.dims: are those of whitened descriptors, and no run's extract.descriptors has them")
        return self

    @property
    def sized(self) -> list:
        """The names of the runs whose descriptors are measured in several sizes."""
        asked = (self.sizes.runs or self.runs) if self.sizes.dims else ()
        return [name for name in self.runs if name in asked and "whitened" in self.runs[name].extract.descriptors]

    @model_validator(mode="after")
    def a_step_is_shared(self):
        together = self.execution.processes * self.execution.nodes
        for name, run in self.runs.items():
            least = min(run.generation(number).tuples_per_step for number in range(len(run.generations)))
            if together > least:
                raise ValueError(
                    f"execution.processes: {together} (on all nodes) cannot share the {least} tuples of a step of "
                    f"runs.{name}; lower it, or raise train.tuples_per_step"
                )
        return self

    @model_validator(mode="after")
    def shared_files_are_shared(self):
        """Runs that name the same weights or centroids file must agree on all that it depends on."""
        owners = {}
        for name, run in self.trained.items():
            needs = {
                ("weights", run.backbone.path, run.backbone.weights): {
                    "backbone": run.backbone,
                    "image": run.image if run.backbone.weights == "pretrain" else None,
                },
                ("trunk", run.train_set, run.backbone.path, run.backbone.weights, *run.image.size): {
                    "backbone": run.backbone,
                    "image": run.image,
                },
                ("centroids", run.train_set, run.backbone.path, run.backbone.weights): {
                    "backbone": run.backbone,
                    "image": run.image,
                    "clusters": run.aggregator.clusters if run.aggregator.name == "netvlad" else None,
                    "centroids": run.centroids,
                },
            }
            if run.aggregator.name != "netvlad":
                needs.popitem()
            for file, parts in needs.items():
                other, theirs = owners.setdefault(file, (name, parts))
                differ = [part for part in parts if parts[part] != theirs[part]]
                if differ:
                    raise ValueError(
                        f"runs.{name} and runs.{other} differ in {differ[0]} but would share one {file[0]} file; "
                        f"give one of them its own backbone.label"
                    )
        return self

    @property
    def trained(self) -> dict:
        """The runs that are trained here."""
        return {name: run for name, run in self.runs.items() if not run.checkpoint}

    @cached_property
    def dataset_names(self) -> tuple:
        return (*FAMILIES["dataset"], *self.custom)

    def sharing(
        self, *, backbone: str, weights: str, train_set: str | None = None, size=None, clustered=False
    ) -> RunConfig:
        """A run that reads the weights, trunk or centroids file of these names; all such runs agree on what made it."""
        return next(
            run
            for run in self.trained.values()
            if (run.backbone.path, run.backbone.weights) == (backbone, weights)
            and train_set in (None, run.train_set)
            and size in (None, run.image.size)
            and (not clustered or run.aggregator.name == "netvlad")
        )
