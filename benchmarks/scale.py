"""Search in databases of the size of Pitts250k and of a million images, and what its indexes cost.

Axes: Q queries, N database rows, D dimensions.
"""

import tempfile
import time
from pathlib import Path

import h5py
import numpy as np
import torch

from benchmarks.measure import PeakMemory, Row, Times, lasts, race, unit_rows
from vprlib.config import EvaluateConfig, RerankConfig, SearchConfig
from vprlib.evaluation.recall import recall_at
from vprlib.retrieval.exact_search import nearest

CPU = torch.device("cpu")
PITTS250K = 8280, 83_952


def products(query_QD, database_ND, rows: int = 1024, columns: int = 8192):
    """The bare matrix product, block by block into the same memory."""
    block = np.empty((rows, columns), np.float32)

    def run():
        for start in range(0, len(query_QD), rows):
            some_QD = query_QD[start : start + rows]
            for left in range(0, len(database_ND), columns):
                part_ND = database_ND[left : left + columns]
                out = block.reshape(-1)[: len(some_QD) * len(part_ND)].reshape(len(some_QD), len(part_ND))
                np.matmul(some_QD, part_ND.T, out=out)

    return run


def searching(queries: int, width: int, rounds: int):
    """Pitts250k's test database, from float16 files as in the workflow, against the product in float32.

    Each query has a planted photo, whose place among the others a full sort finds for a sample.
    """
    rng = np.random.default_rng(0)
    count, depth, ks = PITTS250K[1], SearchConfig().depth, EvaluateConfig().ks
    query_QD, database_ND = unit_rows(rng, queries, width), unit_rows(rng, count, width)
    planted = rng.choice(count, queries, replace=False)
    noise = rng.uniform(1, 12, (queries, 1)).astype(np.float32)  # so that some are found and some are not
    query_QD = database_ND[planted] + noise * query_QD
    query_QD /= np.linalg.norm(query_QD, axis=1, keepdims=True)
    query_QD, database_ND = (x.astype(np.float16).astype(np.float32) for x in (query_QD, database_ND))
    positives = list(planted[:, None])
    found = {}

    def find():
        found["ranking"], _ = nearest(file["query"][:], file["database"], depth)

    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "x.h5", "w") as file:
        file["query"], file["database"] = query_QD.astype(np.float16), database_ND.astype(np.float16)
        with PeakMemory() as peak:
            find()
            recalls = recall_at(ks, found["ranking"], positives)
        judge = lambda: recall_at(ks, found["ranking"], positives)  # noqa: E731
        limit, searched, judged = race(products(query_QD, database_ND), find, judge, rounds=rounds, device=CPU)
    size = f"{queries} x {count}, D={width}, k={depth}"
    yield lasts("search", size, searched, limit)
    yield lasts("search + recall", size, searched + judged, limit, 1.3)
    least = (query_QD.nbytes + queries * depth * 12) / 1e9
    yield Row("search memory", "limit: queries and result", peak.gb, "GB", least, target="<= 0.3 GB", ok=peak.gb <= 0.3)
    some = np.random.default_rng(1).choice(queries, min(500, queries), replace=False)
    scores = query_QD[some] @ database_ND.T
    own = np.take_along_axis(scores, planted[some, None], 1)
    place = (scores > own).sum(1) + ((scores == own) & (np.arange(count) < planted[some, None])).sum(1)
    sampled = recall_at(ks, found["ranking"][some], [positives[query] for query in some])
    off = max(abs(sampled[k] - float((place < k).mean())) for k in ks)
    text = f"against a full sort, {len(some)} queries; R@1 {recalls[1]:.3f}"
    yield Row("search recalls", text, off, "", 0.0, target="0", ok=off == 0)


def clustered(file, rng, count: int, queries: int, width: int):
    """Write `database` and `query`, float16: photos of places, places of regions, each as different as the last."""
    regions = unit_rows(rng, 1000, width)
    places = regions[rng.integers(len(regions), size=count // 25)] + unit_rows(rng, count // 25, width)
    for name, rows in (("database", count), ("query", queries)):
        stored = file.create_dataset(name, (rows, width), np.float16)
        for start in range(0, rows, 1 << 16):
            size = min(1 << 16, rows - start)
            x_ND = places[rng.integers(len(places), size=size)] + unit_rows(rng, size, width)
            stored[start : start + size] = x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)
    file.flush()


def million(full: bool):
    """Flat, IVF-PQ and HNSW; HNSW on a quarter unless `full`, for its graph takes long to build."""
    queries, count, width, depth = 1000, 1_000_000, 512, SearchConfig().depth
    with tempfile.TemporaryDirectory() as folder:
        for name, kinds, rows in (
            ("a", ["flat", "ivf-pq", *(["hnsw"] if full else [])], count),
            *([] if full else [("b", ["hnsw"], count // 4)]),
        ):
            with h5py.File(Path(folder) / f"{name}.h5", "w") as file:
                clustered(file, np.random.default_rng(0), rows, queries, width)
                yield from indexed(Path(folder), file["query"][:].astype(np.float32), file["database"], kinds, depth)


def indexed(folder, query_QD, database_ND, kinds: list, depth: int):
    from vprlib.retrieval.ann_index import load_index, open_or_build, search_index

    size = "x".join(map(str, database_ND.shape)) + f", {len(query_QD)} queries, k={depth}"
    in_memory = database_ND[:].astype(np.float32)
    limit = once(products(query_QD, in_memory))
    del in_memory
    exact = {}
    taken = once(lambda: exact.update(ranking=nearest(query_QD, database_ND, depth)[0]))
    per_query = {"scale": 1e3 / len(query_QD), "unit": "ms/query"}
    if "flat" in kinds:
        yield lasts("flat", size, taken, limit, **per_query)
        held = database_ND.size * 4 / 1e6
        yield Row("flat memory", "read by block; limit: float16 file", held / 2, "MB", held / 2)
    for kind in [kind for kind in kinds if kind != "flat"]:
        path, found = folder / f"{kind}.faiss", {}
        memory = SearchConfig().memory_gb * 1e9
        built = once(lambda: open_or_build(path, database_ND, kind=kind, memory=memory))  # noqa: B023
        yield Row(f"{kind} build", size, built.wall, "s")
        opened = load_index(path, database_ND, memory=memory)
        taken = once(lambda: found.update(ranking=search_index(opened, query_QD, database_ND, depth)[0]))  # noqa: B023
        yield lasts(f"{kind}; limit: product", size, taken, limit, **per_query)
        yield Row(f"{kind} memory", "the index' file", path.stat().st_size / 1e6, "MB", database_ND.size * 2 / 1e6)
        first = float((found["ranking"][:, 0] == exact["ranking"][:, 0]).mean())
        yield Row(f"{kind} recall@1", "against exact search", first, "", 1.0)
        ten = np.mean([len(set(a) & set(b)) / 10 for a, b in tops(found["ranking"], exact["ranking"])])
        yield Row(f"{kind} 10-recall@10", "against exact search", float(ten), "", 1.0)


def tops(found, exact):
    return zip(found[:, :10].tolist(), exact[:, :10].tolist(), strict=True)


def once(run) -> Times:
    """The time of a single run, of what is too long to repeat."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return Times([(time.perf_counter() - wall, time.process_time() - cpu)])


def reranking(full: bool):
    """Pitts250k's size in 256 dimensions; limit: two products of all images with all."""
    from vprlib.registry import load_object
    from vprlib.retrieval.rerank.k_reciprocal import k_reciprocal

    queries, count = PITTS250K
    rng, depth = np.random.default_rng(0), SearchConfig().depth
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "x.h5", "w") as file:
        clustered(file, rng, count, queries, 256)
        some = file["database"][:8192].astype(np.float32)
        part = once(products(some, some))
        times = (queries + count) ** 2 / len(some) ** 2
        bare = {"alpha_qe": 2 * queries * count / (queries + count) ** 2, "k_reciprocal": 2}
        for name, share in bare.items():
            rerank, settings = load_object("rerank", name), RerankConfig(name=name)
            with PeakMemory() as peak:
                taken = once(lambda: rerank(file["query"], file["database"], depth, settings=settings))  # noqa: B023
            limit = Times((wall * times * share, cpu * times * share) for wall, cpu in part)
            size = f"{queries} x {count}, D=256, k={depth}"
            yield lasts(name, size, taken, limit)
            yield Row(f"{name} memory", size, peak.gb, "GB", target="<= 4 GB", ok=peak.gb <= 4)
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "x.h5", "w") as file:
        clustered(file, rng, 4300, 700, 32_768)
        settings, most = RerankConfig(name="k_reciprocal"), 1 << 28
        with PeakMemory() as peak:
            k_reciprocal(file["query"], file["database"], depth, settings=settings, memory=most)
        size = "700 x 4300, D=32768, by block; limit: setting"
        yield Row("k_reciprocal memory", size, peak.gb, "GB", most / 1e9)


def scale(full: bool):
    """Minutes: Pitts250k's size in 256 and 4096 dimensions, re-ranking, and a million images."""
    yield from searching(PITTS250K[0], 256, rounds=2)
    yield from searching(PITTS250K[0] if full else 2048, 4096, rounds=1)
    yield from reranking(full)
    yield from million(full)
