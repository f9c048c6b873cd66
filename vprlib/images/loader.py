"""Load photos as uint8 batches: decode, resize and stack them, in worker processes if requested.

Photos stay bytes until they are on the device that computes on them.
"""

import os
import signal
from collections.abc import Iterable, Iterator, Sequence

import torch
from numpy.typing import NDArray
from tqdm import tqdm

from vprlib.exceptions import InputError
from vprlib.images.decode import decode_photo, upright_shape
from vprlib.images.framing import fit_to_size


class PhotoDataset(torch.utils.data.Dataset):
    """Photos by row number: uint8 RGB, upright by their EXIF orientation, resized by antialiased bilinear.

    The framing determines how a photo of another shape is fitted to (height, width). It is one of FRAMINGS:

    - `fixed`: the photo is resized to (height, width), and its shape is not kept; (3, height, width).
    - `shorter`: the photo's shorter side is resized to the longer side of (height, width), and its shape is kept
      (OpenIBL's Tokyo queries, `ibl/utils/data/__init__.py`); (3, h, w). Batches hold photos of one shape.
    - `crop`: the photo is resized to cover (height, width), its shape is kept, and what exceeds on both sides is cut
      off (deep-visual-geo-localization-benchmark's `central_crop`, which pads a photo that is too narrow instead).
    - `five_mean`, `five_nearest`: the photo's shorter side is resized to the shorter side of (height, width), and the
      squares in its four corners and its center are described; (5, 3, side, side). Either the mean of their
      descriptors is the photo's, or each is searched for and the best counts (`five_crops` and `nearest_crop` in
      that benchmark).

    Attributes:
        paths: the photos' paths, by row number.
        size: (height, width).
        framing: one of `vprlib.images.framing.FRAMINGS`.
    """

    def __init__(
        self, paths: Iterable[str | os.PathLike[str]], height: int, width: int, framing: str = "fixed"
    ) -> None:
        """Set the attributes; no photo is read before it is indexed."""
        self.paths, self.size, self.framing = list(paths), (height, width), framing

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> torch.Tensor:
        return fit_to_size(decode_photo(self.paths[number]), self.size, self.framing)

    def batches_by_shape(self, rows: Sequence[int] | NDArray, batch: int) -> list[list[int]]:
        """Divide photos into batches that can be stacked: by shape, if the framing keeps shapes.

        Args:
            rows: row numbers of the photos.
            batch: largest number of photos in a batch.

        Returns:
            Lists of positions in `rows` (not of row numbers).
        """
        if self.framing != "shorter":
            return batched(range(len(rows)), batch)
        positions_by_shape: dict[tuple[int, int], list[int]] = {}
        for position, row in enumerate(rows):
            positions_by_shape.setdefault(upright_shape(self.paths[row]), []).append(position)
        return [lot for positions in positions_by_shape.values() for lot in batched(positions, batch)]


def load_batches(
    source: torch.utils.data.Dataset, numbers: Sequence[list[int]], *, workers: int = 0, desc: str | None = None
) -> Iterable[torch.Tensor]:
    """Iterate over batches of a dataset: one stacked tensor per list of row numbers, in order.

    Args:
        source: a PhotoDataset, or the CachedFeatures of the frozen layers.
        numbers: row numbers of each batch.
        workers: processes that read and decode ahead; 0 reads in this process.
        desc: name of a progress bar, which is drawn only on a terminal; None draws none.

    Raises:
        InputError: while iterating, a photo cannot be decoded.
    """
    loader = torch.utils.data.DataLoader(
        source,
        batch_sampler=numbers,
        num_workers=workers,
        collate_fn=torch.stack,
        pin_memory=workers > 0 and torch.cuda.is_available(),
        worker_init_fn=delay_sigterm,
        generator=torch.Generator().manual_seed(0),  # its base seed must not come from the global state
    )
    return tqdm(reraise_plain(loader), total=len(loader), desc=desc, disable=None if desc else True, unit="batch")


def delay_sigterm(worker: int) -> None:
    """Delay a loader worker's exit by 15 s after SIGTERM, so that the main process can save its state first."""
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(15))


def reraise_plain(loader: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield the loader's batches; raise a worker's InputError without the traceback that torch adds to its message."""
    try:
        yield from loader
    except InputError as error:
        raise InputError(str(error).strip().splitlines()[-1].removeprefix("vprlib.exceptions.InputError: ")) from None


def batched(numbers: Iterable[int] | NDArray, size: int) -> list[list[int]]:
    """Cut a sequence of row numbers into lists of `size`; the last one may be shorter.

    >>> batched(range(5), 2)
    [[0, 1], [2, 3], [4]]
    """
    numbers = [int(number) for number in numbers]
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
