"""Error for unusable user input, and suggestions for misspelt names."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


class InputError(ValueError):
    """User input cannot be used. The message names the input and says what to do, in one line."""

    def __init__(self, message: str) -> None:
        """Set the message; line breaks in it become spaces, and bytes of file names that are not UTF-8 are escaped."""
        super().__init__(" ".join(str(message).encode("utf-8", "backslashreplace").decode().splitlines()))


def did_you_mean(name: str, known: Collection[str], briefly: bool = False) -> str:
    """Return the end of an error message about an unknown name: the closest known name, and all known names.

    Args:
        name: the unknown name.
        known: the names that exist.
        briefly: whether to list all known names only if none is close.

    >>> did_you_mean("nordlnd", ["nordland", "msls"])
    "did you mean 'nordland'? known: nordland, msls"
    >>> did_you_mean("nordlnd", ["nordland", "msls"], briefly=True)
    "did you mean 'nordland'?"
    """
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    suggestion = f"did you mean {close[0]!r}?" if close else ""
    return suggestion if suggestion and briefly else f"{suggestion} known: {', '.join(known)}".lstrip()
