"""The configuration: its sections, defaults, bounds and units.

Snakemake reads the raw dictionary, `parse_config` returns a `Config`. This package is imported whenever the Snakefile
is parsed, so it imports neither torch nor pandas.
"""

from vprlib.config.base import join_faults
from vprlib.config.datasets import CityConfig, OwnDatasetConfig, VerifyConfig
from vprlib.config.descriptor_files import DescriptorFilesConfig
from vprlib.config.experiment import Config
from vprlib.config.methods import (
    AggregatorConfig,
    BackboneConfig,
    LossConfig,
    MethodConfig,
    OptimiserConfig,
    ScheduleConfig,
    overlay,
)
from vprlib.config.parsing import parse_config
from vprlib.config.recipe import (
    CentroidsConfig,
    CheckpointConfig,
    ExtractConfig,
    ImageConfig,
    JitterConfig,
    RunConfig,
    SoftLabelsConfig,
    TrainConfig,
    WhitenConfig,
)
from vprlib.config.repeated import check_repeated_keys
from vprlib.config.stages import (
    DescriptorSizesConfig,
    EvaluateConfig,
    ExecutionConfig,
    FiguresConfig,
    PretrainConfig,
    ProtocolConfig,
    ReportConfig,
    RerankConfig,
    SearchConfig,
    ShardsConfig,
)
from vprlib.config.untrained import untrained_runs
from vprlib.config.unused import unused_settings

__all__ = [
    "AggregatorConfig",
    "BackboneConfig",
    "CentroidsConfig",
    "CheckpointConfig",
    "CityConfig",
    "Config",
    "DescriptorFilesConfig",
    "DescriptorSizesConfig",
    "EvaluateConfig",
    "ExecutionConfig",
    "ExtractConfig",
    "FiguresConfig",
    "ImageConfig",
    "JitterConfig",
    "LossConfig",
    "MethodConfig",
    "OptimiserConfig",
    "OwnDatasetConfig",
    "PretrainConfig",
    "ProtocolConfig",
    "ReportConfig",
    "RerankConfig",
    "RunConfig",
    "ScheduleConfig",
    "SearchConfig",
    "ShardsConfig",
    "SoftLabelsConfig",
    "TrainConfig",
    "VerifyConfig",
    "WhitenConfig",
    "check_repeated_keys",
    "join_faults",
    "overlay",
    "parse_config",
    "untrained_runs",
    "unused_settings",
]
