"""Trace every number: the files it was read from, the inputs of these files, and the command that makes them."""

import functools
import json
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from vprlib.exceptions import InputError
from vprlib.io.files import format_bytes, open_h5, read_h5_attributes
from vprlib.io.fingerprints import sha256_of_file
from vprlib.report.artifacts import Artifacts, EvaluatedNetwork


def evaluation_sources(campaign: Artifacts) -> list[dict[str, Any]]:
    """Trace every evaluation, one dict each.

    Returns:
        Dicts of `id` (the anchor on the page), `dataset`, `network`, the `files` read, the inputs that these were
        `made_from`, the network's `recipe` and its fingerprint `identity`, `commit` and `version` of the code, and the
        `command` that makes the files.
    """
    describe_once = functools.cache(describe_ranking)  # the evaluations of a dataset share its image table
    return [evaluation_source(campaign, name, network, describe_once) for name, network in campaign.evaluated]


def evaluation_source(
    campaign: Artifacts, dataset: str, network: EvaluatedNetwork, describe: Callable[[Path], dict[str, str]]
) -> dict[str, Any]:
    """Trace one evaluation; see `evaluation_sources`."""
    tables = [campaign.file(name, dataset, network) for name in ("run_recalls", "run_queries")]
    tables += [*campaign.rankings(dataset, network).values()]
    tables += [campaign.file("images", dataset)]
    row = campaign.evaluated[dataset, network].iloc[0]
    made_from, recipe = provenance_chain(campaign.file("ranking", dataset, network))
    return {
        "id": source_id(dataset, network),
        "dataset": dataset,
        "network": str(network),
        "files": [describe(path) for path in tables if path.exists()],
        "made_from": made_from,
        "recipe": recipe,
        "identity": network.identity,
        "commit": "" if pd.isna(row.get("commit")) else row["commit"],
        "version": row.get("version", ""),
        "command": command_for(campaign, campaign.file("run_recalls", dataset, network)),
    }


def source_id(dataset: str, network: EvaluatedNetwork) -> str:
    """Return the anchor of an evaluation; names of runs and datasets are safe in paths, so in ids too."""
    return f"source-{dataset}-{network.path.replace('/', '-')}"


def describe_ranking(path: Path) -> dict[str, str]:
    """Return a file's path, SHA-256 and size; cached by `evaluation_sources`."""
    return {"path": str(path), "sha256": sha256_of_file(path), "bytes": format_bytes(path.stat().st_size)}


def provenance_chain(ranking: Path) -> tuple[list[list[str]], str]:
    """Read the inputs of a ranking file.

    Returns:
        [name, SHA-256] of each input, and the recipe of the network as JSON text; both empty without a ranking.
    """
    if not ranking.exists():
        return [], ""
    try:
        with open_h5(ranking, verify=()) as file:
            attributes = read_h5_attributes(file)
        model = json.loads(attributes.get("model", "{}"))
    except (InputError, ValueError):  # an incomplete file; the evaluation in the same folder is complete
        return [], ""
    if given := model.get("source", {}).get("given"):  # descriptors that were computed elsewhere
        return [[f"given file {one['file']}", one["sha256"]] for one in given.values()], ""
    inputs: list[tuple[str, str]] = [
        (name, attributes[name]) for name in ("checkpoint", "whitening") if name in attributes
    ]
    training_inputs = model.get("sources") or {}
    inputs += [(f"{name} of the training", digest) for name, digest in sorted(training_inputs.items())]
    if "source" in model:
        inputs.append((f"published file {model['source']['file']}", model["source"]["sha256"]))
    return [[what, str(digest)] for what, digest in inputs], json.dumps(model, indent=1, sort_keys=True)


def command_for(campaign: Artifacts, target: str | os.PathLike[str]) -> str:
    """Return the command that makes a file if it does not exist or is out of date."""
    options = ["--configfile", *campaign.configfiles] if campaign.configfiles else []
    options += ["--config", *campaign.overrides] if campaign.overrides else []
    return shlex.join(["snakemake", "--profile", "profiles/local", str(target), *options])
