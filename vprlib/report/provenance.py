"""Where every number comes from: the files that it was read from, what these were made from, and the command."""

import functools
import json
import shlex
from pathlib import Path

import h5py
import pandas as pd

from vprlib.io import files
from vprlib.report.artifacts import Campaign, Network


def sources(campaign: Campaign) -> list:
    """A dict an evaluation: its `id` on the page, `dataset`, `network`, `files` read, what these were `made_from`, the
    `recipe` of the network, and the `command` that makes them."""
    once = functools.cache(described)  # a dataset's image table is read by each of its evaluations
    return [of_evaluation(campaign, name, network, once) for name, network in campaign.evaluated]


def of_evaluation(campaign: Campaign, dataset: str, network: Network, described) -> dict:
    folder = campaign.evaluation(dataset, network)
    tables = [folder / "recalls.csv", folder / "queries.csv", *campaign.rankings(dataset, network).values()]
    tables += [campaign.results / dataset / "images.csv"]
    row = campaign.evaluated[dataset, network].iloc[0]
    made_from, recipe = chain(folder / "ranking.h5")
    return {
        "id": source_id(dataset, network),
        "dataset": dataset,
        "network": str(network),
        "files": [described(path) for path in tables if path.exists()],
        "made_from": made_from,
        "recipe": recipe,
        "identity": network.identity,
        "commit": "" if pd.isna(row.get("commit")) else row["commit"],
        "version": row.get("version", ""),
        "command": command(campaign, folder / "recalls.csv"),
    }


def source_id(dataset: str, network: Network) -> str:
    """The anchor of an evaluation on the page; names of runs and datasets are parts of paths, so of ids too."""
    return f"source-{dataset}-{network.path.replace('/', '-')}"


def described(path: Path) -> dict:
    return {"path": str(path), "sha256": files.digest(path), "bytes": files.amount(path.stat().st_size)}


def chain(ranking: Path) -> tuple:
    """([what, SHA-256] of all that a ranking was made from, its network's recipe as text); empty without a ranking."""
    if not ranking.exists():
        return [], ""
    try:
        with h5py.File(ranking, "r") as file:
            attributes = {name: file.attrs[name] for name in file.attrs}
        model = json.loads(attributes.get("model", "{}"))
    except (OSError, ValueError):  # half a file; the evaluation beside it is whole
        return [], ""
    made = [(name, attributes[name]) for name in ("checkpoint", "whitening") if name in attributes]
    own = model.get("sources") or {}
    made += [(f"{name} of the training", digest) for name, digest in sorted(own.items())]
    if "source" in model:
        made.append((f"published file {model['source']['file']}", model["source"]["sha256"]))
    return [[what, str(digest)] for what, digest in made], json.dumps(model, indent=1, sort_keys=True)


def command(campaign: Campaign, target) -> str:
    """What makes a file, if it is not there or not up to date."""
    named = ["--configfile", *campaign.configfiles] if campaign.configfiles else []
    named += ["--config", *campaign.overrides] if campaign.overrides else []
    return shlex.join(["snakemake", "--profile", "profiles/local", str(target), *named])
