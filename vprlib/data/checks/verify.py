"""Checking a dataset before it costs a day: every photo decodes, the counts are the declared ones, no split leaks."""

import logging
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from vprlib.data.checks.near_duplicates import count_near_duplicates
from vprlib.data.checks.photo_scan import scan_photos
from vprlib.data.dataset import Dataset
from vprlib.data.geometry import within
from vprlib.data.image_table import ROLES, SPLITS, has_no_coordinates, read_image_table, select_rows
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.io.files import write_json

log = logging.getLogger(__name__)


BINS = 30  # of a histogram, at most, beside the one of queries without positives


def verify_dataset(out, *, images, dataset: Dataset, name: str, hamming: int, threads: int) -> dict:
    """Look at every photo of a dataset, write what was found as JSON, and return it.

    `counts` per split and role, and the `declared` ones; `sizes` in pixels, most frequent first; `bounds` of the
    coordinates in `unit`; `within`, the column that bounds searches; `placeless`, whether the coordinates mean nothing
    but which place; `positives`, a row for each split with queries (for test one for each protocol); `duplicates`,
    groups of photos with the same bytes; `near_duplicates`, of `vprlib.data.checks.near_duplicates`; `leaks`, the
    photos of one split within the hit radius of another's database. What was seen of each photo is kept beside `out`,
    in `.looked.jsonl`, so that another call reads only photos that changed.

    Args:
        out: the JSON file.
        images: the image table.
        dataset: its declaration.
        name: its name, for people.
        hamming: bits of 64 in which the perceptual hashes of near-duplicates may differ.
        threads: that decode.

    Raises:
        InputError: photos that cannot be decoded, or counts that are not those that the dataset declares; the first is
            in the message, all are in `broken.json` beside `out`. What was seen of the other photos is kept, `out` is not
            written.
    """
    table = read_image_table(images)
    looked = scan_photos(table.path, kept=Path(out).with_name(".looked.jsonl"), threads=threads, desc=f"verify {name}")
    broken = {path: one for path, one in zip(table.path, looked, strict=True) if isinstance(one, str)}
    beside = Path(out).with_name("broken.json")
    counts = {f"{split} {role}": len(select_rows(table, split, role)) for split in SPLITS for role in ROLES}
    declared = {f"{split} {role}": expected for (split, role), expected in dataset.counts.items()}
    wrong = [
        f"{images}: {split} has {counts[f'{split} {role}']} {role} images, {name} should have {expected}"
        for (split, role), expected in dataset.counts.items()
        if counts[f"{split} {role}"] != expected
    ]
    if broken or wrong:
        write_json(beside, {"broken": broken, "counts": wrong})
        first, *more = [*(f"{path}: {reason}" for path, reason in broken.items()), *wrong]
        raise InputError(first + (f" (and {len(more)} more, in {beside})" if more else ""))
    beside.unlink(missing_ok=True)
    digests = pd.Series([seen.sha256 for seen in looked], index=table.path)
    hashes = np.array([seen.phash for seen in looked], np.uint64)
    sizes = pd.Series([f"{seen.width}x{seen.height}" for seen in looked]).value_counts()
    repeated = digests[digests.duplicated(keep=False)]
    found = {
        "dataset": name,
        "protocols": [protocol.name for protocol in dataset.protocols],
        "radius": dataset.radius_m,
        "unit": dataset.protocols[0].unit,
        "within": dataset.protocols[0].within,
        "placeless": has_no_coordinates(table, dataset.protocols[0].unit),
        "counts": counts,
        "declared": declared,
        "sizes": [[size, int(count)] for size, count in sorted(sizes.items(), key=lambda one: (-one[1], one[0]))],
        "bounds": {axis: [float(table[axis].min()), float(table[axis].max())] for axis in ("east", "north")},
        "positives": count_positives(table, dataset),
        "duplicates": sorted(sorted(group) for group in repeated.groupby(repeated).groups.values()),
        "near_duplicates": count_near_duplicates(table, digests, hashes, hamming=hamming, radius=dataset.radius_m),
        "leaks": count_leaks(table, dataset.radius_m),
    }
    write_json(out, found)
    log_warnings(found, out)
    return found


def log_warnings(found: dict, out):
    """Say in the log what should not be there."""
    kinds = {"duplicates": len(found["duplicates"]), "leaks": len(found["leaks"])}
    kinds["pairs of near-duplicates"] = sum(found["near_duplicates"]["pairs"].values())
    for row in found["positives"]:
        kinds[f"{row['split']} queries without positives ({row['protocol']})"] = len(row["without"])
    for kind, count in kinds.items():
        if count:
            log.warning("warning: %s: %d %s, see %s", found["dataset"], count, kind, out)


def count_positives(table, dataset: Dataset) -> list:
    """How many database photos each query can be found by, a row for each split that has queries.

    Train and val are judged by the dataset's first protocol, as in training; test by each of its protocols, as in
    evaluation. A row has `split`, `protocol`, `queries`; `min`, `mean`, `median`, `max`; `without`, the paths of the
    queries that have none; `histogram`: [fewest, most, queries], without empty bins.
    """
    judged = [("train", dataset.protocols[0]), ("val", dataset.protocols[0])]
    judged += [("test", protocol) for protocol in dataset.protocols]
    result = []
    for split, protocol in judged:
        query, near = queries_and_positives(table, split, protocol)
        if not len(query):
            continue
        number = np.array([len(one) for one in near])
        row = {"split": split, "protocol": protocol.name, "reach": protocol.reach, "queries": len(query)}
        row |= {"min": int(number.min()), "mean": float(number.mean())}
        row |= {"median": float(np.median(number)), "max": int(number.max())}
        row |= {"without": list(query.path[number == 0]), "histogram": count_histogram(number)}
        result.append(row)
    return result


def queries_and_positives(table, split: str, protocol: Protocol):
    """The queries of a split that a protocol asks, and for each the database photos that are right, as row numbers."""
    query, database = select_rows(table, split, "query"), select_rows(table, split, "database")
    if split != "test":
        protocol = protocol.trained
    if protocol.queries:
        query = query[query[protocol.queries] == 1].reset_index(drop=True)
    return query, protocol.positives(query, database)


def count_histogram(number_Q) -> list:
    """[fewest, most, how many] of counts, in at most `BINS` bins of one width from 1 on; 0 has a bin of its own."""
    width = max(1, -(-int(number_Q.max()) // BINS))
    bin_Q = -(-number_Q // width)  # 0 is 0, 1 to width is 1
    return [
        [1 + (int(one) - 1) * width if one else 0, int(one) * width, int(count)]
        for one, count in zip(*np.unique(bin_Q, return_counts=True), strict=True)
    ]


def count_leaks(table, radius_m: float) -> dict:
    """For each two splits, how many photos of the first lie within the radius of the second's database."""
    where = {split: table.loc[table.split == split, ["east", "north"]] for split in SPLITS}
    stored = {split: select_rows(table, split, "database")[["east", "north"]] for split in SPLITS}
    found = {
        f"{one} near {other}": sum(len(near) > 0 for near in within(where[one], stored[other], radius_m))
        for one, other in combinations(SPLITS, 2)
        if len(where[one]) and len(stored[other])
    }
    return {pair: count for pair, count in found.items() if count}
