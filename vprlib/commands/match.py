"""`vprlib match`: the most similar photos of a folder for each photo of another one."""

import argparse
from pathlib import Path
from typing import Any

from vprlib.commands.arguments import NETWORK, add_computation, check_computation
from vprlib.exceptions import InputError

FILES = "ranking.csv", "pairs.txt", "matches.html"


def add_match(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "match",
        help="find the most similar photos of a folder for each photo of another one",
        description=f"Write {', '.join(FILES)} into a folder. No positions are needed.",
    )
    command.add_argument("queries", help="photos to find: a folder, or a text file with one path a line")
    command.add_argument("database", help="photos that are searched, likewise")
    command.add_argument("--network", required=True, help=NETWORK)
    command.add_argument("--out", required=True, metavar="FOLDER", help="folder to write into")
    command.add_argument("--top", type=int, default=10, help="candidates of each query (default: 10)")
    add_computation(command)
    command.set_defaults(run=run_match)


def run_match(options: argparse.Namespace) -> None:
    """Write the candidates of each query as a table, as pairs and as a page.

    Raises:
        InputError: if an option is out of range, a file is missing, or as `vprlib.api.match`.
    """
    from vprlib.data.layouts.two_folders import list_photos_of

    if options.top < 1:
        raise InputError(f"--top {options.top}: must be at least 1")
    if Path(options.out).exists() and not Path(options.out).is_dir():
        raise InputError(f"--out {options.out}: is no folder")
    check_computation(options.network, options)
    queries, database = list_photos_of(options.queries), list_photos_of(options.database)
    from vprlib.api import match, write_matches  # imports torch, which takes seconds

    settings = {"whitening": options.whitening, "device": options.device, "batch": options.batch}
    matches = match(queries, database, network=options.network, top=options.top, **settings)
    root = write_matches(options.out, matches, network=options.network)
    print(f"{options.out}: {len(queries)} queries, {matches.ranking_QK.shape[1]} of {len(database)} photos for each")
    if root:
        print(f"{Path(options.out) / 'pairs.txt'}: names below {root}, the image folder of hloc")
