"""Recalls as a table for a paper: a row a run, columns for each dataset and protocol; CSV, Markdown and LaTeX."""

import pandas as pd

from vprlib.evaluation.comparison import last_generations
from vprlib.evaluation.series import add_series_labels, published_labels

KS, FEW = (1, 5, 10, 20), 3  # those that papers give; of others, if none of these was measured, so many
ROW, GROUP, VALUES = ["origin", "label", "seeds"], ["dataset", "protocol", "queries"], ["recall", "low", "high"]
NOTE = (
    "Recall in %, the mean where there are several seeds. Largest of our runs bold, second underlined: by chance, too; "
    "differences.csv says which differences a paired test confirms. Published numbers were measured by others."
)
INTERVALS = "95 % intervals: Wilson's over the queries or, with several seeds, Student's of the mean."
ESCAPED = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
ESCAPED |= {character: "\\" + character for character in "&%$#_{}"}
ESCAPED |= {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
MARKDOWN = {"best": "**{}**", "second": "<u>{}</u>", "": "{}", "missing": "-"}
LATEX = {"best": r"\textbf{{{}}}", "second": r"\underline{{{}}}", "": "{}", "missing": "--"}


def wide_table(table):
    """Recalls in percent: a row for each kind of descriptor of our runs' last generations, then the published ones.

    Args:
        table: what `compare_with_published` returns.

    Returns:
        A table with the index (origin, label, seeds; 0 where nobody says) and the columns (dataset, protocol, queries,
        k, value) where value is `recall`, `low` or `high`, for k of KS or, if none of these was measured, the FEW
        smallest. Of the published ones only what was measured with one of our protocols: two protocols share no column.
        NaN where there is no number.
    """
    ours = last_generations(add_series_labels(table[table.origin == "ours"]))
    theirs = table[table.origin == "published"].drop(columns="queries").merge(ours[GROUP].drop_duplicates())
    theirs = theirs.assign(label=published_labels(theirs), seeds=0).dropna(axis=1, how="all")
    rows = pd.concat([ours, theirs], ignore_index=True)
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


def rank_marks(recalls) -> pd.DataFrame:
    """What is `best` and what is `second` of our runs in each column, as they are written: equal numbers share."""
    shown = recalls.map(lambda value: float(f"{value:.1f}"))
    shown[shown.index.get_level_values("origin") != "ours"] = float("nan")
    rank = shown.rank(ascending=False, method="dense")
    return rank.map(lambda number: {1: "best", 2: "second"}.get(number, ""))


def format_cells(table, form: dict, interval: str | None) -> pd.DataFrame:
    """The cells as they are written, by (*GROUP, k); `interval` is the pattern of low and high, or None."""
    recalls = table.xs("recall", axis=1, level="value")
    numbers = [table.xs(name, axis=1, level="value").to_numpy() for name in VALUES]

    def written(mark, recall, low, high):
        if pd.isna(recall):
            return form["missing"]
        return form[mark].format(f"{recall:.1f}") + (interval.format(low, high) if interval and pd.notna(low) else "")

    lines = zip(rank_marks(recalls).to_numpy(), *numbers, strict=True)
    texts = [[written(*cell) for cell in zip(*line, strict=True)] for line in lines]
    return pd.DataFrame(texts, index=recalls.index, columns=recalls.columns)


def flat_table(table) -> pd.DataFrame:
    """A flat table with plain column names, for spreadsheets: `<dataset>, <protocol>: R@<k>`, with `low` and `high`."""
    plain = table.copy()
    tails = {"recall": "", "low": " low", "high": " high"}
    plain.columns = [f"{dataset}, {protocol}: R@{k}{tails[value]}" for dataset, protocol, _, k, value in table.columns]
    return plain.round(2).reset_index().rename(columns={"label": "run"})


def to_markdown(table) -> str:
    """The table in GitHub's Markdown."""
    shown = format_cells(table, MARKDOWN, None)
    head = ["run", "seeds", *(f"{dataset}, {protocol}: R@{k}" for dataset, protocol, _, k in shown.columns)]
    lines = [head, ["---", *["---:"] * (1 + shown.shape[1])]]
    for (origin, label, seeds), row in shown.iterrows():
        lines.append([label if origin == "ours" else f"*published:* {label}", str(seeds or ""), *row])
    groups = shown.columns.droplevel("k").unique()
    asked = "; ".join(f"{queries:,} of {dataset}, {protocol}" for dataset, protocol, queries in groups)
    return (
        "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
        + f"\n\n{NOTE} Queries: {asked}.\n"
    )


def escape_latex(text: str) -> str:
    return "".join(ESCAPED.get(character, character) for character in text)


def to_latex(table, intervals: bool = False) -> str:
    """The table as a `tabular` for LaTeX's package booktabs; with 95 % intervals if so asked."""
    shown = format_cells(table, LATEX, r" {{\scriptsize [{:.1f}, {:.1f}]}}" if intervals else None)
    groups = list(shown.columns.droplevel("k").unique())
    sizes = [sum(column[:3] == group for column in shown.columns) for group in groups]
    ends = [2 + sum(sizes[: number + 1]) for number in range(len(sizes))]
    lines = [
        f"% {NOTE}" + f" {INTERVALS}" * intervals,
        r"% \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * (1 + sum(sizes))}}}",
        r"\toprule",
    ]
    for level in range(len(GROUP)):
        names = [escape_latex(f"{group[level]:,} queries" if level == 2 else group[level]) for group in groups]
        spans = [rf"\multicolumn{{{size}}}{{c}}{{{name}}}" for name, size in zip(names, sizes, strict=True)]
        lines.append(" & ".join(["", "", *spans]) + r" \\")
    lines.append(" ".join(rf"\cmidrule(lr){{{end - size + 1}-{end}}}" for end, size in zip(ends, sizes, strict=True)))
    lines += [" & ".join(["", "seeds", *(f"R@{k}" for *_, k in shown.columns)]) + r" \\", r"\midrule"]
    origins = shown.index.get_level_values("origin")
    for number, ((origin, label, seeds), row) in enumerate(shown.iterrows()):
        if origin == "published" and origins[number - 1] == "ours":
            lines += [r"\midrule", rf"\multicolumn{{{ends[-1]}}}{{l}}{{\emph{{published, measured by others}}}} \\"]
        lines.append(" & ".join([escape_latex(label), str(seeds or ""), *row]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])
