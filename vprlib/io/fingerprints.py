"""Hashes that identify files and configurations, and the version of the code that wrote an artefact."""

import hashlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from vprlib._version import __version__


def sha256_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_hash(value: Any) -> str:
    """Return twelve hexadecimal digits that identify plain data (numbers, strings, lists, dicts).

    The order of a dict's keys does not matter.

    >>> short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


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
