"""`python -m vprlib`: describe photos, export checkpoints, show and compare results, start a project of your own."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from vprlib.exceptions import InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; unusable input prints one line and gives status 1.

    Args:
        arguments: the command line; by default that of the process.
    """
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = argparse.ArgumentParser(prog="vprlib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("describe", help="write the descriptors of photos")
    command.add_argument("checkpoint", help="trained network: of vprlib, OpenIBL, pytorch-NetVlad or Patch-NetVLAD")
    command.add_argument("images", nargs="+", metavar="image", help="photo, or folder of photos")
    command.add_argument("--out", required=True, help="file to write: .h5 (with the paths of the photos) or .npy")
    command.add_argument("--whitening", help="PCA file; whitens the descriptors")
    command.add_argument("--device", default="auto", help="auto (the first GPU, if any), cpu, cuda or cuda:<number>")
    command.add_argument("--batch", type=int, default=16, help="photos per forward pass (default: 16)")
    command.set_defaults(run=run_describe)

    command = commands.add_parser("export", help="write a checkpoint in another project's format")
    command.add_argument("checkpoint", help="checkpoint of vprlib, such as best.safetensors")
    command.add_argument("out", help="file to write, such as model.pth.tar")
    command.add_argument("--format", required=True, help="openibl, openibl_hub, pytorch_netvlad or patch_netvlad")
    command.add_argument("--whitening", help="pca.h5 of the checkpoint, for openibl_hub and patch_netvlad")
    command.set_defaults(run=run_export)

    command = commands.add_parser("show", help="print the recalls that a folder of results holds")
    command.add_argument("folder", nargs="?", default="results", help="folder of results (default: results)")
    command.set_defaults(run=run_show)

    command = commands.add_parser("compare", help="join the recalls of several experiments, and compare their runs")
    command.add_argument(
        "folders",
        nargs="+",
        metavar="folder",
        help="folder of results; NAME=FOLDER puts NAME before the names of its runs",
    )
    command.add_argument("--out", required=True, help="folder to write the joined tables and the figure to")
    command.set_defaults(run=run_compare)

    command = commands.add_parser(
        "new", help="write a new project: a Snakefile that uses the workflow, a configuration and profiles"
    )
    command.add_argument("folder", help="new or empty folder")
    command.set_defaults(run=run_new)
    return parser


def run_describe(options: argparse.Namespace) -> None:
    """Run `describe`: write the descriptors of photos.

    Raises:
        InputError: if an option is out of range, or as `vprlib.api.describe`.
    """
    from vprlib.api import describe, expand_photo_paths, write_descriptors

    if Path(options.out).suffix not in (".h5", ".npy"):
        raise InputError(f"--out {options.out}: must end with .h5 or .npy")
    if options.batch < 1:
        raise InputError(f"--batch {options.batch}: must be at least 1")
    paths = expand_photo_paths(options.images)
    settings = {"whitening": options.whitening, "device": options.device, "batch": options.batch}
    descriptors = describe(options.checkpoint, paths, **settings)
    write_descriptors(options.out, descriptors, paths, options.checkpoint)
    print(f"{options.out}: {len(descriptors)} descriptors of {descriptors.shape[1]} values")
    pca = Path(options.checkpoint).with_name("pca.h5")
    if pca.exists() and not options.whitening:
        print(f"They are raw; `--whitening {pca}` whitens them.")


def run_export(options: argparse.Namespace) -> None:
    """Run `export`: write a checkpoint in another project's format."""
    from vprlib.models.published_export import export_checkpoint

    export_checkpoint(options.checkpoint, options.out, format=options.format, whitening=options.whitening)
    print(f"{options.out}: {options.format}")


def run_show(options: argparse.Namespace) -> None:
    """Run `show`: print the recalls of an experiment.

    Raises:
        InputError: as `vprlib.jobs.recall_lines.experiment_lines`.
    """
    from vprlib.jobs.recall_lines import experiment_lines

    print("\n".join(experiment_lines(options.folder)))


def run_compare(options: argparse.Namespace) -> None:
    """Run `compare`: join the recalls of several experiments.

    Raises:
        InputError: as `vprlib.report.joined_experiments.join_experiments`.
    """
    from vprlib.report.joined_experiments import join_experiments

    logging.basicConfig(level=logging.WARNING, format="warning: %(message)s")
    for path in join_experiments(options.folders, options.out):
        print(path)


def run_new(options: argparse.Namespace) -> None:
    """Run `new`: write a new project.

    Raises:
        InputError: as `vprlib.jobs.project.new_project`.
    """
    from vprlib.jobs.project import new_project

    new_project(options.folder)
    print(f"{options.folder}: edit config/config.yaml, then run there: snakemake --profile profiles/local all")


if __name__ == "__main__":
    sys.exit(main())
