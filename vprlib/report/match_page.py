"""Write a page that shows each query beside its first candidates: `matches.html` of `vprlib match`.

Axes: Q queries, N database photos, K candidates of a query.
"""

import base64
import logging
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from vprlib.data.photo_lists import names_below_common_folder
from vprlib.io.files import format_bytes, write_bytes
from vprlib.io.fingerprints import code_version
from vprlib.report.templating import page_environment, read_static
from vprlib.report.thumbnails import AT_ONCE, shrink_photo

log = logging.getLogger(__name__)

SHOWN = 5  # candidates of a query
MEGABYTES = 30.0  # largest size of the page


def write_match_page(
    out: str | os.PathLike[str],
    queries: Sequence[str],
    database: Sequence[str],
    ranking_QK: NDArray,
    score_QK: NDArray,
    *,
    network: str,
    megabytes: float = MEGABYTES,
) -> int:
    """Write the page, which needs no other file and no network; return the number of queries on it.

    Args:
        out: the HTML file.
        queries: paths of Q photos.
        database: paths of N photos.
        ranking_QK: numbers of database photos, the most similar first; SHOWN of them are shown.
        score_QK: their similarities.
        network: the name of the network.
        megabytes: largest size of the page: it shows the first queries that fit.

    Raises:
        InputError: the page cannot be written.
    """
    rows: list[dict[str, Any]] = []
    room = megabytes * 1e6
    for row in _rows(queries, database, ranking_QK[:, :SHOWN], score_QK):
        room -= sum(len(photo["data"]) for photo in (row["query"], *row["candidates"]))
        if room < 0 and rows:
            break
        rows.append(row)
    page = page_environment().get_template("matches.html")
    text = page.render(
        rows=rows,
        queries=len(queries),
        database=len(database),
        shown=min(SHOWN, ranking_QK.shape[1]),
        kept=ranking_QK.shape[1],
        network=network,
        styles=read_static(("base.css", "matches.css")),
        code=code_version(),
    )
    write_bytes(out, text.encode())
    log.info("%s: %d of %d queries, %s", out, len(rows), len(queries), format_bytes(len(text.encode())))
    return len(rows)


def _rows(
    queries: Sequence[str], database: Sequence[str], ranking_QK: NDArray, score_QK: NDArray
) -> Iterator[dict[str, Any]]:
    """Yield the query and the candidates of each row of the page, with their thumbnails."""
    thumbnails: dict[str, str] = {}
    _, (query_names, database_names) = names_below_common_folder(queries, database)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(queries), AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, len(queries)))
            shown = [queries[q] for q in numbers] + [database[n] for n in ranking_QK[start : start + AT_ONCE].ravel()]
            new = [path for path in dict.fromkeys(shown) if path not in thumbnails]
            thumbnails |= zip(new, pool.map(_thumbnail, new), strict=True)
            for q in numbers:
                yield {
                    "number": q + 1,
                    "query": {"name": query_names[q], "data": thumbnails[queries[q]]},
                    "candidates": [
                        {"name": database_names[n], "data": thumbnails[database[n]], "score": float(score)}
                        for n, score in zip(ranking_QK[q], score_QK[q], strict=False)
                    ],
                }


def _thumbnail(photo: str) -> str:
    """Return a thumbnail as base64; empty if the photo cannot be read any more."""
    try:
        return base64.b64encode(shrink_photo(photo)).decode()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        log.warning("%s: no thumbnail (%s)", photo, error)
        return ""
