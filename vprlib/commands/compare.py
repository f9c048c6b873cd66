"""`vprlib compare`: join the recalls of several experiments."""

import argparse
from typing import Any


def add_compare(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("compare", help="join the recalls of several experiments, and compare their runs")
    command.add_argument(
        "folders",
        nargs="+",
        metavar="folder",
        help="folder of results; NAME=FOLDER puts NAME before the names of its runs",
    )
    command.add_argument("--out", required=True, help="folder to write the joined tables and the figure to")
    command.set_defaults(run=run_compare)


def run_compare(options: argparse.Namespace) -> None:
    """Join the recalls of several experiments.

    Raises:
        InputError: as `vprlib.report.joined_experiments.join_experiments`.
    """
    import logging

    from vprlib.report.joined_experiments import join_experiments

    logging.basicConfig(level=logging.WARNING, format="warning: %(message)s")
    for path in join_experiments(options.folders, options.out):
        print(path)
