"""Benchmarks of search at the size of Pitts250k and of a million images, with the cost of approximate indexes.

Axes: Q queries, N database rows, D dimensions, K candidates.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import CPU, PeakMemory, Row, Size, Work, alternate, duration_row, random_unit_rows, time_once
from vprlib.config import EvaluateConfig, SearchConfig
from vprlib.evaluation.recall import recall_at
from vprlib.retrieval.exact_search import nearest

PITTS250K = 8280, 83_952  # queries and database images of its test split
TOP_K = SearchConfig().top_k


def products(query_QD: NDArray, database_ND: NDArray, rows: int = 1024, columns: int = 8192) -> Work:
    """Return the bare matrix product of queries and database, which is computed by block into the same memory."""
    block = np.empty((rows, columns), np.float32)

    def multiply() -> None:
        for start in range(0, len(query_QD), rows):
            part_QD = query_QD[start : start + rows]
            for left in range(0, len(database_ND), columns):
                part_ND = database_ND[left : left + columns]
                out = block.reshape(-1)[: len(part_QD) * len(part_ND)].reshape(len(part_QD), len(part_ND))
                np.matmul(part_QD, part_ND.T, out=out)

    return multiply


def search_rows(queries: int, count: int, width: int, rounds: int) -> Iterator[Row]:
    """Measure exact search in float16 files, as the workflow does it; the limit is the product in float32.

    Each query has one positive, a database row that it is a noisy copy of. A full sort of all scores gives the recall
    that the search must reach, for a sample of the queries.

    Args:
        queries, count, width: Q, N and D.
        rounds: repetitions.
    """
    generator = np.random.default_rng(0)
    ks = EvaluateConfig().recall_at
    query_QD, database_ND = random_unit_rows(generator, queries, width), random_unit_rows(generator, count, width)
    positive_Q = generator.choice(count, queries, replace=False)
    noise = generator.uniform(1, 12, (queries, 1)).astype(np.float32)  # so that some are found and some are not
    query_QD = database_ND[positive_Q] + noise * query_QD
    query_QD /= np.linalg.norm(query_QD, axis=1, keepdims=True)
    query_QD, database_ND = (x.astype(np.float16).astype(np.float32) for x in (query_QD, database_ND))
    positives = list(positive_Q[:, None])
    ranking_QK = np.empty((queries, min(TOP_K, count)), np.int64)

    def search() -> None:
        ranking_QK[:] = nearest(file["query"][:], file["database"], TOP_K)[0]

    def evaluate() -> dict[int, float]:
        return recall_at(ks, ranking_QK, positives)

    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "x.h5", "w") as file:
        file["query"], file["database"] = query_QD.astype(np.float16), database_ND.astype(np.float16)
        with PeakMemory() as peak:
            search()
            evaluate()
        limit, searched, evaluated = alternate(
            products(query_QD, database_ND), search, evaluate, rounds=rounds, device=CPU
        )
    size = f"{queries} x {count}, D={width}, k={TOP_K}"
    yield duration_row("search", size, searched, limit)
    yield duration_row("search + recall", size, searched.plus(evaluated), limit, 1.3)
    least = (query_QD.nbytes + queries * TOP_K * 12) / 1e9
    yield Row("search memory", "limit: queries and result", peak.gb, "GB", least, target="<= 0.3 GB", ok=peak.gb <= 0.3)
    sample = np.random.default_rng(1).choice(queries, min(500, queries), replace=False)
    score_QN = query_QD[sample] @ database_ND.T
    own_Q1 = np.take_along_axis(score_QN, positive_Q[sample, None], 1)
    ahead_QN = (score_QN > own_Q1) | ((score_QN == own_Q1) & (np.arange(count) < positive_Q[sample, None]))
    rank_Q = ahead_QN.sum(1)
    found = recall_at(ks, ranking_QK[sample], [positives[query] for query in sample])
    sorted_recall = {k: float((rank_Q < k).mean()) for k in ks}
    k = max(ks, key=lambda k: (abs(found[k] - sorted_recall[k]), -k))  # the k of the largest difference
    text = f"{len(sample)} queries; limit: full sort"
    yield Row(
        f"search recall@{k}", text, found[k], "", sorted_recall[k], target="= limit", ok=found[k] == sorted_recall[k]
    )


def write_clusters(file: h5py.File, generator: np.random.Generator, count: int, queries: int, width: int) -> None:
    """Write `database` and `query`, float16 unit rows: photos cluster around places, and places around regions."""
    region_ND = random_unit_rows(generator, 1000, width)
    places = count // 25
    place_ND = region_ND[generator.integers(len(region_ND), size=places)] + random_unit_rows(generator, places, width)
    for name, rows in (("database", count), ("query", queries)):
        stored = file.create_dataset(name, (rows, width), np.float16)
        for start in range(0, rows, 1 << 16):
            size = min(1 << 16, rows - start)
            x_ND = place_ND[generator.integers(places, size=size)] + random_unit_rows(generator, size, width)
            stored[start : start + size] = x_ND / np.linalg.norm(x_ND, axis=1, keepdims=True)
    file.flush()


def index_benchmark(size: Size) -> Iterator[Row]:
    """Measure exact, IVF-PQ and HNSW search among a million images.

    HNSW takes a quarter of them unless the size is full, because building its graph takes long.
    """
    queries, count, width = (50, 4000, 64) if size == "toy" else (1000, 1_000_000, 512)
    databases = {count: ["flat", "ivf-pq"]}
    databases.setdefault(count if size == "full" else count // 4, []).append("hnsw")
    with tempfile.TemporaryDirectory() as folder:
        for rows, kinds in databases.items():
            with h5py.File(Path(folder) / f"{rows}.h5", "w") as file:
                write_clusters(file, np.random.default_rng(0), rows, queries, width)
                yield from index_rows(Path(folder), file["query"][:].astype(np.float32), file["database"], kinds)


def index_rows(
    folder: Path, query_QD: NDArray[np.float32], database_ND: h5py.Dataset, kinds: Sequence[str]
) -> Iterator[Row]:
    """Measure several kinds of indexes of one database, next to the bare product and to exact search.

    Args:
        folder: where the index files are written.
        query_QD: the queries.
        database_ND: float16 descriptors in a file.
        kinds: some of `flat`, `ivf-pq` and `hnsw`.
    """
    from vprlib.retrieval.ann_files import load_index
    from vprlib.retrieval.ann_index import open_or_build, search_index

    size = "x".join(map(str, database_ND.shape)) + f", {len(query_QD)} queries, k={TOP_K}"
    limit = time_once(products(query_QD, database_ND[:].astype(np.float32)))
    exact_QK = np.empty((len(query_QD), TOP_K), np.int64)
    found_QK = np.empty_like(exact_QK)
    memory = SearchConfig().memory_gb * 1e9
    file_mb = database_ND.size * 2 / 1e6

    def search_exactly() -> None:
        exact_QK[:] = nearest(query_QD, database_ND, TOP_K)[0]

    taken = time_once(search_exactly)
    unit: dict[str, Any] = {"scale": 1e3 / len(query_QD), "unit": "ms/query"}
    if "flat" in kinds:
        yield duration_row("flat", size, taken, limit, **unit)
        yield Row("flat size", "the float16 file, which is its limit", file_mb, "MB", file_mb)
    for kind in [kind for kind in kinds if kind != "flat"]:
        path = folder / f"{kind}.faiss"

        def build(path: Path = path, kind: str = kind) -> None:
            open_or_build(path, database_ND, kind=kind, memory=memory)

        yield Row(f"{kind} build", size, time_once(build).wall, "s")
        index = load_index(path, database_ND, memory=memory)

        def search(index: Any = index) -> None:
            found_QK[:] = search_index(index, query_QD, database_ND, TOP_K)[0]

        yield duration_row(f"{kind}; limit: product", size, time_once(search), limit, **unit)
        yield Row(f"{kind} size", "limit: the float16 file", path.stat().st_size / 1e6, "MB", file_mb)
        first = float((found_QK[:, 0] == exact_QK[:, 0]).mean())
        yield Row(f"{kind} recall@1", "limit: exact search", first, "", 1.0, first)
        pairs = zip(found_QK[:, :10].tolist(), exact_QK[:, :10].tolist(), strict=True)
        ten = float(np.mean([len(set(found) & set(exact)) / 10 for found, exact in pairs]))
        yield Row(f"{kind} 10-recall@10", "limit: exact search", ten, "", 1.0, ten)


def rerank_benchmark(size: Size) -> Iterator[Row]:
    """Measure re-ranking at the size of Pitts250k in 256 dimensions, and k-reciprocal re-ranking read by block.

    The limit is the matrix products that a method needs: all queries with the database twice for query expansion, all
    images with all images twice for k-reciprocal re-ranking. It is extrapolated from a part of that product.
    """
    from vprlib.registry import load_object
    from vprlib.retrieval.rerank.k_reciprocal import k_reciprocal

    toy = size == "toy"
    (queries, count), width = ((60, 1500), 64) if toy else (PITTS250K, 256)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "x.h5", "w") as file:
        write_clusters(file, generator, count, queries, width)
        part_ND = file["database"][:8192].astype(np.float32)
        part = time_once(products(part_ND, part_ND))
        pairs = {"alpha_qe": 2 * queries * count, "k_reciprocal": 2 * (queries + count) ** 2}
        for name, needed in pairs.items():
            rerank = load_object("rerank", name)
            ranking_QK = np.empty((queries, TOP_K), np.int64)

            def search(rerank: Any = rerank, ranking_QK: NDArray = ranking_QK) -> None:
                ranking_QK[:] = rerank(file["query"], file["database"], TOP_K)[0]

            with PeakMemory() as peak:
                taken = time_once(search)
            text = f"{queries} x {count}, D={width}, k={TOP_K}"
            yield duration_row(name, text, taken, part.times(needed / len(part_ND) ** 2))
            yield Row(f"{name} memory", text, peak.gb, "GB", target="<= 4 GB", ok=peak.gb <= 4)
    queries, count, width, memory = (70, 430, 2048, 1 << 20) if toy else (700, 4300, 32_768, 1 << 28)
    with tempfile.TemporaryDirectory() as folder, h5py.File(Path(folder) / "x.h5", "w") as file:
        write_clusters(file, generator, count, queries, width)
        with PeakMemory() as peak:
            result = k_reciprocal(file["query"], file["database"], TOP_K, memory=memory)
        text = f"{len(result[0])} x {count}, D={width}; limit: setting"
        yield Row("k_reciprocal memory", text, peak.gb, "GB", memory / 1e9)


def scale(size: Size) -> Iterator[Row]:
    """Run all benchmarks of this module, in the normal size for minutes: search in 256 and 4096 dimensions too."""
    queries, count = (200, 2000) if size == "toy" else PITTS250K
    yield from search_rows(queries, count, 32 if size == "toy" else 256, rounds=1 if size == "toy" else 2)
    yield from search_rows(queries if size != "normal" else 2048, count, 128 if size == "toy" else 4096, rounds=1)
    yield from rerank_benchmark(size)
    yield from index_benchmark(size)
