"""Rank a database file for every query, kind of descriptor and scope of a protocol; merge the rankings of shards."""

import itertools
from contextlib import ExitStack

import numpy as np

from vprlib.data.image_table import read_image_table, select_rows
from vprlib.data.protocol import EVERYWHERE
from vprlib.exceptions import InputError
from vprlib.io.files import write_h5
from vprlib.retrieval.descriptor_reader import DescriptorView
from vprlib.retrieval.exact_search import merge_rankings, nearest


def search_database(
    out,
    *,
    database,
    queries,
    images,
    depth: int,
    scopes: list,
    kinds=None,
    rank=nearest,
    attributes=(),
    shard: int = 0,
    shards: int = 1,
):
    """Rank the database for every query and kind of descriptor; write `<scope>/<kind>/ranking`, `score` and `dim`.

    Args:
        scopes: as `Protocol.scope` names them. EVERYWHERE, or a column of the image table `images`: a query is then
            searched among the database images that agree with it there (MSLS: its city), and -1 and -inf pad the rows
            of those that have fewer than `depth`. Then maybe `@` and how the queries' photos were fitted.
        kinds: of descriptors; by default all that the database file holds.
        rank: what ranks, with the contract of `nearest`: (queries, database, depth) -> (ranking, score).
        attributes: of the file, beside the descriptors' own.
        shard, shards: only the part of the database with this number, from 0, is ranked; indices are the whole one's.

    Raises:
        InputError: there are more shards than photos; and as `rank`.
    """
    import h5py

    table = read_image_table(images)
    asked, stored = select_rows(table, "test", "query"), select_rows(table, "test", "database")
    if shards > max(1, len(stored)):
        raise InputError(f"search.shards: {shards} shards of a database of {len(stored)} photos; use at most that many")
    first, last = (len(stored) * number // shards for number in (shard, shard + 1))
    with h5py.File(database, "r") as file, h5py.File(queries, "r") as wanted:
        arrays = {}
        for kind, scope in itertools.product(kinds or file, scopes):
            column, at, framing = scope.partition("@")
            parts = [] if column == EVERYWHERE else [np.asarray(table[column]) for table in (asked, stored[first:last])]
            part = file[kind]
            if shards > 1:
                part = DescriptorView(part, range(first, last), f"{kind}.{shard + 1}-of-{shards}")
            ranking, score = nearest_crop(wanted[kind + at + framing], part, depth, *parts, rank=rank)
            arrays |= {f"{scope}/{kind}/ranking": np.where(ranking < 0, -1, ranking + first)}
            arrays |= {f"{scope}/{kind}/score": score, f"{scope}/{kind}/dim": part.shape[1]}
        write_h5(out, arrays, dict(sorted((dict(file.attrs) | dict(attributes)).items())))


def merge_ranking_files(out, shards: list, depth: int):
    """Join the rankings that `search` made of the shards of a database, in order, into that of the whole one.

    Raises:
        InputError: they were made from different descriptors.
    """
    import h5py

    with ExitStack() as stack:
        opened = [stack.enter_context(h5py.File(path, "r")) for path in shards]
        attributes = dict(opened[0].attrs)
        for path, file in zip(shards, opened, strict=True):
            if dict(file.attrs) != attributes:
                raise InputError(
                    f"{path}: was made from other descriptors than {shards[0]}; run `snakemake -R search_shard`"
                )
        arrays = {}
        for kind, scope in itertools.product(next(iter(opened[0].values())), opened[0]):
            found = [file[scope][kind] for file in opened]
            ranking, score = merge_rankings([(part["ranking"][:], part["score"][:]) for part in found], depth)
            arrays |= {f"{scope}/{kind}/ranking": ranking, f"{scope}/{kind}/score": score}
            arrays[f"{scope}/{kind}/dim"] = int(found[0]["dim"][()])
        write_h5(out, arrays, attributes)


def nearest_crop(query, database_ND, k: int, *parts, rank=nearest) -> tuple:
    """As `nearest_within`, of queries (Q, D), or of their crops (Q, C, D): a row's score is then its best crop's."""
    if len(query.shape) == 2:
        return nearest_within(query, database_ND, k, *parts, rank=rank)
    found = [nearest_within(query[:, crop], database_ND, k, *parts, rank=rank) for crop in range(query.shape[1])]
    ranking, score = (np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
    best = np.full_like(ranking, -1), np.full_like(score, -np.inf)
    for q, (rows, scores) in enumerate(zip(ranking, score, strict=True)):
        order = np.lexsort((rows, -scores))
        first = np.sort(np.unique(rows[order], return_index=True)[1])
        kept = order[first][rows[order[first]] >= 0]
        for array, values in zip(best, (rows[kept], scores[kept]), strict=True):
            array[q, : len(kept)] = values
    return tuple(array[:, : min(k, len(database_ND))] for array in best)


def nearest_within(query_QD, database_ND, k: int, query_part=None, database_part=None, *, rank=nearest) -> tuple:
    """As `rank`; with parts, of each query among the database rows whose part equals its own, -1 and -inf pad.

    A part's rows are read as `rank` reads them, by block: nothing is copied before.
    """
    if query_part is None:
        return rank(query_QD, database_ND, k)
    k = min(k, len(database_ND))
    ranking = np.full((len(query_QD), k), -1, np.int64)
    score = np.full((len(query_QD), k), -np.inf, np.float32)
    for part in np.unique(query_part):
        some, rows = np.flatnonzero(query_part == part), np.flatnonzero(database_part == part)
        if len(rows):
            found, near = rank(DescriptorView(query_QD, some), DescriptorView(database_ND, rows), k)
            ranking[some, : found.shape[1]] = np.where(found >= 0, rows[found], -1)
            score[some, : found.shape[1]] = near
    return ranking, score
