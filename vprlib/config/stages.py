"""The sections of the stages that all runs share: pretraining, search, evaluation, report, and how jobs compute."""

from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from vprlib.config.base import Name, Section, Seed, distinct_values, matching
from vprlib.config.methods import MethodConfig


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
    seed: Seed = Field(0, description="seed of the cities, the initial weights and the order of the pairs")

    @model_validator(mode="after")
    def check_batch(self) -> Self:
        """At least one batch of pairs is needed."""
        if self.pairs < self.batch:
            raise ValueError(f"{self.pairs} pairs are too few for a batch of {self.batch}")
        return self


class SearchConfig(Section):
    """The nearest-neighbour search that ranks the database for every query."""

    top_k: PositiveInt = Field(100, description="number of places kept per query")
    index: Literal["flat", "ivf-pq", "hnsw"] = Field(
        "flat", description="`flat` is exact; the approximate indexes are for millions of images"
    )
    memory_gb: PositiveFloat = Field(
        8, description="largest memory of an index, GB; the parameters of the index follow from it"
    )


def _no_none(label: str) -> str:
    if label == "none":
        raise ValueError("'none' stands for the first ranking; choose another label")
    return label


class RerankConfig(MethodConfig):
    """A re-ranker: its recalls stand beside those of the first ranking."""

    family: ClassVar[str] = "rerank"
    label: Annotated[Name, AfterValidator(_no_none)] | None = Field(
        None, description="name of this re-ranking in tables, figures and paths; default: that of the method"
    )

    @property
    def series(self) -> str:
        """The label, or the name of the method without one."""
        return self.label or self.name

    @property
    def described(self) -> str:
        """The method with its options, as `alpha_qe(neighbours=5)`."""
        options = ", ".join(f"{name}={value}" for name, value in self.options.items())
        return f"{self.name}({options})" if options else self.name


class ProtocolConfig(Section):
    """A protocol that a dataset is evaluated by: the name of one that it has, or one of your own that changes it.

    The rankings are the same, so that only the evaluation runs.
    """

    name: str = Field(description="name of the protocol in tables and figures")
    like: str | None = Field(
        None, description="protocol of the dataset that this one is like; default: the dataset's first protocol"
    )
    radius: PositiveFloat | None = Field(
        None, description="largest distance of a hit from its query, in the unit of the dataset"
    )

    @model_validator(mode="before")
    @classmethod
    def complete(cls, raw: Any) -> Any:
        """Accept a name alone: a protocol of the dataset."""
        return {"name": raw} if isinstance(raw, str) else raw

    @model_validator(mode="after")
    def check_radius(self) -> Self:
        """A protocol of one's own differs in its radius."""
        if self.like is not None and self.radius is None:
            raise ValueError("`like` does nothing without a `radius`; give one, or the name of the protocol alone")
        return self


def _distinct_names(protocols: tuple[ProtocolConfig, ...]) -> tuple[ProtocolConfig, ...]:
    distinct_values([one.name for one in protocols])
    return protocols


ProtocolChoice = Annotated[tuple[ProtocolConfig, ...], Field(min_length=1), AfterValidator(_distinct_names)]


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


class EvaluateConfig(Section):
    """The evaluation of the rankings."""

    recall_at: Annotated[
        tuple[PositiveInt, ...],
        Field(
            min_length=1,
            description="numbers of candidates k at which recall@k is computed; those of the default that exceed the "
            "number of database photos are left out",
        ),
        AfterValidator(distinct_values),
    ] = (1, 5, 10, 20)
    group_by: dict[str, Annotated[tuple[str, ...], AfterValidator(distinct_values)]] = Field(
        {}, description="columns of the image table, by dataset; queries with the same value get rows of their own"
    )

    @property
    def fitting_only(self) -> bool:
        """Whether values of `recall_at` beyond the database are left out, not refused: nobody asked for the default."""
        return "recall_at" not in self.model_fields_set


class FiguresConfig(Section):
    """The charts. Sheets of photos, the page and Snakemake's own report have their captions in any style."""

    style: Literal["report", "paper"] = Field(
        "report",
        description="`paper`: as wide as a column, in smaller type, without titles and captions, which are the paper's",
    )


class ReportConfig(Section):
    """The page `results/report.html`."""

    images: Literal["inline", "folder"] = Field(
        "inline", description="thumbnails inside the page as far as they fit, or all of them in a folder beside it"
    )
    megabytes: float = Field(
        30, ge=5, description="largest size of the page, MB; photos fill what the tables leave free"
    )


class ExecutionConfig(Section):
    """How jobs compute. No key changes more than the last digits of a result, so a change makes no job run again."""

    device: Annotated[
        str,
        matching(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:<number>"),
        Field(description="where networks run: `auto` (the first GPU if there is one), `cpu`, `cuda` or `cuda:1`"),
    ] = "auto"
    search_device: Literal["cpu", "gpu"] = Field(
        "cpu",
        description="where exact search runs; `gpu` uses the GPU that `device` selects, or the CPU if it selects none",
    )
    processes: PositiveInt = Field(
        1,
        description="number of processes that train one network on one machine; each uses its own GPU, "
        "if there are GPUs",
    )
    nodes: PositiveInt = Field(
        1, description="number of SLURM nodes that train one network, with `processes` processes on each"
    )
    checkpoint_minutes: PositiveFloat = Field(10, description="minutes between two saves of the resume state")
    inference_batch_size: PositiveInt = Field(16, description="images per forward pass without gradients")
    training_batch_size: PositiveInt = Field(
        64, description="images per pass with gradients; a step with more images takes several passes"
    )
    compile: bool = Field(False, description="compile the trained layers with torch.compile")
