"""Several processes that train one network: each takes its share of the photos, and all see the same numbers."""

import numpy as np
import torch

ROWS = 1024  # of an array that is gathered, at once


class ProcessGroup:
    """The processes of a training; one alone, without any of its calls, when there is one.

    They are started by torch's elastic launcher, which tells each its rank, and speak through Hugging Face Accelerate.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None):
        self.rank, self.size, self.device = rank, size, device
        if size > 1:
            from accelerate import PartialState

            PartialState(cpu=device.type == "cpu")

    def share(self, items):
        """This process' part of a sequence."""
        return items[self.rank :: self.size]

    def meet(self):
        """Wait for all."""
        if self.size > 1:
            torch.distributed.barrier()

    def add(self, tensors: list):
        """Replace each tensor by its sum over the processes: one message for all of them."""
        if self.size > 1 and tensors:
            from accelerate.utils import reduce

            flat = reduce(torch.cat([tensor.flatten() for tensor in tensors]), reduction="sum")
            for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def gather(self, part: np.ndarray, count: int) -> np.ndarray:
        """The rows of all `count` items from what each process made of its `share`, in their order."""
        if self.size == 1:
            return part
        from accelerate.utils import gather

        result = np.empty((count, *part.shape[1:]), part.dtype)
        most = -(-count // self.size)
        for start in range(0, most, ROWS):
            rows = min(ROWS, most - start)
            padded = np.zeros((rows, *part.shape[1:]), part.dtype)
            padded[: len(part[start : start + rows])] = part[start : start + rows]
            parts = gather(torch.from_numpy(padded).to(self.device)).cpu().numpy().reshape(self.size, *padded.shape)
            for rank, some in enumerate(parts):
                target = result[rank + start * self.size :: self.size][:rows]
                target[:] = some[: len(target)]
        return result
