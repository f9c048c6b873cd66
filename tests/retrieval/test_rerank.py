"""Re-rankers against their definitions, written slowly."""

import h5py
import numpy as np
import pytest
import torch
from test_k_reciprocal_graph import by_definition, unit

from vprlib.registry import FAMILIES, load_object
from vprlib.retrieval.exact_search import nearest
from vprlib.retrieval.k_reciprocal_graph import ConcatenatedDescriptors
from vprlib.retrieval.rerank.k_reciprocal import k_reciprocal
from vprlib.retrieval.rerank.query_expansion import alpha_qe


def expanded_by_loops(query, database, neighbours, alpha):
    result = []
    for q in query.astype(float):
        similar = [float(q @ x) for x in database.astype(float)]
        best = sorted(range(len(similar)), key=lambda n: -similar[n])[:neighbours]
        total = q.copy()
        for n in best:
            total += max(similar[n], 0) ** alpha * database[n].astype(float)
        result.append(total / np.linalg.norm(total))
    return np.array(result)


@pytest.mark.parametrize(("neighbours", "alpha"), [(1, 3), (10, 3), (10, 0), (200, 1)])
def test_alpha_qe_searches_with_the_weighted_mean(neighbours, alpha, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    query, database = unit(rng, 12, 8, 2.0), unit(rng, 90, 8, 2.0)
    scores = expanded_by_loops(query, database, neighbours, alpha) @ database.T
    settings = {"neighbours": neighbours, "alpha": alpha}
    ranking, score = alpha_qe(query, database, 20, **settings)
    np.testing.assert_array_equal(ranking, np.argsort(-scores, axis=1, kind="stable")[:, :20])
    np.testing.assert_allclose(score, np.take_along_axis(scores, ranking, 1), atol=1e-6)
    monkeypatch.setattr("vprlib.retrieval.descriptor_reader.BLOCK", 8 * 7)  # from a file, 7 rows at a time
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["query"], file["database"] = query, database
        blocked, _ = alpha_qe(file["query"], file["database"], 20, **settings)
    np.testing.assert_array_equal(blocked, ranking)


@pytest.mark.parametrize(("k1", "k2", "weight"), [(25, 1, 0.0), (20, 6, 0.3), (5, 2, 0.5), (1, 1, 0.0), (3, 1, 1.0)])
@pytest.mark.parametrize("k", [1, 10, 99])
@pytest.mark.parametrize("squarings", [1, 2])
@pytest.mark.parametrize("memory", [1 << 17, 1 << 11], ids=["held", "read by block"])
def test_k_reciprocal_ranks_by_the_dense_definition(k1, k2, weight, k, squarings, memory, monkeypatch):
    """The definition orders equal distances by the descriptors, then the index; so few are beyond reach at k < N."""
    monkeypatch.setattr("vprlib.retrieval.rerank.k_reciprocal.ROWS", 4)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        query, database = unit(rng, 15, 8), unit(rng, 60, 8)
        distance = by_definition(query, database, k1, k2, weight, squarings)
        settings = {"k1": k1, "k2": k2, "weight": weight, "squarings": squarings}
        ranking, score = k_reciprocal(query, database, k, **settings, memory=memory)
        assert ranking.shape == (15, min(k, 60))
        assert all(len(set(row)) == len(row) for row in ranking.tolist())
        np.testing.assert_allclose(score, 1 - np.sort(distance, axis=1)[:, :k], atol=1e-6)
        np.testing.assert_allclose(score, 1 - np.take_along_axis(distance, ranking, 1), atol=1e-6)
        assert (np.diff(score, axis=1) <= 0).all()


def test_descriptors_that_do_not_fit_are_read_from_their_files_by_block(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    query, database = unit(rng, 15, 64).astype(np.float16), unit(rng, 85, 64).astype(np.float16)
    settings = {"k1": 8, "k2": 3, "weight": 0.3}
    expected = k_reciprocal(query, database, 20, **settings)
    read, sizes = ConcatenatedDescriptors.__getitem__, []

    def measured(x, some):
        sizes.append(len(read(x, some)))
        return read(x, some)

    monkeypatch.setattr(ConcatenatedDescriptors, "__getitem__", measured)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["query"], file["database"] = query, database
        file.flush()
        found = k_reciprocal(file["query"], file["database"], 20, **settings, memory=24 * 64 * 10)
    assert max(sizes) <= 20  # the ends of ten pairs
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_allclose(found[1], expected[1], atol=1e-6)


def test_queries_and_database_are_read_as_one():
    query, database = np.arange(6.0).reshape(3, 2), np.arange(6, 16.0).reshape(5, 2)
    whole = np.concatenate([query, database])
    x = ConcatenatedDescriptors(query.astype(np.float16), database.astype(np.float32))
    assert x.shape == (8, 2)
    for some in (slice(None), slice(1, 3), slice(2, 6), slice(4, 99), np.array([0, 2, 3, 7]), np.array([5])):
        assert x[some].dtype == torch.float32
        np.testing.assert_array_equal(x[some], whole[some])


def test_of_equal_jaccard_distances_the_nearer_descriptor_comes_first():
    rng = np.random.default_rng(1)
    query, database = unit(rng, 9, 8, 3.0), unit(rng, 80, 8, 3.0)
    ranking, score = k_reciprocal(query, database, 80, k1=2)
    before, _ = nearest(query, database, 80)
    alone = 0
    for now, then, value in zip(ranking, before, score, strict=True):
        unshared = now[value == 0]
        np.testing.assert_array_equal(unshared, [n for n in then if n in set(unshared)])
        alone += len(unshared)
    assert alone > 100


@pytest.mark.parametrize("name", list(FAMILIES["rerank"]))
def test_every_re_ranker_ranks_files_and_refuses_what_search_refuses(name, tmp_path, refused):
    rng = np.random.default_rng(0)
    query, database = unit(rng, 5, 8).astype(np.float16), unit(rng, 30, 8).astype(np.float16)
    rerank, settings = load_object("rerank", name), {}
    whole = rerank(query, database, 7, **settings)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["query"], file["database"] = query, database
        np.testing.assert_array_equal(rerank(file["query"], file["database"], 7, **settings), whole)
    with refused("no descriptor"):
        rerank(query, database[:0], 7, **settings)
    database[[4, 20]] = np.nan
    with refused("not finite", "4, 20"):
        rerank(query, database, 7, **settings)
