"""Where every number comes from: the files that it was read from, what these were made from, and the command."""

import functools
import json
import shlex
from pathlib import Path

import h5py
import pandas as pd

from vprlib.io.files import format_bytes
from vprlib.io.fingerprints import sha256_of_file
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork


def evaluation_sources(campaign: Artifacts) -> list:
    """A dict an evaluation: its `id` on the page, `dataset`, `network`, `files` read, what these were `made_from`, the
    `recipe` of the network, and the `command` that makes them."""
    once = functools.cache(describe_ranking)  # a dataset's image table is read by each of its evaluations
    return [evaluation_source(campaign, name, network, once) for name, network in campaign.evaluated]


def evaluation_source(campaign: Artifacts, dataset: str, network: EvaluatedNetwork, described) -> dict:
    folder = campaign.evaluation(dataset, network)
    tables = [folder / "recalls.csv", folder / "queries.csv", *campaign.rankings(dataset, network).values()]
    tables += [campaign.results / dataset / "images.csv"]
    row = campaign.evaluated[dataset, network].iloc[0]
    made_from, recipe = provenance_chain(folder / "ranking.h5")
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
        "command": command_for(campaign, folder / "recalls.csv"),
    }


def source_id(dataset: str, network: EvaluatedNetwork) -> str:
    """The anchor of an evaluation on the page; names of runs and datasets are parts of paths, so of ids too."""
    return f"source-{dataset}-{network.path.replace('/', '-')}"


def describe_ranking(path: Path) -> dict:
    return {"path": str(path), "sha256": sha256_of_file(path), "bytes": format_bytes(path.stat().st_size)}


def provenance_chain(ranking: Path) -> tuple:
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


def command_for(campaign: Artifacts, target) -> str:
    """What makes a file, if it is not there or not up to date."""
    named = ["--configfile", *campaign.configfiles] if campaign.configfiles else []
    named += ["--config", *campaign.overrides] if campaign.overrides else []
    return shlex.join(["snakemake", "--profile", "profiles/local", str(target), *named])
