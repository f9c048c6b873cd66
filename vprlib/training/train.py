"""Train one generation of a network from GPS positions alone (weak supervision).

GPS tells which photos may show the same place; mining selects the positives and negatives among them.
"""

import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vprlib.compute.execution import ComputeSettings
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig
from vprlib.config.base import Section
from vprlib.data.image_table import read_image_table
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.io.files import file_lock, read_finite_h5, read_recipe, write_csv
from vprlib.io.fingerprints import describe_difference, sha256_of_file, short_hash
from vprlib.models.checkpoint import load_checkpoint, load_weights, read_attributes, save_checkpoint
from vprlib.models.feature_cache import CachedFeatures, open_inputs
from vprlib.models.network import DescriptorNetwork, build_network
from vprlib.training.objective import uses_bfloat16
from vprlib.training.trainer import GenerationTrainer


@dataclass
class TrainingSources:
    """The input files of one generation. A resume state is used only if it was saved for the same files.

    Attributes:
        images: the image table of the training set.
        weights: the backbone's initial weights.
        centroids: the k-means centroids that NetVLAD starts from.
        features: the cached features.
        teacher: the checkpoint of the previous generation.
    """

    images: str | os.PathLike[str]
    weights: str | os.PathLike[str]
    centroids: str | os.PathLike[str] | None = None
    features: str | os.PathLike[str] | None = None
    teacher: str | os.PathLike[str] | None = None

    def input_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every input file except the feature cache, which the other inputs determine."""
        return {name: sha256_of_file(path) if path else "" for name, path in vars(self).items() if name != "features"}


def train_generation(
    *,
    folder: Path,
    protocol: Protocol,
    sources: TrainingSources,
    image: ImageConfig,
    backbone: BackboneConfig,
    aggregator: AggregatorConfig,
    settings: TrainConfig,
    generation: int,
    seed: int,
    job: ComputeSettings,
    by_region: bool = False,
) -> None:
    """Train a generation and write `last.safetensors`, `best.safetensors` and `history.csv` into `folder`.

    All queries of the training split that have a positive are trained on, by default by SGD with a step schedule.
    Before every `cache_refresh_queries` of them, photos are described with the current network and tuples are mined
    (NetVLAD; OpenIBL, `examples/netvlad_img.py`). Row 0 of the history describes the initial network. `best` is the
    trained epoch with the highest val recall; without a val split it is the last epoch.

    The teacher of a later generation, for SFRS's soft labels, is read from a file. OpenIBL
    (`examples/netvlad_img_sfrs.py`) keeps it in memory only: a resumed run there continues with an untrained student
    as its own teacher.

    Args:
        folder: where results, the resume state and TensorBoard's files are written.
        protocol: the training set's protocol, for validation and for the rule on positives.
        sources: the input files.
        image: config section of the input size.
        backbone: config section of the backbone.
        aggregator: config section of the aggregator.
        settings: the recipe of this generation.
        generation: its number, from 0; a later generation needs a teacher.
        seed: seed of the run.
        job: device, batch sizes and processes.
        by_region: whether a later generation describes regions; an image size that has no quarters is then refused
            before the first generation is trained.

    Raises:
        InputError: if another process trains into `folder`, an input file does not fit or is damaged, the image size
            has no quarters, the initial val recall is too low, or a number is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    recipe = {"train": settings.model_dump(mode="json"), "generation": generation, "seed": seed}
    recipe |= {"sources": sources.input_hashes()}
    sections = {"image": image, "backbone": backbone, "aggregator": aggregator}
    recipe["recipe"] = made_with(sources, settings, sections)
    described = {"backbone": backbone.model_dump(mode="json"), "aggregator": aggregator.model_dump(mode="json")}
    described |= {"image": image.model_dump(mode="json")}
    # the first process holds the lock for all
    with nullcontext() if job.group.rank else file_lock(folder / "resume.pt"):
        table = read_image_table(sources.images)
        model = initial_network(image, backbone, aggregator, sources, settings, generation)
        if settings.by_region or by_region:
            check_even_feature_map(model)
        if generation:
            check_teacher(_teacher_path(sources), generation, seed, described)
        teacher = load_teacher(model, _teacher_path(sources)) if settings.soft.weight else None
        inputs = open_inputs(table, image, sources.features)
        recipe |= {"radius": protocol.radius, "cached_features": isinstance(inputs, CachedFeatures)}
        recipe |= {"bfloat16": uses_bfloat16(settings, job.device)}
        trainer = GenerationTrainer(model, teacher, protocol, table, inputs, settings, (seed, generation), job)
        trainer.resume_state.resume(folder / "resume.pt", key=short_hash(recipe | described))
        job.group.barrier()  # otherwise the first may end, and remove the file that the others resume from
        trainer.loop(folder)
        if job.group.rank:
            return
        states = {"last": model.state_dict(), "best": trainer.progress.best["state"]}
        for name, state in states.items():
            epoch = trainer.progress.epoch if name == "last" else trainer.progress.best["epoch"]
            model.load_state_dict(state)
            save_checkpoint(
                folder / f"{name}.safetensors", model, backbone, aggregator, **recipe, epoch=epoch, saved_as=name
            )
        write_csv(folder / "history.csv", pd.DataFrame(trainer.progress.history))
        (folder / "resume.pt").unlink(missing_ok=True)


def made_with(sources: TrainingSources, settings: TrainConfig, sections: Mapping[str, Section]) -> dict[str, Any]:
    """Collect the sections of the configuration that a generation is made with, its inputs included.

    Args:
        sources: the input files; they say what they were made with.
        settings: the recipe of this generation.
        sections: the other sections of the run, by name.

    Returns:
        Section -> plain data without defaults; `train` is a list, one entry for each generation up to this one.
    """
    recipe = dict(read_attributes(sources.weights).get("recipe", {}))
    if sources.centroids:
        recipe |= read_recipe(sources.centroids)
    earlier = read_attributes(sources.teacher).get("recipe", {}).get("train", []) if sources.teacher else []
    recipe |= {name: section.without_defaults() for name, section in sections.items()}
    return recipe | {"train": [*earlier, settings.without_defaults()]}


def initial_network(
    image: ImageConfig,
    backbone: BackboneConfig,
    aggregator: AggregatorConfig,
    sources: TrainingSources,
    settings: TrainConfig,
    generation: int,
) -> DescriptorNetwork:
    """Build the network that a generation starts from.

    It is the previous generation's network with `initialize_from: previous`. Otherwise it has the backbone's initial
    weights, and NetVLAD the given centroids.

    Raises:
        InputError: if a file does not fit the network.
    """
    if generation and settings.initialize_from == "previous":
        return load_checkpoint(_teacher_path(sources))[0]
    model = build_network(image, backbone, aggregator)
    load_weights(model.backbone, sources.weights)
    if sources.centroids:
        try:
            model.aggregator.initialise(*read_finite_h5(sources.centroids, "centroids", "descriptors"))
        except ValueError as error:
            raise InputError(f"{sources.centroids}: {error}") from error
    return model


def check_even_feature_map(model: DescriptorNetwork) -> None:
    """Check that a network's local features can be cut into quarters.

    Raises:
        InputError: if their height or width is odd, with both.
    """
    with torch.no_grad():
        height, width = model.backbone(torch.zeros(1, 3, *model.image.size)).shape[2:]
    if height % 2 or width % 2:
        stride = model.backbone.stride
        raise InputError(
            f"image: {model.image.height} x {model.image.width} gives {height} x {width} local features, and SFRS's "
            f"quarters need even numbers; change an odd side by about {stride} pixels"
        )


def check_teacher(path: str | os.PathLike[str], generation: int, seed: int, described: dict[str, Any]) -> None:
    """Check that a checkpoint is the previous generation of the same run.

    Args:
        path: the teacher's checkpoint.
        generation: number of the generation to train.
        seed: seed of the run.
        described: its config sections `backbone`, `aggregator` and `image`.

    Raises:
        InputError: naming the first attribute that differs.
    """
    attributes = load_checkpoint(path)[1]
    expected = described | {"generation": generation - 1, "seed": seed}
    known = {name: attributes[name] for name in expected if name in attributes}
    wrong = describe_difference(without_nothing(known), without_nothing(expected))
    if wrong:
        raise InputError(
            f"{path}: the teacher was made with {wrong}; remove the file, and the previous generation is trained again"
        )


def without_nothing(value: Any) -> Any:
    """Return plain data without the keys whose value is None: a new optional key is no difference."""
    if isinstance(value, dict):
        return {name: without_nothing(part) for name, part in value.items() if part is not None}
    return value


def load_teacher(student: DescriptorNetwork, path: str | os.PathLike[str]) -> DescriptorNetwork:
    """Load the network of a checkpoint as the teacher, without gradients.

    Raises:
        InputError: if its frozen layers are not the student's.
    """
    teacher = load_checkpoint(path)[0].requires_grad_(False)
    student_state, cut = student.backbone.state_dict(), student.backbone.cut
    teacher_state = teacher.backbone.state_dict()
    frozen = [name for name in student_state if int(name.split(".")[1]) < cut]
    if student_state.keys() != teacher_state.keys() or not all(
        torch.equal(student_state[name], teacher_state[name]) for name in frozen
    ):
        raise InputError(f"{path}: its frozen layers are not the student's; run again with `-R train`")
    return teacher


def _teacher_path(sources: TrainingSources) -> str | os.PathLike[str]:
    """Return the teacher's checkpoint, which a later generation must have.

    Raises:
        InputError: if the sources name none.
    """
    if sources.teacher is None:
        raise InputError("train: a later generation needs the checkpoint of the previous one (sources.teacher)")
    return sources.teacher
