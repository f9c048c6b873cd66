"""Centroids, trunk, extraction and merging on a handful of small photos."""

import logging

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from vprlib.config import AggregatorConfig, BackboneConfig, CentroidsConfig, ImageConfig, WhitenConfig
from vprlib.images.loader import PhotoDataset
from vprlib.models import feature_cache
from vprlib.models.checkpoint import save_checkpoint, write_weights
from vprlib.models.feature_cache import CachedFeatures, cache_frozen_features, open_inputs
from vprlib.models.network import build_network
from vprlib.retrieval.extract import extract_descriptors, extract_shard
from vprlib.retrieval.merge_shards import merge_shards
from vprlib.retrieval.whiten import fit_whitening
from vprlib.training.centroids import compute_centroids, kmeans

IMAGE = ImageConfig(height=32, width=48)
BACKBONE = BackboneConfig(weights="own", file="own.pth", options={"width": 0.0625})
COMPUTE = {"device": torch.device("cpu"), "batch": 4, "workers": 0}
SHARED = {"image": IMAGE, "backbone": BACKBONE, **COMPUTE}


@pytest.fixture
def table(tmp_path, photo):
    rows = []
    for split, count in (("train", 8), ("val", 4), ("test", 7)):
        for number in range(count):
            path = tmp_path / f"{split}{number}.png"
            photo(path, number)
            rows.append((str(path), split, "query" if number % 2 else "database"))
    return pd.DataFrame(rows, columns=["path", "split", "role"])


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = build_network(IMAGE, BACKBONE, AggregatorConfig(options={"clusters": 3}))
    for parameter in made.backbone.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    return made


@pytest.fixture
def weights(tmp_path, model):
    write_weights(tmp_path / "weights", model.backbone.state_dict(), {})
    return tmp_path / "weights"


def test_cached_activations_describe_like_the_photos_do(tmp_path, table, model, weights):
    cache_frozen_features(tmp_path / "trunk.h5", table=table, weights=weights, **SHARED)
    cached = open_inputs(table, IMAGE, tmp_path / "trunk.h5")
    assert isinstance(cached, CachedFeatures)
    some = [9, 2, 5]
    through = extract_descriptors(model, cached, some, **COMPUTE)
    direct = extract_descriptors(model, PhotoDataset(table.path, 32, 48), some, **COMPUTE)
    assert np.abs(through - direct).max() < 2e-3
    assert (
        np.linalg.norm(through - direct, axis=1) < np.linalg.norm(direct - np.roll(direct, 1, axis=0), axis=1)
    ).all()
    halved = extract_descriptors(model, cached, some, bf16=True, **COMPUTE)
    assert 0 < np.abs(halved - direct).max() < 0.1
    with pytest.raises(KeyError):
        cached[12]  # a test photo is not cached


def test_a_full_disk_keeps_the_photos_and_says_so(tmp_path, table, weights, monkeypatch, caplog):
    class Usage:
        free = 1000

    monkeypatch.setattr(feature_cache.shutil, "disk_usage", lambda _: Usage)
    with caplog.at_level(logging.INFO):
        cache_frozen_features(tmp_path / "trunk.h5", table=table, weights=weights, **SHARED)
    assert "not cached" in caplog.text
    assert isinstance(open_inputs(table, IMAGE, tmp_path / "trunk.h5"), PhotoDataset)


def test_kmeans_sees_every_point_and_repeats():
    points = np.random.default_rng(0).normal(size=(3000, 2)).astype(np.float32)  # over 256 a cluster, faiss' default
    found = kmeans(points, 3, iterations=200, seed=1)
    nearest = np.linalg.norm(points[:, None] - found, axis=2).argmin(1)
    for number, centre in enumerate(found):
        np.testing.assert_allclose(centre, points[nearest == number].mean(0), atol=1e-3)
    np.testing.assert_array_equal(found, kmeans(points, 3, iterations=200, seed=1))


def test_centroids_are_those_of_unit_features_of_the_training_photos(tmp_path, table, model, weights):
    settings = CentroidsConfig(images=6, per_image=4, iterations=5)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        options = {"weights": weights, "features": None, "clusters": 3, "settings": settings, "seed": seed}
        compute_centroids(tmp_path / name, table=table, **options, **SHARED)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() != (tmp_path / "c").read_bytes()
    with h5py.File(tmp_path / "a") as file:
        assert file["centroids"].shape == (3, model.backbone.channels)
        np.testing.assert_allclose(np.linalg.norm(file["descriptors"][:], axis=1), 1, atol=1e-5)
        assert len(file["descriptors"]) == 6 * 4


@pytest.mark.parametrize("shards", [1, 3])
def test_merged_shards_are_the_descriptors_in_the_table_s_order(tmp_path, table, model, shards, refused):
    save_checkpoint(tmp_path / "model", model, BACKBONE, AggregatorConfig(options={"clusters": 3}))
    fit_whitening(
        tmp_path / "pca",
        table=table,
        checkpoint=tmp_path / "model",
        features=None,
        settings=WhitenConfig(dim=3),
        seed=0,
        **COMPUTE,
    )
    options = {"table": table, "checkpoint": tmp_path / "model", "whitening": tmp_path / "pca", **COMPUTE}
    options |= {"framings": ["fixed", "shorter", "five_mean", "five_nearest"]}
    for shard in range(shards):
        extract_shard(tmp_path / f"shard{shard}", kinds=("raw", "whitened"), shard=shard, shards=shards, **options)
    merge_shards(tmp_path, [tmp_path / f"shard{shard}" for shard in range(shards)])
    for role, name in (("database", "database.h5"), ("query", "queries.h5")):
        rows = np.flatnonzero((table.split == "test") & (table.role == role))
        expected = extract_descriptors(model, PhotoDataset(table.path, 32, 48), rows, **COMPUTE)
        with h5py.File(tmp_path / name) as file:
            assert file["raw"].dtype == np.float16
            np.testing.assert_allclose(file["raw"][:], expected, atol=1e-3)
            assert file["whitened"].shape == (len(rows), 3)
            assert ("raw@shorter" in file) == (role == "query")
    with h5py.File(tmp_path / "queries.h5") as file:
        for framing in ("shorter", "five_mean", "five_nearest"):
            alone = [
                extract_descriptors(model, PhotoDataset(table.path, 32, 48, framing), [row], **COMPUTE)[0]
                for row in rows
            ]
            np.testing.assert_allclose(file[f"raw@{framing}"][:], alone, atol=1e-3)
        crops = file["raw@five_nearest"][:].astype(np.float32)
        assert crops.shape == (len(rows), 5, model.dim)
        mean = crops.mean(1) / np.linalg.norm(crops.mean(1), axis=1, keepdims=True)
        np.testing.assert_allclose(file["raw@five_mean"][:], mean, atol=2e-3)
        np.testing.assert_allclose(np.linalg.norm(file["whitened@five_nearest"][:], axis=2), 1, atol=1e-2)
    save_checkpoint(tmp_path / "model", model, BACKBONE, AggregatorConfig(options={"clusters": 3}), epoch=9)
    with refused(tmp_path / "pca", "another checkpoint"):
        extract_shard(tmp_path / "shard0", kinds=("whitened",), shard=0, shards=1, **options)
