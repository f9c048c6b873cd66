"""Gardens Point Walking through the whole workflow: frames as positions, a hit within two frames."""

from pathlib import Path

import pandas as pd
import pytest

from tests.helpers.workflow import snakemake

CAFFE = {"mean": [123 / 255, 117 / 255, 104 / 255], "std": [1 / 255] * 3}  # what SqueezeNet's published file wants
FRAMES = {"first": range(100), "second": range(100, 200), "all": range(200)}


def traverse(root: Path, name: str, frames, role: str, split: str):
    """The rows of some frames of a traverse; frame i lies at i metres east."""
    paths = sorted((root / name).iterdir())
    assert len(paths) == 200
    return pd.DataFrame(
        {"path": [str(paths[i]) for i in frames], "split": split, "role": role, "east": list(frames), "north": 0}
    )


def write_dataset(folder: Path, name: str, *parts) -> dict:
    pd.concat(parts).to_csv(folder / f"{name}.csv", index=False)
    return {"csv": f"{name}.csv", "radius": 2, "protocol": "2 frames"}


def configuration(folder: Path, real: Path) -> dict:
    root = real / "gardens_point"
    day, night, held_out = (
        write_dataset(
            folder,
            name,
            traverse(root, query, FRAMES[frames], "query", "test"),
            traverse(root, "day_right", FRAMES[frames], "database", "test"),
        )
        for name, query, frames in (
            ("gp_day", "day_left", "all"),
            ("gp_night", "night_right", "all"),
            ("gp_night_second", "night_right", "second"),
        )
    )
    first = write_dataset(
        folder,
        "gp_first",
        traverse(root, "day_left", FRAMES["first"], "query", "train"),
        traverse(root, "day_right", FRAMES["first"], "database", "train"),
    )
    weights = real.parent / "weights/squeezenet1_0_imagenet.pth"
    squeezenet = {"name": "squeezenet1_0", "weights": "imagenet_file", "file": str(weights)}
    return {
        "datasets": ["gp_day", "gp_night", "gp_night_second"],
        "custom_datasets": {"gp_day": day, "gp_night": night, "gp_night_second": held_out, "gp_first": first},
        "seeds": [0],
        "base": {
            "train_set": "gp_night",
            "image": {"height": 180, "width": 320, **CAFFE},
            "backbone": squeezenet,
            "centroids": {"split": "test", "roles": ["database"]},
            "train": {"epochs": 0},
            "extract": {"descriptors": ["raw"]},
        },
        "runs": {
            "vlad": {},
            "vlad_first": {"train_set": "gp_first", "centroids": {"split": "train"}},
            "netvlad_first": {
                "train_set": "gp_first",
                "centroids": {"split": "train"},
                "train": {
                    "epochs": 5,
                    "positive_radius_m": 2,
                    "negative_radius_m": 5,
                    "negative_pool_size": 100,
                    "batch_size": 4,
                },
            },
        },
        "execution": {"inference_batch_size": 8},
    }


@pytest.mark.slow
def test_gardens_point_reaches_what_an_honest_pipeline_gets(real_data, tmp_path, capsys):
    config = configuration(tmp_path, real_data)
    targets = [f"results/{name}/recalls.csv" for name in config["datasets"]]
    status, text = snakemake(tmp_path, *targets, config=config)
    assert status == 0, text
    tables = pd.concat([pd.read_csv(tmp_path / target) for target in targets])
    first = tables[tables.k == 1].pivot_table(index="run", columns="dataset", values="recall")
    with capsys.disabled():
        print(f"\n{(100 * first).round(1)}")
    assert first.gp_day.vlad >= 0.93
    assert first.gp_night.vlad >= 0.66
