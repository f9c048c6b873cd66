"""`vprlib evaluate`: the recalls of a network, or of descriptors, on two folders of photos with positions."""

import argparse
import math
from typing import Any

from vprlib.commands.arguments import NETWORK, add_computation, check_computation, check_files
from vprlib.exceptions import InputError


def add_evaluate(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "evaluate",
        help="print the recalls of a network, or of descriptors, on two folders of photos",
        description="Print recall@k with 95 % intervals. Positions are read from --positions, or else from names that "
        "begin with @east@north@, or from the GPS in EXIF; without any, photos in sub-folders of the same name are of "
        "one place.",
    )
    lists = "folder of photos, or a text file with one path a line"
    command.add_argument("--database", required=True, help=f"photos that are searched: {lists}")
    command.add_argument("--queries", required=True, help=f"photos to find, likewise: {lists}")
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--network", help=NETWORK)
    what.add_argument(
        "--descriptors",
        nargs="+",
        metavar="FILE",
        help="descriptors that were computed elsewhere: the file of the database and that of the queries (.npy, or "
        ".h5 as `vprlib describe` writes it), or one .h5 with `database` and `queries`; rows in the order of the "
        "photos, unless the .h5 lists their paths",
    )
    command.add_argument(
        "--kind",
        choices=["raw", "whitened"],
        help="kind of the descriptors in the database.h5 and queries.h5 of a run (default: raw, if they are there)",
    )
    command.add_argument(
        "--positions", metavar="CSV", help="CSV with path, and east and north (metres) or latitude and longitude"
    )
    command.add_argument("--radius", type=float, default=25, help="largest distance of a hit, metres (default: 25)")
    command.add_argument(
        "--recall-at",
        type=int,
        nargs="+",
        metavar="K",
        help="numbers of candidates (default: 1 5 10, as far as the database has photos)",
    )
    command.add_argument("--out", metavar="CSV", help="also write the recalls as a table")
    add_computation(command)
    command.set_defaults(run=run_evaluate)


def run_evaluate(options: argparse.Namespace) -> None:
    """Print the recalls of a network or of descriptors.

    Raises:
        InputError: if an option is out of range, a file is missing, or as `vprlib.api.evaluate`.
    """
    if not (options.radius > 0 and math.isfinite(options.radius)):
        raise InputError(f"--radius {options.radius:g}: must be a number above 0")
    if options.recall_at and min(options.recall_at) < 1:
        raise InputError(f"--recall-at {min(options.recall_at)}: must be at least 1")
    if options.out and not options.out.endswith(".csv"):
        raise InputError(f"--out {options.out}: must end with .csv")
    check_files(*filter(None, [options.positions, *(options.descriptors or ())]))
    if options.network and options.kind:
        raise InputError("--kind: is of --descriptors; those of a network are whitened by --whitening")
    if options.network:
        check_computation(options.network, options)
    elif options.whitening:
        raise InputError("--whitening: whitens those of a network; whiten --descriptors where they are computed")
    elif len(options.descriptors) > 2:
        raise InputError("--descriptors: give the file of the database and that of the queries, or one file of both")
    from vprlib.api import evaluate
    from vprlib.evaluation.recall_text import describe_recalls
    from vprlib.io.files import write_csv

    table = evaluate(
        options.database,
        options.queries,
        network=options.network,
        descriptors=options.descriptors or (),
        kind=options.kind,
        positions=options.positions,
        radius=options.radius,
        recall_at=sorted(set(options.recall_at or ())) or None,
        whitening=options.whitening,
        device=options.device,
        batch=options.batch,
    )
    print(describe_recalls(table))
    if options.out:
        write_csv(options.out, table, checksum=False)
