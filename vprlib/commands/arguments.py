"""Arguments that several commands have, and checks of arguments that need neither torch nor a photo."""

import argparse
import os
from pathlib import Path

from vprlib.exceptions import InputError

NETWORK = (
    "file of a trained network (of vprlib, OpenIBL, pytorch-NetVlad or Patch-NetVLAD), or a name: a backbone with its "
    "published weights, as resnet18 or timm/resnet50, perhaps with an aggregator, as resnet18+max (default: +gem)"
)


def add_computation(command: argparse.ArgumentParser) -> None:
    """Add the arguments of how a network computes."""
    command.add_argument("--whitening", help="PCA file of the network; whitens the descriptors")
    command.add_argument("--device", default="auto", help="auto (the first GPU, if any), cpu, cuda or cuda:<number>")
    command.add_argument("--batch", type=int, default=16, help="photos per forward pass (default: 16)")


def check_computation(network: str, options: argparse.Namespace) -> None:
    """Check a network, which is a file or a name, and the arguments of `add_computation`.

    Raises:
        InputError: a file is missing, there is no network of this name, or the batch is empty.
    """
    if not Path(network).exists():
        looks_like_file = "." in Path(network).name and not network.startswith("timm/")
        check_files(*([network] if looks_like_file else []))
        from vprlib.config.network_name import parse_network_name

        parse_network_name(network)
    check_files(*filter(None, [options.whitening]))
    if options.batch < 1:
        raise InputError(f"--batch {options.batch}: must be at least 1")


def check_files(*paths: str | os.PathLike[str]) -> None:
    """Check that files are there.

    Raises:
        InputError: naming the first that is not.
    """
    for path in paths:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file")
