"""Search a database file for every query, and merge the rankings of its shards.

A search is made for every kind of descriptor and every search scope of a protocol.

Axes: Q queries, N database images, D dimensions.
"""

import itertools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vprlib.data.image_table import hash_test_photos, read_image_table, select_rows
from vprlib.data.protocol import EVERYWHERE
from vprlib.exceptions import InputError
from vprlib.io.files import open_h5, read_h5_attributes, write_h5
from vprlib.retrieval.descriptor_reader import Descriptors, DescriptorView
from vprlib.retrieval.exact_search import Ranking, merge_rankings, nearest


def search_database(
    out: str | os.PathLike[str],
    *,
    database: str | os.PathLike[str],
    queries: str | os.PathLike[str],
    images: str | os.PathLike[str],
    depth: int,
    scopes: Sequence[str],
    kinds: Sequence[str] | None = None,
    rank: Callable[..., Ranking] = nearest,
    attributes: Mapping[str, Any] | Iterable[tuple[str, Any]] = (),
    shard: int = 0,
    shards: int = 1,
) -> None:
    """Rank the database for every query and kind of descriptor; write `<scope>/<kind>/ranking`, `score` and `dim`.

    Args:
        out: the HDF5 file to write.
        database, queries: the descriptor files.
        images: the image table.
        depth: number of candidates per query.
        scopes: as `Protocol.search_scope` names them. EVERYWHERE, or a column of the image table: each query is then
            searched among the database images with its own value in that column (MSLS: its city), and -1 and -inf pad
            the rows of those that have fewer than `depth`. A scope may end in `@` and the framing of the query photos.
        kinds: kinds of descriptors; by default all in the database file.
        rank: ranks the database with the contract of `nearest`: (queries, database, depth) -> (ranking, score).
        attributes: written to the file, beside those of the descriptors.
        shard: number of the shard of the database to rank, from 0; indices are those of the whole database.
        shards: number of shards.

    Raises:
        InputError: if there are more shards than database photos, or as `rank` raises it.
    """
    table = read_image_table(images)
    query_table, database_table = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    count = len(database_table)
    if shards > max(1, count):
        raise InputError(f"shards.search: {shards} shards of a database of {count} photos; use at most that many")
    first, last = (count * number // shards for number in (shard, shard + 1))
    photos = hash_test_photos(table)
    verify = None if shard == 0 and kinds is None else kinds if shard == 0 else ()  # once for all shards
    with open_h5(database, verify) as file, open_h5(queries) as query_file:
        for path, opened in ((database, file), (queries, query_file)):
            if opened.attrs.get("photos", photos) != photos:
                raise InputError(
                    f"{path}: was made from other photos than {images}; run again with `-R extract_descriptors`"
                )
        arrays: dict[str, Any] = {}
        for kind, scope in itertools.product(kinds or file, scopes):
            column, at, framing = scope.partition("@")
            tables = [] if column == EVERYWHERE else [query_table, database_table[first:last]]
            parts = [np.asarray(rows[column]) for rows in tables]
            x_ND = file[kind]
            if shards > 1:
                x_ND = DescriptorView(x_ND, range(first, last), f"{kind}.{shard + 1}-of-{shards}")
            ranking, score = nearest_crop(query_file[kind + at + framing], x_ND, depth, *parts, rank=rank)
            arrays |= {f"{scope}/{kind}/ranking": np.where(ranking < 0, -1, ranking + first)}
            arrays |= {f"{scope}/{kind}/score": score, f"{scope}/{kind}/dim": x_ND.shape[1]}
        write_h5(out, arrays, dict(sorted((read_h5_attributes(file) | dict(attributes)).items())))


def merge_ranking_files(out: str | os.PathLike[str], shards: Sequence[str | os.PathLike[str]], depth: int) -> None:
    """Merge the rankings of the shards of a database into the ranking by the whole database.

    Args:
        out: the HDF5 file to write.
        shards: files that `search_database` wrote, in order.
        depth: number of candidates per query.

    Raises:
        InputError: if they were made from different descriptors.
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(open_h5(path)) for path in shards]
        attributes = read_h5_attributes(opened[0])
        for path, file in zip(shards, opened, strict=True):
            if read_h5_attributes(file) != attributes:
                raise InputError(
                    f"{path}: was made from other descriptors than {shards[0]}; run again with `-R search_shard`"
                )
        arrays: dict[str, Any] = {}
        for kind, scope in itertools.product(next(iter(opened[0].values())), opened[0]):
            groups = [file[scope][kind] for file in opened]
            ranking, score = merge_rankings([(group["ranking"][:], group["score"][:]) for group in groups], depth)
            arrays |= {f"{scope}/{kind}/ranking": ranking, f"{scope}/{kind}/score": score}
            arrays[f"{scope}/{kind}/dim"] = int(groups[0]["dim"][()])
        write_h5(out, arrays, attributes)


def nearest_crop(
    query: Any, database_ND: Descriptors, k: int, *parts: ArrayLike, rank: Callable[..., Ranking] = nearest
) -> Ranking:
    """Rank for queries (Q, D), as `nearest_within` does, or for their crops (Q, crops, D).

    The score of a database image for crops is that of the best one.
    """
    if len(query.shape) == 2:
        return nearest_within(query, database_ND, k, *parts, rank=rank)
    by_crop = [nearest_within(query[:, crop], database_ND, k, *parts, rank=rank) for crop in range(query.shape[1])]
    ranking, score = (np.concatenate(arrays, axis=1) for arrays in zip(*by_crop, strict=True))
    best_ranking, best_score = np.full_like(ranking, -1), np.full_like(score, -np.inf)
    for q, (rows, scores) in enumerate(zip(ranking, score, strict=True)):
        order = np.lexsort((rows, -scores))
        first = np.sort(np.unique(rows[order], return_index=True)[1])
        kept = order[first][rows[order[first]] >= 0]
        best_ranking[q, : len(kept)], best_score[q, : len(kept)] = rows[kept], scores[kept]
    k = min(k, len(database_ND))
    return best_ranking[:, :k], best_score[:, :k]


def nearest_within(
    query_QD: Descriptors,
    database_ND: Descriptors,
    k: int,
    query_part: ArrayLike | None = None,
    database_part: ArrayLike | None = None,
    *,
    rank: Callable[..., Ranking] = nearest,
) -> Ranking:
    """Rank the whole database for each query or, given parts, only the rows of the query's own part.

    The rows of a part are read by `rank`, block by block: nothing is copied first.

    Args:
        query_QD, database_ND, k: as in `nearest`.
        query_part: (Q,) the part of each query, such as its city.
        database_part: (N,) the part of each database row.
        rank: ranks with the contract of `nearest`.

    Returns:
        As `rank`; with parts, -1 and -inf pad the rows of queries whose part has fewer than k images.
    """
    if query_part is None:
        return rank(query_QD, database_ND, k)
    k = min(k, len(database_ND))
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for part in np.unique(query_part):
        queries: NDArray[np.int64] = np.flatnonzero(np.asarray(query_part) == part)
        rows: NDArray[np.int64] = np.flatnonzero(np.asarray(database_part) == part)
        if len(rows):
            part_ranking, part_score = rank(DescriptorView(query_QD, queries), DescriptorView(database_ND, rows), k)
            ranking[queries, : part_ranking.shape[1]] = np.where(part_ranking >= 0, rows[part_ranking], -1)
            score[queries, : part_ranking.shape[1]] = part_score
    return ranking, score
