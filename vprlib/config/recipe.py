"""The sections of a run: a recipe from photos to descriptors, with defaults, bounds and units."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from vprlib.config.base import Section, distinct_values, explain_error, join_faults
from vprlib.config.descriptor_files import DescriptorFilesConfig
from vprlib.config.methods import (
    AggregatorConfig,
    BackboneConfig,
    LossConfig,
    OptimiserConfig,
    ScheduleConfig,
    overlay,
)
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import short_hash
from vprlib.registry import FAMILIES, find_entry


class ImageConfig(Section):
    """The input of a network: its size in pixels, and the mean and standard deviation of RGB values in [0, 1]."""

    height: int = Field(480, ge=16, description="height of the input, pixels")
    width: int = Field(640, ge=16, description="width of the input, pixels")
    mean: tuple[float, float, float] = Field(
        (0.485, 0.456, 0.406), description="mean of red, green and blue, subtracted from values in [0, 1]"
    )
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = Field(
        (0.229, 0.224, 0.225), description="standard deviation of red, green and blue, by which they are then divided"
    )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.height, self.width


class CentroidsConfig(Section):
    """The sample of local features that k-means clusters into NetVLAD's initial centroids."""

    split: Literal["train", "val", "test"] = Field("train", description="split that images are sampled from")
    roles: tuple[Literal["database", "query"], ...] = Field(
        ("database", "query"), description="roles of the sampled images"
    )
    images: PositiveInt = Field(500, description="number of sampled images")
    per_image: PositiveInt = Field(100, description="local features sampled per image")
    iterations: PositiveInt = Field(100, description="iterations of k-means")


class JitterConfig(Section):
    """Random changes of the colours of training photos, as torchvision's ColorJitter makes them; 0 changes nothing."""

    brightness: NonNegativeFloat = Field(0, description="largest change of the brightness, as a fraction")
    contrast: NonNegativeFloat = Field(0, description="largest change of the contrast, as a fraction")
    saturation: NonNegativeFloat = Field(0, description="largest change of the saturation, as a fraction")
    hue: float = Field(0, ge=0, le=0.5, description="largest shift of the hue, as a fraction of the colour circle")

    def __bool__(self) -> bool:
        return any(self.model_dump().values())


class SoftLabelsConfig(Section):
    """SFRS's soft labels: the teacher's similarities between a query and the regions of its difficult positives."""

    weight: NonNegativeFloat = Field(
        0, description="weight of the soft loss, which is added to the hard loss; 0 disables it"
    )
    temperature: PositiveFloat = Field(
        0.07, description="temperature of the teacher; that of the student is an option of the loss"
    )
    positives: PositiveInt = Field(10, description="largest number of difficult positives per query")
    pool: PositiveInt = Field(20, description="number of nearest positives that the difficult ones are chosen from")
    k1: PositiveInt = Field(20, description="neighbours of an image in the k-reciprocal Jaccard distance")
    k2: PositiveInt = Field(1, description="neighbours that the neighbourhood of an image is averaged over")
    euclidean_weight: float = Field(
        0.1, ge=0, le=1, description="weight of the squared Euclidean distance beside the Jaccard distance"
    )
    squarings: int = Field(
        1,
        ge=1,
        le=2,
        description="how often the Euclidean distance is squared: 1 as the authors of the k-reciprocal distance do, "
        "2 as OpenIBL calls their code",
        exclude_if=lambda value: value == 1,
    )

    @model_validator(mode="after")
    def check_pool(self) -> Self:
        """Difficult positives are chosen from a pool that holds at least as many."""
        if self.positives > self.pool:
            raise ValueError(f"positives: {self.positives} cannot be chosen from a pool of {self.pool}; raise pool")
        return self


class TrainConfig(Section):
    """One generation of training. Any change in this section trains the generation again."""

    loss: LossConfig = Field(
        default_factory=lambda: LossConfig.model_validate({}), description="loss of a training tuple"
    )
    regions: bool = Field(
        False, description="compare the query with the most similar region of each negative (SFRS), not the whole image"
    )
    soft: SoftLabelsConfig = SoftLabelsConfig()
    teacher: Literal["last", "best"] = Field(
        "last", description="checkpoint of the previous generation that becomes the teacher"
    )
    initialize_from: Literal["weights", "previous"] = Field(
        "weights", description="start of a later generation: the initial weights, or the previous generation"
    )
    min_initial_recall: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="minimum val recall@k before training, as a fraction of the way from chance to 1; 0: no check",
    )
    epochs: NonNegativeInt = Field(5, description="largest number of epochs; 0 keeps the initial network")
    optimiser: OptimiserConfig = Field(
        default_factory=lambda: OptimiserConfig.model_validate({}), description="optimiser of torch.optim, by name"
    )
    schedule: ScheduleConfig = Field(
        default_factory=lambda: ScheduleConfig.model_validate({}),
        description="learning rate schedule of torch.optim.lr_scheduler, by name; it steps once per epoch",
    )
    jitter: JitterConfig = JitterConfig()
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32", description="precision of the convolutions; `auto`: bf16 on a GPU, fp32 on a CPU"
    )
    batch_size: PositiveInt = Field(4, description="number of tuples per optimiser step")
    negatives_per_query: PositiveInt = Field(10, description="number of negatives per tuple")
    mining: Literal["full", "partial", "random"] = Field(
        "full",
        description="database images that are described before tuples are mined: all; the positives, a random pool and "
        "the previous negatives; or the positives only, with negatives drawn at random",
    )
    negative_pool_size: PositiveInt = Field(
        1000,
        description="number of random candidates for a query's negatives, to which its previous negatives are added",
    )
    cache_refresh_queries: PositiveInt = Field(
        1000, description="number of queries that are mined and trained on between two refreshes of the descriptors"
    )
    positive_radius_m: PositiveFloat = Field(
        10, description="largest distance of a positive from its query, metres (or frames)"
    )
    negative_radius_m: PositiveFloat = Field(
        25, description="images up to this far from a query are never its negatives, metres (or frames)"
    )
    monitor_recall_at: PositiveInt = Field(5, description="k of the val recall@k that selects the best epoch")
    patience: PositiveInt = Field(
        10, description="number of epochs without a better val recall after which training stops"
    )

    @model_validator(mode="after")
    def check_radii(self) -> Self:
        """No image may be a positive and a negative of one query."""
        positive, negative = self.positive_radius_m, self.negative_radius_m
        if positive > negative:
            raise ValueError(f"positive_radius_m {positive:g} must not exceed negative_radius_m {negative:g}")
        return self

    @model_validator(mode="after")
    def check_regions(self) -> Self:
        """Regions and soft labels compare scaled similarities, so the loss must have a temperature."""
        similar = self.loss.has_trait("similarity")
        if self.regions and not similar:
            known = [name for name, entry in FAMILIES["loss"].items() if "similarity" in entry.traits]
            raise ValueError(f"regions need a loss on similarities ({', '.join(known)}), not {self.loss.name!r}")
        if self.soft.weight and not (similar and self.loss.option("temperature")):
            raise ValueError("soft labels need the student's `temperature`, an option of the loss (SFRS: 0.07)")
        return self

    @property
    def by_region(self) -> bool:
        """Whether the loss uses regions of photos."""
        return self.regions or self.soft.weight > 0


class WhitenConfig(Section):
    """The PCA whitening that is fitted to descriptors of the training set."""

    dim: PositiveInt = Field(4096, description="dimension of the whitened descriptors")
    images: PositiveInt = Field(10_000, description="largest number of random training images that it is fitted to")


class ExtractConfig(Section):
    """Which checkpoint is evaluated, and which descriptors are extracted with it."""

    checkpoint: Literal["best", "last"] = Field("best", description="checkpoint of the training that is evaluated")
    descriptors: Annotated[
        tuple[Literal["raw", "whitened"], ...],
        Field(description="kinds of descriptors to extract and evaluate"),
        AfterValidator(distinct_values),
    ] = ("whitened",)


class CheckpointConfig(Section):
    """A network that was trained elsewhere. It is evaluated like one that is trained here."""

    file: str | None = Field(None, description="the checkpoint file; give this or `url`")
    url: str | None = Field(None, description="address to download the checkpoint from, into data/checkpoints/")
    sha256: Annotated[
        str | None,
        Field(description="expected SHA-256 of the file; another file is refused"),
    ] = None
    format: Literal["auto", "vprlib", "openibl", "openibl_hub", "pytorch_netvlad", "patch_netvlad"] = Field(
        "auto", description="project that wrote the file; `auto` recognises it by its tensors"
    )
    pca: str | None = Field(None, description="PCA file that was published beside the checkpoint")
    whitening: Literal["published", "fitted"] = Field(
        "published", description="whitening to use: the published one, or one fitted to the training set"
    )

    @field_validator("sha256")
    @classmethod
    def check_sha256(cls, value: str | None) -> str | None:
        """A SHA-256 has 64 hexadecimal digits."""
        if value is not None and not re.fullmatch("[0-9a-fA-F]{64}", value):
            raise ValueError(f"{value!r} is not a SHA-256, 64 hexadecimal digits")
        return value

    @model_validator(mode="after")
    def check_source(self) -> Self:
        """A checkpoint has one source, whose last part names the file."""
        if (self.file is None) == (self.url is None):
            raise ValueError("give either `file` or `url`")
        if self.path.endswith("/"):
            raise ValueError("url: ends without the name of a file")
        return self

    @property
    def path(self) -> str:
        """Where the file lies once it is downloaded. Addresses that end in the same name have folders of their own."""
        if self.file is not None:
            return self.file
        address = self.url or ""
        return f"data/checkpoints/{short_hash(address)}/{address.split('?')[0].rsplit('/')[-1]}"


class RunConfig(Section):
    """A complete recipe, from photos to descriptors."""

    train_set: str = Field(
        "",
        description="dataset to train on; without it nothing is trained, centroids come from the database of the "
        "tested dataset, and descriptors are raw",
    )
    image: ImageConfig = ImageConfig()
    backbone: BackboneConfig = Field(default_factory=lambda: BackboneConfig.model_validate({}))
    aggregator: AggregatorConfig = Field(default_factory=lambda: AggregatorConfig.model_validate({}))
    centroids: CentroidsConfig = CentroidsConfig()
    cache_frozen_features: Literal["auto", "never"] = Field(
        "auto", description="cache the output of the frozen layers for the training set, if the disk has room"
    )
    train: TrainConfig = Field(default_factory=TrainConfig)
    checkpoint: CheckpointConfig | None = Field(
        None, description="published network to evaluate instead of training one"
    )
    descriptors: DescriptorFilesConfig | None = Field(
        None, description="descriptors that were computed elsewhere, to evaluate instead of a network"
    )
    generations: tuple[dict[str, Any], ...] = Field(
        ({},),
        min_length=1,
        description="changes of `train`, one entry per generation; each generation is the teacher of the next",
    )
    whiten: WhitenConfig = WhitenConfig()
    extract: ExtractConfig = ExtractConfig()

    @model_validator(mode="before")
    @classmethod
    def allow_no_train_set(cls, values: Any) -> Any:
        """Descriptors that were computed elsewhere need no training set."""
        given = isinstance(values, dict) and values.get("descriptors") is not None
        return {"train_set": "", **values} if given else values

    @model_validator(mode="after")
    def check_checkpoint(self) -> Self:
        """A published network, or descriptors that were computed elsewhere, have one generation."""
        if self.checkpoint and self.descriptors:
            raise ValueError("a run has a `checkpoint` or `descriptors`, not both; remove one of them")
        if (self.checkpoint or self.descriptors) and len(self.generations) > 1:
            given = "a `checkpoint`" if self.checkpoint else "`descriptors`"
            raise ValueError(f"a run with {given} is not trained, so it has one generation; remove `generations`")
        return self

    @model_validator(mode="after")
    def check_generations(self) -> Self:
        """The `train` section of every generation must be valid with the aggregator."""
        for number in range(len(self.generations)):
            try:
                settings = self.generation(number)
            except ValidationError as errors:
                found, key = errors.errors(), f"generations.{number}."
                raise ValueError(
                    join_faults([explain_error(TrainConfig, one, key, len(found) > 1) for one in found])
                ) from None
            if settings.by_region and not self.aggregator.has_trait("regions"):
                raise ValueError(
                    f"generations.{number}: the aggregator {self.aggregator.name!r} does not describe regions; set "
                    f"regions: false and soft.weight: 0"
                )
            if settings.soft.weight and not number:
                raise ValueError(
                    "generations.0: has no teacher, so its soft.weight must be 0; set `soft` in the later ones"
                )
        return self

    def generation(self, number: int) -> TrainConfig:
        """Return the `train` section of one generation.

        Raises:
            InputError: if the run has no such generation.
        """
        if not 0 <= number < len(self.generations):
            raise InputError(f"the run has generations 0 to {len(self.generations) - 1}, not {number}")
        return TrainConfig.model_validate(overlay(self.train.model_dump(), self.generations[number]))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of descriptors that are evaluated."""
        return (self.descriptors.kind,) if self.descriptors else self.extract.descriptors

    @property
    def outside_methods(self) -> set[str]:
        """The methods outside vprlib that this recipe names."""
        trains = [self.generation(number) for number in range(len(self.generations))]
        methods = [self.backbone, self.aggregator]
        methods += [method for train in trains for method in (train.loss, train.optimiser, train.schedule)]
        return {method.name for method in methods if find_entry(method.family, method.name).target == method.name}

    @property
    def by_region(self) -> bool:
        """Whether any generation uses regions of photos."""
        return any(self.generation(number).by_region for number in range(len(self.generations)))

    def identity(self, generation: int) -> str:
        """Return a hash of everything in this recipe that the numbers of a generation depend on.

        Values that are the default and sections that do not apply are left out, so that a new key with a default
        changes no hash.
        """
        if self.descriptors:
            return short_hash({"descriptors": self.descriptors.without_defaults()})
        unused = {"train", "generations"}
        unused |= set() if self.aggregator.has_trait("centroids") and not self.checkpoint else {"centroids"}
        unused |= set() if "whitened" in self.extract.descriptors else {"whiten"}
        recipe = self.model_dump(mode="json", exclude=unused, exclude_defaults=True)
        count = 0 if self.checkpoint else generation + 1
        return short_hash(recipe | {"generations": [self.generation(gen).without_defaults() for gen in range(count)]})
