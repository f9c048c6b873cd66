"""`python -m vprlib`: describe, match and evaluate photos, export networks, show results, start a project."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from vprlib.commands.compare import add_compare
from vprlib.commands.describe import add_describe
from vprlib.commands.evaluate import add_evaluate
from vprlib.commands.export import add_export
from vprlib.commands.match import add_match
from vprlib.commands.new import add_new
from vprlib.commands.show import add_show
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
    as_module = Path(sys.argv[0]).name == "__main__.py"
    parser = argparse.ArgumentParser(prog="python -m vprlib" if as_module else "vprlib", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (add_describe, add_match, add_evaluate, add_export, add_show, add_compare, add_new):
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
