"""A pass over photos: each is read whole and decoded, at the speed of the cores or the disk, and only once.

What was seen of a photo is appended to a file as soon as it is seen, so a killed pass goes on where it was.
"""

import hashlib
import io
import json
import logging
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from tqdm import tqdm

from vprlib.data.photos import upright
from vprlib.exceptions import InputError
from vprlib.io.files import write_bytes

log = logging.getLogger(__name__)


FORMAT = b"1"  # of the kept lines and of what they say; lines of another one are ignored
CHUNK = 16  # photos between two writes, so a kill loses at most so many a thread


class PhotoRecord(NamedTuple):
    """A photo that decodes; it is this one as long as the file's size and time are these."""

    size: int  # bytes
    mtime_ns: int
    sha256: str
    width: int  # pixels, upright
    height: int
    phash: int  # 64 bits


def scan_photos(paths, *, kept, threads: int, desc: str) -> list:
    """Look at photos: for each, in order, what was seen; or what is wrong with it, as a string.

    Args:
        paths: the photos, each once.
        kept: a file of what was seen. A photo that has not changed since is not read again; damaged lines, as a
            kill leaves them, are ignored, and so is a file that is something else. What is wrong is not kept.
        threads: that read and decode; Pillow and SHA-256 let other threads run meanwhile.
        desc: of the progress bar, drawn on a terminal only.
    """
    paths, known = list(paths), read_scan_cache(kept)
    known = {path: known[path] for path in paths if path in known}
    write_bytes(kept, b"".join(cache_line(path, seen) for path, seen in known.items()))
    again = 0
    with Path(kept).open("ab", buffering=0) as file, tqdm(total=len(paths), desc=desc, disable=None) as bar:

        def some(chunk):
            found = [scan_photo(path, known.get(path)) for path in chunk]
            new = [(path, one) for path, one in zip(chunk, found, strict=True) if one is not known.get(path)]
            file.write(b"".join(cache_line(path, one) for path, one in new if isinstance(one, PhotoRecord)))
            bar.update(len(chunk))
            return found, len(chunk) - len(new)

        result = []
        with ThreadPoolExecutor(threads) as pool:
            for found, unchanged in pool.map(some, [paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]):
                result += found
                again += unchanged
    if again:
        log.info("%s: %d of %d photos have not changed since they were looked at", desc, again, len(paths))
    return result


def scan_photo(path, known: PhotoRecord | None = None):
    """Read and decode a photo: its Seen, `known` itself if that is still true; or what is wrong, as a string.

    A JPEG is decoded grey and at the smallest of libjpeg's scales: all of its data is read, and it fails where the
    full decoding fails, but the pixels, which only the perceptual hash needs, cost a third.
    """
    try:
        stat = Path(path).stat()
        if known and (known.size, known.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
            return known
        content = Path(path).read_bytes()
        with Image.open(io.BytesIO(content)) as photo:
            turned = photo.getexif().get(0x0112, 1) >= 5  # EXIF orientations that swap the sides
            width, height = photo.size[::-1] if turned else photo.size
            photo.draft("L", (64, 64))
            photo.load()
            digest = hashlib.sha256(content).hexdigest()
            return PhotoRecord(stat.st_size, stat.st_mtime_ns, digest, width, height, perceptual_hash(photo))
    except FileNotFoundError:
        return "no such file"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"cannot be decoded ({error})"


def perceptual_hash(photo) -> int:
    """The 64 bits of `imagehash.phash`, the signs of low frequencies about their median, of the upright grey photo.

    Measured on street photos: of 60, saved again at quality 40 or at half the size, none differs in more than 4 bits;
    among 600, one pair of different places differs in so few.
    """
    import imagehash

    return int(str(imagehash.phash(upright(photo))), 16)


def cache_line(path: str, seen: PhotoRecord) -> bytes:
    """A line of the kept file, with a checksum of its own."""
    body = json.dumps([path, *seen]).encode()
    return b"%08x %s\n" % (zlib.crc32(FORMAT + body), body)


def read_scan_cache(kept) -> dict:
    """What a kept file says, {path: Seen}; of several lines on a photo the last. Damaged lines say nothing."""
    try:
        lines = Path(kept).read_bytes().splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InputError(f"{kept}: cannot be read ({error.strerror}); remove it") from error
    known = {}
    for one in lines:
        check, _, body = one.partition(b" ")
        if check == b"%08x" % zlib.crc32(FORMAT + body):
            path, *seen = json.loads(body)
            known[path] = PhotoRecord(*seen)
    return known
