"""`python -m vprlib`: describe photos, and write checkpoints in other projects' formats."""

import argparse
import sys
from pathlib import Path

from vprlib.exceptions import InputError


def main(arguments=None) -> int:
    """Run one command; what the user gave and cannot be used ends it with one line and status 1."""
    options = build_parser().parse_args(arguments)
    try:
        options.run(options)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="python -m vprlib", description=__doc__)
    commands = whole.add_subparsers(required=True, metavar="COMMAND")

    part = commands.add_parser("describe", help="write the descriptors of photos")
    part.add_argument("checkpoint", help="a trained network: ours, or one that OpenIBL, pytorch-NetVlad or others made")
    part.add_argument("images", nargs="+", metavar="image", help="photos, and folders of photos")
    part.add_argument("--out", required=True, help=".h5 (with the photos' paths) or .npy")
    part.add_argument("--whitening", help="the PCA file to whiten by")
    part.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<number>")
    part.add_argument("--batch", type=int, default=16, help="photos in a pass")
    part.set_defaults(run=run_describe)

    part = commands.add_parser("export", help="write a checkpoint in another project's format")
    part.add_argument("checkpoint", help="a checkpoint of ours")
    part.add_argument("out", help="the file to write, as model.pth.tar")
    part.add_argument("--format", required=True, help="openibl, openibl_hub, pytorch_netvlad or patch_netvlad")
    part.add_argument("--whitening", help="its pca.h5, for the formats with a PCA layer")
    part.set_defaults(run=run_export)
    return whole


def run_describe(options):
    from vprlib.api import describe, expand_photo_paths, write_descriptors

    if Path(options.out).suffix not in (".h5", ".npy"):
        raise InputError(f"--out {options.out}: must end with .h5 or .npy")
    if options.batch < 1:
        raise InputError(f"--batch {options.batch}: must be at least 1")
    paths = expand_photo_paths(options.images)
    described = {"whitening": options.whitening, "device": options.device, "batch": options.batch}
    descriptors = describe(options.checkpoint, paths, **described)
    write_descriptors(options.out, descriptors, paths, options.checkpoint)
    print(f"{options.out}: {len(descriptors)} descriptors of {descriptors.shape[1]} values")
    beside = Path(options.checkpoint).with_name("pca.h5")
    if beside.exists() and not options.whitening:
        print(f"They are raw; `--whitening {beside}` whitens them.")


def run_export(options):
    from vprlib.models.published_formats import export_checkpoint

    export_checkpoint(options.checkpoint, options.out, format=options.format, whitening=options.whitening)
    print(f"{options.out}: {options.format}")


if __name__ == "__main__":
    sys.exit(main())
