"""Compute settings of a training or extraction job: device, batch sizes, worker processes."""

from dataclasses import dataclass, field

import torch

from vprlib.compute.process_group import ProcessGroup


@dataclass
class ComputeSettings:
    """How a job computes. No setting changes a result in more than its last digits.

    Attributes:
        device: torch device.
        batch: photos in a forward pass without gradients.
        workers: processes that read and decode photos.
        checkpoint_minutes: minutes between two saves of the training state.
        chunk: photos in a forward pass with gradients.
        compile: whether the network is compiled by `torch.compile`.
        group: the processes that train together.
    """

    device: torch.device
    batch: int
    workers: int
    checkpoint_minutes: float
    chunk: int = 64
    compile: bool = False
    group: ProcessGroup = field(default_factory=ProcessGroup)
