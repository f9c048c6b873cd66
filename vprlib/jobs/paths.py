"""The paths of all artefacts: the one place where paths below `results/` are spelled.

A pattern holds exactly the wildcards, in braces, that define its artefact. `fill` puts values in.
"""

import re
from pathlib import Path
from typing import Any

Wildcards = Any  # snakemake.io.Wildcards: the values of a job's wildcards, by attribute
WILDCARD = re.compile(r"\{[^{}]+\}")  # what Snakemake takes for a wildcard in a path
FIGURE = ("svg", "pdf", "png")  # a figure for the report, for print and for slides


def fill(pattern: str, **wildcards: object) -> str:
    """Put values into a pattern; braces in the values are left as they are.

    >>> fill("results/{dataset}/images.csv", dataset="a{b}")
    'results/a{b}/images.csv'
    """
    return re.sub(r"\{(\w+)\}", lambda match: str(wildcards.get(match[1], match[0])), pattern)


class Paths:
    """The patterns of all artefacts below a folder of results."""

    def __init__(self, results: str | Path = "results"):
        root = str(results)
        self.results = root
        # of a dataset
        self.images = f"{root}/{{dataset}}/images.csv"
        self.train_images = f"{root}/{{train_set}}/images.csv"
        self.download = f"{root}/{{dataset}}/download.json"
        self.verification = f"{root}/{{dataset}}/verification.json"
        self.verification_figure = f"{root}/{{dataset}}/verification.png"
        self.contact_sheet = f"{root}/{{dataset}}/contact.png"
        # of a backbone and a training set
        self.weights = f"{root}/weights/{{backbone}}/{{weights}}.safetensors"
        self.pretrained = f"{root}/weights/{{backbone}}/pretrain.safetensors"
        shared = "{train_set}/{backbone}/{weights}"
        self.features = f"{root}/trunk/{shared}/{{height}}x{{width}}.h5"
        self.centroids = f"{root}/centroids/{shared}/seed{{seed}}.h5"
        self.centroids_figure = f"{root}/centroids/{shared}/seed{{seed}}"
        # of a network: one generation of a run with one seed
        network = "{run}/seed{seed}/gen{gen}"
        self.model = f"{root}/models/{network}"
        self.last = f"{self.model}/last.safetensors"
        self.best = f"{self.model}/best.safetensors"
        self.published = f"{self.model}/published.safetensors"
        self.exported = f"{self.model}/export/{{format}}.pth.tar"
        self.history = f"{self.model}/history.csv"
        self.whitening = f"{self.model}/pca.h5"
        # of a network on a dataset
        self.evaluation = f"{root}/{{dataset}}/{network}"
        self.descriptor_shard = f"{self.evaluation}/shard.{{scatteritem}}.h5"
        self.database = f"{self.evaluation}/database.h5"
        self.queries = f"{self.evaluation}/queries.h5"
        self.ranking_shard = f"{self.evaluation}/ranking.{{scatteritem}}.h5"
        self.ranking = f"{self.evaluation}/ranking.h5"
        self.reranking = f"{self.evaluation}/rerank/{{rerank}}.h5"
        self.run_recalls = f"{self.evaluation}/recalls.csv"
        self.run_queries = f"{self.evaluation}/queries.csv"
        self.run_sizes = f"{self.evaluation}/sizes.csv"
        self.gallery = f"{self.evaluation}/gallery.png"
        self.error_map = f"{self.evaluation}/errors"
        self.projection = f"{self.evaluation}/projection"
        self.visual_words = f"{self.evaluation}/words.png"
        # of all runs on a dataset: a table, or a figure without its suffix
        self.dataset_recalls = f"{root}/{{dataset}}/recalls.csv"
        self.differences = f"{root}/{{dataset}}/differences.csv"
        self.thresholds = f"{root}/{{dataset}}/thresholds.csv"
        self.precision = f"{root}/{{dataset}}/precision.csv"
        self.summary = f"{root}/{{dataset}}/summary.csv"
        self.dataset_sizes = f"{root}/{{dataset}}/sizes.csv"
        self.dataset_figure = f"{root}/{{dataset}}/{{figure}}"
        # of the whole experiment
        self.comparison_figure = f"{root}/comparison"
        self.comparison = f"{root}/comparison.csv"
        self.wide_recalls = f"{root}/recalls"
        self.recall_intervals = f"{root}/recalls_intervals.tex"
        self.training_figure = f"{root}/training"
        self.report = f"{root}/report.html"
        self.preview = f"{root}/preview.html"

    def checkpoint(self, which: str) -> str:
        """The pattern of one of a network's checkpoints: `last`, `best` or `published`."""
        return f"{self.model}/{which}.safetensors"

    def gathered(self, pattern: str) -> str:
        """A pattern for `gather`, which fills in the shards and leaves the other wildcards."""
        return WILDCARD.sub(lambda match: match[0] if match[0] == "{scatteritem}" else f"{{{match[0]}}}", pattern)

    def figure(self, pattern: str) -> list[str]:
        """The files of a figure, the one that the report shows first."""
        return [f"{pattern}.{suffix}" for suffix in FIGURE]
