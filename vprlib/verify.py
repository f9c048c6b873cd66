"""Checking a dataset before it costs a day: every photo decodes, the counts are the declared ones, no split leaks."""

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import pandas as pd
from PIL import Image
from tqdm import tqdm

from vprlib import files
from vprlib.datasets.base import ROLES, SPLITS, Dataset, read_table, select
from vprlib.files import BadInput
from vprlib.geometry import within

log = logging.getLogger(__name__)


def verify(out, *, images, dataset: Dataset, name: str, threads: int):
    """Look at every photo of a dataset and write what was found as JSON.

    `counts` per split and role; `sizes` in pixels; `duplicates`, groups of photos with the same bytes;
    `leaks`, the photos of one split within the hit radius of another's database; `without_positives`, queries a split.

    Raises:
        BadInput: photos that cannot be decoded, or counts that are not those that the dataset declares; all are in the
            log, the first in the message.
    """
    table = read_table(images)
    with ThreadPoolExecutor(threads) as pool:
        looked = list(tqdm(pool.map(look, table.path), total=len(table), desc=f"verify {name}", disable=None))
    broken = [f"{path}: {one}" for path, one in zip(table.path, looked, strict=True) if isinstance(one, str)]
    counts = {f"{split} {role}": len(select(table, split, role)) for split in SPLITS for role in ROLES}
    wrong = [
        f"{images}: {split} has {counts[f'{split} {role}']} {role} images, {name} should have {expected}"
        for (split, role), expected in dataset.counts.items()
        if counts[f"{split} {role}"] != expected
    ]
    if broken or wrong:
        for problem in (broken + wrong)[1:]:
            log.error("%s", problem)
        first, *more = broken + wrong
        raise BadInput(first + (f" (and {len(more)} more, in the log)" if more else ""))
    hashes = pd.Series([digest for digest, _ in looked], index=table.path)
    sizes = pd.Series([f"{width}x{height}" for _, (width, height) in looked]).value_counts()
    repeated = hashes[hashes.duplicated(keep=False)]
    report = {
        "dataset": name,
        "protocols": [protocol.name for protocol in dataset.protocols],
        "radius": dataset.radius_m,
        "counts": counts,
        "sizes": {size: int(count) for size, count in sizes.sort_index().items()},
        "bounds_m": {axis: [float(table[axis].min()), float(table[axis].max())] for axis in ("east", "north")},
        "duplicates": sorted(sorted(group) for group in repeated.groupby(repeated).groups.values()),
        "leaks": leaks(table, dataset.radius_m),
        "without_positives": {
            split: sum(not len(found) for found in dataset.positives(table, split)) for split in SPLITS
        },
    }
    files.write_json(out, report)
    for key in ("duplicates", "leaks"):
        if report[key]:
            log.warning("warning: %s: %d %s, listed in %s", name, len(report[key]), key, out)


def look(path):
    """Decode a photo: (its SHA-256, (width, height)); or what is wrong with it, as a string."""
    try:
        content = Path(path).read_bytes()
        with Image.open(path) as photo:
            photo.load()
            return hashlib.sha256(content).hexdigest(), photo.size
    except FileNotFoundError:
        return "no such file"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"cannot be decoded ({error})"


def leaks(table, radius_m: float) -> dict:
    """For each two splits, how many photos of the first lie within the radius of the second's database."""
    where = {split: table.loc[table.split == split, ["east", "north"]] for split in SPLITS}
    stored = {split: select(table, split, "database")[["east", "north"]] for split in SPLITS}
    found = {
        f"{one} near {other}": sum(len(near) > 0 for near in within(where[one], stored[other], radius_m))
        for one, other in combinations(SPLITS, 2)
        if len(where[one]) and len(stored[other])
    }
    return {pair: count for pair, count in found.items() if count}
