"""The error that user input raises, and suggestions for misspelt names."""

from difflib import get_close_matches


class InputError(ValueError):
    """Something the user gave cannot be used; the message names it and says what to do, in one line."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).splitlines()))


def did_you_mean(name: str, known, briefly: bool = False) -> str:
    """The end of an error message: the closest of the known names, and all of them (briefly: if none is close)."""
    close = get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]!r}?" if close else ""
    return meant if meant and briefly else f"{meant} known: {', '.join(known)}".lstrip()
