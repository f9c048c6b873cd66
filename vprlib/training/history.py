"""Columns of the training history, and the TensorBoard writer."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

QUANTILES = (10, 50, 90)


COLUMNS: tuple[str, ...] = ("epoch", "learning_rate", "loss", "loss_hard", "loss_soft", "violating_share")
COLUMNS += tuple(f"{name}_distance_p{q}" for name in ("positive", "negative") for q in QUANTILES)


class NullWriter:
    """A TensorBoard writer that writes nothing."""

    def add_scalar(self, *_: object) -> None:
        """Ignore a value."""


@contextmanager
def tensorboard_writer(folder: Path, rank: int, step: int) -> Iterator[Union["SummaryWriter", NullWriter]]:
    """Yield a TensorBoard writer in the first process of a run, a `NullWriter` in the others.

    Args:
        folder: events are written into its folder `tensorboard`.
        rank: number of the process.
        step: events of an interrupted run from this step on are hidden.
    """
    from torch.utils.tensorboard import SummaryWriter

    if rank:
        yield NullWriter()
    else:
        with SummaryWriter(folder / "tensorboard", purge_step=step) as writer:
            yield writer
