"""The configuration: its sections, defaults, bounds and units. Snakemake gives the raw dict, `parse` returns a Config.

This package is imported whenever the Snakefile is parsed, so it imports neither torch nor pandas.
"""

from vprlib.config.base import join_faults
from vprlib.config.experiment import (
    CityConfig,
    Config,
    DescriptorSizesConfig,
    EvaluateConfig,
    ExecutionConfig,
    OwnDatasetConfig,
    PretrainConfig,
    ReportConfig,
    RerankConfig,
    SearchConfig,
    VerifyConfig,
)
from vprlib.config.parsing import parse_config
from vprlib.config.recipe import (
    AggregatorConfig,
    BackboneConfig,
    CentroidsConfig,
    CheckpointConfig,
    ExtractConfig,
    ImageConfig,
    JitterConfig,
    RunConfig,
    SoftLabelsConfig,
    TrainConfig,
    WhitenConfig,
    overlay,
)

__all__ = [
    "AggregatorConfig",
    "BackboneConfig",
    "CentroidsConfig",
    "CheckpointConfig",
    "CityConfig",
    "Config",
    "DescriptorSizesConfig",
    "EvaluateConfig",
    "ExecutionConfig",
    "ExtractConfig",
    "ImageConfig",
    "JitterConfig",
    "OwnDatasetConfig",
    "PretrainConfig",
    "ReportConfig",
    "RerankConfig",
    "RunConfig",
    "SearchConfig",
    "SoftLabelsConfig",
    "TrainConfig",
    "VerifyConfig",
    "WhitenConfig",
    "join_faults",
    "overlay",
    "parse_config",
]
