"""Hashes that identify files and configurations, and the version of the code that wrote an artefact."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import IO, Any

from vprlib._version import __version__

DEFAULT = "default"  # stands for a key that is left out


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_stream(stream: IO[bytes], algorithms: Iterable[str]) -> dict[str, hashlib._Hash]:
    """Hash the bytes of a stream from its position to its end by several algorithms, in one pass.

    Returns:
        algorithm -> hashlib object, which further bytes may be added to.

    >>> import io
    >>> hash_stream(io.BytesIO(b"photo"), ["md5"])["md5"].hexdigest()
    '5ae0c1c8a5260bc7b6648f6fbd115c35'
    """
    hashes = {name: hashlib.new(name) for name in algorithms}
    while chunk := stream.read(1 << 20):
        for hashed in hashes.values():
            hashed.update(chunk)
    return hashes


def short_hash(value: Any) -> str:
    """Return twelve hexadecimal digits that identify plain data (numbers, strings, lists, dicts).

    The order of a dict's keys does not matter.

    >>> short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


def describe_difference(made: Any, wanted: Any, key: str = "") -> str:
    """Describe the first difference of two pieces of plain data by its key; empty if they are equal.

    >>> describe_difference({"train": {"epochs": 5}}, {"train": {"epochs": 30}})
    'train.epochs 5, not 30'
    """
    if made == wanted:
        return ""
    if isinstance(made, dict) and isinstance(wanted, dict):
        parts = {name: (made.get(name, DEFAULT), wanted.get(name, DEFAULT)) for name in sorted({*made, *wanted})}
        name = next(name for name, (one, other) in parts.items() if one != other)
        return describe_difference(*parts[name], f"{key}.{name}".strip("."))
    if isinstance(made, list) and isinstance(wanted, list) and len(made) == len(wanted):
        number = next(number for number, pair in enumerate(zip(made, wanted, strict=True)) if pair[0] != pair[1])
        return describe_difference(made[number], wanted[number], f"{key}.{number}")
    return f"{key} {made}, not {wanted}"


@cache
def code_version() -> dict[str, str]:
    """Return the `version` of the library and the git `commit` of the workflow.

    The commit has twelve digits, and a `+` if tracked files of `vprlib` or `workflow` were changed since. It is empty
    if the workflow is no git checkout or git is not installed.
    """
    root = Path(__file__).parent.parent.parent

    def git(*arguments: str) -> str:
        command: list[str | Path] = ["git", "-C", root, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    try:
        commit = git("rev-parse", "--short=12", "HEAD").strip()
        changed = commit and git("status", "--porcelain", "--untracked-files=no", "--", "vprlib", "workflow").strip()
    except OSError:  # git is not installed
        commit = changed = ""
    return {"version": __version__, "commit": commit + ("+" if changed else "")}
