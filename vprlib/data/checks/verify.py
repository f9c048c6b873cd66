"""Check a dataset before training: every photo decodes, counts are as declared, splits do not overlap.

Axes: Q queries.
"""

import logging
import os
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vprlib.data.checks.near_duplicates import count_near_duplicates
from vprlib.data.checks.photo_scan import PhotoRecord, scan_photos
from vprlib.data.dataset import Dataset
from vprlib.data.geometry import within
from vprlib.data.image_table import ROLES, SPLITS, has_no_coordinates, read_image_table, select_rows
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.io.files import write_json

log = logging.getLogger(__name__)


BINS = 30  # largest number of histogram bins, without the one of queries without positives


def verify_dataset(
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str],
    dataset: Dataset,
    name: str,
    max_hash_distance: int,
    threads: int,
) -> dict[str, Any]:
    """Scan every photo of a dataset, write a verification report as JSON, and return the report.

    The records of the photos are cached in `.looked.jsonl` beside `images`, so that another call reads only the photos
    that changed.

    Args:
        out: the JSON file.
        images: the image table.
        dataset: the dataset's declaration.
        name: the dataset's name, for messages.
        max_hash_distance: bits of 64 in which the perceptual hashes of near-duplicates may differ.
        threads: number of threads that decode photos.

    Returns:
        The report:

        - `dataset`, `protocols`: names.
        - `radius`, `unit`: of the dataset's own protocol.
        - `within`: the column that limits the searches of the first evaluated protocol, or None.
        - `placeless`: true if the coordinates only identify the place.
        - `counts`, `declared`: "split role" -> number of images.
        - `sizes`: [size in pixels, number of photos], most frequent first.
        - `bounds`: smallest and largest coordinate of each axis, in `unit`.
        - `positives`: see `count_positives`.
        - `duplicates`: groups of photos with the same bytes.
        - `near_duplicates`: see `vprlib.data.checks.near_duplicates`.
        - `leaks`: see `count_leaks`.

    Raises:
        InputError: photos cannot be decoded, or the counts are not the declared ones. The message names the first
            fault, and `broken.json` beside `out` lists all. The other photos' records stay cached, and `out` is not
            written.
    """
    table = read_image_table(images)
    cache = Path(images).with_name(".looked.jsonl")
    scanned = scan_photos(table.path, kept=cache, threads=threads, desc=f"verify {name}")
    records = [record for record in scanned if isinstance(record, PhotoRecord)]
    broken = {path: fault for path, fault in zip(table.path, scanned, strict=True) if isinstance(fault, str)}
    broken_json = Path(out).with_name("broken.json")
    counts = {f"{split} {role}": len(select_rows(table, split, role)) for split in SPLITS for role in ROLES}
    declared = {f"{split} {role}": expected for (split, role), expected in dataset.counts.items()}
    wrong = [
        f"{images}: {split} has {counts[f'{split} {role}']} {role} images, {name} should have {expected}"
        for (split, role), expected in dataset.counts.items()
        if counts[f"{split} {role}"] != expected
    ]
    if broken or wrong:
        write_json(broken_json, {"broken": broken, "counts": wrong})
        first, *more = [*(f"{path}: {reason}" for path, reason in broken.items()), *wrong]
        raise InputError(first + (f" (and {len(more)} more, in {broken_json})" if more else ""))
    broken_json.unlink(missing_ok=True)
    digests = pd.Series([record.sha256 for record in records], index=table.path)
    hashes = np.array([record.phash for record in records], np.uint64)
    sizes = pd.Series([f"{record.width}x{record.height}" for record in records]).value_counts()
    repeated = digests[digests.duplicated(keep=False)]
    report = {
        "dataset": name,
        "protocols": [protocol.name for protocol in dataset.protocols],
        "radius": dataset.radius,
        "unit": dataset.own_protocol.unit,
        "within": dataset.protocols[0].same_column,
        "placeless": has_no_coordinates(table, dataset.own_protocol.unit),
        "counts": counts,
        "declared": declared,
        "sizes": [[size, int(count)] for size, count in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))],
        "bounds": {axis: [float(table[axis].min()), float(table[axis].max())] for axis in ("east", "north")},
        "positives": count_positives(table, dataset),
        "duplicates": sorted(sorted(group) for group in repeated.groupby(repeated).groups.values()),
        "near_duplicates": count_near_duplicates(
            table, digests, hashes, max_hash_distance=max_hash_distance, radius=dataset.radius
        ),
        "leaks": count_leaks(table, dataset.radius),
    }
    write_json(out, report)
    log_warnings(report, out)
    return report


def log_warnings(report: dict[str, Any], out: str | os.PathLike[str]) -> None:
    """Log a warning for each kind of fault that a verification report has.

    Args:
        report: a report of `verify_dataset`.
        out: its file, for messages.
    """
    kinds = {"duplicates": len(report["duplicates"]), "leaks": len(report["leaks"])}
    kinds["pairs of near-duplicates"] = sum(report["near_duplicates"]["pairs"].values())
    for row in report["positives"]:
        kinds[f"{row['split']} queries without positives ({row['protocol']})"] = len(row["without"])
    for kind, count in kinds.items():
        if count:
            log.warning("warning: %s: %d %s, see %s", report["dataset"], count, kind, out)


def count_positives(table: pd.DataFrame, dataset: Dataset) -> list[dict[str, Any]]:
    """Count the correct database images of each query, per split and protocol.

    Train and val use the dataset's own protocol, as training does; test uses each of the evaluated ones. Splits without
    queries are left out.

    Returns:
        One dict per split and protocol: `split`; `protocol`; `reach`, the radius with its unit; `queries`, their
        number; `min`, `mean`, `median`, `max` of the counts; `without`, the paths of the queries without positives;
        `histogram`, see `count_histogram`.
    """
    evaluated = [("train", dataset.own_protocol), ("val", dataset.own_protocol)]
    evaluated += [("test", protocol) for protocol in dataset.protocols]
    rows = []
    for split, protocol in evaluated:
        query, positives = queries_and_positives(table, split, protocol)
        if not len(query):
            continue
        number_Q = np.array([len(indices) for indices in positives])
        row = {"split": split, "protocol": protocol.name, "reach": protocol.radius_text, "queries": len(query)}
        row |= {"min": int(number_Q.min()), "mean": float(number_Q.mean())}
        row |= {"median": float(np.median(number_Q)), "max": int(number_Q.max())}
        row |= {"without": list(query.path[number_Q == 0]), "histogram": count_histogram(number_Q)}
        rows.append(row)
    return rows


def queries_and_positives(
    table: pd.DataFrame, split: str, protocol: Protocol
) -> tuple[pd.DataFrame, list[NDArray[np.int64]]]:
    """Return the queries of a split under a protocol, and the correct database images of each.

    Train and val use the protocol's `for_training`.

    Returns:
        Image table of the queries, and for each the row numbers among the split's database images.
    """
    query, database = select_rows(table, split, "query"), select_rows(table, split, "database")
    if split != "test":
        protocol = protocol.for_training
    query = query[protocol.evaluated(query)].reset_index(drop=True)
    return query, protocol.positives(query, database)


def count_histogram(number_Q: NDArray[np.int64]) -> list[list[int]]:
    """Return [smallest, largest, how many] of counts, in bins of one width from 1 on, without empty bins.

    There are at most `BINS` bins, and one more for the count 0.

    >>> count_histogram(np.array([0, 1, 1, 3]))
    [[0, 0, 1], [1, 1, 2], [3, 3, 1]]
    """
    width = max(1, -(-int(number_Q.max()) // BINS))
    bin_Q = -(-number_Q // width)  # count 0 is bin 0; counts 1 to width are bin 1
    return [
        [1 + (int(number) - 1) * width if number else 0, int(number) * width, int(count)]
        for number, count in zip(*np.unique(bin_Q, return_counts=True), strict=True)
    ]


def count_leaks(table: pd.DataFrame, radius: float) -> dict[str, int]:
    """Count, for each two splits, the photos of the first within the radius of the second's database images.

    Returns:
        "split near other" -> number of photos, without zeros.
    """
    positions = {split: table.loc[table.split == split, ["east", "north"]] for split in SPLITS}
    database = {split: select_rows(table, split, "database")[["east", "north"]] for split in SPLITS}
    leaks = {
        f"{split} near {other}": sum(len(indices) > 0 for indices in within(positions[split], database[other], radius))
        for split, other in combinations(SPLITS, 2)
        if len(positions[split]) and len(database[other])
    }
    return {pair: count for pair, count in leaks.items() if count}
