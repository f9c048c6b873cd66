"""Render the templates of pages."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

HERE = Path(__file__).parent  # holds templates/ and static/


def page_environment() -> Environment:
    """Return the environment of the templates: all text is escaped, and an unknown name is an error."""
    return Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def read_static(names: Sequence[str]) -> str:
    """Join static files of one kind; the scripts share one scope, in this order."""
    return "\n".join((HERE / "static" / name).read_text() for name in names)
