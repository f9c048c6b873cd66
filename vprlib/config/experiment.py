"""The configuration as a whole: which runs are evaluated on which datasets, how, and by which jobs."""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from vprlib.config.base import Name, Section, distinct_values, matching
from vprlib.config.methods import MethodConfig
from vprlib.config.recipe import RunConfig
from vprlib.exceptions import did_you_mean
from vprlib.registry import FAMILIES, find_entry


class PretrainConfig(Section):
    """Contrastive pretraining of a backbone on pairs of rendered photos.

    It stands in for ImageNet weights in the demonstration on the rendered city, which downloads nothing.
    """

    cities: PositiveInt = Field(30, description="number of rendered cities")
    pairs: PositiveInt = Field(3000, description="number of photo pairs, each of one place seen twice")
    epochs: PositiveInt = Field(4, description="passes over all pairs")
    batch: PositiveInt = Field(64, description="pairs per step")
    learning_rate: PositiveFloat = Field(3e-3, description="largest learning rate of the one-cycle schedule")
    temperature: PositiveFloat = Field(0.1, description="temperature of the InfoNCE loss")
    night: float = Field(0.15, ge=0, le=1, description="darkest light of the photos: 0 is day, 1 is night")
    seed: NonNegativeInt = Field(0, description="seed of the cities, the initial weights and the order of the pairs")

    @model_validator(mode="after")
    def check_batch(self) -> Self:
        """At least one batch of pairs is needed."""
        if self.pairs < self.batch:
            raise ValueError(f"{self.pairs} pairs are too few for a batch of {self.batch}")
        return self


class CityConfig(Section):
    """The size of the rendered city."""

    seed: NonNegativeInt = Field(0, description="seed of the city: its streets, facades, photos and cars")
    height: PositiveInt = Field(96, description="height of a photo, pixels")
    width: PositiveInt = Field(128, description="width of a photo, pixels")
    blocks: PositiveInt = Field(6, description="blocks along each side of the city")
    spacing: PositiveFloat = Field(10, description="distance between two neighbouring places, metres")
    train_places: PositiveInt = Field(120, description="places of the training split, 12 database photos each")
    train_queries: PositiveInt = Field(1500, description="query photos of the training split")
    val_places: PositiveInt = Field(40, description="places of the validation split")
    val_queries: PositiveInt = Field(300, description="query photos of the validation split")
    test_places: PositiveInt = Field(40, description="places of the test split")
    test_queries: PositiveInt = Field(500, description="query photos of the test split")


class OwnDatasetConfig(Section):
    """A dataset of your own: a CSV with one row per image, or a folder of photos that carry their positions."""

    csv: str | None = Field(None, description="CSV file with one row per image; give this or `folder`")
    folder: str | None = Field(
        None, description="folder of photos with GPS in EXIF, with UTM in their names, or with one sub-folder per place"
    )
    radius: PositiveFloat = Field(25, description="largest distance of a hit from its query, in `unit`")
    unit: Literal["m", "frames"] = Field("m", description="unit of the positions: metres (UTM), or frame numbers")
    views_per_place: PositiveInt | None = Field(
        None, description="number of views per place; if given, only the first candidate of each place counts"
    )
    framing: Literal["fixed", "shorter", "crop", "five_mean", "five_nearest"] = Field(
        "fixed", description="how query photos of another shape are fitted to the input size of the network"
    )
    protocol: str = Field("own", description="name of the protocol in tables and figures")

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """A dataset has one source."""
        if (self.csv is None) == (self.folder is None):
            raise ValueError("give either `csv` or `folder`")
        return self


class SearchConfig(Section):
    """The nearest-neighbour search that ranks the database for every query."""

    top_k: PositiveInt = Field(100, description="places kept per query")
    index: Literal["flat", "ivf-pq", "hnsw"] = Field(
        "flat", description="`flat` is exact; the approximate indexes are for millions of images"
    )
    memory_gb: PositiveFloat = Field(8, description="memory that an index may use, GB; its parameters follow from it")


class RerankConfig(MethodConfig):
    """A re-ranker: its recalls stand beside those of the first ranking."""

    family: ClassVar[str] = "rerank"


class ShardsConfig(Section):
    """The number of jobs that share one stage."""

    extract: PositiveInt = Field(1, description="jobs that share one extraction of descriptors")
    search: PositiveInt = Field(1, description="jobs that share one search; each ranks a part of the database")


Compression = Literal["float32", "float16", "int8", "pq", "binary"]


class DescriptorSizesConfig(Section):
    """Recall as a function of descriptor size: every dimension is measured with every compression."""

    dims: Annotated[
        tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...],
        AfterValidator(distinct_values),
        Field(description="dimensions to measure; if empty, nothing is measured"),
    ] = ()
    compression: Annotated[
        tuple[Compression, ...],
        Field(min_length=1, description="compressions to measure"),
        AfterValidator(distinct_values),
    ] = get_args(Compression)
    runs: Annotated[tuple[str, ...], AfterValidator(distinct_values)] = Field(
        (), description="runs to measure; by default all that have whitened descriptors"
    )


class VerifyConfig(Section):
    """The check of a dataset's photos, positions and splits."""

    max_hash_distance: int = Field(
        4,
        ge=0,
        le=31,
        description="largest number of bits, of 64, that differ in the perceptual hashes of near-duplicates",
    )


class EvaluateConfig(Section):
    """The evaluation of the rankings."""

    recall_at: Annotated[
        tuple[PositiveInt, ...],
        Field(min_length=1, description="numbers of candidates k at which recall@k is computed"),
        AfterValidator(distinct_values),
    ] = (1, 5, 10, 20)
    group_by: dict[str, Annotated[tuple[str, ...], AfterValidator(distinct_values)]] = Field(
        {}, description="dataset: columns of its image table; queries that share a value get rows of their own"
    )


class ReportConfig(Section):
    """The page `results/report.html`."""

    images: Literal["inline", "folder"] = Field(
        "inline", description="thumbnails inside the page as far as they fit, or all of them in a folder beside it"
    )
    megabytes: float = Field(30, ge=5, description="largest size of the page, MB; photos get what tables leave")


class ExecutionConfig(Section):
    """How jobs compute. Nothing here changes more than the last digits of a result, so nothing reruns a job."""

    device: Annotated[
        str,
        matching(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:<number>"),
        Field(description="where networks run: `auto` (the first GPU if there is one), `cpu`, `cuda` or `cuda:1`"),
    ] = "auto"
    search_device: Literal["cpu", "gpu"] = Field("cpu", description="where exact search runs; `gpu`: if there is one")
    processes: PositiveInt = Field(
        1, description="processes that train one network on one machine; on GPUs, each has a GPU of its own"
    )
    nodes: PositiveInt = Field(1, description="nodes of a SLURM job that train one network, with `processes` on each")
    checkpoint_minutes: PositiveFloat = Field(10, description="minutes between two saves of the resume state")
    inference_batch_size: PositiveInt = Field(16, description="images per forward pass without gradients")
    training_batch_size: PositiveInt = Field(
        64, description="images per pass with gradients; a step adds up as many passes as it needs"
    )
    compile: bool = Field(False, description="compile the trained layers with torch.compile")


class Config(Section):
    """The whole configuration: which runs are evaluated on which datasets, how, and by which jobs."""

    datasets: Annotated[
        tuple[str, ...],
        Field(min_length=1, description="datasets to evaluate on"),
        AfterValidator(distinct_values),
    ]
    seeds: Annotated[
        tuple[NonNegativeInt, ...],
        Field(min_length=1, description="seeds to train every run with"),
        AfterValidator(distinct_values),
    ] = (0,)
    runs: dict[Name, RunConfig] = Field(min_length=1, description="name of a run: its recipe, as changes to `base`")
    custom_datasets: dict[Name, OwnDatasetConfig] = Field({}, description="name: a dataset of your own")
    dataset_roots: dict[str, str] = Field(
        {}, description="dataset: the folder that holds its files, if it is not in `data/`"
    )
    protocols: dict[str, Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct_values)]] = Field(
        {}, description="dataset: the protocols to evaluate it by; by default its first one"
    )
    offline: bool = Field(False, description="download nothing; a missing file is an error that names it")
    shards: ShardsConfig = ShardsConfig()
    pretrain: PretrainConfig = PretrainConfig()
    city: CityConfig = CityConfig()
    verify: VerifyConfig = VerifyConfig()
    search: SearchConfig = SearchConfig()
    rerank: tuple[RerankConfig, ...] = Field((), description="re-rankers to apply to the candidates of every query")
    descriptor_sizes: DescriptorSizesConfig = DescriptorSizesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    report: ReportConfig = ReportConfig()
    execution: ExecutionConfig = ExecutionConfig()

    @model_validator(mode="after")
    def check_names(self) -> Self:
        """Every dataset that a key names must be known."""
        used = [("datasets", name) for name in self.datasets]
        used += [(key, name) for key in ("dataset_roots", "protocols") for name in getattr(self, key)]
        used += [("evaluate.group_by", name) for name in self.evaluate.group_by]
        used += [(f"runs.{run}.train_set", self.runs[run].train_set) for run in self.runs]
        for key, name in used:
            if name not in self.dataset_names:
                raise ValueError(f"{key}: unknown dataset {name!r}; {did_you_mean(name, self.dataset_names)}")
        if clash := set(self.custom_datasets) & {*FAMILIES["dataset"], "models", "weights", "centroids", "trunk"}:
            raise ValueError(f"custom_datasets.{clash.pop()}: the name is taken")
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
        """A re-ranker is named by its method, so each is given once."""
        distinct_values([settings.name for settings in self.rerank])
        return self

    @model_validator(mode="after")
    def check_descriptor_sizes(self) -> Self:
        """Measured runs must exist and have whitened descriptors of at least the largest dimension."""
        for name in self.descriptor_sizes.runs:
            if name not in self.runs:
                raise ValueError(f"descriptor_sizes.runs: unknown run {name!r}; {did_you_mean(name, self.runs)}")
            if "whitened" not in self.runs[name].extract.descriptors:
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
        return [name for name in self.runs if name in asked and "whitened" in self.runs[name].extract.descriptors]

    @model_validator(mode="after")
    def check_processes(self) -> Self:
        """A training step must have at least one tuple for each process."""
        together = self.execution.processes * self.execution.nodes
        for name, run in self.runs.items():
            least = min(run.generation(number).batch_size for number in range(len(run.generations)))
            if together > least:
                raise ValueError(
                    f"execution.processes: {together} (on all nodes) cannot share the {least} tuples of a step of "
                    f"runs.{name}; lower it, or raise train.batch_size"
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
        return {name: run for name, run in self.runs.items() if not run.checkpoint}

    @cached_property
    def dataset_names(self) -> tuple[str, ...]:
        """All names of datasets: registered ones, then your own."""
        return (*FAMILIES["dataset"], *self.custom_datasets)

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
