"""The configuration: its sections, defaults, bounds and units. Snakemake gives the raw dict, `parse` returns a Config.

This package is imported whenever the Snakefile is parsed, so it imports neither torch nor pandas.
"""

from vprlib.config.base import together
from vprlib.config.experiment import (
    City,
    Config,
    Custom,
    Evaluate,
    Execution,
    Pretrain,
    Report,
    Rerank,
    Search,
    Sizes,
    Verify,
)
from vprlib.config.parsing import parse
from vprlib.config.recipe import (
    Aggregator,
    Backbone,
    Centroids,
    Checkpoint,
    Extract,
    Image,
    Jitter,
    Run,
    Soft,
    Train,
    Whiten,
    overlay,
)

__all__ = [
    "Aggregator",
    "Backbone",
    "Centroids",
    "Checkpoint",
    "City",
    "Config",
    "Custom",
    "Evaluate",
    "Execution",
    "Extract",
    "Image",
    "Jitter",
    "Pretrain",
    "Report",
    "Rerank",
    "Run",
    "Search",
    "Sizes",
    "Soft",
    "Train",
    "Verify",
    "Whiten",
    "overlay",
    "parse",
    "together",
]
