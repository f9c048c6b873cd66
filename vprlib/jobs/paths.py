"""The paths of all artefacts: the one place where paths below the folders of results are spelled.

A pattern holds exactly the wildcards, in braces, that define its artefact. `fill` puts values in.
"""

import re
from pathlib import Path
from typing import Any

Wildcards = Any  # snakemake.io.Wildcards: the values of a job's wildcards, by attribute
WILDCARD = re.compile(r"\{[^{}]+\}")  # what Snakemake takes for a wildcard in a path
SHARED = "results"  # the folder of what experiments share, and of an experiment that names no other one
FIGURE = ("svg", "pdf", "png")  # a figure for the report, for print and for slides


def fill(pattern: str, **wildcards: object) -> str:
    """Put values into a pattern; braces in the values are left as they are.

    >>> fill("results/{dataset}/images.csv", dataset="a{b}")
    'results/a{b}/images.csv'
    """
    return re.sub(r"\{(\w+)\}", lambda match: str(wildcards.get(match[1], match[0])), pattern)


class Paths:
    """The patterns of all artefacts: what experiments share, and what is an experiment's own."""

    def __init__(self, results: str | Path = SHARED, shared: str | Path = SHARED):
        """Spell the patterns.

        Args:
            results: the folder of the experiment: evaluations, tables, figures, the page, and the logs of their jobs.
            shared: the folder of what takes long and does not depend on how it is evaluated.
        """
        root, own = str(shared), str(results)
        self.results = own
        self.logs = "logs" if own == root else f"{own}/logs"
        # of a dataset
        self.images = f"{root}/{{dataset}}/images.csv"
        self.train_images = f"{root}/{{train_set}}/images.csv"
        self.download = f"{root}/{{dataset}}/download.json"
        self.contact_sheet = f"{root}/{{dataset}}/contact.png"
        self.verification = f"{own}/{{dataset}}/verification.json"
        self.verification_figure = f"{own}/{{dataset}}/verification.png"
        # of a backbone and a training set
        self.weights = f"{root}/weights/{{backbone}}/{{weights}}.safetensors"
        self.pretrained = f"{root}/weights/{{backbone}}/pretrain.safetensors"
        agreed = "{train_set}/{backbone}/{weights}"
        self.features = f"{root}/trunk/{agreed}/{{height}}x{{width}}.h5"
        self.centroids = f"{root}/centroids/{agreed}/seed{{seed}}.h5"
        self.centroids_figure = f"{root}/centroids/{agreed}/seed{{seed}}"
        # of a network: one generation of a run with one seed
        network = "{run}/seed{seed}/gen{gen}"
        self.model = f"{root}/models/{network}"
        self.last = f"{self.model}/last.safetensors"
        self.best = f"{self.model}/best.safetensors"
        self.published = f"{self.model}/published.safetensors"
        self.exported = f"{self.model}/export/{{format}}.pth.tar"
        self.history = f"{self.model}/history.csv"
        self.whitening = f"{self.model}/pca.h5"
        # of a network on a dataset, for any evaluation
        described = f"{root}/{{dataset}}/{network}"
        self.descriptor_shard = f"{described}/shard.{{scatteritem}}.h5"
        self.database = f"{described}/database.h5"
        self.queries = f"{described}/queries.h5"
        self.ranking_shard = f"{described}/ranking.{{scatteritem}}.h5"
        self.ranking = f"{described}/ranking.h5"
        self.reranking = f"{described}/rerank/{{rerank}}.h5"
        # of a network on a dataset, as the experiment evaluates it
        self.evaluation = f"{own}/{{dataset}}/{network}"
        self.run_recalls = f"{self.evaluation}/recalls.csv"
        self.run_queries = f"{self.evaluation}/queries.csv"
        self.run_sizes = f"{self.evaluation}/sizes.csv"
        self.gallery = f"{self.evaluation}/gallery.png"
        self.error_map = f"{self.evaluation}/errors"
        self.projection = f"{self.evaluation}/projection"
        self.visual_words = f"{self.evaluation}/words.png"
        # of all runs on a dataset: a table, or a figure without its suffix
        self.dataset_recalls = f"{own}/{{dataset}}/recalls.csv"
        self.differences = f"{own}/{{dataset}}/differences.csv"
        self.thresholds = f"{own}/{{dataset}}/thresholds.csv"
        self.precision = f"{own}/{{dataset}}/precision.csv"
        self.summary = f"{own}/{{dataset}}/summary.csv"
        self.dataset_sizes = f"{own}/{{dataset}}/sizes.csv"
        self.dataset_figure = f"{own}/{{dataset}}/{{figure}}"
        # of the whole experiment
        self.comparison_figure = f"{own}/comparison"
        self.comparison = f"{own}/comparison.csv"
        self.wide_recalls = f"{own}/recalls"
        self.recall_intervals = f"{own}/recalls_intervals.tex"
        self.training_figure = f"{own}/training"
        self.report = f"{own}/report.html"
        self.preview = f"{own}/preview.html"

    def log(self, name: str) -> str:
        """The log of a job that writes what is the experiment's own, by the rule and its wildcards."""
        return f"{self.logs}/{name}.log"

    def checkpoint(self, which: str) -> str:
        """The pattern of one of a network's checkpoints: `last`, `best` or `published`."""
        return f"{self.model}/{which}.safetensors"

    def gathered(self, pattern: str) -> str:
        """A pattern for `gather`, which fills in the shards and leaves the other wildcards."""
        return WILDCARD.sub(lambda match: match[0] if match[0] == "{scatteritem}" else f"{{{match[0]}}}", pattern)

    def figure(self, pattern: str) -> list[str]:
        """The files of a figure, the one that the report shows first."""
        return [f"{pattern}.{suffix}" for suffix in FIGURE]
