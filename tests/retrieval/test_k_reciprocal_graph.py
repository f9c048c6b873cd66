import subprocess
import sys

import numpy as np
import pytest
import torch

from vprlib.retrieval.k_reciprocal_graph import k_reciprocal_jaccard, stable_topk

ONCE, TWICE = {"squarings": 1}, {"squarings": 2}


def unit(rng, count, width, spread=1.0):
    """Descriptors around a few centres, so that neighbourhoods are shared."""
    x = rng.standard_normal((4, width))[rng.integers(4, size=count)] + spread * rng.standard_normal((count, width))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def by_definition(query, database, k1, k2, weight, squarings=1):
    """Zhong et al. 2017, with sets and dense float64 matrices; OpenIBL squares the distances twice."""
    x = np.concatenate([query, database]).astype(float)
    original = np.sqrt(((x[:, None] - x[None]) ** 2).sum(2))
    for _ in range(squarings):
        original = original**2
    original /= original.max(1, keepdims=True)
    product = np.concatenate([query, database]) @ np.concatenate([query, database]).T
    order = np.argsort(-product, axis=1, kind="stable")

    def mutual(i, k):
        return {j for j in order[i, : k + 1] if i in order[j, : k + 1]}

    v = np.zeros_like(original)
    for i in range(len(x)):
        whole = mutual(i, k1)
        grown = set(whole)
        for c in whole:
            half = mutual(c, int(np.around(k1 / 2)))
            if len(half & whole) > 2 / 3 * len(half):
                grown |= half
        members = sorted(grown)
        v[i, members] = np.exp(-original[i, members])
        v[i] /= v[i].sum()
    if k2 > 1:
        v = np.array([v[order[i, :k2]].mean(0) for i in range(len(x))])
    least = np.minimum(v[: len(query), None], v[None, len(query) :]).sum(2)
    most = np.maximum(v[: len(query), None], v[None, len(query) :]).sum(2)
    return (1 - weight) * (1 - least / most) + weight * original[: len(query), len(query) :]


@pytest.mark.parametrize("squarings", [1, 2])
@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 1, 0.1), (25, 1, 0.0), (20, 6, 0.3), (5, 2, 0.5), (1, 1, 0.0)])
def test_distances_are_the_dense_definition(k1, k2, weight, squarings):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        query, database = unit(rng, 15, 8), unit(rng, 60, 8)
        found = k_reciprocal_jaccard(query, database, k1, k2, weight, squarings=squarings)
        np.testing.assert_allclose(found, by_definition(query, database, k1, k2, weight, squarings), atol=1e-6)


def test_distances_squared_once_are_the_default_and_differ_from_those_squared_twice():
    rng = np.random.default_rng(5)
    query, database = unit(rng, 15, 8), unit(rng, 60, 8)
    default, once, twice = (k_reciprocal_jaccard(query, database, 20, 1, 0.1, **how) for how in ({}, ONCE, TWICE))
    np.testing.assert_array_equal(default, once)
    assert np.abs(once - twice).max() > 0.01


def test_memory_bounds_change_nothing_and_rows_are_rows():
    rng = np.random.default_rng(0)
    query, database = unit(rng, 30, 8), unit(rng, 90, 8)
    whole = k_reciprocal_jaccard(query, database, 10, 1, 0.1)
    rows = np.array([3, 17, 4])
    tight = k_reciprocal_jaccard(query, database, 10, 1, 0.1, rows=rows, memory=1)
    np.testing.assert_allclose(tight, whole[rows], atol=1e-6)


def test_fewer_images_than_neighbours_are_all_neighbours():
    rng = np.random.default_rng(0)
    query, database = unit(rng, 2, 4), unit(rng, 3, 4)
    found = k_reciprocal_jaccard(query, database, 20, 6, 0.3)
    np.testing.assert_allclose(found, by_definition(query, database, 20, 5, 0.3), atol=1e-6)


def test_copies_of_one_image_have_no_distance():
    same = np.ones((6, 4), np.float32) / 2
    found = k_reciprocal_jaccard(same[:2], same[2:], 20, 1, 0.1)
    np.testing.assert_allclose(found, 0, atol=1e-6)


def test_more_copies_than_neighbours_leave_numbers():
    same = np.ones((40, 4), np.float32) / 2
    found = k_reciprocal_jaccard(same[:10], same[10:], 4, 1, 0.1)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_of_equal_neighbours_the_lower_index_is_kept_at_the_cut():
    rng = np.random.default_rng(0)
    similar = rng.choice(np.float32([0.25, 0.5, 0.75]), (50, 40))
    near = stable_topk(torch.from_numpy(similar), 7)
    np.testing.assert_array_equal(near, np.argsort(-similar, axis=1, kind="stable")[:, :7])


def test_no_square_matrix_of_floats_is_held():
    """A (M, M) float32 matrix of these would be 400 MB; the bound is 4 MB beside what grows with M."""
    code = (
        "import numpy as np, resource\n"
        "from vprlib.retrieval.k_reciprocal_graph import k_reciprocal_jaccard\n"
        "x = np.random.default_rng(0).standard_normal((10_000, 16)).astype(np.float32)\n"
        "x /= np.linalg.norm(x, axis=1, keepdims=True)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "k_reciprocal_jaccard(x[:40], x[40:400], 20, 1, 0.1)\n"
        "before = peak()\n"
        "k_reciprocal_jaccard(x[:40], x[40:], 20, 1, 0.1, memory=4 << 20)\n"
        "print(peak() - before)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 60_000
