"""Positives that are listed, not found by distance: how an image table carries them.

The column LISTED_POSITIVES holds, of a database image, its number, and of a query, the numbers of its positives,
increasing, with blanks between them; it is missing if there are none. Such photos have no coordinates. Their `east`
only keeps the order of the database: distances mean nothing, but queries with the same positives have the same
position, and consecutive queries whose positives overlap or touch lie within LISTED_RADIUS, as along a traverse.

Axes: Q queries, N database images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vprlib.exceptions import InputError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

LISTED = "listed"  # unit of the protocols whose positives are listed
LISTED_RADIUS = 1000.0  # of these protocols; see above
LISTED_POSITIVES = "listed_positives"
NUDGE = 0.02  # between positions of queries whose positives differ and have the same mean


def listed_table(
    database: Sequence[str], queries: Sequence[str], positives: Sequence[NDArray[np.int64]]
) -> pd.DataFrame:
    """Return the image table of a test split with listed positives: the database, then the queries.

    Args:
        database: paths of the N database images.
        queries: paths of the Q queries.
        positives: for each query the numbers of its positives in `database`, from 0, increasing.
    """
    import numpy as np
    import pandas as pd

    east_N, east_Q = _order_positions(positives, len(database))
    texts = [" ".join(map(str, rows)) or None for rows in positives]
    return pd.DataFrame({
        "path": [*database, *queries],
        "split": "test",
        "role": ["database"] * len(database) + ["query"] * len(queries),
        "east": np.concatenate([east_N, east_Q]),
        "north": 0.0,
        LISTED_POSITIVES: [*map(str, range(len(database))), *texts],
    })  # fmt: skip


def read_listed_positives(query: pd.DataFrame, database: pd.DataFrame) -> list[NDArray[np.int64]]:
    """Return for each query the row numbers of its positives in `database`, increasing.

    Args:
        query: image table of Q queries.
        database: image table of some or all of the database images.

    Raises:
        InputError: the tables have no listed positives.
    """
    import numpy as np

    if LISTED_POSITIVES not in query or LISTED_POSITIVES not in database:
        raise InputError(
            f"the image table has no column {LISTED_POSITIVES!r}, and the protocol needs it; run again with "
            "`-R image_table`"
        )
    number_N = database[LISTED_POSITIVES].astype(int).to_numpy()
    row_of = np.full(number_N.max(initial=-1) + 1, -1)
    row_of[number_N] = np.arange(len(number_N))
    result = []
    for text in query[LISTED_POSITIVES].astype(object):
        numbers = [int(number) for number in str(text).split()] if text == text and text is not None else []
        rows = row_of[[number for number in numbers if number < len(row_of)]]
        result.append(np.sort(rows[rows >= 0]).astype(np.int64))
    return result


def _order_positions(
    positives: Sequence[NDArray[np.int64]], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return positions on a line, database (N,) and queries (Q,): a query lies at the mean of its positives.

    They are scaled so that the positions of consecutive queries whose positives overlap or touch are at most
    LISTED_RADIUS apart. Queries without positives lie apart from all others.
    """
    import numpy as np

    distinct: dict[tuple[int, ...], float] = {}
    seen: dict[float, int] = {}
    longest = 1.0
    before: NDArray | None = None
    for rows in positives:
        key = tuple(rows.tolist())
        if key and key not in distinct:
            mean = float(np.mean(rows))
            seen[mean] = seen.get(mean, -1) + 1
            distinct[key] = mean + seen[mean] * NUDGE / LISTED_RADIUS
            if before is not None and rows[0] <= before[-1] + 1 and before[0] <= rows[-1] + 1:
                longest = max(longest, abs(mean - float(np.mean(before))))
            before = rows
    scale = LISTED_RADIUS / longest
    apart = iter(range(1, len(positives) + 1))
    east_Q = [
        distinct[tuple(rows.tolist())] * scale if len(rows) else -10 * LISTED_RADIUS * next(apart) for rows in positives
    ]
    return np.arange(count, dtype=np.float64) * scale, np.array(east_Q, np.float64)
