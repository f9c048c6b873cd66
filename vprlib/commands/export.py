"""`vprlib export`: write a checkpoint in another project's format."""

import argparse
from typing import Any

from vprlib.commands.arguments import check_files


def add_export(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("export", help="write a checkpoint in another project's format")
    command.add_argument("checkpoint", help="checkpoint of vprlib, such as best.safetensors")
    command.add_argument("out", help="file to write, such as model.pth.tar")
    command.add_argument("--format", required=True, help="openibl, openibl_hub, pytorch_netvlad or patch_netvlad")
    command.add_argument("--whitening", help="pca.h5 of the checkpoint, for openibl_hub and patch_netvlad")
    command.set_defaults(run=run_export)


def run_export(options: argparse.Namespace) -> None:
    """Write a checkpoint in another project's format.

    Raises:
        InputError: if a file is missing, or as `vprlib.models.published_export.export_checkpoint`.
    """
    check_files(options.checkpoint, *filter(None, [options.whitening]))
    from vprlib.models.published_export import export_checkpoint  # imports torch, which takes seconds

    export_checkpoint(options.checkpoint, options.out, format=options.format, whitening=options.whitening)
    print(f"{options.out}: {options.format}")
