"""A made-up campaign: photos, tables and rankings of several runs and datasets, written by what writes real ones."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from vprlib.config import parse_config
from vprlib.data.catalogue import get_dataset
from vprlib.data.checks.verify import verify_dataset
from vprlib.evaluation.comparison import paired_differences, precision_recall_tables, recall_by_threshold
from vprlib.evaluation.predictions import load_predictions
from vprlib.evaluation.query_table import per_query_table
from vprlib.evaluation.recall_table import join_results, recall_table
from vprlib.io.files import write_csv, write_h5
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork

KS = (1, 5, 10, 20)
DISTINCT = 48  # photos; the others are links to them


def paint(path: Path, seed: int, size=(640, 480)):
    """Write a photo with detail at several scales."""
    rng, image = np.random.default_rng(seed), np.zeros((size[1], size[0], 3))
    for octave in range(2, 7):
        small = Image.fromarray(rng.integers(0, 256, (3 * 2**octave // 4, 2**octave, 3), np.uint8))
        image += np.asarray(small.resize(size, Image.Resampling.BICUBIC), float) * 0.5 ** (octave - 1)
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(path, quality=85)


def photos(folder: Path, name: str, counts: dict, rng, text: str = "") -> Path:
    """Write a dataset as a CSV of photos along streets, with a condition `light`; returns its path."""
    folder.mkdir(parents=True)
    tables = []
    for (split, role), count in counts.items():
        paths = [f"{split}_{role}_{number:06d}{text}.jpg" for number in range(count)]
        for number, path in enumerate(paths):
            (folder / path).symlink_to(folder.parent / f"{number % DISTINCT}.jpg")
        along, street = rng.uniform(0, 4 * count, count), rng.integers(0, 12, count) * 40.0
        turned = rng.random(count) < 0.5
        east, north = np.where(turned, along, street) + 580_000, np.where(turned, street, along) + 4_470_000
        table = pd.DataFrame({"path": paths, "split": split, "role": role, "east": east, "north": north})
        tables.append(table.assign(light=np.where(rng.random(count) < 0.3, f"night{text}", "day")))
    table = pd.concat(tables, ignore_index=True)
    for split in table.split.unique():  # a query lies beside a database photo
        here = {role: table.index[(table.split == split) & (table.role == role)] for role in ("query", "database")}
        beside = rng.choice(here["database"], len(here["query"]))
        shift = rng.normal(0, 6, (len(beside), 2))
        table.loc[here["query"], ["east", "north"]] = table.loc[beside, ["east", "north"]].to_numpy() + shift
    write_csv(folder / f"{name}.csv", table)
    return folder / f"{name}.csv"


DIMS = {"raw": 2048, "whitened": 256}  # of the kinds of descriptors


def ranking(path: Path, images: Path, protocol, skill: float, rng, kinds: tuple, depth: int = 100):
    """Write a ranking of each kind, whose first hit is at rank 1 for about a share `skill` of the queries."""
    table = pd.read_csv(images)
    query, database = (table[(table.split == "test") & (table.role == role)] for role in ("query", "database"))
    right = protocol.positives(query.reset_index(drop=True), database.reset_index(drop=True))
    depth = min(depth, len(database))
    arrays = {}
    for kind in kinds:
        found = rng.integers(0, len(database), (len(query), depth))
        for row, positives in enumerate(right):
            place = 0 if rng.random() < skill else rng.geometric(0.06)
            if len(positives) and place < depth:
                found[row, place] = rng.choice(positives)
        score = -np.sort(-rng.random((len(query), depth)).astype(np.float32), axis=1)
        named = {"ranking": found, "score": score, "dim": np.array(DIMS[kind])}
        arrays |= {f"all/{kind}/{name}": values for name, values in named.items()}
    model = {"epoch": 3, "train": {"monitor_recall_at": 5}, "sources": {"weights": "0" * 64}}
    attributes = {"checkpoint": "1" * 64, "index": "flat", "model": json.dumps(model)}
    write_h5(path, arrays, attributes)


def history(path: Path, rng, epochs: int = 5, val: bool = True):
    rows = {"epoch": range(epochs + 1), "learning_rate": 0.001, "loss": [np.nan, *np.sort(rng.random(epochs))[::-1]]}
    recalls = {"val_recall@1": np.sort(rng.random(epochs + 1)), "val_recall@5": np.sort(rng.random(epochs + 1))}
    write_csv(path, pd.DataFrame(rows | (recalls if val else {})))


def evaluate(campaign: Artifacts, dataset: str, network: EvaluatedNetwork, skill: float, rng):
    """Write the ranking of a network on a dataset, its recalls and answers."""
    images, folder = campaign.results / dataset / "images.csv", campaign.evaluation(dataset, network)
    kinds = campaign.config.runs[network.run].extract.descriptors
    ranking(folder / "ranking.h5", images, campaign.protocols[dataset][0], skill, rng, kinds)
    asked = {"images": images, "ks": KS, "config_hash": network.identity, "group_by": ["light"]}
    path = folder / "ranking.h5"
    chosen = {"checkpoint": "best", "train_set": dataset, "validation": images}
    tables = {"recalls": [], "queries": []}
    for protocol in campaign.protocols[dataset]:
        found = load_predictions(images=images, ranking=path, protocol=protocol)
        about = asked | {"protocol": protocol}
        tables["recalls"].append(recall_table(found, **about, ranking=path, recipe={}, selection=chosen))
        tables["queries"].append(per_query_table(found, **about))
    for name, parts in tables.items():
        table = pd.concat(parts, ignore_index=True)
        write_csv(folder / f"{name}.csv", table.assign(dataset=dataset, run=network.run, seed=network.seed, gen=0))


def details(campaign: Artifacts, dataset: str):
    """Write what `details` does."""
    paths = [campaign.evaluation(dataset, network) / "queries.csv" for network in campaign.networks]
    answers = join_results(paths, [network.identity for network in campaign.networks])
    points, summary = precision_recall_tables(answers)
    tables = {"differences": paired_differences(answers), "thresholds": recall_by_threshold(answers)}
    for name, table in (tables | {"precision": points, "summary": summary}).items():
        write_csv(campaign.results / dataset / f"{name}.csv", table)


def margin(value: float) -> dict:
    return {"options": {"margin": value}}


def make_campaign(
    folder: Path,
    *,
    runs: list,
    names: list,
    queries: int,
    database: int,
    size=(640, 480),
    checked=True,
    text="",
    frames=(),
    kinds=("whitened",),
    seeds=None,
    stricter=None,
) -> Artifacts:
    """Make a campaign in a folder; every run is judged on every dataset.

    Args:
        size: of the photos, pixels.
        checked: with `verify`, which is slow.
        text: a part of the photos' names, of a condition's value and of the protocols' names.
        frames: datasets whose positions are frames, not metres.
        kinds: of descriptors, that every run has.
        seeds: how many a run has, where it is not one.
        stricter: dataset -> a smaller radius (metres) of a second protocol.
    """
    rng = np.random.default_rng(0)
    (folder / "data").mkdir(parents=True)
    for number in range(DISTINCT):
        paint(folder / "data" / f"{number}.jpg", number, size)
    some = {("test", "database"): database, ("test", "query"): queries}
    some |= {(split, role): 12 for split in ("train", "val") for role in ("database", "query")}
    csvs = {name: photos(folder / "data" / f"d{number}", name, some, rng, text) for number, name in enumerate(names)}
    asked = {
        "datasets": names,
        "custom_datasets": {
            name: {"csv": str(path), "radius": 25, "protocol": f"own{text}"} for name, path in csvs.items()
        },
        "base": {"train_set": names[0], "extract": {"descriptors": list(kinds)}},
        "runs": {run: {"train": {"loss": margin(0.1 + number / 100)}} for number, run in enumerate(runs)},
        "evaluate": {"recall_at": list(KS), "group_by": {name: ["light"] for name in names}},
    }
    cfg = parse_config(asked)
    protocols = {name: list(get_dataset(name, cfg).protocols) for name in names}
    for name in frames:
        protocols[name] = [replace(protocol, unit="frames") for protocol in protocols[name]]
    for name, radius in (stricter or {}).items():
        protocols[name].append(replace(protocols[name][0], name=f"{radius} m", radius=radius))
    networks = [(run, seed) for run in runs for seed in range((seeds or {}).get(run, 1))]
    campaign = Artifacts(
        config=cfg,
        asked=asked,
        networks=[EvaluatedNetwork(run, seed, 0, cfg.runs[run].identity(0)) for run, seed in networks],
        protocols=protocols,
        configfiles=("config.yaml",),
        results=folder / "results",
        logs=folder / "logs",
    )
    for name in names:
        dataset = get_dataset(name, cfg)
        write_csv(campaign.results / name / "images.csv", dataset.table())
        if checked:
            place = {"images": campaign.results / name / "images.csv", "dataset": dataset, "name": name}
            verify_dataset(campaign.results / name / "verification.json", **place, max_hash_distance=4, threads=2)
        for network in campaign.networks:
            evaluate(campaign, name, network, 0.3 + 0.5 * runs.index(network.run) / len(runs), rng)
        details(campaign, name)
    for network in campaign.networks:
        history(campaign.model(network) / "history.csv", rng)
    return campaign


made = make_campaign
