"""How a training or extraction job computes: device, batch sizes, worker processes."""

from dataclasses import dataclass, field

import torch

from vprlib.compute.process_group import ProcessGroup


@dataclass
class ComputeSettings:
    """How to compute; nothing here changes a result but in its last digits."""

    device: torch.device
    batch: int  # photos in a pass without gradients
    workers: int  # processes that read and decode
    checkpoint_minutes: float
    chunk: int = 64  # photos in a pass with gradients
    compile: bool = False
    group: ProcessGroup = field(default_factory=ProcessGroup)
