"""One generation of weakly supervised training: GPS says which photos may show the same place, mining picks them."""

from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from vprlib.compute.execution import ComputeSettings
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig
from vprlib.data.dataset import Dataset
from vprlib.data.image_table import read_image_table
from vprlib.exceptions import InputError
from vprlib.io.files import file_lock, read_h5, write_csv
from vprlib.io.fingerprints import sha256_of_file, short_hash
from vprlib.models.checkpoint import load_checkpoint, load_weights, save_checkpoint
from vprlib.models.feature_cache import CachedFeatures, open_inputs
from vprlib.models.network import DescriptorNetwork, build_network
from vprlib.training.objective import uses_bfloat16
from vprlib.training.trainer import GenerationTrainer


@dataclass
class TrainingSources:
    """The files that one generation is made from; all of them name its resume state."""

    images: Path
    weights: Path
    centroids: Path | None = None
    trunk: Path | None = None
    teacher: Path | None = None

    def digests(self) -> dict:
        """The files' hashes, but the trunk's: the others define it."""
        return {name: sha256_of_file(path) if path else "" for name, path in vars(self).items() if name != "trunk"}


def train_generation(
    *,
    folder: Path,
    dataset: Dataset,
    sources: TrainingSources,
    image: ImageConfig,
    backbone: BackboneConfig,
    aggregator: AggregatorConfig,
    settings: TrainConfig,
    generation: int,
    seed: int,
    job: ComputeSettings,
    by_region: bool = False,
):
    """Train a generation and write `last.safetensors`, `best.safetensors` and `history.csv` into `folder`.

    SGD with a step schedule over all queries of the training split that have a positive; before every
    `queries_per_refresh` of them, photos are described by the network of the moment and tuples mined (NetVLAD, OpenIBL
    `examples/netvlad_img.py`). Row 0 of the history is the initial network. `best` is the trained epoch with the
    highest val recall; without a val split it is the last.

    `by_region` tells that a later generation will look at regions, so that a size without quarters is refused now.

    A later generation's teacher, for SFRS's soft labels, is a file. OpenIBL (`examples/netvlad_img_sfrs.py`) keeps it
    in memory only: a resumed run there continues with an untrained student as its own teacher.

    Raises:
        InputError: as the parts do; or another process trains into the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"train": settings.model_dump(mode="json"), "generation": generation, "seed": seed}
    recipe |= {"sources": sources.digests()}
    sections = {"backbone": backbone, "aggregator": aggregator}
    described = {name: part.model_dump(mode="json") for name, part in {**sections, "image": image}.items()}
    with nullcontext() if job.group.rank else file_lock(folder / "resume.pt"):  # the first holds it for all
        table = read_image_table(sources.images)
        model = initial_network(image, backbone, aggregator, sources, settings, generation)
        if settings.by_region or by_region:
            check_even_feature_map(model)
        if generation:
            check_teacher(sources.teacher, generation, seed, described)
        teacher = load_teacher(model, sources.teacher) if settings.soft.weight else None
        inputs = open_inputs(table, image, sources.trunk)
        recipe |= {"radius_m": dataset.radius_m, "cached_trunk": isinstance(inputs, CachedFeatures)}
        recipe |= {"bfloat16": uses_bfloat16(settings, job.device)}
        run = GenerationTrainer(model, teacher, dataset, table, inputs, settings, (seed, generation), job)
        run.kept.resume(folder / "resume.pt", key=short_hash(recipe | described))
        job.group.meet()  # or the first may end, and remove what the others are to resume
        run.loop(folder)
        if job.group.rank:
            return
        states = {"last": model.state_dict(), "best": run.progress.best["state"]}
        for name, state in states.items():
            epoch = run.progress.epoch if name == "last" else run.progress.best["epoch"]
            model.load_state_dict(state)
            save_checkpoint(folder / f"{name}.safetensors", model, **sections, **recipe, epoch=epoch)
        write_csv(folder / "history.csv", pd.DataFrame(run.progress.history))
        (folder / "resume.pt").unlink(missing_ok=True)


def initial_network(
    image, backbone, aggregator, sources: TrainingSources, settings: TrainConfig, generation: int
) -> DescriptorNetwork:
    """The network that a generation starts from."""
    if generation and settings.start == "previous":
        return load_checkpoint(sources.teacher)[0]
    model = build_network(image, backbone, aggregator)
    load_weights(model.backbone, sources.weights)
    if sources.centroids:
        try:
            model.aggregator.initialise(*read_h5(sources.centroids, "centroids", "descriptors"))
        except ValueError as error:
            raise InputError(f"{sources.centroids}: {error}") from error
    return model


def check_even_feature_map(model: DescriptorNetwork):
    """Refuse a network whose local features cannot be cut into quarters.

    Raises:
        InputError: with the size that they have.
    """
    with torch.no_grad():
        height, width = model.backbone(torch.zeros(1, 3, *model.image.size)).shape[2:]
    if height % 2 or width % 2:
        stride = model.backbone.stride
        raise InputError(
            f"image: {model.image.height} x {model.image.width} gives {height} x {width} local features, and SFRS's "
            f"quarters need even numbers; change an odd side by about {stride} pixels"
        )


def check_teacher(path, generation: int, seed: int, described: dict):
    """Refuse a teacher that is not the generation before.

    Raises:
        InputError: with what it is.
    """
    theirs = load_checkpoint(path)[1]
    expected = described | {"generation": generation - 1, "seed": seed}
    wrong = [name for name in expected if theirs.get(name) != expected[name]]
    if wrong:
        raise InputError(
            f"{path}: its {wrong[0]} is {theirs.get(wrong[0])}, the teacher's must be {expected[wrong[0]]}; "
            f"remove the file, and the generation before is trained again"
        )


def load_teacher(student: DescriptorNetwork, path) -> DescriptorNetwork:
    """The network of a checkpoint, whose trunk is the student's.

    Raises:
        InputError: if it is not.
    """
    teacher = load_checkpoint(path)[0].requires_grad_(False)
    own, cut = student.backbone.state_dict(), student.backbone.cut
    given = teacher.backbone.state_dict()
    frozen = [name for name in own if int(name.split(".")[1]) < cut]
    if own.keys() != given.keys() or not all(torch.equal(own[name], given[name]) for name in frozen):
        raise InputError(f"{path}: its frozen layers are not the student's; run `snakemake -R train`")
    return teacher
