"""Columns of the training history, and the TensorBoard writer.

Axes: T tuples, N negatives of a tuple, S statistics of a tuple (hard loss, soft loss, distance to the positive,
distances to the negatives).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

QUANTILES = (10, 50, 90)


COLUMNS: tuple[str, ...] = ("epoch", "learning_rate", "loss", "loss_hard", "loss_soft", "violating_share")
COLUMNS += tuple(f"{name}_distance_p{q}" for name in ("positive", "negative") for q in QUANTILES)


def summarize_statistics(statistics_TS: NDArray[np.float64], soft_weight: float) -> dict[str, float | None]:
    """Return what the history holds of an epoch's tuples: mean losses, and quantiles of the distances.

    Args:
        statistics_TS: statistics of all tuples of the epoch.
        soft_weight: weight of the soft loss; if it is 0, `loss_soft` is None.
    """
    hard_T, soft_T, positive_T = statistics_TS[:, 0], statistics_TS[:, 1], statistics_TS[:, 2]
    negative_TN = statistics_TS[:, 3:]
    row: dict[str, float | None] = {"loss": float((hard_T + soft_weight * soft_T).mean())}
    row |= {"loss_hard": float(hard_T.mean()), "loss_soft": float(soft_T.mean()) if soft_weight else None}
    row |= {"violating_share": float((negative_TN < positive_T[:, None]).mean())}
    for name, distances in (("positive", positive_T), ("negative", negative_TN)):
        values = np.percentile(distances, QUANTILES)
        row |= {f"{name}_distance_p{q}": float(value) for q, value in zip(QUANTILES, values, strict=True)}
    return row


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
