"""Photos as tensors: decoded, resized, batched; bytes until they are on the device that computes on them."""

import signal

import torch
from tqdm import tqdm

from vprlib.exceptions import InputError
from vprlib.images.decode import decode_photo, upright_shape
from vprlib.images.framing import fit_to_size


class PhotoDataset(torch.utils.data.Dataset):
    """Photos by row number: uint8 RGB, upright by their EXIF, resized by antialiased bilinear.

    How a photo of another shape is fitted to (height, width), one of FRAMINGS:

    - `fixed`: its shape is not kept; (3, height, width).
    - `shorter`: its shorter side becomes the network's longer one, its shape is kept (OpenIBL's Tokyo queries,
      `ibl/utils/data/__init__.py`); (3, h, w), and batches hold photos of one shape.
    - `crop`: its shape is kept, it covers (height, width), and what lies beyond on both sides is cut off
      (deep-visual-geo-localization-benchmark's `central_crop`, which pads a photo too narrow instead).
    - `five_mean`, `five_nearest`: its shorter side becomes the network's shorter one, and the squares in its four
      corners and its middle are described; (5, 3, side, side). Their descriptors' mean is the photo's, or each is
      searched for and the best counts (`five_crops` and `nearest_crop` there).
    """

    def __init__(self, paths, height: int, width: int, framing: str = "fixed"):
        self.paths, self.size, self.framing = list(paths), (height, width), framing

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        return fit_to_size(decode_photo(self.paths[number]), self.size, self.framing)

    def lots(self, rows, batch: int) -> list:
        """Cut the positions in `rows` into lots that pass together: by shape, where photos keep theirs."""
        if self.framing != "shorter":
            return batched(range(len(rows)), batch)
        shapes = {}
        for position, row in enumerate(rows):
            shapes.setdefault(upright_shape(self.paths[row]), []).append(position)
        return [lot for positions in shapes.values() for lot in batched(positions, batch)]


def load_batches(source, numbers, *, workers: int = 0, desc: str | None = None):
    """Yield one stacked tensor for each list of row numbers in `numbers`, in that order.

    `source` is Photos or a trunk's Activations. With workers, that many processes read and decode ahead; `desc` names
    a progress bar, drawn on a terminal only.
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


def delay_sigterm(_):
    """Live 15 seconds longer than SIGTERM wants: whoever reads saves first, and must not lose its workers then."""
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(15))


def reraise_plain(loader):
    """What the loader yields; a worker's InputError without the traceback that torch puts into its message."""
    try:
        yield from loader
    except InputError as error:
        raise InputError(str(error).strip().splitlines()[-1].removeprefix("vprlib.exceptions.InputError: ")) from None


def batched(numbers, size: int) -> list:
    """Cut a sequence of image numbers into lists of `size`, the last one shorter."""
    numbers = [int(number) for number in numbers]
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
