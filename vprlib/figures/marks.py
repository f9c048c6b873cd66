"""What makes a line of recalls, its name, its numbers and its look: the same in figures, tables and on the page."""

HUES = {  # of the runs: Okabe's and Ito's without yellow; on a dark screen lighter ones in the same order
    "light": ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"),
    "dark": ("#2F8FD8", "#E8702A", "#17B384", "#E08FC0", "#F0B429", "#8FD3FF", "#FFFFFF"),
}
MARKERS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "x", "star")  # one more than hues
DASHES = ((), (5, 1.5), (4, 1.5, 1, 1.5), (2, 1), (1, 1.5))  # drawn and left out, in widths of the line


def series_numbers(rows, last: dict | None = None) -> dict:
    """(number of the run, number of the variant) of each label, which `marks` draws.

    Number 0 of a run is what people ask for: its last generation, without re-ranking, whitened, if its rows have such.

    Args:
        rows: labelled rows.
        last: the last generation of each run, in the order of the runs; by default those of the rows.
    """
    last = rows.groupby("run", sort=False).gen.max().to_dict() if last is None else last
    runs, lines = list(last), rows.drop_duplicates("label")
    whitened = set(lines.run[lines.descriptor == "whitened"])
    kinds = zip(lines.run, lines.gen, lines["rerank"], lines.descriptor, strict=True)
    kinds = [
        (last[run] - gen, again != "none", again, run in whitened and kind != "whitened")
        for run, gen, again, kind in kinds
    ]
    order = sorted(set(kinds))
    places = zip(lines.label, lines.run, kinds, strict=True)
    return {label: (runs.index(run), order.index(kind)) for label, run, kind in places}


def series_style(run: int, variant: int) -> dict:
    """How a line is drawn: hue and marker tell the runs apart; dashes, hollow markers, then other ones their variants.

    Only variant 0 of a run is solid, so whatever its marker is, no other line looks like the main one of any run.

    Returns:
        Numbers of HUES, MARKERS and DASHES, and whether the marker is `hollow`; 64 variants of a run differ.
    """
    look = {"hue": run % len(HUES["light"]), "marker": run % len(MARKERS), "dash": 0, "hollow": False}
    if not variant:
        return look
    turns, dash = divmod(variant - 1, len(DASHES) - 1)
    hollow = (dash + turns) % 2 == 0
    return look | {"marker": (run + turns // 2) % len(MARKERS), "dash": 1 + dash, "hollow": hollow}
