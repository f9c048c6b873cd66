"""Read a dataset whose ground truth is, for each query, the list of the numbers of its positives.

A `.npy` or `.json` holds Q lists, or Q rows of a query's number and its list, as VPR-Bench's `ground_truth_new.npy`.
Numbers count from 0 or from 1: the row's own numbers tell, or a 0, or the number of the last photo.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vprlib.data.dataset import Dataset
from vprlib.data.listed_positives import listed_table
from vprlib.data.photo_lists import check_list_length, read_photo_list
from vprlib.data.protocol import Protocol
from vprlib.exceptions import InputError
from vprlib.io.object_arrays import read_integer_lists

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

log = logging.getLogger(__name__)


def positives_dataset(
    positives: str, *, database: str, queries: str, first_index: int | None, protocol: Protocol
) -> Dataset:
    """Declare a custom dataset whose positives are listed for each query.

    Args:
        positives: the `.npy` or `.json` of the lists.
        database: list of the database images; see `read_photo_list`.
        queries: list of the queries, likewise.
        first_index: the number of the first photo, 0 or 1; None if the file tells.
        protocol: of the unit LISTED.
    """
    lists = {"database": database, "query": queries}
    return Dataset(
        read_images=partial(read_positives_list, positives=positives, lists=lists, first_index=first_index),
        files=(positives, database, queries),
        root=Path(),
        protocols=(protocol,),
        access="Name a .npy or .json of lists, and the lists (or folders) of its photos: positives, database, queries",
    )


def read_positives_list(root: Path, *, positives: str, lists: dict[str, str], first_index: int | None) -> pd.DataFrame:
    """Read lists of positives and the photos that they are about into an image table of the test split.

    Args:
        root: the dataset's root.
        positives: the `.npy` or `.json`, relative to the root.
        lists: role -> list of its photos, relative to the root.
        first_index: the number of the first photo, 0 or 1; None if the file tells.

    Raises:
        InputError: the file cannot be read, has another number of rows than there are queries, numbers photos that do
            not exist, or does not tell where its numbers begin.
    """
    source = root / positives
    database, queries = (read_photo_list(root, lists[role]) for role in ("database", "query"))
    number_Q, rows = split_query_numbers(_read_rows(source), source)
    check_list_length(len(rows), queries, source=source, what="the list", listed=lists["query"])
    if number_Q:
        first = _first_of_queries(number_Q, first_index, source)
        rows = [row for _, row in sorted(zip(number_Q, rows, strict=True))]
    else:
        first = _first_of_positives(rows, len(database), first_index, source)
    return listed_table(database, queries, to_row_numbers(rows, first, len(database), source, lists["database"]))


def split_query_numbers(rows: Sequence[Any], source: Path) -> tuple[list[int], list[list[int]]]:
    """Split rows into the numbers of the queries, if all rows have one, and the lists of their positives.

    Raises:
        InputError: a row is no list of numbers, or could be read both ways.

    >>> split_query_numbers([[0, [4, 5]], [1, []]], Path("x"))
    ([0, 1], [[4, 5], []])
    >>> split_query_numbers([[4, 5, 6], 7], Path("x"))
    ([], [[4, 5, 6], [7]])
    """
    pairs = [row for row in rows if isinstance(row, list) and len(row) == 2 and isinstance(row[1], list)]
    if rows and len(pairs) == len(rows) and all(isinstance(row[0], int) for row in pairs):
        numbers, lists = [row[0] for row in pairs], [row[1] for row in pairs]
    else:
        numbers, lists = [], [row if isinstance(row, list) else [row] for row in rows]
    for number, row in enumerate(lists):
        if not all(isinstance(item, int) and not isinstance(item, bool) for item in row):
            raise InputError(
                f"{source}: row {number + 1} is no list of whole numbers; write a list of positives for each query, or "
                "its number and such a list"
            )
    firsts = [row[0] for row in lists if len(row) == 2]
    if not numbers and len(lists) > 1 and firsts in (list(range(len(lists))), list(range(1, len(lists) + 1))):
        raise InputError(
            f"{source}: its two columns may be a query and its positive, or two positives of each query; write it as "
            "JSON, [[0, [3]], [1, [4]], ...] for the first"
        )
    return numbers, lists


def to_row_numbers(
    rows: Sequence[Sequence[int]], first: int, count: int, source: Path, listed: str
) -> list[NDArray[np.int64]]:
    """Return for each query the row numbers of its positives, from 0, increasing.

    Numbers beyond the last photo are left out, with a warning, where they continue a query's list without a gap, as
    frames around the last one do. No ranking could hold them.

    Args:
        rows: the lists of the Q queries.
        first: the number of the first photo.
        count: number of database images.
        source: the file, for messages.
        listed: the list of the database, for messages.

    Raises:
        InputError: another number is no photo's.
    """
    import numpy as np

    result, beyond = [], []
    for number, row in enumerate(rows):
        index = np.unique(np.array(row, object)).astype(object) - first if len(row) else np.empty(0, object)
        inside = [value for value in index if 0 <= value < count]
        outside = [value for value in index if not 0 <= value < count]
        follows = bool(inside) and inside[-1] == count - 1 and outside == list(range(count, count + len(outside)))
        if outside and not follows:
            raise InputError(
                f"{source}: row {number + 1} has the positive {outside[0] + first}, and {listed} has {count} photos, "
                f"numbered from {first}; correct the list, or set `first_index` if numbers begin elsewhere"
            )
        beyond += outside
        result.append(np.array(inside, np.int64))
    if beyond:
        log.warning("warning: %s: %d positives beyond the last of the %d photos of %s are left out (the largest is %d)",
                    source, len(beyond), count, listed, max(beyond) + first)  # fmt: skip
    return result


def _read_rows(source: Path) -> list[Any]:
    """Return the rows of a `.npy` or `.json` file.

    Raises:
        InputError: it is neither, or cannot be read.
    """
    if source.suffix == ".npy":
        return read_integer_lists(source)
    if source.suffix != ".json":
        raise InputError(f"{source}: lists of positives are read from a .npy or .json file; write one of these")
    try:
        rows = json.loads(source.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: cannot be read as JSON ({error})") from error
    if not isinstance(rows, list):
        raise InputError(f"{source}: is no list; write a list of positives for each query")
    return rows


def _first_of_queries(number_Q: Sequence[int], first_index: int | None, source: Path) -> int:
    """Return the number of the first photo by the queries' own numbers.

    Raises:
        InputError: these are not consecutive from 0 or 1, or contradict `first_index`.
    """
    first = min(number_Q)
    if first not in (0, 1) or sorted(number_Q) != list(range(first, first + len(number_Q))):
        raise InputError(
            f"{source}: its first column must number the {len(number_Q)} queries from 0 or 1, each once; write one row "
            "a query"
        )
    if first_index is not None and first != first_index:
        raise InputError(
            f"{source}: numbers its queries from {first}, not from `first_index` {first_index}; leave it out"
        )
    return first


def _first_of_positives(rows: Sequence[Sequence[int]], count: int, first_index: int | None, source: Path) -> int:
    """Return the number of the first photo: 0 if there is a 0, and 1 if there is none and the last number is `count`.

    Raises:
        InputError: numbers are neither.
    """
    numbers = {number for row in rows for number in row}
    if first_index is not None or not numbers:
        return first_index or 0
    if min(numbers) <= 0:
        return 0
    if max(numbers) == count:
        log.info("%s: has no positive 0 and has %d, the number of photos: its numbers begin at 1", source, count)
        return 1
    raise InputError(
        f"{source}: its positives, {min(numbers)} to {max(numbers)} for {count} photos, do not tell whether the first "
        "photo is 0 or 1; set `first_index`"
    )
