"""Process group of a distributed training run: split the work, sum gradients, gather rows."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

GATHERED_ROWS = 1024  # rows per message of `ProcessGroup.gather`

Items = TypeVar("Items", list[Any], NDArray[Any])


class ProcessGroup:
    """Process group of a distributed training run; with one process every method is a no-op.

    Torch's elastic launcher starts the processes and sets their ranks. They communicate through Hugging Face
    Accelerate.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        """Set the number of this process, that of all processes, and the device of their messages.

        Args:
            rank: number of this process, from 0.
            size: number of processes.
            device: torch device of this process; required if there are several.
        """
        self.rank, self.size, self.device = rank, size, device
        if size > 1:
            from accelerate import PartialState

            assert device is not None, "several processes need a device"
            PartialState(cpu=device.type == "cpu")

    def local_part(self, items: Items) -> Items:
        """Return this process's part of a sequence: every `size`-th item, from number `rank` on."""
        return items[self.rank :: self.size]

    def barrier(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            torch.distributed.barrier()

    def all_reduce_sum(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replace each tensor in place by its sum over the processes, in one message for all tensors."""
        if self.size > 1 and tensors:
            from accelerate.utils import reduce

            flat = reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="sum")
            for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def gather(self, part: NDArray, count: int) -> NDArray:
        """Return the rows of all items, in their order, from the rows that each process computed.

        Args:
            part: rows of this process's `local_part`, in its order.
            count: number of all items.

        Returns:
            `count` rows, of the shape and dtype of those in `part`; the same in every process.
        """
        if self.size == 1:
            return part
        from accelerate.utils import gather

        result = np.empty((count, *part.shape[1:]), part.dtype)
        longest = -(-count // self.size)
        for start in range(0, longest, GATHERED_ROWS):
            rows = min(GATHERED_ROWS, longest - start)
            padded = np.zeros((rows, *part.shape[1:]), part.dtype)
            padded[: len(part[start : start + rows])] = part[start : start + rows]
            parts = gather(torch.from_numpy(padded).to(self.device)).cpu().numpy().reshape(self.size, *padded.shape)
            for rank, rank_rows in enumerate(parts):
                target = result[rank + start * self.size :: self.size][:rows]
                target[:] = rank_rows[: len(target)]
        return result
