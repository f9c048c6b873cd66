"""Join what several experiments left, in folders of one clone or of several, and refuse what does not compare."""

import glob
import logging
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from vprlib.evaluation.comparison import paired_differences
from vprlib.evaluation.recall_table import join_results, read_results
from vprlib.exceptions import InputError
from vprlib.io.files import write_csv
from vprlib.jobs.paths import Paths, fill
from vprlib.jobs.recall_lines import is_recall_table
from vprlib.report.comparison_files import write_comparison

log = logging.getLogger(__name__)

NETWORK = ["run", "seed", "gen"]
SERIES = [*NETWORK, "descriptor", "dim", "rerank", "protocol", "condition", "k"]  # what has one recall on a dataset
HITS = ["radius", "unit"]  # what a protocol's name stands for
TESTED = ["queries", "database", "without_positives", "chance"]  # these depend on photos and protocol only


class Experiment(NamedTuple):
    """The tables of one experiment."""

    name: str  # as given: the folder, or the name in `NAME=FOLDER`
    folder: Path
    named: bool  # whether the name stands before the names of its runs
    recalls: dict[str, pd.DataFrame]  # dataset -> its table of recalls


def join_experiments(sources: Sequence[str], out: str | Path) -> list[Path]:
    """Write the joined recalls of several experiments, their differences and their comparison.

    The files have the names that an experiment gives them: `{dataset}/recalls.csv`, with a column `experiment`;
    `{dataset}/differences.csv`, of the runs whose per-query tables are there; `comparison.csv` and the figure
    `comparison`; `recalls.csv`, `.md`, `.tex`, `recalls_intervals.tex`. Of the protocols and k of a dataset, those are
    joined that all of its experiments have. A network that several experiments evaluated alike is there once.

    Args:
        sources: folders of results, at least two; `NAME=FOLDER` puts `NAME/` before the names of the runs.
        out: the folder to write to.

    Returns:
        The tables that were written.

    Raises:
        InputError: in one line, before anything is written: a folder has no recalls; the experiments have no dataset,
            protocol or k in common; a protocol, the tested photos, a re-ranking or a run differ under one name.
    """
    experiments = [read_experiment(source) for source in sources]
    names = [one.name for one in experiments]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise InputError(f"compare: {', '.join(names)}: name at least two folders of results, and each once")
    check_out(out, experiments)
    datasets = list(dict.fromkeys(name for one in experiments for name in one.recalls))
    shared = [name for name in datasets if sum(name in one.recalls for one in experiments) > 1]
    if not shared:
        raise InputError(f"compare: {', '.join(names)} have no dataset in common")
    joined = {name: join_recalls(name, [one for one in experiments if name in one.recalls]) for name in datasets}
    differences = {name: join_differences(name, experiments, joined[name]) for name in datasets}
    paths, written = Paths(out), []
    for name, table in joined.items():
        written.append(Path(fill(paths.dataset_recalls, dataset=name)))
        write_csv(written[-1], table)
        if (tested := differences[name]) is not None:
            written.append(Path(fill(paths.differences, dataset=name)))
            write_csv(written[-1], tested)
    for former in dataset_tables(Path(out)):  # of an earlier comparison; nothing of it must stand beside this one
        for path in (former, Path(fill(paths.differences, dataset=former.parent.name))):
            if path not in written:
                path.unlink(missing_ok=True)
    write_comparison(
        list(joined.values()),
        picture=paths.figure(paths.comparison_figure),
        table=paths.comparison,
        wide=f"{paths.wide_recalls}.csv",
        markdown=f"{paths.wide_recalls}.md",
        latex=f"{paths.wide_recalls}.tex",
        intervals=paths.recall_intervals,
    )
    return [*written, Path(paths.comparison)]


def check_out(out: str | Path, experiments: Sequence[Experiment]) -> None:
    """Check that a folder holds no experiment, so that joined tables may be written to it.

    Raises:
        InputError: it is one of the compared folders, or holds the tables of another experiment.
    """
    if {"{", "}"} & set(str(out)):
        raise InputError(f"--out {out}: has braces, which stand for names in paths; name another folder")
    if Path(out).resolve() in {one.folder.resolve() for one in experiments}:
        raise InputError(f"--out {out}: is one of the compared folders; name a folder of its own")
    tables = [table for table in dataset_tables(Path(out)) if "experiment" not in read_results(table)]
    if own := tables or sorted(Path(out).glob("*/*/seed*/gen*/recalls.csv")):
        raise InputError(f"--out {out}: holds an experiment ({own[0]}); name a folder of its own")


def dataset_tables(folder: Path) -> list[Path]:
    """List the tables of recalls of datasets in a folder of results, sorted.

    A folder below it may hold another experiment, whose `recalls.csv` is a table for spreadsheets.
    """
    pattern = fill(Paths(glob.escape(str(folder))).dataset_recalls, dataset="*")
    tables = [Path(path) for path in sorted(glob.glob(pattern))]  # noqa: PTH207 - the pattern has the folder in it
    return [path for path in tables if is_recall_table(path)]


def read_experiment(source: str) -> Experiment:
    """Read the tables of recalls of an experiment.

    Args:
        source: its folder of results, or `NAME=FOLDER`.

    Raises:
        InputError: there is no such folder, or it has no table of recalls.
    """
    name, named, place = source.partition("=") if not Path(source).exists() else ("", "", source)
    folder, recalls = Path(place if named or place else name), {}
    for path in dataset_tables(folder):
        recalls[path.parent.name] = read_results(path)
    if not recalls:
        where = "has no table of recalls" if folder.is_dir() else "no such folder"
        raise InputError(f"{folder}: {where}; name a folder of results, which has {{dataset}}/recalls.csv")
    return Experiment(name or str(folder), folder, bool(named), recalls)


def join_recalls(dataset: str, experiments: Sequence[Experiment]) -> pd.DataFrame:
    """Join the recalls of experiments on one dataset; the arguments and errors are those of `join_experiments`."""
    tables = {one.name: one.recalls[dataset] for one in experiments}
    _check_one_meaning(dataset, tables, ["protocol"], HITS, "the protocol {}", "evaluate both by the same protocols")
    for column, what in (("protocol", "`protocols`"), ("k", "`evaluate.recall_at`")):
        tables = _in_common(dataset, tables, column, what)
    key = ["protocol", "condition", "k"]
    _check_one_meaning(dataset, tables, key, TESTED, "the photos tested under {}", "evaluate both on the same photos")
    with_method = {name: table.dropna(subset="reranker") for name, table in tables.items() if "reranker" in table}
    hint = "give one of them a `label` of its own"
    _check_one_meaning(dataset, with_method, ["rerank"], ["reranker"], "the re-ranking {}", hint)
    tables = {one.name: _named_runs(tables[one.name], one).assign(experiment=one.name) for one in experiments}
    hint = "give one of the runs another name, or compare NAME=FOLDER, which puts NAME before the names of its runs"
    _check_one_meaning(dataset, tables, NETWORK, ["config_hash", "checkpoint"], "the network {}", hint)
    _check_one_meaning(dataset, tables, SERIES, ["index", "recall"], "the recall of {}", hint)
    return pd.concat(tables.values(), ignore_index=True).drop_duplicates(SERIES, ignore_index=True)


def join_differences(dataset: str, experiments: Sequence[Experiment], recalls: pd.DataFrame) -> pd.DataFrame | None:
    """Test the differences of all runs whose per-query tables are there; None if fewer than two have theirs.

    Args:
        dataset: the dataset.
        experiments: the experiments.
        recalls: their joined recalls.

    Raises:
        InputError: a table is of another recipe than the recalls, or two runs were evaluated on different queries.
    """
    tables = []
    for one in (one for one in experiments if dataset in one.recalls):
        own = one.recalls[dataset].drop_duplicates(NETWORK)
        kept = recalls[recalls.experiment == one.name].drop_duplicates(NETWORK)
        rows = own.merge(kept[NETWORK].assign(run=kept.run.str.removeprefix(_prefix(one))))
        paths = [
            fill(Paths(one.folder).run_queries, dataset=dataset, run=row.run, seed=row.seed, gen=row.gen)
            for row in rows.itertuples()
        ]
        pairs = [(path, made) for path, made in zip(paths, rows.config_hash, strict=True) if Path(path).exists()]
        if len(pairs) < len(paths):
            log.warning("%s: %d of %d queries.csv are there; only these are tested", one.name, len(pairs), len(paths))
        if pairs:
            tables.append(_named_runs(join_results(*zip(*pairs, strict=True)), one))
    if not tables:
        return None
    answers = pd.concat(tables, ignore_index=True)
    answers = answers[answers.protocol.isin(set(recalls.protocol))]
    return paired_differences(answers) if len(set(answers.run)) > 1 else None


def _prefix(experiment: Experiment) -> str:
    return f"{experiment.name}/" if experiment.named else ""


def _named_runs(table: pd.DataFrame, experiment: Experiment) -> pd.DataFrame:
    """A table with the experiment's name before the names of its runs, if it was given one."""
    return table.assign(run=_prefix(experiment) + table.run.astype(str))


def _in_common(dataset: str, tables: dict[str, pd.DataFrame], column: str, key: str) -> dict[str, pd.DataFrame]:
    """Keep the rows whose value of a column all tables have; the log says what is left out."""
    values = [set(table[column]) for table in tables.values()]
    common = set.intersection(*values)
    if not common:
        each = "; ".join(f"{name} {', '.join(map(str, sorted(set(table[column]))))}" for name, table in tables.items())
        raise InputError(f"{dataset}: no {column} in common ({each}); evaluate again with the same {key}")
    if other := set.union(*values) - common:
        named = ", ".join(map(str, sorted(other)))
        log.warning("%s: %s %s is not in all experiments, and left out", dataset, column, named)
    return {name: table[table[column].isin(common)] for name, table in tables.items()}


def _check_one_meaning(
    dataset: str, tables: dict[str, pd.DataFrame], key: list[str], columns: list[str], what: str, hint: str
) -> None:
    """Check that rows of two tables with the same key agree in some columns.

    Args:
        dataset: the dataset, for the message.
        tables: experiment -> table.
        key: columns that name a thing.
        columns: columns that must be the same for the same thing.
        what: the thing in messages; `{}` stands for the values of `key`.
        hint: what to do.

    Raises:
        InputError: naming the thing, the two experiments and what differs.
    """
    for (name, table), (other, others) in combinations(tables.items(), 2):
        rows, other_rows = (one[[*key, *columns]].drop_duplicates() for one in (table, others))
        both = rows.merge(other_rows, on=key, suffixes=("", "_other"))
        for column in columns:
            if differ := list(_different(both, column)):
                row = both.loc[differ[0]]
                named = (f"{part} {row[part]}" if part not in ("run", *key[:1]) else str(row[part]) for part in key)
                thing = what.format(" ".join(named))
                raise InputError(
                    f"{dataset}: {thing} is not the same in {name} and {other}: {column} {row[column]} and "
                    f"{row[f'{column}_other']}; {hint}"
                )


def _different(rows: pd.DataFrame, column: str) -> Iterator[int]:
    """Yield the labels of rows in which a column differs from its other."""
    differs = (rows[column] != rows[f"{column}_other"]) & ~(rows[column].isna() & rows[f"{column}_other"].isna())
    yield from rows.index[differs]
