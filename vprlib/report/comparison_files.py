"""Write the files that put all runs of an experiment, or of several ones, beside each other and published results."""

from collections.abc import Sequence

import pandas as pd

from vprlib.evaluation.paper_tables import flat_table, to_latex, to_markdown, wide_table
from vprlib.evaluation.published_recalls import compare_with_published
from vprlib.figures.run_comparison import plot_comparison
from vprlib.figures.style import REPORT, OutputPaths, Style
from vprlib.io.files import write_bytes, write_csv


def write_comparison(
    recalls: Sequence[pd.DataFrame],
    *,
    picture: OutputPaths,
    table: str,
    wide: str,
    markdown: str,
    latex: str,
    intervals: str,
    style: Style = REPORT,
) -> None:
    """Write the comparison figure, the tidy table with published recalls, and the tables for a paper.

    Args:
        recalls: a table of recalls for each dataset.
        picture: the files of the figure.
        table: the tidy table (CSV).
        wide, markdown, latex: the table of one row a run, as CSV, Markdown and LaTeX.
        intervals: the LaTeX table with 95 % intervals.
        style: of the figure.
    """
    compared = compare_with_published(list(recalls))
    write_csv(table, compared)
    plot_comparison(picture, recalls, compared, style)
    rows = wide_table(compared)
    write_csv(wide, flat_table(rows), checksum=False)
    write_bytes(markdown, to_markdown(rows).encode())
    write_bytes(latex, to_latex(rows).encode())
    write_bytes(intervals, to_latex(rows, intervals=True).encode())
