"""`vprlib show`: the recalls that a folder of results holds."""

import argparse
from typing import Any


def add_show(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser("show", help="print the recalls that a folder of results holds")
    command.add_argument("folder", nargs="?", default="results", help="folder of results (default: results)")
    command.set_defaults(run=run_show)


def run_show(options: argparse.Namespace) -> None:
    """Print the recalls of an experiment.

    Raises:
        InputError: as `vprlib.jobs.recall_lines.experiment_lines`.
    """
    from vprlib.jobs.recall_lines import experiment_lines

    print("\n".join(experiment_lines(options.folder)))
