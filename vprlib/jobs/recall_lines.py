"""Say the recalls of a table in lines of text, without pandas: for the terminal, at once."""

import csv
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from vprlib.exceptions import InputError
from vprlib.jobs.paths import Paths, fill

ALL = "all"  # the condition of rows over all queries
SERIES = ("dataset", "run", "seed", "gen", "protocol", "descriptor", "rerank")
Row = dict[str, str]


def read_recalls(path: str | os.PathLike[str]) -> list[Row]:
    """Read the rows over all queries of a table of recalls, as text.

    Raises:
        InputError: the file cannot be read, or is no table of recalls.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["condition"] == ALL]
            for row in rows:
                float(row["recall"]), float(row["low"]), float(row["high"]), [row[name] for name in SERIES]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table of recalls ({error})") from error
    return rows


def recall_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield a line for each series of recalls: dataset, network, protocol, descriptor and re-ranking.

    What is the same in all rows of a dataset is left out of its lines.

    >>> row = dict(zip(SERIES, ("city", "netvlad", "0", "0", "10 m", "raw", "none")), k="1", recall="0.5")
    >>> list(recall_lines([row | {"low": "0.4", "high": "0.6"}, row | {"k": "5", "recall": "0.75"}]))
    ['city  netvlad seed 0: R@1 50.0 [40.0, 60.0]  R@5 75.0']
    """
    series: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        series.setdefault(tuple(row[name] for name in SERIES), []).append(row)
    several = {}
    for dataset in {key[0] for key in series}:
        columns = list(zip(*(key for key in series if key[0] == dataset), strict=True))
        several[dataset] = {name for name, values in zip(SERIES, columns, strict=True) if len(set(values)) > 1}
    for key, part in series.items():
        named, differs = dict(zip(SERIES, key, strict=True)), several[key[0]]
        what = f"{named['run']} seed {named['seed']}"
        what += f" gen {named['gen']}" if named["gen"] != "0" or "gen" in differs else ""
        what += "".join(f", {named[name]}" for name in ("descriptor", "protocol") if name in differs)
        what += f", {named['rerank']}" if named["rerank"] != "none" else ""
        first, *others = sorted(part, key=lambda row: int(row["k"]))
        text = f"R@{first['k']} {percent(first['recall'])} [{percent(first['low'])}, {percent(first['high'])}]"
        more = (f"  R@{row['k']} {percent(row['recall'])}" for row in others)
        yield f"{named['dataset']}  {what}: {text}{''.join(more)}"


def percent(share: str) -> str:
    """Return a share, as text, in percent with one decimal.

    >>> percent("0.4163")
    '41.6'
    """
    return f"{100 * float(share):.1f}"


def is_recall_table(path: Path) -> bool:
    """Return whether a `recalls.csv` is of a dataset; one for spreadsheets has other columns."""
    with path.open(encoding="utf-8") as file:
        return {"dataset", "run", "protocol", "condition"} <= set(file.readline().split(","))


def main_line(path: str | os.PathLike[str]) -> str:
    """Return the line of a network's main recalls: of its first protocol, whitened if it is, and not re-ranked.

    Raises:
        InputError: as `read_recalls`.
    """
    rows = [row for row in read_recalls(path) if row["rerank"] == "none"]
    rows = [row for row in rows if row["protocol"] == rows[0]["protocol"]]
    kind = "whitened" if any(row["descriptor"] == "whitened" for row in rows) else "raw"
    return next(recall_lines(row for row in rows if row["descriptor"] == kind), "")


def experiment_lines(folder: str | os.PathLike[str]) -> Iterator[str]:
    """Yield what a folder of results holds, in lines.

    These are, of each dataset, its protocols and each series of recalls; then the page, and further experiments.

    The networks' tables are read, because those of the datasets may not be written yet; or else the datasets' tables,
    as `vprlib compare` writes them.

    Raises:
        InputError: there is nothing of an experiment in the folder.
    """
    root, paths = Path(folder), Paths("")
    of_datasets = (path for path in root.glob(_below(paths.dataset_recalls)) if is_recall_table(path))
    tables = sorted(root.glob(_below(paths.run_recalls))) or sorted(of_datasets)
    by_dataset: dict[str, list[Row]] = {}
    for path in tables:
        for row in read_recalls(path):
            by_dataset.setdefault(row["dataset"], []).append(row)
    for dataset, rows in by_dataset.items():
        tested = dict.fromkeys(f"{row['protocol']}, {row.get('queries', '?')} queries" for row in rows)
        yield f"{dataset}: {'; '.join(tested)}; recall in %, [95 % interval]"
        yield from recall_lines(rows)
    others = sorted({path.parents[4] for path in root.glob(f"experiments/*/{_below(paths.run_recalls)}")})
    pages = [root / Path(page).name for page in (paths.report, paths.preview)]
    yield from (f"page: {page}" for page in pages if page.exists())
    yield from (f"another experiment: {other}" for other in others)
    if not tables and not others:
        raise InputError(
            f"{root}: has no recalls yet (no {{dataset}}/{{run}}/seed*/gen*/recalls.csv); run the workflow, or name "
            f"another folder of results"
        )


def _below(pattern: str) -> str:
    """A pattern of `Paths`, below the folder of results, with `*` for its wildcards."""
    return fill(pattern, dataset="*", run="*", seed="*", gen="*").lstrip("/")
