import json
import logging

import h5py
import numpy as np
import pytest

from vprlib import index
from vprlib.search import nearest

WIDTH, GB = 32, 1e9


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, WIDTH))[rng.integers(40, size=1200)] + 0.5 * rng.standard_normal((1200, WIDTH))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def stored(tmp_path, rows):
    """Write the first rows into the database's file anew, and open it: stored(count)."""
    files = []

    def write(count, scale=1):
        if files:
            files.pop().close()
        with h5py.File(tmp_path / "database.h5", "w") as file:
            file["whitened"] = scale * rows[:count]
        files.append(h5py.File(tmp_path / "database.h5"))
        return files[0]["whitened"]

    yield write
    files.pop().close()


@pytest.mark.parametrize("kind", ["ivf-pq", "hnsw"])
def test_an_index_finds_nearly_all_and_scores_them_exactly(kind, tmp_path, rows, stored):
    database, query = stored(1100), rows[1100:].astype(np.float32)
    found = index.find(index.ready(tmp_path / "i", database, kind=kind, memory=GB), query, database, 10)
    exact = nearest(query, database, 10)
    assert [len(set(row)) for row in found[0].tolist()] == [10] * 100
    assert (found[0][:, 0] == exact[0][:, 0]).mean() >= 0.95
    products = query.astype(float) @ rows[:1100].T.astype(float)
    np.testing.assert_allclose(found[1], np.take_along_axis(products, found[0], 1), atol=1e-6)
    assert (np.diff(found[1], axis=1) <= 0).all()


@pytest.mark.parametrize("kind", ["ivf-pq", "hnsw"])
def test_an_index_is_kept_extended_or_built_anew_as_its_descriptors_ask(kind, tmp_path, rows, stored, caplog, refused):
    caplog.set_level(logging.INFO)
    path, options = tmp_path / "i", {"kind": kind, "memory": GB}
    index.ready(path, stored(1000), **options)
    assert "kind " + kind in caplog.text
    built = path.read_bytes()
    caplog.clear()
    assert index.ready(path, stored(1000), **options).ntotal == 1000
    assert path.read_bytes() == built
    assert not caplog.text

    assert index.ready(path, stored(1200), **options).ntotal == 1200
    assert "200 descriptors added to 1000" in caplog.text
    database, query = stored(1200), rows[1000:].astype(np.float32)
    ranking, score = index.find(index.load(path, database, memory=GB), query, database, 1)
    assert (ranking[:, 0] == np.arange(1000, 1200)).mean() >= 0.95  # the new ones are found
    np.testing.assert_allclose(score[:, 0], 1, atol=2e-3)

    caplog.clear()
    with refused(path, "other descriptors", "delete it"):
        index.load(path, stored(1200, scale=-1), memory=GB)
    with refused(path, "other descriptors"):
        index.load(path, stored(900), memory=GB)
    assert index.ready(path, stored(900), **options).ntotal == 900
    assert "other descriptors" in caplog.text


def test_lists_stay_on_disk_when_memory_is_short(tmp_path, rows, stored, caplog):
    import faiss

    database, query, path = stored(1200), rows[:50].astype(np.float32), tmp_path / "i"
    index.ready(path, database, kind="ivf-pq", memory=GB)
    whole = index.load(path, database, memory=GB)
    mapped = index.load(path, database, memory=100)
    assert isinstance(faiss.downcast_InvertedLists(mapped.invlists), faiss.OnDiskInvertedLists)
    assert not isinstance(faiss.downcast_InvertedLists(whole.invlists), faiss.OnDiskInvertedLists)
    for found, expected in zip(
        index.find(mapped, query, database, 9), index.find(whole, query, database, 9), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_the_plan_follows_size_and_memory(refused):
    million = index.plan("ivf-pq", 1_000_000, 512, 8 * GB)
    assert (million["lists"], million["probed"], million["code"], million["on_disk"]) == (4096, 64, 64, False)
    tight = index.plan("ivf-pq", 1_000_000, 512, 0.05 * GB)
    assert tight["code"] == 32
    assert tight["bytes"] <= 0.05 * GB
    tiny = index.plan("ivf-pq", 1_000_000, 512, 0.01 * GB)
    assert (tiny["code"], tiny["on_disk"]) == (8, True)
    assert index.plan("ivf-pq", 30, 6, GB)["lists"] == 1
    with refused("search.memory_gb", "hnsw", "ivf-pq"):
        index.plan("hnsw", 10_000_000, 512, 8 * GB)


def test_a_ranker_indexes_whole_files_and_searches_parts_exactly(tmp_path, rows, stored):
    database, query = stored(1200), rows[:50]
    assert index.ranker(tmp_path, kind="flat", memory=GB) is nearest
    rank = index.ranker(tmp_path, kind="ivf-pq", memory=GB)
    rank(query, database, 5)
    made = json.loads((tmp_path / "index.whitened.ivf-pq.faiss.json").read_text())
    assert made["rows"] == 1200
    np.testing.assert_array_equal(rank(query, rows[:300], 5), nearest(query, rows[:300], 5))


@pytest.mark.parametrize("kind", ["ivf-pq", "hnsw"])
def test_bad_input_is_one_line(kind, tmp_path, rows, stored, refused):
    path, options = tmp_path / "i", {"kind": kind, "memory": GB}
    with refused("no descriptor"):
        index.ready(path, rows[:0], **options)
    bad = rows.astype(np.float32)
    bad[[5, 700]] = np.nan
    with refused("the database", "not finite", "5, 700"):
        index.ready(path, bad, **options)
    good = index.ready(path, stored(300), **options)
    with refused("8-D", "32-D"):
        index.find(good, rows[:3, :8], rows, 2)
    path.write_bytes(b"no index")
    with refused(path, "cannot be read as an index"):
        index.load(path, stored(300), memory=GB)


def test_a_search_for_more_than_an_index_finds_is_padded(tmp_path, rows, stored):
    database = stored(1200)
    ranking, score = index.find(
        index.ready(tmp_path / "i", database, kind="ivf-pq", memory=GB), rows[:9], database, 1200
    )
    short = ranking == -1
    assert short.any()
    assert (score[short] == -np.inf).all()
    assert (np.diff(short.astype(int), axis=1) >= 0).all()
