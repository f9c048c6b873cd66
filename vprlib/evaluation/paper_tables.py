"""Format recalls as a table for a paper, in CSV, Markdown and LaTeX.

The table has one row per run and kind of descriptor, and columns for each dataset, protocol and k.
"""

from typing import Any

import pandas as pd

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import add_series_labels, published_labels

KS = (1, 5, 10, 20)  # the cut-offs that papers report
FEW = 3  # number of cut-offs to show if none of KS was measured
ROW, GROUP = ["origin", "label", "seeds"], ["dataset", "protocol", "queries"]
VALUES = ["recall", "std", "low", "high"]
NOTE = (
    "Recall in %, the mean if there are several seeds. The largest of our runs is bold, the second largest underlined, "
    "which may be chance; differences.csv lists the differences that a paired test confirms. Published numbers were "
    "measured by others."
)
DEVIATIONS = "Behind the mean of several seeds: their standard deviation (n - 1)."
INTERVALS = "In brackets: 95 % intervals over queries and seeds; queries of one place count as dependent."
ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPED |= {character: "\\" + character for character in "&%$#_{}"}
ESCAPED |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}", "missing": "-", "spread": " ± {std:.1f}"}
LATEX = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "": "{}", "missing": "--"}
LATEX |= {"spread": r" {{\scriptsize $\pm$ {std:.1f}}}"}
LATEX_INTERVALS = LATEX | {"spread": r" {{\scriptsize [{low:.1f}, {high:.1f}]}}"}


def wide_table(table: pd.DataFrame) -> pd.DataFrame:
    """Arrange recalls in percent as a wide table: our runs at their last generation, then published results.

    Args:
        table: the table that `compare_with_published` returns.

    Returns:
        A table with the index (origin, label, seeds) and the columns (dataset, protocol, queries, k, value). There is
        one row for each run and kind of descriptor. `seeds` is 0 for published results. `value` is one of VALUES; `std`
        is the standard deviation over the seeds. k is one of KS or, if none of these was measured, one of the FEW
        smallest. Published results appear only if they were measured with one of our protocols: two protocols never
        share a column. NaN marks missing numbers.
    """
    ours = last_generations(add_series_labels(table[table.origin == "ours"]))
    published = table[table.origin == "published"].drop(columns="queries").merge(ours[GROUP].drop_duplicates())
    published = published.assign(label=published_labels(published), seeds=0).dropna(axis=1, how="all")
    rows = pd.concat([ours, published], ignore_index=True)
    ks = sorted(ours.k.unique())
    rows = rows[rows.k.isin([k for k in ks if k in KS] or ks[:FEW])]
    percents = rows[[*ROW, *GROUP, "k"]].join(rows[VALUES].astype(float) * 100)
    percents = percents.pivot_table(index=ROW, columns=[*GROUP, "k"], values=VALUES, dropna=False)
    percents = percents.reorder_levels([1, 2, 3, 4, 0], axis=1)
    columns = [
        (*key, value) for key in rows[[*GROUP, "k"]].drop_duplicates().itertuples(index=False) for value in VALUES
    ]
    index = pd.MultiIndex.from_frame(rows[ROW].drop_duplicates())
    return percents.reindex(index=index, columns=pd.MultiIndex.from_tuples(columns, names=[*GROUP, "k", "value"]))


def _keys(index: pd.Index) -> list[tuple[Any, ...]]:
    """Return the entries of a multi-index."""
    return [tuple(key) for key in index]


def rank_marks(recalls: pd.DataFrame) -> pd.DataFrame:
    """Mark the `best` and the `second` of our runs in each column, as rounded for print; equal numbers share a mark."""
    rounded = recalls.map(lambda value: float(f"{value:.1f}"))
    rounded[rounded.index.get_level_values("origin") != "ours"] = float("nan")
    rank = rounded.rank(ascending=False, method="dense")
    return rank.map(lambda place: {1: "best", 2: "second"}.get(place, ""))


def format_cells(table: pd.DataFrame, form: dict[str, str]) -> pd.DataFrame:
    """Format the cells of a wide table, with the columns (*GROUP, k).

    Args:
        table: what `wide_table` returns.
        form: patterns by mark (`best`, `second`, none), the text of a `missing` number, and the pattern of a `spread`
            behind a number, which is left out where its values are missing.
    """
    recalls = pd.DataFrame(table.xs("recall", axis=1, level="value"))
    numbers = [table.xs(name, axis=1, level="value").to_numpy() for name in VALUES]

    def format_cell(mark: str, recall: float, std: float, low: float, high: float) -> str:
        if pd.isna(recall):
            return form["missing"]
        spread = form["spread"].format(std=std, low=low, high=high)
        return form[mark].format(f"{recall:.1f}") + spread * ("nan" not in spread)

    rows = zip(rank_marks(recalls).to_numpy(), *numbers, strict=True)
    texts = [[format_cell(*cell) for cell in zip(*row, strict=True)] for row in rows]
    return pd.DataFrame(texts, index=recalls.index, columns=recalls.columns)


def flat_table(table: pd.DataFrame) -> pd.DataFrame:
    """Flatten a wide table for spreadsheets: columns `<dataset>, <protocol>: R@<k>`, with `std`, `low` and `high`."""
    plain = table.copy()
    names = [
        f"{dataset}, {protocol}: R@{k} {value}".removesuffix(" recall")
        for dataset, protocol, _, k, value in _keys(table.columns)
    ]
    plain.columns = pd.Index(names)
    return plain.round(2).reset_index().rename(columns={"label": "run"})


def to_markdown(table: pd.DataFrame) -> str:
    """Format a wide table in GitHub's Markdown."""
    shown = format_cells(table, MARKDOWN)
    head = ["run", "seeds", *(f"{dataset}, {protocol}: R@{k}" for dataset, protocol, _, k in _keys(shown.columns))]
    lines = [head, ["---", *["---:"] * (1 + shown.shape[1])]]
    for (origin, label, seeds), cells in zip(_keys(shown.index), shown.to_numpy(), strict=True):
        lines.append([label if origin == "ours" else f"*published:* {label}", str(seeds or ""), *cells])
    groups = dict.fromkeys(key[:-1] for key in _keys(shown.columns))
    queries = "; ".join(f"{queries:,} of {dataset}, {protocol}" for dataset, protocol, queries in groups)
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + f"\n\n{NOTE} {DEVIATIONS} Queries: {queries}.\n"
    )


def escape_latex(text: str) -> str:
    r"""Escape the special characters of LaTeX.

    Examples:
        >>> escape_latex("R@1 in %")
        'R@1 in \\%'
    """
    return "".join(ESCAPED.get(character, character) for character in text)


def to_latex(table: pd.DataFrame, intervals: bool = False) -> str:
    """Format a wide table as a `tabular` for LaTeX's package booktabs.

    Behind a mean over several seeds is their standard deviation or, with `intervals`, its 95 % interval.
    """
    shown = format_cells(table, LATEX_INTERVALS if intervals else LATEX)
    columns = _keys(shown.columns)
    groups = list(dict.fromkeys(key[:-1] for key in columns))
    sizes = [sum(key[:-1] == group for key in columns) for group in groups]
    ends = [2 + sum(sizes[: number + 1]) for number in range(len(sizes))]
    lines = [
        f"% {NOTE} {INTERVALS if intervals else DEVIATIONS}",
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * (1 + sum(sizes))}}}",
        r"\toprule",
    ]
    for level in range(len(GROUP)):
        names = [escape_latex(f"{group[level]:,} queries" if level == 2 else group[level]) for group in groups]
        spans = [rf"\multicolumn{{{size}}}{{c}}{{{name}}}" for name, size in zip(names, sizes, strict=True)]
        lines.append(" & ".join(["", "", *spans]) + r" \\")
    lines.append(" ".join(rf"\cmidrule(lr){{{end - size + 1}-{end}}}" for end, size in zip(ends, sizes, strict=True)))
    lines += [" & ".join(["", "seeds", *(f"R@{k}" for *_, k in columns)]) + r" \\", r"\midrule"]
    above = ""
    for (origin, label, seeds), cells in zip(_keys(shown.index), shown.to_numpy(), strict=True):
        if origin == "published" and above == "ours":
            lines += [r"\midrule", rf"\multicolumn{{{ends[-1]}}}{{l}}{{\emph{{published, measured by others}}}} \\"]
        lines.append(" & ".join([escape_latex(label), str(seeds or ""), *cells]) + r" \\")
        above = origin
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
