import numpy as np
import pandas as pd
import pytest

from vprlib.config import DescriptorSizesConfig
from vprlib.data.protocol import Protocol
from vprlib.figures.pareto import plot_pareto
from vprlib.io.files import write_csv, write_h5
from vprlib.retrieval.compression import STORAGES
from vprlib.retrieval.descriptor_sizes import measure_sizes

PROTOCOL = Protocol("10 m", radius=10)


@pytest.fixture
def described(tmp_path):
    """40 queries among 300 photos of 100 places, 100 m apart, in two cities; a query is like its place's photos."""
    rng = np.random.default_rng(0)
    places, near = rng.standard_normal((100, 32)), rng.integers(100, size=40)
    place = np.concatenate([near, np.repeat(np.arange(100), 3)])
    x = places[place] + 1.3 * rng.standard_normal((340, 32))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)
    table = pd.DataFrame({"path": range(340), "split": "test", "role": ["query"] * 40 + ["database"] * 300})
    table = table.assign(place=place, east=100.0 * place, north=0.0, heading=None, time=None, city=place % 2)
    write_csv(tmp_path / "images.csv", table)
    write_h5(tmp_path / "queries.h5", {"whitened": x[:40]}, {"checkpoint": "abc"})
    write_h5(tmp_path / "database.h5", {"whitened": x[40:]}, {"checkpoint": "abc"})
    found = {name: tmp_path / f"{name}.h5" for name in ("database", "queries")}
    return found | {"images": tmp_path / "images.csv", "seed": 0}, x, place


def test_each_size_has_the_recalls_of_a_slow_search(described):
    paths, x, place = described
    table = measure_sizes(**paths, protocol=PROTOCOL, sizes=DescriptorSizesConfig(dims=[32, 8]))
    assert len(table) == 2 * len(STORAGES) * 3
    for row in table[table.compression.isin(["float32", "binary"])].itertuples():
        short = x[:, : row.dim].astype(float)
        short = np.sign(short) if row.compression == "binary" else short / np.linalg.norm(short, axis=1, keepdims=True)
        order = np.argsort(-(short[:40] @ short[40:].T), axis=1, kind="stable")[:, : row.k]
        hit = (place[40:][order] == place[:40, None]).any(1)
        assert row.recall == pytest.approx(hit.mean())
        assert row.low < row.recall < row.high
        assert row.bytes == {"float32": 4 * row.dim, "binary": row.dim // 8}[row.compression]
    assert (table.search_ms > 0).all()
    assert table.recall.nunique() > 10


def test_protocols_bound_and_suppress_as_in_evaluation(described):
    paths, x, place = described
    protocol = Protocol("10 m", radius=10, same_column="city", views_per_place=3)
    table = measure_sizes(**paths, protocol=protocol, sizes=DescriptorSizesConfig(dims=[32], compression=["float32"]))
    short = x.astype(float) / np.linalg.norm(x.astype(float), axis=1, keepdims=True)
    score = short[:40] @ short[40:].T
    score[place[:40, None] % 2 != place[40:] % 2] = -np.inf
    ranked = [list(dict.fromkeys(place[40:][np.argsort(-row, kind="stable")[:30]])) for row in score]
    for row in table.itertuples():
        hits = [own in near[: row.k] for own, near in zip(place[:40], ranked, strict=True)]
        assert row.recall == pytest.approx(np.mean(hits))


def test_descriptors_that_are_missing_or_short_are_refused(described, refused):
    paths, x, _ = described
    with refused(paths["database"], "64", "32"):
        measure_sizes(**paths, protocol=PROTOCOL, sizes=DescriptorSizesConfig(dims=[64]))
    write_h5(paths["queries"], {"raw": x[:40]})
    with refused(paths["queries"], "whitened", "extract.descriptors"):
        measure_sizes(**paths, protocol=PROTOCOL, sizes=DescriptorSizesConfig(dims=[8]))


def test_the_plot_has_a_row_a_run_a_column_a_cost_a_line_a_storage_and_the_front(tmp_path, described):
    paths, *_ = described
    one = measure_sizes(**paths, protocol=PROTOCOL, sizes=DescriptorSizesConfig(dims=[32, 8])).assign(
        dataset="x", seed=0, gen=0
    )
    table = pd.concat([one.assign(run=run) for run in ("a", "b")])
    drawn = [plot_pareto(tmp_path / name, table) for name in ("1.svg", "2.svg")]
    assert (tmp_path / "1.svg").read_bytes() == (tmp_path / "2.svg").read_bytes()
    assert [ax.get_title("left") for ax in drawn[0].axes] == ["a", "", "", "b", "", ""]
    for ax in (drawn[0].axes[3], drawn[0].axes[5]):
        low, high = ax.get_xlim()
        assert sum(low <= tick <= high for tick in ax.get_xticks()) >= 2, "one tick tells no scale"
    labels = [ax.get_xlabel() for ax in drawn[0].axes[3:]]
    assert labels == ["bytes per image", "dimensions", "ms per query"]
    for ax, cost in zip(drawn[0].axes, ("bytes", "dim", "search_ms"), strict=False):
        for line, storage in zip(ax.lines[1:], STORAGES, strict=True):
            own = one[(one.k == 1) & (one.compression == storage)].sort_values("dim")
            np.testing.assert_allclose(line.get_xdata(), own[cost])
            np.testing.assert_allclose(line.get_ydata(), own.recall * 100)
    front, *lines = drawn[0].axes[0].lines
    first = one[one.k == 1]
    for line, storage in zip(lines, STORAGES, strict=True):
        rows = first[first.compression == storage].sort_values("bytes")
        np.testing.assert_allclose(line.get_xdata(), rows.bytes)
        np.testing.assert_allclose(line.get_ydata(), rows.recall * 100)
    best = [
        (b, r)
        for b, r in zip(first.bytes, first.recall, strict=True)
        if r > max(first.recall[first.bytes < b], default=-1)
    ]
    best = {b: max(r for other, r in best if other == b) for b, _ in best}
    np.testing.assert_allclose(front.get_xdata(), sorted(best))
    np.testing.assert_allclose(front.get_ydata(), [100 * best[b] for b in sorted(best)])
