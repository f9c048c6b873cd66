"""Library for visual place recognition research; the workflow's stages call it.

`vprlib.describe("best.safetensors", ["a.jpg", "b.jpg"])` returns (2, D) float32 descriptors, rows of unit norm.
"""

from importlib import import_module
from typing import Any

from vprlib._version import __version__  # noqa: F401


def __getattr__(name: str) -> Any:
    """Import what is first used: the functions need torch, which a workflow's parse must not wait for."""
    if name not in ("describe", "evaluate", "match"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vprlib.api"), name)
