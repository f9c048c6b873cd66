import itertools
import json
from contextlib import contextmanager
from functools import partial

import faiss
import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.compute.device import search_device
from vprlib.config import parse_config
from vprlib.io.files import write_csv, write_h5
from vprlib.retrieval.descriptor_reader import DescriptorView, take_rows
from vprlib.retrieval.exact_search import merge_rankings, nearest
from vprlib.retrieval.search import merge_ranking_files, nearest_crop, search_database


def by_sorting(query, database, k):
    scores = query.astype(np.float64) @ database.astype(np.float64).T
    order = np.lexsort((np.broadcast_to(np.arange(scores.shape[1]), scores.shape), -scores))[:, :k]
    return order, np.take_along_axis(scores, order, 1)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(1, 6), st.integers(1, 150), st.integers(1, 6), st.data())
def test_equal_scores_come_by_index_in_one_block_or_many(queries, count, width, data):
    """Small integers: dot products are exact, most scores occur often, many rows are duplicates."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    query = rng.integers(-1, 2, (queries, width)).astype(np.float32)
    database = rng.integers(-1, 2, (count, width)).astype(np.float32)
    k, block = data.draw(st.integers(1, count + 3)), data.draw(st.integers(1, count + 3))
    ranking, score = nearest(query, database, k, block=block)
    expected, scores = by_sorting(query, database, k)
    assert ranking.dtype == np.int64
    np.testing.assert_array_equal(score, scores)
    np.testing.assert_array_equal(ranking, expected)


@pytest.mark.parametrize("block", [None, 1, 2, 5])
@pytest.mark.parametrize("seed", range(20))
def test_equal_float32_rows_have_equal_scores_in_any_block(seed, block):
    """Of values so different that sums in another order are others."""
    rng, width = np.random.default_rng(seed), (16, 24, 64, 100)[seed % 4]
    row = np.zeros(width, np.float32)
    row[:2], row[2:7] = (1, 2.0**-24), 2.0**-54
    database = np.repeat(rng.permutation(row)[None], 40, 0)
    for k in (13, 40):  # of more rows that are alike than are asked for, all scores are sorted
        ranking, score = nearest(np.ones((1, width), np.float32), database, k, block=block)
        np.testing.assert_array_equal(ranking[0], np.arange(k))
        assert len(set(score[0])) == 1


@pytest.mark.parametrize(("width", "scale", "spread"), [(8448, 1, 1e-5), (4096, 1, 1e-5), (512, 100, 1e-6)])
@pytest.mark.parametrize("seed", range(10))
def test_rows_that_hardly_differ_are_ranked_by_their_scores(width, scale, spread, seed):
    """A float32 product of values of one sign is off by more than that of others, and of long rows by more still."""
    rng = np.random.default_rng(seed)
    centre = np.full(width, scale / np.sqrt(width))
    database = (centre * (1 + rng.uniform(-spread, spread, (400, 1)))).astype(np.float32)
    query = np.stack([centre] * 2).astype(np.float32)
    _, score = nearest(query, database, 3)
    np.testing.assert_array_equal(score, by_sorting(query, database, 3)[1].astype(np.float32))


@pytest.mark.parametrize("seed", range(20))
def test_long_rows_that_hardly_differ_are_ranked_by_their_scores(seed):
    """The error of a float32 product grows with it."""
    rng = np.random.default_rng(seed)
    centre = rng.standard_normal(512)
    centre *= 100 / np.linalg.norm(centre)
    database = (centre + 1e-5 * rng.standard_normal((3000, 512))).astype(np.float32)
    query = np.stack([centre] * 4).astype(np.float32)
    scores = (query.astype(np.float64) @ database.astype(np.float64).T).astype(np.float32)
    np.testing.assert_array_equal(nearest(query, database, 5)[0], np.argsort(-scores, 1, kind="stable")[:, :5])


@pytest.mark.parametrize("rows", [range(3, 60), np.r_[3:40, 50:90]])
def test_queries_may_be_rows_of_a_file(tmp_path, rows):
    """Also where so many photos are alike that all scores are sorted."""
    rng = np.random.default_rng(0)
    query, database = rng.integers(-1, 2, (90, 8)).astype(np.float16), np.ones((70, 8), np.float16)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["query"] = query
        found = nearest(DescriptorView(file["query"], rows), database, 5)
    for one, other in zip(found, nearest(query[rows], database, 5), strict=True):
        np.testing.assert_array_equal(one, other)


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.integers(0, 5), st.integers(1, 60), st.integers(1, 70), st.data())
def test_merged_shards_are_the_unsharded_ranking(queries, count, k, data):
    """Of any cut of the database into shards, empty rankings of none of them; ties abound, as above."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    query = rng.integers(-1, 2, (queries, 4)).astype(np.float32)
    database = rng.integers(-1, 2, (count, 4)).astype(np.float32)
    cuts = sorted(data.draw(st.sets(st.integers(1, count), max_size=6)) | {0, count})
    parts = []
    for start, stop in itertools.pairwise(cuts):
        ranking, score = nearest(query, database[start:stop], k)
        parts.append((ranking + start, score))
    merged, whole = merge_rankings(parts, k), nearest(query, database, k)
    np.testing.assert_array_equal(merged[0], whole[0])
    np.testing.assert_array_equal(merged[1], whole[1])


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.integers(2, 40), st.data())
def test_permuting_the_database_permutes_the_ranking_alone(count, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    query, database = (rng.standard_normal((n, 8)).astype(np.float32) for n in (5, count))
    order = rng.permutation(count)
    ranking, score = nearest(query, database, count)
    moved, same = nearest(query, database[order], count)
    np.testing.assert_allclose(same, score, atol=1e-5)
    np.testing.assert_array_equal(order[moved], ranking)


def test_padding_of_a_shard_comes_last_and_shards_have_the_same_queries():
    inf = np.inf
    first = np.array([[3, -1]]), np.float32([[0.5, -inf]])
    second = np.array([[7, 9]]), np.float32([[0.5, 0.1]])
    ranking, score = merge_rankings([first, second], 4)
    np.testing.assert_array_equal(ranking, [[3, 7, 9, -1]])
    np.testing.assert_array_equal(score, np.float32([[0.5, 0.5, 0.1, -inf]]))
    with pytest.raises(ValueError, match="numbers of queries"):
        merge_rankings([first, (np.zeros((2, 1), int), np.zeros((2, 1), np.float32))], 1)


@pytest.mark.parametrize(("queries", "count", "k"), [(1, 1000, 1), (40, 1000, 20), (40, 1000, 240), (3, 50, 99)])
def test_unit_rows_come_as_a_full_sort_brings_them(queries, count, k):
    rng = np.random.default_rng(0)
    query, database = (rng.normal(size=(n, 64)) for n in (queries, count))
    query, database = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, database))
    expected, scores = by_sorting(query.astype(np.float32), database.astype(np.float32), k)
    for block in (65_536, 333):
        ranking, score = nearest(query.astype(np.float32), database.astype(np.float32), k, block=block)
        assert ranking.shape == (queries, min(k, count))
        np.testing.assert_allclose(score, scores, atol=1e-6)
        moved = ranking != expected  # only where float32 cannot tell two scores apart
        gap = np.abs(np.take_along_axis(query @ database.T, ranking, 1) - scores)
        assert gap[moved].max(initial=0) < 1e-6
        assert moved.mean() < 0.01


def copies(rng, count, width):
    """Unit rows of which many are copies, at random places; float16, as files hold them."""
    x = rng.standard_normal((count, width))[rng.integers(0, count, count) // 3]
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("width", [16, 250, 2048])
def test_every_way_to_search_gives_the_same_bits(width, tmp_path):
    """In blocks, in shards, by another matrix product, from a file, by rows: products differ in their last digits."""
    rng = np.random.default_rng(width)
    query, database = copies(rng, 40, width), copies(rng, 700, width)
    exact = (query.astype(float) @ database.astype(float).T).astype(np.float32)
    order = np.lexsort((np.broadcast_to(np.arange(700), exact.shape), -exact))[:, :20]
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["query"], file["database"] = query, database
        file.flush()
        shards = [(0, 1), (1, 334), (334, 700)]
        parts = [nearest(query, DescriptorView(database, range(*ends)), 20) for ends in shards]
        ways = {
            "whole": nearest(query, database, 20),
            "blocks": nearest(query, database, 20, block=97),
            "one by one": tuple(
                map(np.concatenate, zip(*(nearest(q[None], database, 20) for q in query), strict=True))
            ),
            "file": nearest(file["query"], file["database"], 20, block=64),
            "rows": nearest(query, DescriptorView(file["database"], np.arange(700)), 20, block=64),
            "shards": merge_rankings([(r + a, s) for (a, _), (r, s) in zip(shards, parts, strict=True)], 20),
            "torch": nearest(query, database, 20, device=torch.device("cpu")),
            "torch, blocks": nearest(query, database, 20, device=torch.device("cpu"), block=97),
        }
    for name, (ranking, score) in ways.items():
        np.testing.assert_array_equal(ranking, order, err_msg=name)
        np.testing.assert_array_equal(score, np.take_along_axis(exact, order, 1), err_msg=name)


def test_of_more_equal_rows_than_there_are_candidates_the_first_are_kept():
    rng = np.random.default_rng(0)
    database = copies(rng, 300, 32)
    database[rng.permutation(300)[:100]] = database[5]
    ranking, score = nearest(database[5:6], database, 30, block=77)
    alike = np.flatnonzero((database == database[5]).all(1))
    np.testing.assert_array_equal(ranking[0], alike[:30])
    assert (score == score[0, 0]).all()


def test_rows_are_those_of_what_they_are_taken_from(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float16)
    some = np.array([3, 4, 5, 9, 30, 49])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["contiguous"] = x
        file.create_dataset("chunked", data=x, chunks=(7, 2))
        file.flush()
        for source in (x, file["contiguous"], file["chunked"]):
            rows, shard = DescriptorView(source, some), DescriptorView(source, range(10, 40), "shard")
            assert rows.shape == (6, 6)
            assert (len(shard), shard.dtype, shard.name) == (30, np.float16, "shard")
            np.testing.assert_array_equal(rows[:], x[some])
            np.testing.assert_array_equal(rows[:3], x[3:6])
            np.testing.assert_array_equal(rows[2:5, :4], x[some[2:5], :4])
            np.testing.assert_array_equal(shard[5:90], x[15:40])
            within = DescriptorView(shard, np.array([0, 2, 7]))
            np.testing.assert_array_equal(within[:], x[[10, 12, 17]])
            np.testing.assert_array_equal(take_rows(within, np.array([1, 2])), x[[12, 17]])
            assert rows[6:].shape == (0, 6)


FILES = {"database": "database.h5", "queries": "queries.h5", "images": "images.csv"}


@contextmanager
def opened(ranking, described):
    with (
        h5py.File(ranking) as found,
        h5py.File(described["database"]) as file,
        h5py.File(described["queries"]) as asked,
    ):
        yield found, file, asked


@pytest.fixture
def described(tmp_path):
    rng = np.random.default_rng(1)
    for name, count in (("database", 50), ("queries", 7)):
        arrays = {
            kind: rng.normal(size=(count, dim)).astype(np.float16) for kind, dim in (("raw", 16), ("whitened", 4))
        }
        write_h5(tmp_path / f"{name}.h5", arrays, {"checkpoint": "abc", "model": json.dumps({"epoch": 1})})
    rows = {"split": "test", "role": ["query"] * 7 + ["database"] * 50, "city": [*"abcabcd", *"ab" * 25]}
    rows |= {"path": [f"{number}.jpg" for number in range(57)], "place": None, "time": None}
    write_csv(tmp_path / "images.csv", pd.DataFrame(rows))
    return {name: tmp_path / file for name, file in FILES.items()}


def test_half_precision_files_are_searched_kind_by_kind(described, tmp_path):
    search_database(tmp_path / "ranking.h5", **described, depth=9, scopes=["all"])
    with opened(tmp_path / "ranking.h5", described) as (results, file, asked):
        assert (results.attrs["checkpoint"], results.attrs["model"]) == ("abc", '{"epoch": 1}')
        assert set(results) == {"all"}
        found = results["all"]
        assert set(found) == {"raw", "whitened"}
        for kind, dim in (("raw", 16), ("whitened", 4)):
            expected, scores = by_sorting(asked[kind][:], file[kind][:], 9)
            np.testing.assert_array_equal(found[kind]["ranking"][:], expected)
            np.testing.assert_allclose(found[kind]["score"][:], scores, atol=1e-4)
            assert found[kind]["dim"][()] == dim
            blocked, _ = nearest(asked[kind][:], file[kind], 9, block=11)
            np.testing.assert_array_equal(blocked, expected)


def test_a_search_bounded_by_a_column_ranks_each_part_alone(described, tmp_path):
    search_database(tmp_path / "ranking.h5", **described, depth=30, scopes=["all", "city"])
    table = pd.read_csv(described["images"])
    part = {role: table.city[table.role == role].to_numpy() for role in ("query", "database")}
    with opened(tmp_path / "ranking.h5", described) as (results, file, asked):
        found = results["city/raw"]
        for q, city in enumerate(part["query"]):
            rows = np.flatnonzero(part["database"] == city)
            ranking, scores = (
                by_sorting(asked["raw"][q : q + 1], file["raw"][:][rows], 30) if len(rows) else ([[]], [[]])
            )
            kept = len(ranking[0])
            assert kept == (25 if city in "ab" else 0)
            np.testing.assert_array_equal(found["ranking"][q, :kept], rows[np.array(ranking[0], int)])
            np.testing.assert_allclose(found["score"][q, :kept], scores[0], atol=1e-4)
            assert (found["ranking"][q, kept:] == -1).all()
            assert (found["score"][q, kept:] == -np.inf).all()


@pytest.mark.parametrize("shards", [1, 3, 50])
def test_joined_shards_are_the_file_of_one_search_to_the_byte(described, tmp_path, shards, refused):
    options = {**described, "depth": 30, "scopes": ["all", "city"], "attributes": {"index": "flat"}}
    search_database(tmp_path / "whole.h5", **options)
    paths = [tmp_path / f"{shard}.h5" for shard in range(shards)]
    for shard, path in enumerate(paths):
        search_database(path, **options, shard=shard, shards=shards)
    merge_ranking_files(tmp_path / "joined.h5", paths, 30)
    assert (tmp_path / "joined.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    with refused("shards.search", "51 shards", "50 photos"):
        search_database(paths[0], **options, shard=0, shards=51)
    with h5py.File(paths[0], "a") as file:
        file.attrs["checkpoint"] = "other"
        del file.attrs["file_checksum"]
        file.visititems(lambda _, node: node.attrs.pop("checksum", None) and None)
    if shards > 1:
        with refused(paths[1], "other descriptors", "search_shard"):
            merge_ranking_files(tmp_path / "joined.h5", paths, 30)


def test_a_city_is_read_by_block(described, monkeypatch):
    """Every other row of a file, so that no slice of it is the city's."""
    table = pd.read_csv(described["images"])
    parts = [table.city[table.role == role].to_numpy() for role in ("query", "database")]
    read, sizes = DescriptorView.__getitem__, []

    def measured(rows, key):
        sizes.append(len(read(rows, key)))
        return read(rows, key)

    with h5py.File(described["database"]) as file, h5py.File(described["queries"]) as wanted:
        expected = nearest_crop(wanted["raw"][:], file["raw"][:], 9, *parts)
        monkeypatch.setattr(DescriptorView, "__getitem__", measured)
        monkeypatch.setattr(faiss, "omp_get_max_threads", lambda: 1)  # several read a block in shares
        found = nearest_crop(wanted["raw"], file["raw"], 9, *parts, rank=partial(nearest, block=7))
    assert max(sizes) == 7
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("parted", [False, True])
def test_of_a_query_s_crops_the_best_counts(parted):
    rng = np.random.default_rng(5)
    query, database = rng.integers(-3, 4, (6, 5, 4)).astype(np.float32), rng.integers(-3, 4, (40, 4)).astype(np.float32)
    parts = [rng.integers(0, 3, 6), rng.integers(0, 3, 40)] if parted else []
    ranking, score = nearest_crop(query, database, 9, *parts)
    for q in range(6):
        rows = np.flatnonzero(parts[1] == parts[0][q]) if parted else np.arange(40)
        best = (database[rows] @ query[q].T).max(1)
        order = np.lexsort((rows, -best))[:9]
        assert ranking[q].tolist() == [*rows[order], *[-1] * (9 - len(order))]
        np.testing.assert_array_equal(score[q, : len(order)], best[order])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("block", [65_536, 30])
@pytest.mark.parametrize("k", [5, 50])
def test_a_value_that_is_not_finite_is_refused(value, block, k, refused):
    x = np.random.default_rng(2).normal(size=(50, 8)).astype(np.float32)
    for row in (0, 40):
        bad = x.copy()
        bad[row, 3] = value
        with refused("search", "the database", "not finite", f"numbers {row} (from 0)", "extract"):
            nearest(x, bad, k, block=block)
        with refused("search", "the queries", "not finite", f"numbers {row} (from 0)"):
            nearest(bad, x, k, block=block)


def test_an_empty_database_or_another_width_is_refused_and_no_query_is_not(refused):
    x = np.eye(4, dtype=np.float32)
    with refused("no descriptor"):
        nearest(x, x[:0], 1)
    with refused("4-D", "3-D"):
        nearest(x, np.ones((5, 3), np.float32), 1)
    ranking, score = nearest(x[:0], x, 2)
    assert ranking.shape == score.shape == (0, 2)


def test_a_search_is_on_the_gpu_only_where_it_is_asked_for_and_is_one(monkeypatch):
    def asked(**execution):
        return search_device(
            parse_config({"datasets": ["city"], "runs": {"a": {"train_set": "city"}}, "execution": execution})
        )

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert asked() is None
    assert asked(search_device="gpu", device="cpu") is None
    if torch.cuda.is_available():
        assert asked(search_device="gpu").type == "cuda"
