"""The smallest training there is: 12 photos a role. Run as a program, `mini.py ROOT FOLDER SETTINGS [PROCESSES
[NODES]]`, it is the process that is killed."""

import json
import logging
import os
import sys
from pathlib import Path

import numpy as np
import torch

from vprlib.compute.launch import run_distributed
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig, parse_config
from vprlib.data.image_table import read_image_table
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.protocol import Protocol
from vprlib.io.files import write_csv, write_h5
from vprlib.models.checkpoint import write_weights
from vprlib.models.feature_cache import cache_frozen_features
from vprlib.models.network import build_network
from vprlib.training.train import TrainingSources, train_generation

SECTIONS = {
    "image": ImageConfig(height=32, width=64),
    "backbone": BackboneConfig(options={"width": 1 / 16}),
    "aggregator": AggregatorConfig(options={"clusters": 4}),
}
SETTINGS = {"epochs": 4, "negatives_per_query": 2, "negative_pool_size": 3, "batch_size": 2, "cache_refresh_queries": 4}
SETTINGS |= {
    "optimiser": {"options": {"lr": 0.05}},
    "schedule": {"options": {"step_size": 3}},
    "monitor_recall_at": 1,
    "min_initial_recall": 0,
}
SOFT = {"loss": {"name": "sare_ind", "options": {"temperature": 0.07}}, "regions": True, "soft": {"weight": 0.5}}
OUTPUTS = ("last.safetensors", "best.safetensors", "history.csv")


def run(
    root,
    folder,
    *,
    seed=0,
    generation=0,
    teacher=None,
    processes=1,
    nodes=1,
    chunk=64,
    height=32,
    by_region=False,
    cached=False,
    **settings,
):
    """Train, and return what it leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {name: root / file for name, file in (("images", "images.csv"), ("weights", "w"), ("centroids", "c.h5"))}
    sources["features"] = root / "trunk.h5" if cached else None
    execution = {
        "device": "cpu",
        "inference_batch_size": 4,
        "checkpoint_minutes": 1e-9,
        "processes": processes,
        "nodes": nodes,
    }
    execution |= {"training_batch_size": chunk}
    os.environ["OMP_NUM_THREADS"] = "1"
    run_distributed(
        parse_config({"datasets": ["city"], "runs": {"mini": {"train_set": "city"}}, "execution": execution}),
        folder / "log",
        train_generation,
        folder=folder,
        protocol=Protocol("10 m", radius=10),
        sources=TrainingSources(**sources, teacher=teacher),
        **SECTIONS | {"image": ImageConfig(height=height, width=64)},
        settings=TrainConfig(**SETTINGS | settings),
        generation=generation,
        seed=seed,
        by_region=by_region,
    )
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def make(root, photo):
    """12 tiny photos a role: 7 places of train and 5 of val, 50 m apart; the last train query is far from all."""
    rows = ["path,split,role,east,north"]
    for place in range(12):
        for number, role in enumerate(("database", "query")):
            name = f"{role}_{place}.png"
            photo(root / name, seed=100 * number + place // 2)
            east = 50 * place + 3 * number + 30 * (role == "query" and place == 6)
            rows.append(f"{name},{'train' if place < 7 else 'val'},{role},{east},0")
    (root / "own.csv").write_text("\n".join(rows))
    write_csv(root / "images.csv", csv_dataset(root / "own.csv", Protocol("10 m", radius=10)).table())
    write_weights(root / "w", initial().backbone.state_dict(), {})
    compute = {"device": torch.device("cpu"), "batch": 4, "workers": 0}
    seen = {"image": SECTIONS["image"], "backbone": SECTIONS["backbone"]}
    cache_frozen_features(
        root / "trunk.h5", table=read_image_table(root / "images.csv"), weights=root / "w", **seen, **compute
    )
    rng = np.random.default_rng(0)
    descriptors = rng.normal(size=(50, 32)).astype(np.float32)
    write_h5(root / "c.h5", {"centroids": descriptors[:4] / 2, "descriptors": descriptors})
    return root


def initial():
    """A random network whose features are not all alike, as torch's own start makes them in 13 layers."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build_network(**SECTIONS)
        for layer in model.backbone.layers.values():
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                torch.nn.init.zeros_(layer.bias)
    return model


if __name__ == "__main__":
    settings = json.loads(sys.argv[3])
    if settings.get("teacher"):
        settings["teacher"] = Path(settings["teacher"])
    Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
    logging.basicConfig(filename=Path(sys.argv[2]) / "log", level=logging.INFO)
    processes, nodes = map(int, (*sys.argv[4:], 1, 1)[:2])
    run(Path(sys.argv[1]), Path(sys.argv[2]), processes=processes, nodes=nodes, **settings)
