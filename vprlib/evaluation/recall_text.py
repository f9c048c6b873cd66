"""Describe recalls in a few lines of text, with what they mean: for the terminal."""

import pandas as pd


def describe_recalls(table: pd.DataFrame) -> str:
    """Return the recalls of one evaluation in percent, their 95 % intervals, and how they were measured.

    Args:
        table: the rows of one kind of descriptor and condition, with the columns of `recall_table`, one for each k.
    """
    first = table.iloc[0]
    names = [f"R@{k}" for k in table.k]
    values = zip(names, *(100 * table[column] for column in ("recall", "low", "high")), strict=True)
    lines = [
        f"{name:<{max(map(len, names))}}  {recall:5.1f}  [{low:.1f}, {high:.1f}]" for name, recall, low, high in values
    ]
    missing = first.without_positives
    lines += [
        "",
        f"{first.queries} queries of {first.places} places; {first.database} database photos; "
        f"{first.dim}-D descriptors.",
        f"recall@k: share (%) of the queries whose first k candidates hold a photo {first.protocol}"
        + (f"; the {missing} without one in the database are misses." if missing else "."),
        f"95 % intervals; queries of one place depend on each other (design effect {first.design_effect:.1f} at "
        f"k = {first.k}). A random ranking has R@{first.k} {100 * first.chance:.1f}.",
    ]
    return "\n".join(lines)
