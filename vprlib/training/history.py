"""Columns of the training history, and the TensorBoard writer."""

from contextlib import contextmanager
from pathlib import Path

QUANTILES = (10, 50, 90)


COLUMNS = ("epoch", "learning_rate", "loss", "loss_hard", "loss_soft", "violating")
COLUMNS += tuple(f"{name}_p{q}" for name in ("positive", "negative") for q in QUANTILES)


@contextmanager
def tensorboard_writer(folder: Path, rank: int, step: int):
    """TensorBoard's writer, in the first process; the others tell nobody."""
    from torch.utils.tensorboard import SummaryWriter

    if rank:
        yield NullWriter()
    else:
        with SummaryWriter(folder / "tensorboard", purge_step=step) as writer:
            yield writer


class NullWriter:
    def add_scalar(self, *_):
        pass
