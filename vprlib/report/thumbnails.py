"""Make thumbnails, cache them by photo, and choose those that a page of limited size shows.

Axes: Q queries of the test split, N candidates shown with a query.
"""

import base64
import hashlib
import io
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vprlib.data.photos import open_image, upright
from vprlib.report.query_results import QueryResults

log = logging.getLogger(__name__)


SIDE, QUALITY = 192, 55  # pixels of the longer side; quality of the WebP file
AT_ONCE = 32  # number of queries whose thumbnails are made together

Key = tuple[str, int]  # `query` or `database`, and the row number there


class Thumbnail(NamedTuple):
    """A thumbnail in the cache."""

    path: Path
    size: int  # bytes


class ChosenThumbnails(NamedTuple):
    """The thumbnails chosen for one dataset."""

    queries_Q: NDArray[np.bool_]  # whether all photos of a query are shown
    query: dict[int, Thumbnail]  # by the row number of the query
    database: dict[int, Thumbnail]  # by the row number of the database image
    unreadable: int  # number of photos that could not be read

    @property
    def size(self) -> int:
        """Bytes of all thumbnails in base64."""
        return sum(base64_size(thumbnail.size) for thumbnail in (*self.query.values(), *self.database.values()))


def base64_size(size: int) -> int:
    """Return the length in base64 of `size` bytes.

    Examples:
        >>> base64_size(4)
        8
    """
    return 4 * -(-size // 3)


def make_thumbnail(folder: Path, photo: str) -> Thumbnail | None:
    """Return the thumbnail of a photo; None if the photo cannot be read.

    It is made if it does not exist, or if the photo changed since.
    """
    name = hashlib.sha256(f"{photo} {SIDE} {QUALITY}".encode()).hexdigest()[:20]
    path = folder / name[:2] / f"{name[2:]}.webp"
    try:
        modified = os.stat(photo).st_mtime_ns  # noqa: PTH116
        if not path.exists() or path.stat().st_mtime_ns != modified:
            write_with_time(path, shrink_photo(photo), modified)
        return Thumbnail(path, path.stat().st_size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.warning("%s: no thumbnail (%s)", photo, error)
        return None


def write_with_time(path: Path, content: bytes, modified: int) -> None:
    """Write a file atomically and set its modification time (ns); unlike `files.atomic`, do not wait for the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    os.utime(partial, ns=(modified, modified))
    partial.replace(path)


def shrink_photo(photo: str) -> bytes:
    """Return a photo as WebP, upright, without metadata, with at most SIDE pixels on its longer side."""
    with open_image(photo) as file:
        file.draft("RGB", (SIDE, SIDE))
        image = upright(file).convert("RGB")
        image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=2)
    return out.getvalue()


def queries_by_importance(found: QueryResults, seed: int = 0) -> NDArray[np.int64]:
    """Order the queries by the importance of showing their photos.

    Queries that some networks get right and others wrong alternate with those that all get wrong; then come the others.
    The order within each group is random, so that a part of a group is a sample. Only networks marked `first` in
    `NetworkResults` count.
    """
    main = [results for results in found.answers if results.first] or found.answers[:1]
    wrong_Q = np.mean([results.asked_Q & (results.rank_Q != 1) for results in main], axis=0)  # share of the networks
    evaluated_Q = np.any([results.asked_Q for results in main], axis=0)
    shuffled = np.random.default_rng(seed).permutation(len(wrong_Q))
    disagreed, failed = (shuffled[part[shuffled]] for part in ((wrong_Q > 0) & (wrong_Q < 1), wrong_Q == 1))
    both = min(len(disagreed), len(failed))
    turns = np.stack([disagreed[:both], failed[:both]], 1).ravel()
    rest = [part[shuffled] for part in ((wrong_Q == 0) & evaluated_Q, ~evaluated_Q)]
    return np.concatenate([turns, disagreed[both:], failed[both:], *(shuffled[part] for part in rest)])


def choose_thumbnails(found: QueryResults, folder: Path, room: float, threads: int = 4) -> ChosenThumbnails:
    """Make the thumbnails of as many queries as fit, each with the photos of `shown_candidates`.

    Args:
        found: the per-query results of the dataset.
        folder: the cache.
        room: bytes of base64 that the thumbnails may take. If it is infinite, all queries are chosen, with all their
            candidates.
        threads: number of threads that make thumbnails.
    """
    top_QN = shown_candidates(found) if room < np.inf else np.column_stack([
        *(results.top_Q5 for results in found.answers), *found.right.values()
    ])  # fmt: skip
    order, complete_Q = queries_by_importance(found), np.zeros(len(found.query), np.bool_)
    made: dict[str, dict[int, Thumbnail | None]] = {"query": {}, "database": {}}
    paths = {"query": found.query.path.to_numpy(), "database": found.database.path.to_numpy()}
    unreadable, left = 0, room
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order), AT_ONCE):
            photos: dict[int, list[Key]] = {}
            for number in order[start : start + AT_ONCE].tolist():
                photos[number] = [("query", number)]
                photos[number] += [("database", int(n)) for n in set(top_QN[number]) if n >= 0]
            keys = dict.fromkeys(key for shown in photos.values() for key in shown if key[1] not in made[key[0]])
            thumbnails = pool.map(lambda key: make_thumbnail(folder, paths[key[0]][key[1]]), keys)
            tried = dict(zip(keys, thumbnails, strict=True))
            for number, shown in photos.items():
                new = {(kind, n): tried[kind, n] for kind, n in shown if n not in made[kind]}
                unreadable += sum(thumbnail is None for thumbnail in new.values())
                cost = sum(base64_size(thumbnail.size) for thumbnail in new.values() if thumbnail)
                if cost > left:
                    return ChosenThumbnails(
                        complete_Q, keep_in_order(made["query"]), keep_in_order(made["database"]), unreadable
                    )
                left -= cost
                for (kind, n), thumbnail in new.items():
                    made[kind][n] = thumbnail
                complete_Q[number] = made["query"][number] is not None
    return ChosenThumbnails(complete_Q, keep_in_order(made["query"]), keep_in_order(made["database"]), unreadable)


def shown_candidates(found: QueryResults) -> NDArray[np.int64]:
    """Return the database images that are shown with each query on a page of limited size, (Q, N); -1 pads.

    Among the networks marked `first` in `NetworkResults`, these are all candidates of the first and the last network,
    with which the explorer opens, and the first candidate of the others. A query that one of them misses also has its
    ground-truth photo.
    """
    main = [results for results in found.answers if results.first] or found.answers[:1]
    missed_Q = np.any([results.rank_Q != 1 for results in main], axis=0)
    right_Q = np.where(missed_Q, found.right[main[0].protocol], -1)
    others = [results.top_Q5[:, 0] for results in main[1:-1]]
    return np.column_stack([main[0].top_Q5, main[-1].top_Q5, *others, right_Q])


def keep_in_order(made: dict[int, Thumbnail | None]) -> dict[int, Thumbnail]:
    """Drop the photos without a thumbnail; the order stays."""
    return {number: thumbnail for number, thumbnail in made.items() if thumbnail}


def inline_thumbnails(chosen: ChosenThumbnails, used: NDArray[np.int64]) -> tuple[dict[str, NDArray[np.int32]], str]:
    """Concatenate the chosen thumbnails to one text of base64.

    Args:
        chosen: the thumbnails.
        used: the database images that the page numbers, in its order.

    Returns:
        (arrays, text). The arrays `query_at` and `database_at` have two numbers per photo, where its part of the text
        begins and ends; both are 0 if it has no thumbnail.
    """
    parts, at = [], 0
    position = {}
    for name, made, numbers in (
        ("query", chosen.query, range(len(chosen.queries_Q))),
        ("database", chosen.database, used),
    ):
        position[name] = np.zeros((len(numbers), 2), np.int32)
        for row, number in enumerate(numbers):
            if int(number) in made:
                text = base64.b64encode(made[int(number)].path.read_bytes()).decode()
                position[name][row] = at, at + len(text)
                at += len(text)
                parts.append(text)
    return {f"{name}_at": rows.ravel() for name, rows in position.items()}, "".join(parts)


def thumbnail_files(chosen: ChosenThumbnails, used: NDArray[np.int64], page: Path) -> dict[str, list[str]]:
    """Return the paths of the thumbnails relative to the page: `query_files` and `database_files`; empty if none."""
    result = {}
    for name, made, numbers in (
        ("query", chosen.query, range(len(chosen.queries_Q))),
        ("database", chosen.database, used),
    ):
        paths = [made[int(n)].path if int(n) in made else None for n in numbers]
        result[f"{name}_files"] = [os.path.relpath(path, page.parent) if path else "" for path in paths]
    return result
