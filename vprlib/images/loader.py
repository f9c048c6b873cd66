"""Photos as tensors: decoded, resized, batched; bytes until they are on the device that computes on them."""

import signal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F
from tqdm import tqdm

from vprlib.io.files import BadInput

CROPS = 5  # of a photo: its corners and its middle
FRAMINGS = ("fixed", "shorter", "crop", "five_mean", "five_nearest")
ORIENTATION = 0x0112  # EXIF: 5 to 8 are turned by a quarter
COLOURS = ("brightness", "contrast", "saturation", "hue")


class Photos(torch.utils.data.Dataset):
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
        return framed(decode(self.paths[number]), self.size, self.framing)

    def lots(self, rows, batch: int) -> list:
        """Cut the positions in `rows` into lots that pass together: by shape, where photos keep theirs."""
        if self.framing != "shorter":
            return chunks(range(len(rows)), batch)
        shapes = {}
        for position, row in enumerate(rows):
            shapes.setdefault(shape(self.paths[row]), []).append(position)
        return [lot for positions in shapes.values() for lot in chunks(positions, batch)]


def opened(path, read):
    """What `read` makes of an opened photo.

    Raises:
        BadInput: if the file is missing, truncated or no photo.
    """
    try:
        with Image.open(path) as photo:
            return read(photo)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be decoded: truncated, or no photo"
        raise BadInput(f"{path}: {reason}") from error


def shape(path) -> tuple:
    """(height, width) of a photo once it is upright; only its header is read."""

    def upright(photo):
        turned = photo.getexif().get(ORIENTATION, 1) >= 5
        return photo.size if turned else photo.size[::-1]

    return opened(path, upright)


def decode(path):
    """Read one photo as (3, h, w) uint8.

    By Pillow: torchvision's decoders are twice as fast on JPEG, but deprecated, and a damaged PNG crashes the process.

    Raises:
        BadInput: if the file is missing, truncated or no photo.
    """

    def upright(photo):
        photo = ImageOps.exif_transpose(photo)
        if photo.mode.startswith("I"):  # 16-bit grey
            photo = Image.fromarray((np.asarray(photo) // 257).astype(np.uint8))
        return np.array(photo.convert("RGB"))

    return torch.from_numpy(opened(path, upright)).permute(2, 0, 1)


def framed(photo_CHW, size: tuple, framing: str):
    """A photo fitted to (height, width); see `Photos`."""
    height, width = photo_CHW.shape[1:]
    if framing == "fixed":
        return resized(photo_CHW, size)
    if framing == "crop":
        factor = max(size[0] / height, size[1] / width)
        return middle(resized(photo_CHW, enlarged(height, width, factor, size)), size)
    side = max(size) if framing == "shorter" else min(size)
    least = (side, side)
    photo_CHW = resized(photo_CHW, enlarged(height, width, side / min(height, width), least))
    if framing == "shorter":
        return photo_CHW
    corners = [photo_CHW[:, rows, columns] for rows in (slice(side), slice(-side, None))
               for columns in (slice(side), slice(-side, None))]  # fmt: skip
    return torch.stack([*corners, middle(photo_CHW, least)])


def enlarged(height: int, width: int, factor: float, least: tuple) -> tuple:
    """A size times a factor, rounded, but at least `least`."""
    return max(least[0], round(height * factor)), max(least[1], round(width * factor))


def middle(photo_CHW, size: tuple):
    """The (height, width) in the middle of a photo at least as large."""
    top, left = ((have - want) // 2 for have, want in zip(photo_CHW.shape[1:], size, strict=True))
    return photo_CHW[:, top : top + size[0], left : left + size[1]].contiguous()


def resized(photo_CHW, size: tuple):
    if photo_CHW.shape[1:] == size:
        return photo_CHW.contiguous()
    return F.interpolate(photo_CHW[None], size, mode="bilinear", antialias=True, align_corners=False)[0].contiguous()


def batches(source, numbers, *, workers: int = 0, desc: str | None = None):
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
        worker_init_fn=outlive_sigterm,
        generator=torch.Generator().manual_seed(0),  # its base seed must not come from the global state
    )
    return tqdm(plainly(loader), total=len(loader), desc=desc, disable=None if desc else True, unit="batch")


def outlive_sigterm(_):
    """Live 15 seconds longer than SIGTERM wants: whoever reads saves first, and must not lose its workers then."""
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(15))


def plainly(loader):
    """What the loader yields; a worker's BadInput without the traceback that torch puts into its message."""
    try:
        yield from loader
    except BadInput as error:
        raise BadInput(str(error).strip().splitlines()[-1].removeprefix("vprlib.io.files.BadInput: ")) from None


def jittered(photos_BCHW, settings, seeds: list, device):
    """Photos with their colours changed at random: float32 in [0, 255], on `device`.

    Brightness, contrast, saturation and hue in random order, as torchvision's ColorJitter and OpenIBL's training do,
    but on tensors: no rounding to bytes in between. Each photo has its own seed, so what happens to it depends on
    neither its batch mates nor the process.

    Args:
        photos_BCHW: uint8.
        settings: config's `train.jitter`.
        seeds: B sequences of integers.
    """
    from torchvision.transforms.v2 import functional

    x_BCHW = photos_BCHW.to(device, non_blocking=True).float() / 255
    changes = {
        name: (
            getattr(functional, f"adjust_{name}"),
            (-reach, reach) if name == "hue" else (max(0, 1 - reach), 1 + reach),
        )
        for name in COLOURS
        if (reach := getattr(settings, name))
    }
    result = []
    for x_CHW, seed in zip(x_BCHW, seeds, strict=True):
        generator = np.random.default_rng(seed)
        for name in generator.permutation(list(changes)):
            change, between = changes[name]
            x_CHW = change(x_CHW, generator.uniform(*between))
        result.append(x_CHW)
    return torch.stack(result) * 255


def normalise(photos_BCHW, image, device):
    """Photos in [0, 255] -> float32 on `device`, channels last, with config's `image.mean` and `.std` taken out."""
    x_BCHW = photos_BCHW.to(device, non_blocking=True).to(torch.float32, memory_format=torch.channels_last)
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (image.mean, image.std))
    return x_BCHW.sub_(mean).div_(std)


def chunks(numbers, size: int) -> list:
    """Cut a sequence of image numbers into lists of `size`, the last one shorter."""
    numbers = [int(number) for number in numbers]
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]
