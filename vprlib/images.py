"""Photos as tensors: decoded, resized, batched; bytes until they are on the device that computes on them."""

import signal

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.nn import functional as F
from tqdm import tqdm

from vprlib.files import BadInput

COLOURS = ("brightness", "contrast", "saturation", "hue")


class Photos(torch.utils.data.Dataset):
    """Photos by row number: (3, height, width) uint8 RGB, upright by their EXIF, resized by antialiased bilinear."""

    def __init__(self, paths, height: int, width: int):
        self.paths, self.size = list(paths), (height, width)

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, number):
        return decode(self.paths[number], self.size)


def decode(path, size):
    """Read one photo as (3, *size) uint8.

    By Pillow: torchvision's decoders are twice as fast on JPEG, but deprecated, and a damaged PNG crashes the process.

    Raises:
        BadInput: if the file is missing, truncated or no photo.
    """
    try:
        with Image.open(path) as photo:
            upright = ImageOps.exif_transpose(photo)
            if upright.mode.startswith("I"):  # 16-bit grey
                upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
            pixels_HWC = np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else "cannot be decoded: truncated, or no photo"
        raise BadInput(f"{path}: {reason}") from error
    photo_CHW = torch.from_numpy(pixels_HWC).permute(2, 0, 1)
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
        raise BadInput(str(error).strip().splitlines()[-1].removeprefix("vprlib.files.BadInput: ")) from None


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
