"""Descriptor size as an axis: recall, bytes and search time of each dimension in each storage."""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from vprlib.config import Sizes
from vprlib.data.dataset import Protocol
from vprlib.evaluation.recall import recall_at, searched
from vprlib.evaluation.statistics import wilson
from vprlib.figures.recall_curves import setting
from vprlib.figures.style import LINE, PAGE, figure, lines_of, look, wrapped
from vprlib.io import files
from vprlib.retrieval.compression import STORAGES, leading
from vprlib.retrieval.search import search

KS = (1, 5, 10)
ROUNDS = 3  # of a search; its median time counts
KIND = "whitened"
COSTS = {"bytes": "bytes per image", "dim": "dimensions", "search_ms": "milliseconds per query"}
FORMS = {"float32": "float32", "float16": "float16", "int8": "int8", "pq": "PQ", "binary": "binary"}


def measure(*, images, database, queries, protocol: Protocol, sizes: Sizes, seed: int):
    """A tidy table: a row for each dimension, storage and k.

    The files hold float16 values of whitened descriptors, so float32 is no more exact than they are. `search_ms` is the
    wall time of one query in a search of all at once, by all threads, without encoding. Database and queries are held
    in memory, as float32 and encoded.

    Args:
        images: the image table.
        database, queries: the files of descriptors; their `whitened` ones are measured.
        protocol: what is asked, and what is a hit.
        sizes: the dimensions and storages.
        seed: of the centres of PQ.

    Raises:
        BadInput: the descriptors are missing or shorter than a dimension.
    """
    rows = []
    for path in (database, queries):
        with h5py.File(path, "r") as file:
            if KIND not in file:
                raise files.BadInput(f"{path}: has no whitened descriptors; add them to extract.descriptors")
            if file[KIND].shape[1] < max(sizes.dims):
                raise files.BadInput(
                    f"sizes.dims: {max(sizes.dims)} dimensions of {path}, which has {file[KIND].shape[1]}"
                )
    for dim in sizes.dims:
        for storage in sizes.storage:
            spent = []
            rank = partial(ranked, storage=storage, dim=dim, seed=seed, spent=spent)
            with tempfile.TemporaryDirectory() as folder:
                ranking = Path(folder) / "ranking.h5"
                options = {"depth": max(KS) * (protocol.views_per_place or 1), "scopes": [protocol.scope]}
                search(ranking, database=database, queries=queries, images=images, rank=rank, kinds=[KIND], **options)
                found = searched(images=images, ranking=ranking, protocol=protocol)
            count, asked = len(found.query), sum(number for _, number, _ in spent)
            shared = {"dim": dim, "storage": storage, "bytes": max(size for *_, size in spent)}
            shared["search_ms"] = 1000 * sum(seconds for seconds, *_ in spent) / asked
            ks = [k for k in KS if k <= len(found.database)]
            for k, recall in recall_at(ks, found.rankings[KIND], found.positives).items():
                low, high = wilson(recall * count, count)
                rows.append(shared | {"k": k, "recall": recall, "low": low, "high": high, "queries": count})
                rows[-1] |= {"database": len(found.database), "protocol": protocol.name} | files.provenance()
    return pd.DataFrame(rows)


def ranked(query_QD, database_ND, k: int, *, storage: str, dim: int, seed: int, spent: list) -> tuple:
    """As `search.nearest`, of the leading values in a storage; appends (seconds, queries, bytes of an image)."""
    options = {"seed": seed} if storage == "pq" else {}
    stored, query_QD = STORAGES[storage](leading(database_ND, dim), **options), leading(query_QD, dim)
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        ranking, score = stored.nearest(query_QD, k)
        times.append(time.perf_counter() - start)
    spent.append((statistics.median(times), len(query_QD), stored.bytes))
    return ranking, score


def read(path):
    """A table of sizes; names of runs are labels, whatever they look like."""
    return pd.read_csv(path, dtype={"run": str, "dataset": str})


def pareto(out, table):
    """Draw recall@1 over what a descriptor costs: a row of panels a run, a column a cost, a line a storage, a point a
    dimension; and the front of what nothing cheaper beats.
    """
    table = table[table.k == table.k.min()]
    rows = table.groupby(["run", "storage", "dim"], sort=False)[["bytes", "search_ms", "recall", "low", "high"]]
    rows = rows.mean().reset_index()
    runs, storages = list(rows.run.unique()), list(rows.storage.unique())
    title = setting(table, PAGE)
    with figure(out, PAGE, 1.9 * len(runs) + LINE * (lines_of(title) + 5)) as fig:
        fig.suptitle(title)
        grid = fig.subplots(len(runs), len(COSTS), sharex="col", sharey=True, squeeze=False)
        for (line, column), ax in np.ndenumerate(grid):
            part, cost = rows[rows.run == runs[line]], list(COSTS)[column]
            over_cost(ax, part, cost, storages)
            ax.set(ylabel=f"recall@{table.k.min()} (%)" if column == 0 else "")
            ax.set_title("" if column else wrapped(runs[line], PAGE / 3))
        for ax, words in zip(grid[-1], COSTS.values(), strict=True):
            ax.set_xlabel(words)
        grid[0, 0].set_ylim(max(0, 100 * rows.recall.min() - 5), min(103, 100 * rows.recall.max() + 5))
        half = (rows.high - rows.low).max() * 50
        handles, labels = grid[0, 0].get_legend_handles_labels()
        said = (
            f"points of a line: dimensions; 95 % intervals: at most ± {half:.1f}; times of all threads of one machine"
        )
        fig.legend(handles, labels, title=said, ncols=3, alignment="left", loc="outside lower left")
    return fig


def over_cost(ax, rows, cost: str, storages: list):
    """One panel of `pareto`."""
    front = rows.sort_values([cost, "recall"], ascending=[True, False])
    front = front[front.recall > front.recall.cummax().shift(fill_value=-1)]
    best = {"color": "black", "linewidth": 4, "alpha": 0.12, "label": "best at its cost"}
    ax.step(front[cost], front.recall * 100, where="post", **best)
    for number, storage in enumerate(storages):
        line = rows[rows.storage == storage].sort_values("dim")
        ax.plot(line[cost], line.recall * 100, label=FORMS[storage], **look(number))
    ax.set_xscale("log", base=4 if cost == "dim" else 10)
    if cost != "dim" and rows[cost].max() < 50 * rows[cost].min():  # few powers of ten, maybe one, to read it by
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
