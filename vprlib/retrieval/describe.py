"""Load a network by its file or name, and describe photos with it.

Axes: N photos, D dimensions.
"""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vprlib.compute.device import select_device
from vprlib.config.network_name import parse_network_name
from vprlib.exceptions import InputError
from vprlib.images.loader import PhotoDataset
from vprlib.models.checkpoint import load_weights
from vprlib.models.network import build_backbone, build_network
from vprlib.models.published_import import PublishedNetwork, read_published
from vprlib.models.weights import fetch_weights
from vprlib.retrieval.extract import extract_descriptors


def load_network(network: str | os.PathLike[str], whitening: str | os.PathLike[str] | None = None) -> PublishedNetwork:
    """Load a network: the file of a checkpoint of any known format, or a name as `parse_network_name` takes it.

    Args:
        network: the file, or the name.
        whitening: the PCA file to whiten with; see `read_published`.

    Raises:
        InputError: as `read_published`; there is neither such a file nor such a name; or the weights of a name cannot
            be downloaded.
    """
    if Path(network).exists():
        return read_published(network, pca=whitening)
    backbone, aggregator = parse_network_name(str(network))
    if whitening:
        raise InputError(f"{whitening}: was fitted for a checkpoint, not for {network}; give its file")
    image = build_backbone(backbone).usual_image
    model = build_network(image, backbone, aggregator)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.safetensors"
        fetch_weights(weights, backbone)
        load_weights(model.backbone, weights)
    return PublishedNetwork(image, backbone, aggregator, model, None, "vprlib")


def describe_photos(
    network: PublishedNetwork,
    paths: Sequence[str | os.PathLike[str]],
    *,
    device: str = "auto",
    batch: int = 16,
    desc: str | None = None,
) -> NDArray[np.float32]:
    """Compute the descriptors of photos, whitened if the network has a whitening.

    Args:
        network: the network.
        paths: the photos; each is resized to the size that the network was made for.
        device: `auto` (the first GPU, if there is one), `cpu`, `cuda` or `cuda:<number>`.
        batch: photos per forward pass.
        desc: text of the progress bar; None draws none.

    Returns:
        (N, D) float32, rows of unit length, in the order of `paths`.

    Raises:
        InputError: if a photo cannot be decoded, or its descriptor is not finite.
    """
    torch_device = select_device(device)
    photos = PhotoDataset(paths, *network.image.size)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # a GPU then gives the same descriptors as a CPU
        x_ND = extract_descriptors(
            network.model, photos, range(len(paths)), device=torch_device, batch=batch, desc=desc
        )
    return network.whitening.apply(x_ND) if network.whitening else x_ND
