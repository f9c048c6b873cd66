"""Embedded synthetic city, rendered instead of downloaded: by day like Pittsburgh, by night like Tokyo 24/7."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vprlib.data.dataset import Dataset
from vprlib.data.datasets.pittsburgh import pittsburgh_dataset
from vprlib.data.datasets.tokyo247 import tokyo247_dataset
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.io.fingerprints import describe_difference

MARKER = "annotations.json"  # cars and people in COCO format; written last, so the dataset is complete if it exists
RADIUS = 10.0  # metres
ACCESS = "It is rendered by the workflow: run again with `-R render_city`"


def render_dataset(root: Path, size: Mapping[str, Any], workers: int, *, writer: str) -> None:
    """Render an embedded dataset and write its files.

    Args:
        root: the dataset's folder.
        size: the configuration's `city` section as plain data: the seed, and numbers of places, queries and pixels.
        workers: processes that render.
        writer: name of the function of `vprlib.data.synthetic.writer` that writes the dataset.
    """
    from tqdm import tqdm

    from vprlib.data.synthetic import writer as city_writer

    counts = dict(size)
    seed = counts.pop("seed")
    progress = partial(tqdm, disable=None, desc=f"render {root.name}")
    getattr(city_writer, writer)(root, seed=seed, size=counts, workers=workers, progress=progress)


def check_rendered(root: Path, size: Mapping[str, Any]) -> None:
    """Check that the photos in a folder were rendered with the configuration.

    The folder may be shared by projects, or may be left from before Snakemake's own records were deleted.

    Args:
        root: the dataset's folder.
        size: the configuration's `city` section as plain data.

    Raises:
        InputError: naming the first key that differs.
    """
    path = root / MARKER
    made = json.loads(path.read_text()).get("info", {}).get("city", {})
    wanted = {name: size[name] for name in size if name in made}
    if different := describe_difference({name: made[name] for name in wanted}, wanted, "city"):
        raise InputError(f"{path}: the photos were rendered with {different}; delete {root}, and run again")


def rendered_dataset(dataset: Dataset, writer: str) -> Dataset:
    """Return a declaration with the same layout, whose files `render_dataset` writes.

    Args:
        dataset: declaration of the layout.
        writer: see `render_dataset`.
    """
    return replace(
        dataset,
        files=(MARKER, *dataset.files),
        access=ACCESS,
        zone="",
        page="",
        licence="made by this project, and under its licence",
        citation="",
        render=partial(render_dataset, writer=writer),
    )


CITY = rendered_dataset(
    replace(
        pittsburgh_dataset("city", {}),
        root=Path("data/city"),
        protocols=(Protocol(f"{RADIUS:g} m", radius=RADIUS),),
    ),
    "write_city",
)
CITY_NIGHT = rendered_dataset(
    tokyo247_dataset(
        "datasets/city_night.mat",
        {"database": "", "query": "247query_v2"},
        RADIUS,
        root=Path("data/city_night"),
        access=ACCESS,
    ),
    "write_city_night",
)
