"""Write a synthetic experiment for the report: photos, tables and rankings of several runs and datasets.

The library's own functions write the tables, so that they have the columns of real ones. Rankings and training
histories are random.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.checks.verify import verify_dataset
from vprlib.data.protocol import Protocol
from vprlib.evaluation.comparison import paired_differences, precision_recall_tables, recall_by_threshold
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.query_table import per_query_table
from vprlib.evaluation.recall_table import join_results, recall_table
from vprlib.io.files import write_csv, write_h5
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork

KS = (1, 5, 10, 20)
TOP_K = 100
DISTINCT_PHOTOS = 48  # the other photos are links to these
DIMENSIONS = {"raw": 2048, "whitened": 256}  # of each kind of descriptor


def write_photo(path: Path, seed: int, size: tuple[int, int]) -> None:
    """Write a photo of noise with detail at several scales.

    Args:
        path: the file.
        seed: seed of the noise.
        size: (width, height) in pixels.
    """
    generator, image = np.random.default_rng(seed), np.zeros((size[1], size[0], 3))
    for octave in range(2, 7):
        small = Image.fromarray(generator.integers(0, 256, (3 * 2**octave // 4, 2**octave, 3), np.uint8))
        image += np.asarray(small.resize(size, Image.Resampling.BICUBIC), float) * 0.5 ** (octave - 1)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def write_dataset(
    folder: Path, name: str, counts: Mapping[tuple[str, str], int], generator: np.random.Generator, suffix: str = ""
) -> Path:
    """Write a dataset as a CSV of photos along streets, with a condition `light`.

    Args:
        folder: a new folder, beside the photos.
        name: the dataset.
        counts: (split, role) -> number of photos.
        generator: source of randomness.
        suffix: end of the photos' names, and of a value of the condition.

    Returns:
        The path of the CSV.
    """
    folder.mkdir(parents=True)
    tables = []
    for (split, role), count in counts.items():
        paths = [f"{split}_{role}_{number:06d}{suffix}.jpg" for number in range(count)]
        for number, path in enumerate(paths):
            (folder / path).symlink_to(folder.parent / f"{number % DISTINCT_PHOTOS}.jpg")
        along, street = generator.uniform(0, 4 * count, count), generator.integers(0, 12, count) * 40.0
        eastward = generator.random(count) < 0.5
        east, north = np.where(eastward, along, street) + 580_000, np.where(eastward, street, along) + 4_470_000
        table = pd.DataFrame({"path": paths, "split": split, "role": role, "east": east, "north": north})
        tables.append(table.assign(light=np.where(generator.random(count) < 0.3, f"night{suffix}", "day")))
    table = pd.concat(tables, ignore_index=True)
    for split in table.split.unique():  # move each query beside a database photo
        query, database = (table.index[(table.split == split) & (table.role == role)] for role in ("query", "database"))
        beside = generator.choice(database, len(query))
        shift = generator.normal(0, 6, (len(beside), 2))
        table.loc[query, ["east", "north"]] = table.loc[beside, ["east", "north"]].to_numpy() + shift
    write_csv(folder / f"{name}.csv", table)
    return folder / f"{name}.csv"


def write_ranking(
    path: Path, images: Path, protocol: Protocol, skill: float, generator: np.random.Generator, kinds: Sequence[str]
) -> None:
    """Write a random ranking for each kind of descriptor.

    Args:
        path: the ranking file.
        images: the image table.
        protocol: defines the positives.
        skill: share of the queries that have a positive at rank 1; the others have one at a random rank, if at all.
        generator: source of randomness.
        kinds: kinds of descriptors.
    """
    table = pd.read_csv(images)
    query, database = (table[(table.split == "test") & (table.role == role)] for role in ("query", "database"))
    positives = protocol.positives(query.reset_index(drop=True), database.reset_index(drop=True))
    depth = min(TOP_K, len(database))
    arrays: dict[str, Any] = {}
    for kind in kinds:
        ranking_QK = generator.integers(0, len(database), (len(query), depth))
        for row, near in enumerate(positives):
            column = 0 if generator.random() < skill else generator.geometric(0.06)
            if len(near) and column < depth:
                ranking_QK[row, column] = generator.choice(near)
        score_QK = -np.sort(-generator.random((len(query), depth)).astype(np.float32), axis=1)
        named = {"ranking": ranking_QK, "score": score_QK, "dim": np.array(DIMENSIONS[kind])}
        arrays |= {f"all/{kind}/{name}": values for name, values in named.items()}
    model = {"epoch": 3, "train": {"monitor_recall_at": 5}, "sources": {"weights": "0" * 64}}
    attributes = {"checkpoint": "1" * 64, "index": "flat", "model": json.dumps(model)}
    write_h5(path, arrays, attributes)


def write_history(path: Path, generator: np.random.Generator, epochs: int = 5) -> None:
    """Write a random training history, with losses that fall and recalls that rise."""
    losses = [np.nan, *np.sort(generator.random(epochs))[::-1]]
    columns: dict[str, object] = {"epoch": range(epochs + 1), "learning_rate": 0.001, "loss": losses}
    columns |= {f"val_recall@{k}": np.sort(generator.random(epochs + 1)) for k in (1, 5)}
    write_csv(path, pd.DataFrame(columns))


def write_evaluation(
    campaign: Artifacts, dataset: str, network: EvaluatedNetwork, skill: float, generator: np.random.Generator
) -> None:
    """Write the ranking of a network on a dataset, its recalls and its per-query results."""
    images, folder = campaign.results / dataset / "images.csv", campaign.evaluation(dataset, network)
    ranking = folder / "ranking.h5"
    kinds = campaign.config.runs[network.run].extract.descriptors
    write_ranking(ranking, images, campaign.protocols[dataset][0], skill, generator, kinds)
    selection: dict[str, Any] = {"checkpoint": "best", "train_set": dataset, "validation": images}
    recalls, queries = [], []
    for protocol in campaign.protocols[dataset]:
        predictions = load_predictions(images=images, ranking=ranking, protocol=protocol)
        setting: dict[str, Any] = {"images": images, "ks": KS, "config_hash": network.identity, "group_by": ["light"]}
        setting["protocol"] = protocol
        recalls.append(recall_table(predictions, **setting, ranking=ranking, recipe={}, selection=selection))
        queries.append(per_query_table(predictions, **setting))
    for name, parts in {"recalls": recalls, "queries": queries}.items():
        table = pd.concat(parts, ignore_index=True)
        write_csv(folder / f"{name}.csv", table.assign(dataset=dataset, run=network.run, seed=network.seed, gen=0))


def write_comparisons(campaign: Artifacts, dataset: str) -> None:
    """Write the tables that compare the runs of a dataset."""
    paths = [campaign.evaluation(dataset, network) / "queries.csv" for network in campaign.networks]
    results = join_results(paths, [network.identity for network in campaign.networks])
    points, summary = precision_recall_tables(results)
    tables = {"differences": paired_differences(results), "thresholds": recall_by_threshold(results)}
    for name, table in (tables | {"precision": points, "summary": summary}).items():
        write_csv(campaign.results / dataset / f"{name}.csv", table)


def make_campaign(
    folder: Path,
    *,
    runs: Sequence[str],
    names: Sequence[str],
    queries: int,
    database: int,
    size: tuple[int, int] = (640, 480),
    checked: bool = True,
    text: str = "",
    frames: Sequence[str] = (),
    kinds: Sequence[str] = ("whitened",),
    seeds: Mapping[str, int] | None = None,
    stricter: Mapping[str, float] | None = None,
) -> Artifacts:
    """Write an experiment into a folder; every run is evaluated on every dataset.

    Args:
        folder: where `data`, `results` and `logs` are written.
        runs: names of the runs; later ones have higher recalls.
        names: names of the datasets; the runs are trained on the first one.
        queries: queries in the test split of each dataset.
        database: database images in the test split of each dataset.
        size: (width, height) of the photos, pixels.
        checked: whether the datasets are verified, which is slow.
        text: a part of the photos' names, of a condition's value and of the protocols' names.
        frames: datasets whose positions are frame numbers, not metres.
        kinds: kinds of descriptors of every run.
        seeds: run -> number of seeds, if more than one.
        stricter: dataset -> hit radius (metres) of a second protocol.

    Returns:
        The artefacts, as the report reads them.
    """
    generator = np.random.default_rng(0)
    (folder / "data").mkdir(parents=True)
    for number in range(DISTINCT_PHOTOS):
        write_photo(folder / "data" / f"{number}.jpg", number, size)
    counts = {("test", "database"): database, ("test", "query"): queries}
    counts |= {(split, role): 12 for split in ("train", "val") for role in ("database", "query")}
    tables = {
        name: write_dataset(folder / "data" / f"d{number}", name, counts, generator, text)
        for number, name in enumerate(names)
    }
    asked = {
        "datasets": names,
        "custom_datasets": {
            name: {"csv": str(path), "radius": 25, "protocol": f"own{text}"} for name, path in tables.items()
        },
        "base": {"train_set": names[0], "extract": {"descriptors": list(kinds)}},
        "runs": {
            run: {"train": {"loss": {"options": {"margin": 0.1 + number / 100}}}} for number, run in enumerate(runs)
        },
        "evaluate": {"recall_at": list(KS), "group_by": {name: ["light"] for name in names}},
    }
    config = parse_config(asked)
    protocols = {name: list(get_dataset(name, config).protocols) for name in names}
    for name in frames:
        protocols[name] = [replace(protocol, unit="frames") for protocol in protocols[name]]
    for name, radius in (stricter or {}).items():
        protocols[name].append(replace(protocols[name][0], name=f"{radius} m", radius=radius))
    networks = [(run, seed) for run in runs for seed in range((seeds or {}).get(run, 1))]
    campaign = Artifacts(
        config=config,
        asked=asked,
        networks=[EvaluatedNetwork(run, seed, 0, config.runs[run].identity(0)) for run, seed in networks],
        protocols=protocols,
        configfiles=("config.yaml",),
        results=folder / "results",
        logs=folder / "logs",
    )
    for name in names:
        dataset, images = get_dataset(name, config), campaign.results / name / "images.csv"
        write_csv(images, dataset.table())
        if checked:
            verify_dataset(
                campaign.results / name / "verification.json",
                images=images,
                dataset=dataset,
                name=name,
                max_hash_distance=4,
                threads=2,
            )
        for network in campaign.networks:
            skill = 0.3 + 0.5 * list(runs).index(network.run) / len(runs)
            write_evaluation(campaign, name, network, skill, generator)
        write_comparisons(campaign, name)
    for network in campaign.networks:
        write_history(campaign.model(network) / "history.csv", generator)
    return campaign
