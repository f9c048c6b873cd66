"""Storages against their definitions in numpy."""

import numpy as np
import pytest

from vprlib.models.whitening import fit
from vprlib.retrieval.compression import STORAGES, leading_dimensions

rng = np.random.default_rng(0)


def unit(count, width):
    x = rng.standard_normal((count, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


DATABASE, QUERY = unit(300, 32), unit(20, 32)


def int8(x):
    code = [[round(float(v) / float(np.abs(row).max() / np.float32(127))) for v in row] for row in x]
    return np.array(code) * np.abs(x).max(1, keepdims=True).astype(float) / 127


DECODED = {
    "float32": lambda x: x,
    "float16": lambda x: x.astype(np.float16).astype(np.float32),
    "int8": int8,
    "binary": lambda x: np.where(x > 0, 1, -1) / np.sqrt(x.shape[1]),
}
BYTES = {"float32": 128, "float16": 64, "int8": 36, "pq": 4, "binary": 4}


@pytest.mark.parametrize("name", list(DECODED))
def test_rows_are_decoded_as_defined(name):
    stored = STORAGES[name](DATABASE)
    np.testing.assert_allclose(stored[:], DECODED[name](DATABASE), atol=1e-6)
    np.testing.assert_array_equal(stored[7:9], stored[:][7:9])


@pytest.mark.parametrize("name", list(STORAGES))
@pytest.mark.parametrize("k", [1, 10, 400])
def test_search_is_by_dot_products_with_decoded_rows(name, k):
    stored = STORAGES[name](DATABASE)
    asked = DECODED["binary"](QUERY) if name == "binary" else QUERY
    scores = asked @ stored[:].T
    ranking, score = stored.nearest(QUERY, k)
    assert ranking.shape == (20, min(k, 300))
    np.testing.assert_allclose(score, -np.sort(-scores, axis=1)[:, :k], atol=1e-5)
    np.testing.assert_allclose(score, np.take_along_axis(scores, ranking, 1), atol=1e-5)
    equal = score[:, 1:] == score[:, :-1]
    assert (ranking[:, 1:] > ranking[:, :-1])[equal].all(), "of equal scores the lower index comes first"
    assert stored.bytes == BYTES[name]
    assert stored.shape == DATABASE.shape
    assert len(stored) == 300


def test_pq_takes_each_piece_s_nearest_centre_and_repeats():
    import faiss

    stored = STORAGES["pq"](DATABASE)
    centres = faiss.vector_to_array(stored.index.pq.centroids).reshape(4, 256, 8)
    pieces = DATABASE.reshape(300, 4, 1, 8)
    chosen = ((pieces - centres) ** 2).sum(3).argmin(2)
    expected = np.stack([centres[piece][chosen[:, piece]] for piece in range(4)], axis=1).reshape(300, 32)
    np.testing.assert_allclose(stored[:], expected, atol=1e-6)
    np.testing.assert_array_equal(stored[:], STORAGES["pq"](DATABASE)[:])
    assert np.abs(stored[:] - STORAGES["pq"](DATABASE, seed=1)[:]).max() > 0


def test_a_database_smaller_than_pq_s_centres_has_fewer_of_them():
    stored = STORAGES["pq"](DATABASE[:50])
    assert stored.index.pq.ksub == 32
    assert stored.bytes == 3  # 4 pieces of 5 bits
    assert stored.nearest(QUERY, 50)[0].shape == (20, 50)


def test_a_row_of_zeros_stays_one():
    np.testing.assert_array_equal(STORAGES["int8"](np.zeros((2, 8), np.float32))[:], 0)


def test_leading_values_of_a_whitening_are_those_of_a_shorter_one():
    x = DATABASE @ np.diag(np.linspace(3, 1, 32)).astype(np.float32)
    np.testing.assert_allclose(leading_dimensions(fit(x, 16).apply(x), 8), fit(x, 8).apply(x), atol=1e-5)


@pytest.mark.parametrize(("count", "k"), [(300, 1), (300, 17), (20_000, 100)])
def test_of_equal_hamming_distances_the_lower_index_is_kept_at_the_cut(count, k):
    x, query = unit(count, 16), unit(50, 16)
    distance = ((x > 0)[None] != (query > 0)[:, None]).sum(2)
    ranking, score = STORAGES["binary"](x).nearest(query, k)
    np.testing.assert_array_equal(ranking, np.argsort(distance, axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(score, 1 - np.sort(distance, axis=1)[:, :k] / 8, atol=1e-6)
