"""Equal rows are one node of a graph, and are found as if each were its own."""

import json

import numpy as np
import pytest

from vprlib.retrieval.ann_copies import distinct_rows
from vprlib.retrieval.ann_files import load_index
from vprlib.retrieval.ann_index import open_or_build, search_index
from vprlib.retrieval.descriptor_reader import DescriptorView
from vprlib.retrieval.exact_search import nearest

GB = 1e9


def unit(rng, count, width=24, kind=np.float16):
    x = rng.standard_normal((count, width))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(kind)


def with_copies(rng, places, copied):
    """Rows in random order, some of them many times: `copied` is number -> copies."""
    rows = [row for number, row in enumerate(unit(rng, places)) for _ in range(copied.get(number, 1))]
    return np.array(rows)[rng.permutation(len(rows))]


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_rows_are_numbered_by_their_first_occurrence(kind):
    rng = np.random.default_rng(0)
    rows = unit(rng, 40, kind=kind)[rng.integers(0, 40, 300)]
    seen = {}
    expected = [seen.setdefault(row.tobytes(), len(seen)) for row in rows]
    np.testing.assert_array_equal(distinct_rows(rows), expected)
    np.testing.assert_array_equal(distinct_rows(DescriptorView(rows, range(50, 220))), distinct_rows(rows[50:220]))
    assert distinct_rows(rows[:0]).size == 0


@pytest.mark.parametrize("copied", [{}, {3: 2, 7: 5}, {0: 3000}, {0: 700, 1: 700, 2: 2}])
def test_a_graph_with_copies_finds_what_exact_search_finds(copied, tmp_path):
    rng = np.random.default_rng(1)
    database = with_copies(rng, 400, copied)
    query = np.concatenate([database[::9].astype(np.float32) + 0.02 * rng.standard_normal((len(database[::9]), 24))])
    query = (query / np.linalg.norm(query, axis=1, keepdims=True)).astype(np.float32)
    index = open_or_build(tmp_path / "i", database, kind="hnsw", memory=GB)
    assert index.ntotal == len(database)
    assert index.graph.ntotal == len(np.unique(database, axis=0))
    found, score = search_index(index, query, database, 10)
    exact, exact_score = nearest(query, database, 10)
    assert (found == exact).mean() > 0.99  # also the order of copies, by index
    np.testing.assert_allclose(score[found == exact], exact_score[found == exact], atol=1e-6)


def test_an_index_that_is_extended_by_copies_and_new_rows_is_the_one_built_of_all(tmp_path):
    rng = np.random.default_rng(2)
    database = np.concatenate([with_copies(rng, 200, {5: 90}), with_copies(rng, 60, {1: 40})])
    database[-7:] = database[0]  # copies of what the index holds
    path = tmp_path / "i"
    open_or_build(path, database[:250], kind="hnsw", memory=GB)
    longer = open_or_build(path, database, kind="hnsw", memory=GB)
    assert longer.graph.ntotal == len(np.unique(database, axis=0))
    assert json.loads((tmp_path / "i.json").read_text())["rows"] == len(database)
    again = load_index(path, database, memory=GB)
    for index in (longer, again):
        found, _ = search_index(index, database.astype(np.float32), database, 3)
        np.testing.assert_array_equal(found, nearest(database.astype(np.float32), database, 3)[0])


def test_a_graph_of_all_rows_that_was_built_before_is_built_anew(tmp_path, caplog):
    caplog.set_level("INFO")
    database, path = with_copies(np.random.default_rng(3), 50, {1: 30}), tmp_path / "i"
    open_or_build(path, database, kind="hnsw", memory=GB)
    made = json.loads((tmp_path / "i.json").read_text())
    del made["plan"]["distinct"]
    (tmp_path / "i.json").write_text(json.dumps(made))
    caplog.clear()
    assert open_or_build(path, database, kind="hnsw", memory=GB).ntotal == 79
    assert "distinct" in caplog.text


def test_a_database_of_one_photo_has_one_node(tmp_path):
    database = np.repeat(unit(np.random.default_rng(0), 1), 40, axis=0)
    index = open_or_build(tmp_path / "i", database, kind="hnsw", memory=GB)
    found, _ = search_index(index, database[:2].astype(np.float32), database, 7)
    np.testing.assert_array_equal(found, [list(range(7))] * 2)
