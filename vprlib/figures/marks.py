"""Number the series of recalls and style their lines: the same hue, marker and dashes in figures and on the page."""

from typing import Any

import pandas as pd

HUES = {  # of the runs: Okabe and Ito's palette without yellow, and lighter colours in the same order for dark screens
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    "dark": ("#2F8FD8", "#E8702A", "#17B384", "#E08FC0", "#F0B429", "#8FD3FF", "#FFFFFF"),
}
MARKERS = (
    "circle",
    "square",
    "triangle-up",
    "diamond",
    "triangle-down",
    "cross",
    "x",
    "star",
)  # one more than hues, so that pairs repeat late
DASHES: tuple[tuple[float, ...], ...] = ((), (5, 1.5), (4, 1.5, 1, 1.5), (2, 1), (1, 1.5))  # on, off, in line widths


def series_numbers(rows: pd.DataFrame, last: dict[str, int] | None = None) -> dict[str, tuple[int, int]]:
    """Number the run and the variant of each label, for `series_style`: {label: (run, variant)}.

    Variant 0 of a run is the main one: its last generation, without re-ranking, and whitened if its rows have whitened
    descriptors.

    Args:
        rows: labelled rows (`add_series_labels`).
        last: the last generation of each run, in the order of the runs; by default that of the rows.
    """
    if last is None:
        last = {str(run): gen for run, gen in rows.groupby("run", sort=False).gen.max().items()}
    runs, lines = list(last), rows.drop_duplicates("label")
    whitened = set(lines.run[lines.descriptor == "whitened"])
    variants = [
        (last[run] - gen, rerank != "none", rerank, run in whitened and kind != "whitened")
        for run, gen, rerank, kind in zip(lines.run, lines.gen, lines["rerank"], lines.descriptor, strict=True)
    ]
    order = sorted(set(variants))
    series = zip(lines.label, lines.run, variants, strict=True)
    return {label: (runs.index(run), order.index(variant)) for label, run, variant in series}


def series_style(run: int, variant: int) -> dict[str, Any]:
    """Return the style of a line. Hue and marker distinguish runs; dashes and hollow or other markers their variants.

    Only variant 0 of a run is solid. So no other line looks like the main line of any run, whatever its marker is.

    Returns:
        The indices `hue`, `marker` and `dash` in HUES, MARKERS and DASHES, and whether the marker is `hollow`. 64
        variants of a run differ.
    """
    style = {"hue": run % len(HUES["light"]), "marker": run % len(MARKERS), "dash": 0, "hollow": False}
    if not variant:
        return style
    turns, dash = divmod(variant - 1, len(DASHES) - 1)
    hollow = (dash + turns) % 2 == 0
    return style | {"marker": (run + turns // 2) % len(MARKERS), "dash": 1 + dash, "hollow": hollow}
