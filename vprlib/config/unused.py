"""Find keys of a configuration that do nothing, and values that contradict what is known of the weights.

A key counts only where it is written for a run of its own, or in `base` if it does nothing for every run: what `base`
says for other runs is no fault of one that does not need it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from vprlib.config.experiment import Config
from vprlib.config.recipe import ImageConfig, RunConfig, TrainConfig

Reasons = dict[str, str]  # key of a section, with dots -> why it does nothing
IMAGENET = ImageConfig()
TRAINING = (
    *("loss", "regions", "soft", "optimiser", "schedule", "jitter", "batch_size", "patience"),
    *("negatives_per_query", "mining", "negative_pool_size", "cache_refresh_queries"),
)
SOFT = ("temperature", "positives", "pool", "k1", "k2", "euclidean_weight", "squarings")
RENDERED = ("city", "city_night")
NETWORK = ("image", "backbone", "aggregator", "centroids", "cache_frozen_features", "train", "generations")
NOT_OF_DESCRIPTORS = ("train_set", *NETWORK, "whiten", "extract")


def unused_settings(raw: Mapping[str, Any], config: Config) -> list[str]:
    """Return a line for every reason that keys of a configuration do nothing, or cannot be what is meant.

    Args:
        raw: the configuration as it was given, which says which keys are written.
        config: the same, parsed.
    """
    lines = [f"config: {', '.join(keys)}: no effect: {reason}" for reason, keys in _idle_keys(raw, config).items()]
    for name, run in config.trained.items():
        lines += [f"config: runs.{name}.image.{fault}" for fault in doubtful_pixels(run)]
    return lines


def doubtful_pixels(run: RunConfig) -> Iterator[str]:
    """Yield what is doubtful about the mean and std of a trained run, beginning with the key."""
    mean, std = run.image.mean, run.image.std
    torchvision = run.backbone.weights == "imagenet" and "/" not in run.backbone.name and ":" not in run.backbone.name
    wanted = (*IMAGENET.mean, *IMAGENET.std)
    if torchvision and max(abs(a - b) for a, b in zip((*mean, *std), wanted, strict=True)) > 1e-3:
        yield (
            f"mean: torchvision's weights of {run.backbone.name} want mean {list(IMAGENET.mean)} and std "
            f"{list(IMAGENET.std)}, not {list(mean)} and {list(std)}"
        )
    blue_first = (0.38 < mean[0] < 0.43, 0.44 < mean[1] < 0.47, 0.47 < mean[2] < 0.50)  # ImageNet's, turned round
    if all(blue_first):
        yield (
            f"mean: {list(mean)} looks like blue, green, red; mean and std are those of red, green and blue, also with "
            f"backbone.channel_order: bgr"
        )


def _idle_keys(raw: Mapping[str, Any], config: Config) -> dict[str, list[str]]:
    """Return reason -> the written keys that do nothing for it."""
    found: dict[str, list[str]] = {}
    base, runs = raw.get("base") or {}, raw.get("runs") or {}
    idle = {name: idle_in_run(run) for name, run in config.runs.items()}
    written = [(f"runs.{name}.{key}", why) for name in runs for key, why in idle[name].items() if _has(runs[name], key)]
    for key, why in next(iter(idle.values())).items():
        everywhere = all(key in reasons for reasons in idle.values())
        if everywhere and _has(base, key) and len(config.trained) == len(config.runs):
            written.append((f"base.{key}", why))
    for name, run in config.runs.items():
        entries = (runs[name] or {}).get("generations") or ()
        for number, entry in enumerate(entries):
            reasons = idle_in_generation(run.generation(number), first=not number)
            written += [
                (f"runs.{name}.generations.{number}.{key}", why) for key, why in reasons.items() if _has(entry, key)
            ]
    written += [(key, why) for key, why in idle_in_experiment(config).items() if _has(raw, key)]
    for key, why in written:
        found.setdefault(why, []).append(key)
    return found


def idle_in_run(run: RunConfig) -> Reasons:
    """Return the keys of a run that do nothing for it."""
    idle: Reasons = {}
    if run.descriptors:
        return dict.fromkeys(NOT_OF_DESCRIPTORS, "`descriptors` are evaluated as they are")
    if run.checkpoint:
        idle |= dict.fromkeys((*NETWORK, "extract.checkpoint"), "the network is that of `checkpoint`")
        if run.checkpoint.whitening == "published":
            idle["whiten"] = "the whitening is the published one; checkpoint.whitening: fitted fits one"
    else:
        trains = [run.generation(number) for number in range(len(run.generations))]
        each = [idle_in_generation(one, first=not number) for number, one in enumerate(trains)]
        idle |= {f"train.{key}": why for key, why in each[0].items() if all(key in reasons for reasons in each)}
        if not run.aggregator.has_trait("centroids"):
            idle["centroids"] = f"the aggregator {run.aggregator.name} starts from no centroids"
    if "whitened" not in run.extract.descriptors:
        for key in ("whiten", "checkpoint.pca", "checkpoint.whitening"):
            idle[key] = "extract.descriptors holds no `whitened`"
    return idle


def idle_in_generation(train: TrainConfig, *, first: bool) -> Reasons:
    """Return the keys of a generation's `train` section that do nothing in it."""
    idle: Reasons = {}
    if train.mining == "random":
        idle["negative_pool_size"] = "train.mining: random draws the negatives"
    if not train.soft.weight:
        idle |= {f"soft.{key}": "soft.weight is 0" for key in SOFT}
    if first:
        idle |= dict.fromkeys(("teacher", "initialize_from"), "generation 0 has none before it")
    if not train.epochs:
        idle = {key: why for key, why in idle.items() if not key.startswith("soft.")}
        idle |= dict.fromkeys(TRAINING, "train.epochs is 0")
    return idle


def idle_in_experiment(config: Config) -> Reasons:
    """Return the keys beside `base` and `runs` that do nothing."""
    idle: Reasons = {}
    used = {*config.datasets, *(run.train_set for run in config.runs.values())}
    if config.search.index == "flat":
        idle["search.memory_gb"] = "search.index: flat has no index"
    if not config.descriptor_sizes.dims:
        for key in ("descriptor_sizes.runs", "descriptor_sizes.compression"):
            idle[key] = "descriptor_sizes.dims is empty, so nothing is measured"
    if not any(run.backbone.weights == "pretrain" for run in config.trained.values()):
        idle["pretrain"] = "no run has backbone.weights: pretrain"
    if not {name for name, registered in config.registered.items() if registered in RENDERED} & used:
        idle["city"] = "no run uses the rendered city"
    for name in config.evaluate.group_by:
        if name not in config.datasets:
            idle[f"evaluate.group_by.{name}"] = f"`datasets` does not name {name}"
    return idle


def _has(written: Any, key: str) -> bool:
    """Whether a mapping has a key, with dots, and a value there."""
    for part in key.split("."):
        if not isinstance(written, Mapping) or part not in written:
            return False
        written = written[part]
    return written is not None
