"""`vprlib new`: write a new project."""

import argparse
from typing import Any


def add_new(commands: Any) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "new", help="write a new project: a Snakefile that uses the workflow, a configuration and profiles"
    )
    command.add_argument("folder", help="new or empty folder")
    command.set_defaults(run=run_new)


def run_new(options: argparse.Namespace) -> None:
    """Write a new project.

    Raises:
        InputError: as `vprlib.jobs.project.new_project`.
    """
    from vprlib.jobs.project import new_project

    new_project(options.folder)
    print(f"{options.folder}: edit config/config.yaml, then run there: snakemake --profile profiles/local all")
