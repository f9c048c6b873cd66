import argparse
import os
import shutil

import h5py
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.helpers.published_checkpoints import PCA, PREFIXES, VGG_CONVOLUTIONS, VGG_POOLINGS, published_state
from vprlib.config import AggregatorConfig, BackboneConfig, ImageConfig, TrainConfig
from vprlib.config.published import MATCONVNET, reader_differs
from vprlib.io.files import read_h5, write_h5
from vprlib.io.fingerprints import sha256_of_file
from vprlib.models.checkpoint import load_checkpoint, save_checkpoint
from vprlib.models.network import build_network
from vprlib.models.published_export import export_checkpoint
from vprlib.models.published_import import import_checkpoint, import_whitening, read_published
from vprlib.models.weights import fetch_weights, read_state_dict
from vprlib.models.whitening import Whitening, load_whitening
from vprlib.training.train import TrainingSources, initial_network


def by_definition(project, state, photos_BCHW, alexnet=False):
    """A project's descriptor, layer by layer in float64, of photos in bytes."""
    state = {name: tensor.double() for name, tensor in state.items()}
    encoder, pool = PREFIXES[project]
    x = photos_BCHW.double() / 255
    if project.startswith("openibl"):
        mean, std = (0.48501960784313836, 0.4579568627450961, 0.4076039215686255), (0.00392156862745098,) * 3
    else:
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x = torch.stack([(x[:, n] - mean[n]) / std[n] for n in range(3)], dim=1)

    def conv(x, n, **options):
        return F.conv2d(x, state[f"{encoder}.{n}.weight"], state[f"{encoder}.{n}.bias"], **options)

    if alexnet:
        x = F.max_pool2d(F.relu(conv(x, 0, stride=4, padding=2)), 3, 2)
        x = F.max_pool2d(F.relu(conv(x, 3, padding=2)), 3, 2)
        x = F.relu(conv(x, 6, padding=1))
        x = conv(F.relu(conv(x, 8, padding=1)), 10, padding=1)
    else:
        for n in range(29):
            if n in VGG_CONVOLUTIONS:
                x = conv(x, n, padding=1)
            else:
                x = F.max_pool2d(x, 2) if n in VGG_POOLINGS else F.relu(x)
    x = x / x.norm(dim=1, keepdim=True)
    soft = F.conv2d(x, state[f"{pool}.conv.weight"], state.get(f"{pool}.conv.bias")).softmax(1)
    rows = []
    for k, centroid in enumerate(state[f"{pool}.centroids"]):
        residual = ((x - centroid[None, :, None, None]) * soft[:, k : k + 1]).sum((2, 3))
        rows.append(residual / residual.norm(dim=1, keepdim=True))
    vlad = torch.cat(rows, dim=1)
    vlad = vlad / vlad.norm(dim=1, keepdim=True)
    if project not in PCA:
        return vlad
    y = vlad @ state[f"{PCA[project]}.weight"][:, :, 0, 0].T + state[f"{PCA[project]}.bias"]
    return y / y.norm(dim=1, keepdim=True)


def photos(seed=0, size=(64, 96)):
    return torch.randint(256, (2, 3, *size), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def ours(found, photos_BCHW):
    with torch.inference_mode():
        x = found.model.describe(photos_BCHW, torch.device("cpu")).numpy()
    return torch.from_numpy(found.whitening.apply(x) if found.whitening else x).double()


def beside(state):
    """What a training's checkpoint holds beside the state: an optimiser's state and NumPy scalars."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    weight.sum().backward()
    optimiser.step()
    recalls = {1: np.float64(0.8), 5: np.float32(0.9)}
    return {"state_dict": state, "epoch": 3, "recalls": recalls, "best_score": np.float64(0.9), "parallel": True,
            "optimizer": optimiser.state_dict()}  # fmt: skip


def prefixed(state, prefix):
    """The names that parallel training saves: `module.` before all, or between the parts of each."""
    if prefix == "inner":
        return {
            name.replace("encoder.", "encoder.module.").replace("pool.", "pool.module."): state[name] for name in state
        }
    return {prefix + name: tensor for name, tensor in state.items()}


CASES = {
    "OpenIBL, one process": ("openibl", {}, "", beside),
    "OpenIBL, several": ("openibl", {"clusters": 64}, "module.", beside),
    "OpenIBL's hub": ("openibl_hub", {"dims": 24}, "", dict),
    "pytorch-NetVlad": ("pytorch_netvlad", {"clusters": 16}, "", beside),
    "pytorch-NetVlad, vladv2": ("pytorch_netvlad", {"bias": True}, "", beside),
    "pytorch-NetVlad, several GPUs": ("pytorch_netvlad", {"bias": True}, "inner", beside),
    "pytorch-NetVlad, AlexNet": ("pytorch_netvlad", {"alexnet": True}, "", beside),
    "Patch-NetVLAD, mapillary": ("patch_netvlad", {"clusters": 16, "bias": True, "dims": 32}, "", beside),
    "Patch-NetVLAD, pittsburgh": ("patch_netvlad", {"clusters": 64, "dims": 8}, "", beside),
    "Patch-NetVLAD, VGG16 in full": (
        "patch_netvlad",
        {"clusters": 16, "width": 1, "bias": True, "dims": 128},
        "",
        beside,
    ),
}


@pytest.mark.parametrize(("project", "options", "prefix", "wrap"), CASES.values(), ids=list(CASES))
def test_a_published_checkpoint_gives_the_descriptor_of_its_project(project, options, prefix, wrap, tmp_path):
    state = published_state(project, **options)
    torch.save(wrap(prefixed(state, prefix)), tmp_path / "model.pth.tar")
    found = read_published(tmp_path / "model.pth.tar")
    assert found.format == project
    assert found.backbone.name == ("alexnet" if options.get("alexnet") else "vgg16")
    assert (found.aggregator.option("clusters"), found.aggregator.option("bias")) == (
        options.get("clusters", 4),
        "bias" in options,
    )
    assert found.image.size == (480, 640)
    expected = by_definition(project, state, photos(), options.get("alexnet", False))
    assert (expected[0] - expected[1]).abs().max() > 1e-3
    torch.testing.assert_close(ours(found, photos()), expected, atol=1e-6, rtol=0)


def test_a_pca_file_beside_a_checkpoint_is_its_definition(tmp_path, refused):
    state = published_state("openibl")
    torch.save(beside(prefixed(state, "module.")), tmp_path / "model_best.pth.tar")
    rng = np.random.default_rng(0)
    U, lams, mu = (
        np.linalg.qr(rng.normal(size=(128, 20)))[0],
        rng.uniform(1e-3, 1e-1, 20),
        rng.normal(size=(128, 1)) / 9,
    )
    arrays = {"U": U, "lams": lams, "mu": mu, "Utmu": U.T @ mu}
    write_h5(tmp_path / "pca.h5", {name: array.astype(np.float32) for name, array in arrays.items()})
    found = read_published(tmp_path / "model_best.pth.tar", pca=tmp_path / "pca.h5")
    weight = (U / np.sqrt(lams)).T
    y = by_definition("openibl", state, photos()).numpy() @ weight.T - (weight @ mu).T
    expected = y / np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(ours(found, photos()).numpy(), expected, atol=1e-6, rtol=0)
    write_h5(tmp_path / "other.h5", {"U": U[:64], "lams": lams, "mu": mu[:64], "Utmu": arrays["Utmu"]})
    with refused(tmp_path / "other.h5", "64-D", "128-D"):
        read_published(tmp_path / "model_best.pth.tar", pca=tmp_path / "other.h5")
    write_h5(tmp_path / "bad.h5", arrays | {"lams": lams[:5]})
    with refused(tmp_path / "bad.h5", "lams is (5,)", "(20,)"):
        read_published(tmp_path / "model_best.pth.tar", pca=tmp_path / "bad.h5")
    torch.save(published_state("openibl_hub", dims=5), tmp_path / "hub.pth")
    with refused(tmp_path / "hub.pth", "its own PCA", "pca_layer.weight"):
        read_published(tmp_path / "hub.pth", pca=tmp_path / "pca.h5")


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_numpy_scalars_of_any_numpy_and_torch_are_left_aside(module, tmp_path):
    torch.save(beside(published_state("openibl")), tmp_path / "new.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "new.pth").read_bytes()
    assert b"numpy._core.multiarray" in data
    (tmp_path / "old.pth").write_bytes(data.replace(b"numpy._core.multiarray", module))
    assert set(read_state_dict(tmp_path / "old.pth")) == set(published_state("openibl"))


class Code:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def test_a_checkpoint_that_needs_a_full_unpickling_is_refused_with_what_it_holds(tmp_path, refused):
    marker = tmp_path / "ran"
    for thing, name in ((argparse.Namespace(lr=1), "argparse.Namespace"), (Code(marker), "posix.mkdir")):
        torch.save(beside(published_state("openibl")) | {"options": thing}, tmp_path / "x.pth")
        with refused(tmp_path / "x.pth", name, "full unpickling", "never"):
            read_published(tmp_path / "x.pth")
    assert not marker.exists()


def spoil(state, name, tensor=None):
    return {key: value for key, value in state.items() if key != name} | ({} if tensor is None else {name: tensor})


HUB, PATCH = published_state("openibl_hub", dims=6), published_state("patch_netvlad", dims=6)
BAD = {
    "layer missing": (spoil(HUB, "base_model.base.14.weight"), "auto", "base_model.base.14.weight is missing"),
    "layer unknown": (HUB | {"extra.weight": torch.ones(1)}, "auto", "extra.weight is unknown"),
    "module twice": (HUB | prefixed(HUB, "module."), "auto", "base_model.base.0.weight twice"),
    "clusters of another file": (
        spoil(PATCH, "pool.conv.weight", torch.ones(6, 32, 1, 1)),
        "auto",
        "6 clusters, pool.centroids 4",
    ),
    "centroids of another width": (
        spoil(PATCH, "pool.centroids", torch.ones(4, 48)),
        "auto",
        "pool.centroids is (4, 48), not (4, 32)",
    ),
    "one cluster": (
        published_state("patch_netvlad", clusters=1, dims=6),
        "auto",
        "pool.conv.weight is (1, 32, 1, 1), not (2, 32, 1, 1)",
    ),
    "PCA of another file": (
        spoil(PATCH, "WPCA.0.weight", torch.ones(6, 512, 1, 1)),
        "auto",
        "WPCA.0.weight takes 512 values, the network gives 128",
    ),
    "PCA without its offset": (spoil(HUB, "pca_layer.bias"), "auto", "pca_layer.bias is missing"),
    "PCA offset too long": (spoil(HUB, "pca_layer.bias", torch.ones(7)), "auto", "pca_layer.bias is (7,), not (6,)"),
    "PCA unwanted": (HUB, "openibl", "pca_layer.weight is unknown"),
    "PCA missing": (published_state("openibl"), "openibl_hub", "pca_layer.weight is missing"),
    "bias where there is none": (HUB | {"net_vlad.conv.bias": torch.ones(4)}, "auto", "net_vlad.conv.bias is unknown"),
    "no format": ({"0.weight": torch.ones(1)}, "auto", "no known format", "0.weight", "backbone.file"),
    "unknown format": (HUB, "openibl_hubb", "'openibl_hub'"),
    "not ours": (HUB, "vprlib", "safetensors"),
}


@pytest.mark.parametrize(
    ("state", "format", "fragments"), [(s, f, words) for s, f, *words in BAD.values()], ids=list(BAD)
)
def test_a_checkpoint_that_does_not_fit_is_one_line(state, format, fragments, tmp_path, refused):
    torch.save(state, tmp_path / "x.pth")
    with refused(*fragments):
        read_published(tmp_path / "x.pth", format=format)


def imported(out, pca_out, **source):
    """Import a checkpoint and its whitening."""
    import_checkpoint(out, file=source["file"])
    if pca_out:
        import_whitening(pca_out, checkpoint=out, **source)


def test_an_imported_checkpoint_is_one_of_ours_with_its_whitening_and_its_source(tmp_path, refused):
    file, out, pca = tmp_path / "hub.pth", tmp_path / "out" / "best.safetensors", tmp_path / "out" / "pca.h5"
    state = published_state("openibl_hub", dims=24)
    torch.save(state, file)
    digest = sha256_of_file(file)
    import_checkpoint(out, file=file, sha256=digest.upper())
    import_whitening(pca, checkpoint=out, file=file)
    attributes = load_checkpoint(out)[1]
    assert attributes["source"] == {"file": "hub.pth", "sha256": digest, "format": "openibl_hub"}
    assert (attributes["epoch"], attributes["generation"], attributes["train"]) == (0, 0, None)
    assert str(tmp_path).encode() not in out.read_bytes() + pca.read_bytes()
    again = read_published(out, pca=pca)
    assert again.format == "vprlib"
    torch.testing.assert_close(ours(again, photos()), by_definition("openibl_hub", state, photos()), atol=1e-6, rtol=0)
    assert load_whitening(out, pca).dim == 24
    imported(tmp_path / "copy" / "best.safetensors", tmp_path / "copy" / "pca.h5", file=out, pca=pca)
    copy = read_published(tmp_path / "copy" / "best.safetensors", pca=tmp_path / "copy" / "pca.h5")
    torch.testing.assert_close(ours(copy, photos()), ours(again, photos()), atol=0, rtol=0)
    with refused(file, digest, "not 00ff"):
        import_checkpoint(tmp_path / "no", file=file, sha256="00ff")
    torch.save(published_state("openibl"), tmp_path / "raw.pth")
    with refused(tmp_path / "raw.pth", "no PCA", "extract", "raw"):
        import_whitening(tmp_path / "no", checkpoint=out, file=tmp_path / "raw.pth")
    with refused("none.pth", "no such file"):
        import_checkpoint(tmp_path / "no", file="none.pth")
    assert not (tmp_path / "no").exists()
    import_checkpoint(tmp_path / "raw", file=tmp_path / "raw.pth")
    with refused(pca, "another checkpoint"):
        read_published(tmp_path / "raw", pca=pca)


@pytest.mark.parametrize(("project", "options", "prefix", "wrap"), list(CASES.values())[:-1], ids=list(CASES)[:-1])
def test_what_is_imported_is_exported_as_it_was(project, options, prefix, wrap, tmp_path):
    state = published_state(project, **options)
    torch.save(wrap(prefixed(state, prefix)), tmp_path / "in.pth")
    pca = tmp_path / "pca.h5" if project in PCA else None
    imported(tmp_path / "ours", pca, file=tmp_path / "in.pth")
    export_checkpoint(tmp_path / "ours", tmp_path / "out.pth", format=project, whitening=pca)
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    written = written if project == "openibl_hub" else written["state_dict"]
    expected = prefixed(state, "module." if project == "openibl" else "")
    assert written.keys() == expected.keys()
    for name, tensor in written.items():
        last_digit = {"atol": 1e-6, "rtol": 3e-7} if "pca" in name or "WPCA" in name else {"atol": 0, "rtol": 0}
        torch.testing.assert_close(tensor, expected[name], **last_digit)
    again = read_published(tmp_path / "out.pth")
    assert again.format == project
    expected = by_definition(project, state, photos(), options.get("alexnet", False))
    torch.testing.assert_close(ours(again, photos()), expected, atol=1e-6, rtol=0)


def test_what_a_format_cannot_hold_is_not_exported(tmp_path, refused):
    def network(name="vgg16", aggregator="netvlad", mean=(0.485, 0.456, 0.406), bias=False):
        backbone = BackboneConfig(name=name, options={"width": 1 / 16} if name == "vgg16" else {})
        sections = (
            ImageConfig(mean=mean),
            backbone,
            AggregatorConfig(name=aggregator, options={"clusters": 4, "bias": bias} if aggregator == "netvlad" else {}),
        )
        save_checkpoint(tmp_path / "ours", build_network(*sections), *sections[1:])

    whitening = Whitening.of_layer(np.ones((2, 128)), np.ones(2))
    for options, format, whitened, *fragments in (
        ({"aggregator": "gem"}, "pytorch_netvlad", False, "holds NetVLAD, not 'gem'"),
        ({"name": "resnet18"}, "pytorch_netvlad", False, "vgg16 or alexnet, not 'resnet18'"),
        ({"name": "alexnet"}, "patch_netvlad", False, "vgg16, not 'alexnet'"),
        ({"bias": True, "mean": MATCONVNET.mean}, "openibl", False, "no bias"),
        ({}, "openibl", False, "mean [0.48501961, 0.45795686, 0.40760392]", "not [0.485, 0.456, 0.406]"),
        ({}, "patch_netvlad", False, "PCA layer", "pca.h5"),
        ({}, "pytorch_netvlad", True, "has no PCA layer", "--whitening"),
        ({}, "openblib", False, "'openblib'", "openibl_hub"),
        (
            {"name": "resnet18"},
            "openibl_hub",
            True,
            "it holds backbone: vgg16; aggregator: netvlad of 64 clusters, without bias; image: {mean: [0.48501961, ",
            "extract.descriptors: [whitened] of 4096 dimensions",
        ),
    ):
        network(**options)
        whitening.save(tmp_path / "pca.h5", {"checkpoint": sha256_of_file(tmp_path / "ours")})
        with refused(*fragments):
            export_checkpoint(
                tmp_path / "ours", tmp_path / "out", format=format, whitening=tmp_path / "pca.h5" if whitened else None
            )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("format", "options", "clusters", "dims", "said"),
    [
        ("openibl_hub", {}, 64, 4096, ""),
        (
            "openibl_hub",
            {"width": 0.25},
            16,
            8,
            "vgg16 of width 0.25, not 1, 16 clusters, not 64, 8 dimensions, not 4096",
        ),
        ("openibl", {}, 32, None, "32 clusters, not 64"),
        ("pytorch_netvlad", {}, 16, None, ""),
        ("patch_netvlad", {}, 16, 512, ""),
    ],
)
def test_what_the_other_project_builds_otherwise_is_told(format, options, clusters, dims, said):
    backbone = BackboneConfig(name="vgg16", options=options)
    aggregator = AggregatorConfig(name="netvlad", options={"clusters": clusters})
    assert reader_differs(format, backbone, aggregator, dims) == said


def test_training_starts_from_the_published_convolutions_and_centroids(tmp_path):
    """`vd16_offtheshelf_conv5_3_max.pth` and `vgg16_pitts_64_desc_cen.hdf5`, in their names and shapes."""
    state = published_state("openibl")
    encoder = "base_model.base."
    stack = {name.removeprefix(encoder): tensor for name, tensor in state.items() if name.startswith(encoder)}
    torch.save(stack, tmp_path / "vd16_offtheshelf_conv5_3_max.pth")
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "vgg16_pitts_64_desc_cen.hdf5", "w") as file:
        file["descriptors"] = rng.normal(size=(500, 32)).astype(np.float32)
        file["centroids"] = rng.normal(size=(64, 32)).astype(np.float32) / 9
    file = str(tmp_path / "vd16_offtheshelf_conv5_3_max.pth")
    backbone = BackboneConfig(weights="matconvnet", file=file, options={"width": 1 / 16})
    fetch_weights(tmp_path / "w.safetensors", backbone)
    sources = TrainingSources(tmp_path / "none", tmp_path / "w.safetensors", tmp_path / "vgg16_pitts_64_desc_cen.hdf5")
    model = initial_network(MATCONVNET, backbone, AggregatorConfig(), sources, TrainConfig(), 0)
    assert all(torch.equal(model.backbone.state_dict()[f"layers.{name}"], tensor) for name, tensor in stack.items())
    centroids = read_h5(sources.centroids, "centroids")[0]
    np.testing.assert_array_equal(model.aggregator.centroids.detach(), centroids)
    unit = centroids / np.linalg.norm(centroids, axis=1, keepdims=True)
    alpha = (model.aggregator.assignment.detach().numpy() / unit).ravel()
    np.testing.assert_allclose(alpha, alpha[0], rtol=1e-4)


def test_a_moved_checkpoint_converts_from_anywhere(tmp_path):
    torch.save(published_state("openibl_hub", dims=5), tmp_path / "a.pth")
    import_checkpoint(tmp_path / "one", file=tmp_path / "a.pth")
    (tmp_path / "else").mkdir()
    shutil.move(tmp_path / "a.pth", tmp_path / "else" / "a.pth")
    import_checkpoint(tmp_path / "two", file=tmp_path / "else" / "a.pth")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
