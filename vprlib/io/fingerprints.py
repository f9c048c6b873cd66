"""Hashes that identify files and configurations, and the version of the code that wrote an artefact."""

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path

from vprlib._version import __version__


def sha256_of_file(path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def short_hash(value) -> str:
    """Twelve hexadecimal digits that name plain data (numbers, strings, lists, dicts), whatever its key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]


@cache
def code_version() -> dict:
    """The version and, where the workflow is a git checkout, its commit (with `+` if files were changed since)."""
    root = Path(__file__).parent.parent.parent

    def git(*arguments):
        return subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False).stdout

    try:
        commit = git("rev-parse", "--short=12", "HEAD").strip()
        changed = commit and git("status", "--porcelain", "--untracked-files=no", "--", "vprlib", "workflow").strip()
    except OSError:  # no git on this machine
        commit = changed = ""
    return {"version": __version__, "commit": commit + ("+" if changed else "")}
