"""The configuration: its sections, defaults, bounds and units. Snakemake gives the raw dict, `parse` returns a Config.

This module is imported whenever the Snakefile is parsed, so it imports neither torch nor pandas.
"""

import re
from functools import cached_property
from math import sqrt
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from vprlib import registry
from vprlib.files import BadInput, fingerprint


def known(family: str):
    return AfterValidator(lambda name: registry.check(family, name))


def written(pattern: str, kind: str):
    """Text of this pattern, which messages call `kind`."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {kind}")
        return value

    return AfterValidator(check)


NAME = "a letter or digit, and then letters, digits, `_`, `-` and `.`"
Name = Annotated[str, written(r"[A-Za-z0-9][A-Za-z0-9_.-]*", NAME)]  # part of a path


NAMED = 5  # faults that one message names


def distinct(values):
    if len(set(values)) < len(values):
        raise ValueError(f"{next(value for value in values if values.count(value) > 1)!r} is given twice")
    return values


class Section(BaseModel):
    """Typo-proof and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class Image(Section):
    """What a network sees of an image: its size in pixels, and the mean and deviation of the RGB channels in [0, 1]."""

    height: int = Field(480, ge=16)
    width: int = Field(640, ge=16)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (0.229, 0.224, 0.225)

    @property
    def size(self) -> tuple[int, int]:
        return self.height, self.width


class Backbone(Section):
    name: Annotated[str, known("backbone")] = "vgg16"
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


class Aggregator(Section):
    name: Annotated[str, known("aggregator")] = "netvlad"
    clusters: int = Field(64, ge=2, description="NetVLAD's visual words")
    bias: bool = Field(False, description="NetVLAD's assignment has a bias a word (`vladv2` of pytorch-NetVlad)")

    @model_validator(mode="after")
    def only_netvlad_has_a_bias(self):
        if self.bias and self.name != "netvlad":
            raise ValueError(f"bias is that of NetVLAD's assignment; {self.name!r} has none")
        return self


class Centroids(Section):
    """The sample of local descriptors that NetVLAD starts from, and its k-means."""

    split: Literal["train", "val", "test"] = "train"
    roles: tuple[Literal["database", "query"], ...] = ("database", "query")
    images: PositiveInt = 500
    per_image: PositiveInt = 100
    iterations: PositiveInt = 100


class Jitter(Section):
    """Random changes of the colours of the photos that are trained on (torchvision's ColorJitter); 0 leaves them."""

    brightness: NonNegativeFloat = 0
    contrast: NonNegativeFloat = 0
    saturation: NonNegativeFloat = 0
    hue: float = Field(0, ge=0, le=0.5)

    def __bool__(self):
        return any(self.model_dump().values())


class Soft(Section):
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


class Train(Section):
    """One generation of training; what changes here trains it again."""

    loss: Annotated[str, known("loss")] = "triplet"
    margin: PositiveFloat = Field(sqrt(0.1), description="of the triplet loss, L2 distance of unit vectors")
    temperature: PositiveFloat | None = Field(None, description="of SARE on dot products; none: squared L2 distances")
    regions: bool = Field(False, description="a negative is its region most similar to the query (SFRS)")
    soft: Soft = Soft()
    teacher: Literal["last", "best"] = Field("last", description="which model of the generation before is the teacher")
    start: Literal["weights", "previous"] = Field("weights", description="where a later generation starts from")
    gate: float = Field(0.1, ge=0, lt=1, description="how far above chance, of the way to 1, val recall must start")
    epochs: NonNegativeInt = Field(5, description="0 keeps the initial model")
    learning_rate: PositiveFloat = 1e-3
    momentum: NonNegativeFloat = 0.9
    weight_decay: NonNegativeFloat = 1e-3
    decay_every: PositiveInt = Field(5, description="epochs between two decays of the learning rate")
    decay_by: PositiveFloat = 0.5
    jitter: Jitter = Jitter()
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


class Whiten(Section):
    dim: PositiveInt = 4096
    images: PositiveInt = Field(10_000, description="random images of the training set, at most")


class Extract(Section):
    checkpoint: Literal["best", "last"] = "best"
    descriptors: Annotated[tuple[Literal["raw", "whitened"], ...], AfterValidator(distinct)] = ("whitened",)


class Checkpoint(Section):
    """A network that was trained elsewhere: it is evaluated like one trained here."""

    file: str | None = None
    url: str | None = Field(None, description="where to download it from, into data/checkpoints/")
    sha256: Annotated[str, written("[0-9a-fA-F]{64}", "a SHA-256, 64 hexadecimal digits")] | None = None
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
        return self.file or f"data/checkpoints/{fingerprint(self.url)}/{self.url.split('?')[0].rsplit('/')[-1]}"


class Run(Section):
    """A recipe, whole."""

    train_set: str
    image: Image = Image()
    backbone: Backbone = Backbone()
    aggregator: Aggregator = Aggregator()
    centroids: Centroids = Centroids()
    cache_trunk: Literal["auto", "never"] = Field(
        "auto", description="keep the frozen layers' output, if the disk does"
    )
    train: Train = Train()
    checkpoint: Checkpoint | None = Field(None, description="evaluate this one, instead of training")
    generations: tuple[dict[str, Any], ...] = Field(({},), min_length=1, description="what each changes in `train`")
    whiten: Whiten = Whiten()
    extract: Extract = Extract()

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
                raise ValueError(together([_explain(Train, one, key, len(found) > 1) for one in found])) from None
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

    def generation(self, number: int) -> Train:
        """The `train` section of one generation.

        Raises:
            BadInput: if the run has no such generation.
        """
        if not 0 <= number < len(self.generations):
            raise BadInput(f"the run has generations 0 to {len(self.generations) - 1}, not {number}")
        return Train.model_validate(overlay(self.train.model_dump(), self.generations[number]))

    @property
    def by_region(self) -> bool:
        """Whether any generation looks at regions of photos."""
        return any(self.generation(number).by_region for number in range(len(self.generations)))

    def identity(self, generation: int) -> str:
        """A fingerprint of all that a generation's numbers depend on in this recipe."""
        recipe = self.model_dump(mode="json")
        return fingerprint(recipe | {"generations": recipe["generations"][: generation + 1]})


class Pretrain(Section):
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


class City(Section):
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


class Custom(Section):
    """A dataset of one's own: a CSV with a row an image, or a folder of photos that know where they were taken."""

    csv: str | None = None
    folder: str | None = Field(None, description="photos with GPS in their EXIF, with UTM in their names, or by place")
    radius_m: PositiveFloat = Field(25, description="a hit lies at most this far, in the unit of east and north")
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


class Search(Section):
    depth: PositiveInt = Field(100, description="places kept a query")
    index: Literal["flat", "ivf-pq", "hnsw"] = Field("flat", description="flat is exact; the others are for millions")
    memory_gb: PositiveFloat = Field(8, description="that an index may take, GB; its parameters follow from it")
    shards: PositiveInt = Field(1, description="jobs that share one search, of a part of the database each")


class Rerank(Section):
    """A second ranking, whose recalls stand beside those of the first."""

    name: Annotated[str, known("rerank")]
    neighbours: PositiveInt = Field(10, description="of alpha_qe: images that a query is expanded by")
    alpha: NonNegativeFloat = Field(3, description="of alpha_qe: power of the similarity that weighs them")
    k1: PositiveInt = Field(25, description="of k_reciprocal: neighbours of an image")
    k2: PositiveInt = Field(1, description="of k_reciprocal: neighbours that its neighbourhood is averaged over")
    weight: float = Field(0, ge=0, le=1, description="of k_reciprocal: of the original distance")


Storage = Literal["float32", "float16", "int8", "pq", "binary"]


class Sizes(Section):
    """Descriptor size as an axis: each dimension in each storage; none, and nothing is measured."""

    dims: Annotated[tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...], AfterValidator(distinct)] = ()
    storage: Annotated[tuple[Storage, ...], Field(min_length=1), AfterValidator(distinct)] = get_args(Storage)
    runs: Annotated[tuple[str, ...], AfterValidator(distinct)] = Field(
        (), description="that are measured; all whose descriptors are whitened, if not said"
    )


class Verify(Section):
    hamming: int = Field(4, ge=0, le=31, description="bits of 64 in which perceptual hashes of near-duplicates differ")


class Evaluate(Section):
    ks: Annotated[tuple[PositiveInt, ...], Field(min_length=1), AfterValidator(distinct)] = (1, 5, 10, 20)
    by: dict[str, Annotated[tuple[str, ...], AfterValidator(distinct)]] = Field(
        {}, description="dataset: columns of its image table; queries that share a value have rows of their own"
    )


class Report(Section):
    """The page `results/report.html`."""

    images: Literal["inline", "folder"] = Field(
        "inline", description="thumbnails in the page as far as they fit, or all of them in a folder beside it"
    )
    megabytes: float = Field(30, ge=5, description="that the page may take; photos get what charts and tables leave")


class Execution(Section):
    """How jobs run. It changes results in their last digits only, so nothing here makes a job run again."""

    device: Annotated[str, written(r"auto|cpu|cuda(:\d+)?", "auto, cpu, cuda or cuda:<number>")] = "auto"
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
    datasets: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
    seeds: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1), AfterValidator(distinct)] = (0,)
    runs: dict[Name, Run] = Field(min_length=1)
    custom: dict[Name, Custom] = {}
    roots: dict[str, str] = Field({}, description="where a dataset's files lie, if not in its folder of `data/`")
    protocols: dict[str, Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]] = Field(
        {}, description="dataset: the protocols that it is judged by; its first one, if not said"
    )
    offline: bool = Field(False, description="nothing is downloaded; a missing file is named")
    shards: PositiveInt = Field(1, description="jobs that share one extraction")
    pretrain: Pretrain = Pretrain()
    city: City = City()
    verify: Verify = Verify()
    search: Search = Search()
    rerank: tuple[Rerank, ...] = ()
    sizes: Sizes = Sizes()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()
    execution: Execution = Execution()

    @model_validator(mode="after")
    def names_are_known(self):
        used = [("datasets", name) for name in self.datasets]
        used += [(key, name) for key in ("roots", "protocols") for name in getattr(self, key)]
        used += [("evaluate.by", name) for name in self.evaluate.by]
        used += [(f"runs.{run}.train_set", self.runs[run].train_set) for run in self.runs]
        for key, name in used:
            if name not in self.dataset_names:
                raise ValueError(f"{key}: unknown dataset {name!r}; {registry.suggestion(name, self.dataset_names)}")
        if clash := set(self.custom) & {*registry.FAMILIES["dataset"], "models", "weights", "centroids", "trunk"}:
            raise ValueError(f"custom.{clash.pop()}: the name is taken")
        return self

    @model_validator(mode="after")
    def ks_fit_the_depth(self):
        if max(self.evaluate.ks) > self.search.depth:
            raise ValueError(f"evaluate.ks: recall@{max(self.evaluate.ks)} needs search.depth of at least that")
        return self

    @model_validator(mode="after")
    def rerankers_are_told_apart(self):
        distinct([settings.name for settings in self.rerank])
        return self

    @model_validator(mode="after")
    def sizes_are_there(self):
        for name in self.sizes.runs:
            if name not in self.runs:
                raise ValueError(f"sizes.runs: unknown run {name!r}; {registry.suggestion(name, self.runs)}")
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
        return (*registry.FAMILIES["dataset"], *self.custom)

    def sharing(self, *, backbone: str, weights: str, train_set: str | None = None, size=None, clustered=False) -> Run:
        """A run that reads the weights, trunk or centroids file of these names; all such runs agree on what made it."""
        return next(
            run
            for run in self.trained.values()
            if (run.backbone.path, run.backbone.weights) == (backbone, weights)
            and train_set in (None, run.train_set)
            and size in (None, run.image.size)
            and (not clustered or run.aggregator.name == "netvlad")
        )


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


def parse(raw: dict) -> Config:
    """Check the raw configuration: `base` is one recipe, `runs` name overlays of it, the rest are Config's keys.

    Raises:
        BadInput: one line for all that is wrong (as `together`), each with its key, the value, what is allowed and,
            for a misspelt key, the closest known one.
    """
    raw = {key: value for key, value in raw.items() if value is not None}
    base, runs = raw.pop("base", {}), raw.get("runs") or {}
    named = runs.items() if isinstance(runs, dict) else ()
    for key, value in (("base", base), ("runs", runs), *((f"runs.{name}", run or {}) for name, run in named)):
        if not isinstance(value, dict):
            raise BadInput(f"config: {key} must hold keys, not {value!r}")
    raw["runs"] = {name: overlay(base, changes or {}) for name, changes in runs.items()}
    _, wrong = _validate(Run, overlay({"train_set": "city"}, base))
    config, others = _validate(Config, raw)
    known = {error["loc"] for error in wrong}
    others = [error for error in others if error["loc"][:1] != ("runs",) or error["loc"][2:] not in known]
    if wrong or others:
        briefly = len(wrong + others) > 1
        said = [_explain(Run, error, "base.", briefly) for error in wrong]
        raise BadInput(f"config: {together(said + [_explain(Config, error, '', briefly) for error in others])}")
    return config


def together(faults: list) -> str:
    """Several faults in one line: the first five, and how many more there are."""
    more = f" (and {len(faults) - NAMED} more)" if len(faults) > NAMED else ""
    return "; also: ".join(faults[:NAMED]) + more


def _validate(section: type[Section], raw: dict) -> tuple:
    """The section and no errors, or None and pydantic's errors, without those that follow from one further down."""
    try:
        return section.model_validate(raw), []
    except ValidationError as errors:
        found = errors.errors()
        above = {error["loc"][:depth] for error in found for depth in range(len(error["loc"]))}
        return None, [error for error in found if error["loc"] not in above]


def _explain(section: type[Section], error: dict, prefix: str, briefly: bool = False) -> str:
    key = (prefix + ".".join(str(part) for part in error["loc"])).removesuffix(".")
    if error["type"] == "extra_forbidden":
        fields = _section_at(section, error["loc"][:-1]).model_fields
        return f"{key}: unknown key; {registry.suggestion(str(error['loc'][-1]), fields, briefly)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    message = error["msg"].removeprefix("Value error, ")
    given = "" if error["type"] == "value_error" else f", not {error['input']!r}"
    return f"{key}: {message}{given}" if key else message


def _section_at(section: type[Section], location) -> type[Section]:
    """The section that a path of keys leads to."""
    for part in location:
        annotation = section.model_fields[part].annotation if part in getattr(section, "model_fields", {}) else section
        sections = [a for a in (annotation, *get_args(annotation)) if isinstance(a, type) and issubclass(a, Section)]
        section = sections[0] if sections else section
    return section
