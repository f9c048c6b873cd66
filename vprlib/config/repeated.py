"""Find keys that a configuration file gives twice, of which readers of YAML and JSON keep the last without a word."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from vprlib.exceptions import InputError


def check_repeated_keys(paths: Iterable[str | os.PathLike[str]], compose: Callable[[str], Any]) -> None:
    """Check that no mapping of a configuration file has a key twice.

    Args:
        paths: the files, as JSON or YAML. One that is missing, or is neither, is left to its reader.
        compose: text of YAML -> its tree of nodes, `yaml.compose`. This package imports no YAML reader.

    Raises:
        InputError: naming the file, the first such key, with the keys above it, and its lines.
    """
    for path in filter(os.path.isfile, paths):
        text = Path(path).read_text(encoding="utf-8")
        if twice := _repeated_in_json(text) or _repeated_in_yaml(text, compose):
            raise InputError(f"{path}: {twice}; only the last would count, so join them, or remove one")


def _repeated_in_json(text: str) -> str:
    """The first key given twice, as a message; empty if there is none, or the text is no JSON."""
    found: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> None:
        names = [name for name, _ in items]
        found.extend(name for name in dict.fromkeys(names) if names.count(name) > 1)

    try:
        json.loads(text, object_pairs_hook=pairs)
    except ValueError:
        return ""
    return f"the key {found[0]!r} is given twice in one mapping" if found else ""


def _repeated_in_yaml(text: str, compose: Callable[[str], Any]) -> str:
    """The first key given twice, as a message; empty if there is none, or the text is no YAML."""
    try:
        root = compose(text)
    except Exception:  # its reader says what is wrong
        return ""
    waiting, visited = [(root, "")], set()
    while waiting:
        node, above = waiting.pop(0)
        if id(node) in visited or not isinstance(getattr(node, "value", None), list):
            continue  # an alias is the node that it names
        visited.add(id(node))
        lines: dict[tuple[str, str], int] = {}
        for entry in node.value:
            if not isinstance(entry, tuple):
                waiting.append((entry, above))
                continue
            key, value = entry
            name, line = (key.tag, str(key.value)), key.start_mark.line + 1
            if name in lines and not key.tag.endswith(":merge"):
                return f"the key {above}{key.value} is given twice, in lines {lines[name]} and {line}"
            lines[name] = line
            waiting.append((value, f"{above}{key.value}."))
    return ""
