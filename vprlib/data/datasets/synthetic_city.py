"""The embedded city, by day like Pittsburgh and by night like Tokyo 24/7: rendered, not downloaded."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from vprlib.data.dataset import Dataset
from vprlib.data.datasets.pittsburgh import pittsburgh_dataset
from vprlib.data.datasets.tokyo247 import tokyo247_dataset
from vprlib.data.protocol import Protocol

MARKER = "annotations.json"  # cars and people in COCO format, written last: where it lies, the dataset is complete
RADIUS_M = 10.0
ACCESS = "It is rendered: run `snakemake -R render --until render`"


def render_dataset(root: Path, size: dict, workers: int, *, writer: str):
    """Write the files of an embedded dataset; `size` is config's `city` section as plain data."""
    from tqdm import tqdm

    from vprlib.data.synthetic import writer as city_writer

    size = dict(size)
    seed = size.pop("seed")
    progress = partial(tqdm, disable=None, desc=f"render {root.name}")
    getattr(city_writer, writer)(root, seed=seed, size=size, workers=workers, progress=progress)


def rendered_dataset(dataset: Dataset, writer: str) -> Dataset:
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
        protocols=(Protocol(f"{RADIUS_M:g} m", radius=RADIUS_M),),
    ),
    "write_city",
)
CITY_NIGHT = rendered_dataset(
    tokyo247_dataset(
        "datasets/city_night.mat",
        {"database": "", "query": "247query_v2"},
        RADIUS_M,
        root=Path("data/city_night"),
        access=ACCESS,
    ),
    "write_city_night",
)
