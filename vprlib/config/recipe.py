"""The sections of a run: a recipe from photos to descriptors, with its defaults, bounds and units."""

from math import sqrt
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from vprlib.config.base import Name, Section, distinct_values, explain_error, join_faults, matching, registered
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import short_hash


class ImageConfig(Section):
    """What a network sees of an image: its size in pixels, and the mean and deviation of the RGB channels in [0, 1]."""

    height: int = Field(480, ge=16)
    width: int = Field(640, ge=16)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


class BackboneConfig(Section):
    name: Annotated[str, registered("backbone")] = "vgg16"
    weights: Name = Field(
        "imagenet", description="`imagenet` (torchvision's or timm's), `pretrain`, or a name of your own"
    )
    file: str | None = Field(None, description="the state dict that `weights` names, when it is your own")
    label: Name | None = Field(None, description="the backbone's name in paths; give one to runs that must not share")
    options: dict[str, bool | int | float | str] = Field({}, description="arguments of the backbone, such as `width`")

    @model_validator(mode="after")
    def own_weights_need_a_file(self):
        known = self.weights in ("imagenet", "pretrain")
        if not known and self.file is None:
            raise ValueError(f"weights {self.weights!r} are your own (not imagenet, pretrain): name their `file`")
        if known and self.file is not None:
            raise ValueError(f"the weights in `file` are your own: name them, not {self.weights!r}")
        return self

    @property
    def path(self) -> str:
        return self.label or self.name.replace("/", "-")


class AggregatorConfig(Section):
    name: Annotated[str, registered("aggregator")] = "netvlad"
    clusters: int = Field(64, ge=2, description="NetVLAD's visual words")
    bias: bool = Field(False, description="NetVLAD's assignment has a bias a word (`vladv2` of pytorch-NetVlad)")

    @model_validator(mode="after")
    def only_netvlad_has_a_bias(self):
        if self.bias and self.name != "netvlad":
            raise ValueError(f"bias is that of NetVLAD's assignment; {self.name!r} has none")
        return self


class CentroidsConfig(Section):
    """The sample of local descriptors that NetVLAD starts from, and its k-means."""

    split: Literal["train", "val", "test"] = "train"
    roles: tuple[Literal["database", "query"], ...] = ("database", "query")
    images: PositiveInt = 500
    per_image: PositiveInt = 100
    iterations: PositiveInt = 100


class JitterConfig(Section):
    """Random changes of the colours of the photos that are trained on (torchvision's ColorJitter); 0 leaves them."""

    brightness: NonNegativeFloat = 0
    contrast: NonNegativeFloat = 0
    saturation: NonNegativeFloat = 0
    hue: float = Field(0, ge=0, le=0.5)

    def __bool__(self):
        return any(self.model_dump().values())


class SoftLabelsConfig(Section):
    """SFRS's soft labels: what the teacher says of the regions of a query's difficult positives."""

    weight: NonNegativeFloat = Field(0, description="of the soft loss beside the hard one; 0: no soft labels")
    temperature: PositiveFloat = Field(0.07, description="of the teacher; the student has the loss's")
    positives: PositiveInt = Field(10, description="difficult positives a query, at most")
    pool: PositiveInt = Field(20, description="nearest positives that they are chosen from")
    k1: PositiveInt = Field(20, description="neighbours of the k-reciprocal Jaccard distance that chooses them")
    k2: PositiveInt = Field(1, description="neighbours that an image's neighbourhood is averaged over")
    euclid: float = Field(0.1, ge=0, le=1, description="weight of the squared Euclidean distance in it")

    @model_validator(mode="after")
    def chosen_of_the_pool(self):
        if self.positives > self.pool:
            raise ValueError(f"positives {self.positives} are chosen from a pool of {self.pool}; raise pool")
        return self


class TrainConfig(Section):
    """One generation of training; what changes here trains it again."""

    loss: Annotated[str, registered("loss")] = "triplet"
    margin: PositiveFloat = Field(sqrt(0.1), description="of the triplet loss, L2 distance of unit vectors")
    temperature: PositiveFloat | None = Field(None, description="of SARE on dot products; none: squared L2 distances")
    regions: bool = Field(False, description="a negative is its region most similar to the query (SFRS)")
    soft: SoftLabelsConfig = SoftLabelsConfig()
    teacher: Literal["last", "best"] = Field("last", description="which model of the generation before is the teacher")
    start: Literal["weights", "previous"] = Field("weights", description="where a later generation starts from")
    gate: float = Field(0.1, ge=0, lt=1, description="how far above chance, of the way to 1, val recall must start")
    epochs: NonNegativeInt = Field(5, description="0 keeps the initial model")
    learning_rate: PositiveFloat = 1e-3
    momentum: NonNegativeFloat = 0.9
    weight_decay: NonNegativeFloat = 1e-3
    decay_every: PositiveInt = Field(5, description="epochs between two decays of the learning rate")
    decay_by: PositiveFloat = 0.5
    jitter: JitterConfig = JitterConfig()
    precision: Literal["fp32", "bf16", "auto"] = Field("fp32", description="of the convolutions; auto: bf16 on a GPU")
    tuples_per_step: PositiveInt = 4
    negatives: PositiveInt = 10
    mining: Literal["full", "partial", "random"] = Field("full", description="which photos negatives are looked for in")
    negative_pool: PositiveInt = Field(1000, description="random candidates a query, joined with its last negatives")
    queries_per_refresh: PositiveInt = Field(1000, description="queries mined and trained between two refreshes")
    positive_m: PositiveFloat = Field(10, description="a positive lies at most this far, metres")
    negative_m: PositiveFloat = Field(25, description="a negative lies farther than this, metres")
    best_by: PositiveInt = Field(5, description="`best` is the epoch with the highest val recall@this")
    patience: PositiveInt = Field(10, description="epochs without a better one before training stops")

    @model_validator(mode="after")
    def positives_are_no_negatives(self):
        if self.positive_m > self.negative_m:
            raise ValueError(f"positive_m {self.positive_m:g} must not exceed negative_m {self.negative_m:g}")
        return self

    @model_validator(mode="after")
    def regions_have_a_similarity(self):
        if self.regions and self.loss == "triplet":
            raise ValueError("regions need a SARE loss (sare_ind, sare_joint), not 'triplet'")
        if self.soft.weight and self.temperature is None:
            raise ValueError("soft labels need the student's `temperature` (SFRS: 0.07)")
        return self

    @property
    def by_region(self) -> bool:
        """Whether the loss looks at regions of photos."""
        return self.regions or self.soft.weight > 0


class WhitenConfig(Section):
    dim: PositiveInt = 4096
    images: PositiveInt = Field(10_000, description="random images of the training set, at most")


class ExtractConfig(Section):
    checkpoint: Literal["best", "last"] = "best"
    descriptors: Annotated[tuple[Literal["raw", "whitened"], ...], AfterValidator(distinct_values)] = ("whitened",)


class CheckpointConfig(Section):
    """A network that was trained elsewhere: it is evaluated like one trained here."""

    file: str | None = None
    url: str | None = Field(None, description="where to download it from, into data/checkpoints/")
    sha256: Annotated[str, matching("[0-9a-fA-F]{64}", "a SHA-256, 64 hexadecimal digits")] | None = None
    format: Literal["auto", "vprlib", "openibl", "openibl_hub", "pytorch_netvlad", "patch_netvlad"] = "auto"
    pca: str | None = Field(None, description="the PCA file that was published beside it")
    whitening: Literal["published", "fitted"] = Field(
        "published", description="of whitened descriptors: its own, or one fitted to the train set"
    )

    @model_validator(mode="after")
    def one_source(self):
        if (self.file is None) == (self.url is None):
            raise ValueError("give either `file` or `url`")
        if self.path.endswith("/"):
            raise ValueError("url: ends without the name of a file")
        return self

    @property
    def path(self) -> str:
        """Where the file lies, once it is downloaded: addresses that end in the same name have folders of their own."""
        return self.file or f"data/checkpoints/{short_hash(self.url)}/{self.url.split('?')[0].rsplit('/')[-1]}"


class RunConfig(Section):
    """A recipe, whole."""

    train_set: str
    image: ImageConfig = ImageConfig()
    backbone: BackboneConfig = BackboneConfig()
    aggregator: AggregatorConfig = AggregatorConfig()
    centroids: CentroidsConfig = CentroidsConfig()
    cache_trunk: Literal["auto", "never"] = Field(
        "auto", description="keep the frozen layers' output, if the disk does"
    )
    train: TrainConfig = TrainConfig()
    checkpoint: CheckpointConfig | None = Field(None, description="evaluate this one, instead of training")
    generations: tuple[dict[str, Any], ...] = Field(({},), min_length=1, description="what each changes in `train`")
    whiten: WhitenConfig = WhitenConfig()
    extract: ExtractConfig = ExtractConfig()

    @model_validator(mode="after")
    def what_is_published_is_not_trained(self):
        if self.checkpoint and len(self.generations) > 1:
            raise ValueError("a run with a `checkpoint` is not trained, so it has one generation; remove `generations`")
        return self

    @model_validator(mode="after")
    def generations_are_recipes(self):
        for number in range(len(self.generations)):
            try:
                settings = self.generation(number)
            except ValidationError as errors:
                found, key = errors.errors(), f"generations.{number}."
                raise ValueError(
                    join_faults([explain_error(TrainConfig, one, key, len(found) > 1) for one in found])
                ) from None
            if settings.by_region and self.aggregator.name != "netvlad":
                raise ValueError(
                    f"generations.{number}: regions are those of the aggregator 'netvlad', not of "
                    f"{self.aggregator.name!r}; set regions: false and soft.weight: 0"
                )
            if settings.soft.weight and not number:
                raise ValueError(
                    "generations.0: has no teacher, so its soft.weight must be 0; set `soft` in the later ones"
                )
        return self

    def generation(self, number: int) -> TrainConfig:
        """The `train` section of one generation.

        Raises:
            InputError: if the run has no such generation.
        """
        if not 0 <= number < len(self.generations):
            raise InputError(f"the run has generations 0 to {len(self.generations) - 1}, not {number}")
        return TrainConfig.model_validate(overlay(self.train.model_dump(), self.generations[number]))

    @property
    def by_region(self) -> bool:
        """Whether any generation looks at regions of photos."""
        return any(self.generation(number).by_region for number in range(len(self.generations)))

    def identity(self, generation: int) -> str:
        """A fingerprint of all that a generation's numbers depend on in this recipe."""
        recipe = self.model_dump(mode="json")
        return short_hash(recipe | {"generations": recipe["generations"][: generation + 1]})


def overlay(base: dict, changes: dict) -> dict:
    """`base` with `changes` laid over it, section by section; neither is modified.

    A section that gets another `name` (another backbone, another aggregator) inherits nothing of the old one's.
    """
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key)
        nested = isinstance(value, dict) and isinstance(below, dict)
        another = nested and value.get("name", below.get("name")) != below.get("name")
        result[key] = overlay(below, value) if nested and not another else value
    return result
