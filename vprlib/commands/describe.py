"""`vprlib describe`: write the descriptors of photos."""

import argparse
from pathlib import Path
from typing import Any

from vprlib.commands.arguments import NETWORK, add_computation, check_computation
from vprlib.exceptions import InputError


def add_describe(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("describe", help="write the descriptors of photos")
    command.add_argument("checkpoint", help=NETWORK)
    command.add_argument("images", nargs="+", metavar="image", help="photo, or folder of photos")
    command.add_argument("--out", required=True, help="file to write: .h5 (with the paths of the photos) or .npy")
    add_computation(command)
    command.set_defaults(run=run_describe)


def run_describe(options: argparse.Namespace) -> None:
    """Write the descriptors of photos.

    Raises:
        InputError: if an option is out of range, a file is missing, or as `vprlib.api.describe`.
    """
    from vprlib.data.photos import expand_photo_paths

    if Path(options.out).suffix not in (".h5", ".npy"):
        raise InputError(f"--out {options.out}: must end with .h5 or .npy")
    check_computation(options.checkpoint, options)
    paths = expand_photo_paths(options.images)
    from vprlib.api import describe, write_descriptors  # imports torch, which takes seconds

    settings = {"whitening": options.whitening, "device": options.device, "batch": options.batch}
    descriptors = describe(options.checkpoint, paths, **settings)
    write_descriptors(options.out, descriptors, paths, options.checkpoint)
    print(f"{options.out}: {len(descriptors)} descriptors of {descriptors.shape[1]} values")
    pca = Path(options.checkpoint).with_name("pca.h5")
    if pca.exists() and not options.whitening:
        print(f"They are raw; `--whitening {pca}` whitens them.")
