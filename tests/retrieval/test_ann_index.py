import json
import logging
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from vprlib.retrieval import ann_build
from vprlib.retrieval.ann_build import build_index, extend_index, training_sample, training_size
from vprlib.retrieval.ann_files import load_index, metadata_path
from vprlib.retrieval.ann_index import choose_parameters, make_searcher, open_or_build, search_index
from vprlib.retrieval.descriptor_reader import DescriptorView
from vprlib.retrieval.exact_search import nearest

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
    found = search_index(open_or_build(tmp_path / "i", database, kind=kind, memory=GB), query, database, 10)
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
    open_or_build(path, stored(1000), **options)
    assert "kind " + kind in caplog.text
    built = path.read_bytes()
    caplog.clear()
    assert open_or_build(path, stored(1000), **options).ntotal == 1000
    assert path.read_bytes() == built
    assert not caplog.text

    assert open_or_build(path, stored(1200), **options).ntotal == 1200
    assert "200 descriptors added to 1000" in caplog.text
    database, query = stored(1200), rows[1000:].astype(np.float32)
    ranking, score = search_index(load_index(path, database, memory=GB), query, database, 1)
    assert (ranking[:, 0] == np.arange(1000, 1200)).mean() >= 0.95  # the new ones are found
    np.testing.assert_allclose(score[:, 0], 1, atol=2e-3)

    caplog.clear()
    with refused(path, "other descriptors", "delete the file"):
        load_index(path, stored(1200, scale=-1), memory=GB)
    with refused(path, "other descriptors"):
        load_index(path, stored(900), memory=GB)
    assert open_or_build(path, stored(900), **options).ntotal == 900
    assert "other descriptors" in caplog.text


def test_lists_stay_on_disk_when_memory_is_short(tmp_path, rows, stored):
    import faiss

    def on_disk(index):
        return isinstance(faiss.downcast_InvertedLists(index.invlists), faiss.OnDiskInvertedLists)

    database, query, path = stored(1200), rows[:50].astype(np.float32), tmp_path / "i"
    whole = open_or_build(path, database, kind="ivf-pq", memory=GB)
    mapped = load_index(path, database, memory=100)
    assert on_disk(mapped)
    assert not on_disk(whole)
    assert_same(search_index(mapped, query, database, 9), search_index(whole, query, database, 9))


def test_lists_that_never_fit_are_sorted_in_parts_and_joined_on_disk(tmp_path, rows, stored, monkeypatch, refused):
    """Of the same centres, for all is trained on: the same codes, found in the same order; then longer, then moved."""
    query, memory = rows[:50].astype(np.float32), 3000  # 166 rows of 9 bytes a part
    plan = choose_parameters("ivf-pq", 1000, WIDTH, memory)
    assert plan["on_disk"]
    whole = build_index(tmp_path / "a", stored(1000), plan | {"on_disk": False}, memory=GB)
    (tmp_path / "b").mkdir()
    path = tmp_path / "b/i"
    (tmp_path / "b/.i.part7").write_bytes(b"of a build that was killed")
    parted = open_or_build(path, stored(1000), kind="ivf-pq", memory=memory)
    assert {entry.name for entry in path.parent.iterdir()} == {"i", "i.json", "i.lists"}
    assert_same(search_index(parted, query, stored(1000), 9), search_index(whole, query, stored(1000), 9))
    assert open_or_build(path, stored(1200), kind="ivf-pq", memory=memory).ntotal == 1200
    whole = extend_index(tmp_path / "a", stored(1200), memory=GB)
    moved = path.parent.rename(tmp_path / "c") / "i"
    longer = open_or_build(moved, stored(1200), kind="ivf-pq", memory=memory)
    assert_same(search_index(longer, query, stored(1200), 9), search_index(whole, query, stored(1200), 9))
    monkeypatch.setattr(ann_build.shutil, "disk_usage", lambda _: SimpleNamespace(free=15_000))
    with refused(moved, "18.0 kB", "15.0 kB is free"):
        build_index(moved, stored(1000), plan, memory=memory)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_sample_is_within_memory_and_enough_for_the_centres(rows):
    assert training_size(10**9, 512, 2**17, 8 * GB) == 4e9 // 2048
    assert training_size(10**6, 512, 4096, 8 * GB) == 50 * 4096
    assert training_size(10**6, 512, 4096, 1) == 4096
    assert training_size(100, 8, 4, GB) == 100
    np.testing.assert_array_equal(training_sample(rows, 1200), rows.astype(np.float32))


def test_other_memory_or_many_more_photos_build_anew(tmp_path, stored, caplog):
    caplog.set_level(logging.INFO)
    path = tmp_path / "i"
    open_or_build(path, stored(500), kind="ivf-pq", memory=GB)
    assert json.loads((tmp_path / "i.json").read_text())["plan"]["code"] == WIDTH // 8
    caplog.clear()
    small = open_or_build(path, stored(500), kind="ivf-pq", memory=6500)
    assert "was built with code 4, and the search configuration needs 2" in caplog.text
    assert small.code_size == 2
    open_or_build(path, stored(1001), kind="ivf-pq", memory=GB)
    assert "was built for 500 descriptors, but the database has 1,001" in caplog.text


def test_the_plan_follows_size_and_memory(refused):
    million = choose_parameters("ivf-pq", 1_000_000, 512, 8 * GB)
    assert (million["lists"], million["probed"], million["code"], million["on_disk"]) == (4096, 64, 64, False)
    tight = choose_parameters("ivf-pq", 1_000_000, 512, 0.05 * GB)
    assert tight["code"] == 32
    assert tight["bytes"] <= 0.05 * GB
    tiny = choose_parameters("ivf-pq", 1_000_000, 512, 0.01 * GB)
    assert (tiny["code"], tiny["on_disk"]) == (8, True)
    assert choose_parameters("ivf-pq", 30, 6, GB)["lists"] == 1
    with refused("search.memory_gb", "hnsw", "ivf-pq"):
        choose_parameters("hnsw", 10_000_000, 512, 8 * GB)


def test_a_ranker_indexes_whole_files_and_searches_parts_exactly(tmp_path, rows, stored):
    database, query = stored(1200), rows[:50]
    assert_same(make_searcher(tmp_path, kind="flat", memory=GB)(query, database, 5), nearest(query, database, 5))
    assert not list(tmp_path.glob("index.*"))
    rank = make_searcher(tmp_path, kind="ivf-pq", memory=GB)
    rank(query, database, 5)
    (tmp_path / "index.whitened.ivf-pq.faiss").write_bytes(b"a ranker opens its index once")
    rank(query, database, 5)
    made = json.loads((tmp_path / "index.whitened.ivf-pq.faiss.json").read_text())
    assert made["rows"] == 1200
    np.testing.assert_array_equal(rank(query, rows[:300], 5), nearest(query, rows[:300], 5))
    shard = DescriptorView(database, range(200, 900), "whitened.1-of-2")
    found, _ = rank(query, shard, 5)
    assert json.loads((tmp_path / "index.whitened.1-of-2.ivf-pq.faiss.json").read_text())["rows"] == 700
    assert (found[:, 0] == nearest(query, rows[200:900], 1)[0][:, 0]).mean() >= 0.95


@pytest.mark.parametrize("kind", ["ivf-pq", "hnsw"])
def test_bad_input_is_one_line(kind, tmp_path, rows, stored, refused):
    path, options = tmp_path / "i", {"kind": kind, "memory": GB}
    with refused("no descriptor"):
        open_or_build(path, rows[:0], **options)
    bad = rows.astype(np.float32)
    bad[[5, 700]] = np.nan
    with refused("the database", "not finite", "5, 700"):
        open_or_build(path, bad, **options)
    good = open_or_build(path, stored(300), **options)
    with refused("8-D", "32-D"):
        search_index(good, rows[:3, :8], rows, 2)
    path.write_bytes(b"no index")
    with refused(path, "cannot be read as an index"):
        load_index(path, stored(300), memory=GB)
    metadata_path(path).write_text('{"plan": {')
    with refused(f"{path}.json", "damaged", "delete the file"):
        load_index(path, stored(300), memory=GB)
    assert open_or_build(path, stored(300), **options).ntotal == 300  # what cannot be used is built anew


def test_a_search_for_more_than_an_index_finds_is_padded(tmp_path, rows, stored):
    database = stored(1200)
    ranking, score = search_index(
        open_or_build(tmp_path / "i", database, kind="ivf-pq", memory=GB), rows[:9], database, 1200
    )
    short = ranking == -1
    assert short.any()
    assert (score[short] == -np.inf).all()
    assert (np.diff(short.astype(int), axis=1) >= 0).all()
