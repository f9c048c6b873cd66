"""Thumbnails: made once and kept by photo, and chosen so that a page of limited size shows what matters first."""

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
from PIL import Image

from vprlib.data.photos import upright
from vprlib.report.query_results import QueryResults

log = logging.getLogger(__name__)


SIDE, QUALITY = 192, 55  # pixels of the longer side, of WebP
AT_ONCE = 32  # queries whose photos are made together


class Thumbnail(NamedTuple):
    """A file of the cache."""

    path: Path
    size: int  # bytes


class ChosenThumbnails(NamedTuple):
    """The thumbnails of a dataset: of which queries all photos are shown, and where each photo's thumbnail is."""

    queries_Q: np.ndarray  # bool
    query: dict  # number of a query -> Thumbnail
    database: dict  # number of a database image -> Thumbnail
    unreadable: int  # photos that could not be read

    @property
    def size(self) -> int:
        """Bytes of base64."""
        return sum(base64_size(one.size) for one in (*self.query.values(), *self.database.values()))


def base64_size(size: int) -> int:
    """Bytes of so many bytes in base64."""
    return 4 * -(-size // 3)


def make_thumbnail(folder: Path, photo: str) -> Thumbnail | None:
    """The thumbnail of a photo, made if it is not there or the photo changed since; None of what is no photo."""
    name = hashlib.sha256(f"{photo} {SIDE} {QUALITY}".encode()).hexdigest()[:20]
    path = folder / name[:2] / f"{name[2:]}.webp"
    try:
        changed = os.stat(photo).st_mtime_ns  # noqa: PTH116
        if not path.exists() or path.stat().st_mtime_ns != changed:
            write_with_time(path, shrink_photo(photo), changed)
        return Thumbnail(path, path.stat().st_size)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.warning("%s: no thumbnail (%s)", photo, error)
        return None


def write_with_time(path: Path, content: bytes, changed: int):
    """Write a file with a time of its own, whole or not at all; unlike `files.atomic` without waiting for the disk."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)
    os.utime(partial, ns=(changed, changed))
    partial.replace(path)


def shrink_photo(photo: str) -> bytes:
    """A photo, upright, at most SIDE pixels long, as WebP without its metadata."""
    with Image.open(photo) as opened:
        opened.draft("RGB", (SIDE, SIDE))
        image = upright(opened).convert("RGB")
        image.thumbnail((SIDE, SIDE))
    out = io.BytesIO()
    image.save(out, "WEBP", quality=QUALITY, method=2)
    return out.getvalue()


def queries_by_importance(found: QueryResults, seed: int = 0) -> np.ndarray:
    """The queries in the order in which their photos are wanted.

    First those that some networks get right and others wrong, and those that all get wrong, in turn; then the others.
    Within each a random order, so that a part of them is a sample. Networks are those of `Answers.first`.
    """
    first = [one for one in found.answers if one.first] or found.answers[:1]
    wrong = np.mean([one.asked_Q & (one.rank_Q != 1) for one in first], axis=0)
    asked = np.any([one.asked_Q for one in first], axis=0)
    shuffled = np.random.default_rng(seed).permutation(len(wrong))
    disagreed, failed = (shuffled[part[shuffled]] for part in ((wrong > 0) & (wrong < 1), wrong == 1))
    both = min(len(disagreed), len(failed))
    turns = np.stack([disagreed[:both], failed[:both]], 1).ravel()
    rest = [part[shuffled] for part in ((wrong == 0) & asked, ~asked)]
    return np.concatenate([turns, disagreed[both:], failed[both:], *(shuffled[part] for part in rest)])


def choose_thumbnails(found: QueryResults, folder: Path, room: float, threads: int = 4) -> ChosenThumbnails:
    """Thumbnails of as many queries as fit into `room` bytes of base64, each with the photos that `shown` names.

    Args:
        found: the dataset's answers.
        folder: of the cache.
        room: may be infinite; then of all queries, with all that they were answered.
    """
    top_QN = shown_candidates(found) if room < np.inf else np.column_stack([
        *(one.top_Q5 for one in found.answers), *found.right.values()
    ])  # fmt: skip
    order, whole = queries_by_importance(found), np.zeros(len(found.query), bool)
    made = {"query": {}, "database": {}}
    paths = {"query": found.query.path.to_numpy(), "database": found.database.path.to_numpy()}
    unreadable, left = 0, room
    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(order), AT_ONCE):
            wanted = {}
            for number in order[start : start + AT_ONCE]:
                wanted[number] = [("query", int(number))] + [
                    ("database", int(n)) for n in set(top_QN[number]) if n >= 0
                ]
            new = list(dict.fromkeys(one for some in wanted.values() for one in some if one[1] not in made[one[0]]))
            tried = dict(
                zip(new, pool.map(lambda one: make_thumbnail(folder, paths[one[0]][one[1]]), new), strict=True)
            )
            for number, some in wanted.items():
                fresh = [one for one in some if one[1] not in made[one[0]]]
                unreadable += sum(tried[one] is None for one in fresh)
                cost = sum(base64_size(tried[one].size) for one in fresh if tried[one])
                if cost > left:
                    return ChosenThumbnails(whole, *(keep_in_order(part) for part in made.values()), unreadable)
                left -= cost
                made["query"] |= {n: tried[kind, n] for kind, n in fresh if kind == "query"}
                made["database"] |= {n: tried[kind, n] for kind, n in fresh if kind == "database"}
                whole[number] = made["query"][int(number)] is not None
    return ChosenThumbnails(whole, *(keep_in_order(part) for part in made.values()), unreadable)


def shown_candidates(found: QueryResults) -> np.ndarray:
    """The database images that a query is shown with: (Q, N), -1 pads.

    All candidates of the first and the last of the networks of `Answers.first`, which the explorer opens with, the
    first candidate of the others, and the right photo of a query that one of them misses.
    """
    first = [one for one in found.answers if one.first] or found.answers[:1]
    missed = np.any([one.rank_Q != 1 for one in first], axis=0)
    right = np.where(missed, found.right[first[0].protocol], -1)
    return np.column_stack([first[0].top_Q5, first[-1].top_Q5, *(one.top_Q5[:, 0] for one in first[1:-1]), right])


def keep_in_order(made: dict) -> dict:
    return {number: one for number, one in made.items() if one}


def inline_thumbnails(chosen: ChosenThumbnails, used) -> tuple:
    """(arrays, text): the photos of the page in one text of base64, and where in it each begins.

    Args:
        used: the database images that the page numbers, in its order.

    Returns:
        `query_at` and `database_at`, two int32 a photo: where it begins and ends; both 0 if it has no thumbnail.
    """
    parts, at = [], 0
    where = {}
    for name, made, numbers in (
        ("query", chosen.query, range(len(chosen.queries_Q))),
        ("database", chosen.database, used),
    ):
        where[name] = np.zeros((len(numbers), 2), np.int32)
        for row, number in enumerate(numbers):
            if int(number) in made:
                text = base64.b64encode(made[int(number)].path.read_bytes()).decode()
                where[name][row] = at, at + len(text)
                at += len(text)
                parts.append(text)
    return {f"{name}_at": rows.ravel() for name, rows in where.items()}, "".join(parts)


def thumbnail_files(chosen: ChosenThumbnails, used, page: Path) -> dict:
    """The addresses of the photos in a folder beside the page: `query_files`, `database_files`, empty where none is."""
    result = {}
    for name, made, numbers in (
        ("query", chosen.query, range(len(chosen.queries_Q))),
        ("database", chosen.database, used),
    ):
        paths = [made[int(n)].path if int(n) in made else None for n in numbers]
        result[f"{name}_files"] = [os.path.relpath(path, page.parent) if path else "" for path in paths]
    return result
