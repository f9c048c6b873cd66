"""The columns of every table that the workflow writes, with their meaning: the source of the reference."""

import re

TEXT = {
    "dataset", "run", "other", "descriptor", "rerank", "reranker", "condition", "protocol", "unit", "query",
    "top1_image", "config_hash", "index", "checkpoint", "train_set", "epoch_selected_on", "version", "commit",
    "compression", "origin", "source", "by", "table_checksum",
}  # fmt: skip

NETWORK = {
    "dataset": "name of the evaluated dataset",
    "run": "name of the run in the configuration",
    "seed": "seed of the training",
    "gen": "generation of the training, from 0",
}
DESCRIPTOR = {
    "descriptor": "kind of descriptor: `raw` or `whitened`",
    "dim": "dimension of the descriptor",
    "rerank": "label of the re-ranking, or `none`",
}
PROTOCOL = {
    "protocol": "name of the protocol; recalls of two protocols do not compare",
    "radius": "largest distance of a hit, in `unit`",
    "unit": "unit of the positions: `m`, `frames` of a traverse, or `listed`: positives are listed, without radius",
}
INTERVAL = {
    "low": "lower end of the 95 % interval",
    "high": "upper end of the 95 % interval",
    "design_effect": "how many times as large as with independent queries the variance is, at least 1",
}
PLACES = {
    "places": "number of places: queries within half the radius of one another",
    "groups": "number of independent groups of queries: the places, or blocks of them along a traverse",
}
CODE = {"version": "version of vprlib", "commit": "git commit of the code; `+` if files were changed since"}

TABLES: dict[str, dict[str, str]] = {
    "results/{dataset}/images.csv": {
        "path": "photo, relative to the working folder or absolute",
        "split": "`train`, `val` or `test`",
        "role": "`database` or `query`",
        "place": "label of the place; photos of one place are views of it",
        "east": "position to the east: UTM metres, or a frame number",
        "north": "position to the north: UTM metres, or 0 for frames",
        "heading": "direction of the view, degrees clockwise from north",
        "time": "time of the photo, as a label",
        "listed_positives": "if positives are listed: a database photo's number, or the numbers of a query's positives",
        "(others)": "conditions of the photo, as the dataset gives them; see `evaluate.group_by`",
    },
    "results/{dataset}/recalls.csv": {
        **NETWORK,
        **DESCRIPTOR,
        "condition": "`all` queries, or `column=value` of `evaluate.group_by`",
        "k": "number of candidates",
        "recall": "recall@k in [0, 1]; a query without a positive is a miss",
        **INTERVAL,
        "chance": "expected recall@k of a random ranking",
        "queries": "number of queries",
        **PLACES,
        "without_positives": "number of queries without a positive",
        "database": "number of database images",
        **PROTOCOL,
        "config_hash": "hash of the recipe of the network",
        "index": "kind of search index: `flat` is exact",
        "reranker": "method of the re-ranking with its options, or `none`",
        "checkpoint": "first 12 digits of the checkpoint's SHA-256; of descriptors computed elsewhere, of their files'",
        "epoch": "epoch of the evaluated checkpoint; 0 is the initial network",
        "train_set": "dataset that the network was trained on; empty if it was not trained here",
        "epoch_selected_on": "what selected the epoch; it begins with `test` if tested photos took part",
        **CODE,
    },
    "results/{dataset}/{run}/seed{seed}/gen{gen}/queries.csv": {
        **NETWORK,
        "query": "photo of the query",
        "east": "position of the query to the east",
        "north": "position of the query to the north",
        "positives": "number of database images within the radius",
        "rank": "rank of the first hit, from 1; empty if no candidate is a hit",
        "top1_image": "first candidate",
        "score": "score of the first candidate: dot product, or 1 - distance after k-reciprocal re-ranking",
        "distance_ratio": "descriptor distance of the first candidate divided by that of the second place",
        "error@{k}": "distance of the nearest of the first k candidates, in `unit`; 0 for a hit if it is `listed`",
        **DESCRIPTOR,
        **PROTOCOL,
        "config_hash": "hash of the recipe of the network",
        "(others)": "the columns of `evaluate.group_by`",
    },
    "results/{dataset}/differences.csv": {
        "dataset": "name of the evaluated dataset",
        "protocol": PROTOCOL["protocol"],
        "descriptor": DESCRIPTOR["descriptor"],
        "rerank": DESCRIPTOR["rerank"],
        "run": "first run",
        "gen": "generation of the first run",
        "other": "second run",
        "other_gen": "generation of the second run",
        "k": "number of candidates: 1",
        "seeds": "number of seeds that are compared",
        "queries": "number of queries, the same for both runs",
        **PLACES,
        "recall": "recall@1 of the first run",
        "other_recall": "recall@1 of the second run",
        "difference": "recall minus other_recall",
        **INTERVAL,
        "run_only_correct": "queries that only the first run got right, mean over the seeds",
        "other_only_correct": "queries that only the second run got right, mean over the seeds",
        "p": "p-value of the exact test that flips the results of whole groups",
        "p_holm": "p-value adjusted for all comparisons under the same protocol (Holm)",
    },
    "results/{dataset}/thresholds.csv": {
        **NETWORK,
        **DESCRIPTOR,
        **PROTOCOL,
        "threshold": "hit radius of this row, in `unit`",
        "k": "number of candidates: 1",
        "recall": "recall@1 with that radius",
        **INTERVAL,
        "queries": "number of queries",
        **PLACES,
    },
    "results/{dataset}/precision.csv": {
        **NETWORK,
        **DESCRIPTOR,
        **PROTOCOL,
        "confidence": "smallest confidence of an accepted prediction",
        "answered": "number of accepted predictions: those with at least this confidence",
        "precision": "share of the accepted predictions that are hits",
        "recall": "number of hits among them, divided by the number of queries that have a positive",
        "by": "confidence measure: `score` or `distance_ratio`",
    },
    "results/{dataset}/summary.csv": {
        **NETWORK,
        **DESCRIPTOR,
        **PROTOCOL,
        "queries": "number of queries",
        "answerable": "number of queries that have a positive",
        "error_{share}%": "quantile of the distance of the first candidate from its query",
        "average_precision_{by}": "area below the curve of precision.csv by steps; at most recall@1 of the answerable",
        "auc_pr_{by}": "AUC-PR as VPR-Bench defines it: recall divides by the correct first candidates, and ends at 1",
        "recall_at_100_{by}": "largest recall at a precision of 100 %",
    },
    "results/{dataset}/sizes.csv": {
        **NETWORK,
        "dim": DESCRIPTOR["dim"],
        "compression": "compression of the descriptors; `float32` is made of the float16 that the files hold",
        "bytes": "bytes per database image",
        "search_ms": "wall time per query, milliseconds",
        "k": "number of candidates",
        "recall": "recall@k in [0, 1]",
        **INTERVAL,
        "queries": "number of queries",
        **PLACES,
        "database": "number of database images",
        "protocol": PROTOCOL["protocol"],
        **CODE,
    },
    "results/comparison.csv": {
        "origin": "`ours`, or `published` by others",
        "dataset": "name of the evaluated dataset",
        "protocol": PROTOCOL["protocol"],
        "run": "run, or published method",
        "gen": NETWORK["gen"],
        "train_set": "dataset that the network was trained on",
        **DESCRIPTOR,
        "index": "kind of search index: `flat` is exact",
        "k": "number of candidates",
        "recall": "recall@k, averaged over the seeds",
        "std": "standard deviation over the seeds (n - 1)",
        **INTERVAL,
        "seeds": "number of seeds",
        "queries": "number of queries",
        **PLACES,
        "epoch_selected_on": "what selected the epoch",
        "source": "publication of a published recall",
    },
    "results/models/{run}/seed{seed}/gen{gen}/history.csv": {
        "epoch": "epoch; 0 is the network before training",
        "learning_rate": "learning rate of the epoch",
        "loss": "mean loss of the epoch's tuples",
        "loss_hard": "mean of the loss against hard negatives",
        "loss_soft": "mean of the loss against soft labels; empty if `soft.weight` is 0",
        "violating_share": "share of negatives that are nearer than the positive",
        "positive_distance_p{q}": "q-th percentile of the descriptor distance of positives",
        "negative_distance_p{q}": "q-th percentile of the descriptor distance of negatives",
        "val_recall@{k}": "recall@k on the validation split",
    },
}


def is_number_column(name: str) -> bool:
    """Return whether a column of a table of results holds numbers.

    These are the columns of TABLES that are not TEXT. Others are conditions of the photos, which are labels.

    >>> is_number_column("error@5"), is_number_column("run"), is_number_column("weather")
    (True, False, False)
    """
    if name in TEXT:
        return False
    documented = (column for path, table in TABLES.items() if not path.endswith("images.csv") for column in table)
    patterns = (re.sub(r"\\{\w+\\}", ".+", re.escape(column)) for column in documented if column != "(others)")
    return any(re.fullmatch(pattern, name) for pattern in patterns)
