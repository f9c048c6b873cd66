"""State dicts with the names and shapes of other projects' checkpoints."""

import numpy as np
import torch

VGG_CONVOLUTIONS = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
VGG_POOLINGS = (4, 9, 16, 23)
PREFIXES = {"openibl": ("base_model.base", "net_vlad"), "openibl_hub": ("base_model.base", "net_vlad")}
PREFIXES |= {"pytorch_netvlad": ("encoder", "pool"), "patch_netvlad": ("encoder", "pool")}
PCA = {"openibl_hub": "pca_layer", "patch_netvlad": "WPCA.0"}


def convolution(rng, out, inside, size):
    weight = rng.normal(size=(out, inside, size, size)) * np.sqrt(2 / (inside * size * size))
    return {
        name: torch.tensor(x, dtype=torch.float32) for name, x in (("weight", weight), ("bias", rng.normal(size=out)))
    }


def published_state(project, *, clusters=4, width=1 / 16, alexnet=False, bias=False, dims=None, seed=0):
    """A state dict with a project's names and shapes; conv weight and centroids are free, as after training."""
    rng = np.random.default_rng(seed)
    encoder, pool = PREFIXES[project]
    if alexnet:
        shapes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    else:
        wide = [round(x * width) for x in (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)]
        shapes = {n: (x, inside, 3) for n, x, inside in zip(VGG_CONVOLUTIONS, wide, [3, *wide[:-1]], strict=True)}
    state = {f"{encoder}.{n}.{name}": x for n, shape in shapes.items() for name, x in convolution(rng, *shape).items()}
    channels = shapes[max(shapes)][0]
    unit = rng.normal(size=(clusters, channels)) / np.sqrt(channels)
    state[f"{pool}.conv.weight"] = torch.tensor(8 * unit, dtype=torch.float32)[:, :, None, None]
    if bias:
        state[f"{pool}.conv.bias"] = torch.tensor(rng.normal(size=clusters), dtype=torch.float32)
    state[f"{pool}.centroids"] = torch.tensor(rng.normal(size=(clusters, channels)) / 20, dtype=torch.float32)
    if dims:
        some = rng.normal(size=(dims, clusters * channels)) * rng.uniform(1, 30, (dims, 1))  # rows not orthogonal
        state[f"{PCA[project]}.weight"] = torch.tensor(some, dtype=torch.float32)[:, :, None, None]
        state[f"{PCA[project]}.bias"] = torch.tensor(rng.normal(size=dims), dtype=torch.float32)
    return state
