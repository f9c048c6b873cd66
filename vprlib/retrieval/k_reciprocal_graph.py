"""The k-reciprocal neighbour graph and its Jaccard distance (Zhong et al., CVPR 2017).

Two images are alike when they share neighbours that are neighbours of each other. Neighbour sets are stored as sparse
matrices: their intersections and unions are sparse products, so no dense (M, M) matrix is ever in memory.

Axes: Q queries, N database images, M = Q + N images (queries first), K neighbours, D dimensions, B rows of a block,
R rows of this process.
"""

from collections.abc import Iterator
from math import isqrt
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from vprlib.compute.process_group import ProcessGroup
from vprlib.retrieval.descriptor_reader import Descriptors, take_rows

MEMORY = 256 << 20  # bytes of distances, or of pairs, in memory


class ConcatenatedDescriptors:
    """Queries (Q, D) followed by the database (N, D), read on demand, for descriptors that do not fit as a tensor.

    Indexing by a slice, or by an array of increasing row numbers, gives a float32 tensor (n, D).
    """

    device = torch.device("cpu")

    def __init__(self, query_QD: Descriptors, database_ND: Descriptors) -> None:
        self.parts = query_QD, database_ND
        self.starts = 0, len(query_QD)
        self.shape = len(query_QD) + len(database_ND), database_ND.shape[1]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> torch.Tensor:
        if isinstance(rows, slice):
            first, last, _ = rows.indices(len(self))
            ends = [(max(0, first - start), max(0, last - start)) for start in self.starts]
            blocks = [part[slice(*end)] for part, end in zip(self.parts, ends, strict=True)]
        else:
            cut = np.searchsorted(rows, self.starts[1])
            numbers = rows[:cut], rows[cut:] - self.starts[1]
            blocks = [take_rows(part, part_rows) for part, part_rows in zip(self.parts, numbers, strict=True)]
        result = torch.empty(sum(map(len, blocks)), self.shape[1])
        return torch.cat([torch.from_numpy(np.asarray(block)) for block in blocks], out=result)


Matrix = torch.Tensor | ConcatenatedDescriptors  # x_MD: (M, D), unit rows
TopK = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # similarities (B, K), their columns, least similarity (B,)


def k_reciprocal_jaccard(
    query_QD: NDArray,
    database_ND: NDArray,
    k1: int,
    k2: int,
    weight: float,
    *,
    squarings: int = 1,
    rows: ArrayLike | None = None,
    device: torch.device | str = "cpu",
    memory: int = MEMORY,
    group: ProcessGroup | None = None,
) -> NDArray[np.float32]:
    """Compute distances of queries to the database by their k-reciprocal neighbours (Zhong, eq. 7-12).

    The distance is (1 - weight) Jaccard distance + weight original distance. Neighbours are searched among queries and
    database together. The original distance is the squared Euclidean one, divided by its largest value in each row, as
    in the authors' code. OpenIBL (`ibl/utils/rerank.py`) passes distances to that code that are squared already, and
    the code squares them again: `squarings` 2 is its form.

    Args:
        query_QD: (Q, D) float, unit rows.
        database_ND: (N, D) float, unit rows.
        k1: number of neighbours of an image, itself not counted.
        k2: an image's neighbourhood is averaged over itself and its k2 - 1 nearest images; 1 leaves it unchanged.
        weight: of the original distance, in [0, 1].
        squarings: how often the Euclidean distance is squared: 1 as Zhong's code, 2 as OpenIBL calls it.
        rows: the queries whose distances are returned; by default all.
        device: where products are computed. If the descriptors do not fit on a GPU, the CPU computes them.
        memory: bytes of the working set beyond a float32 copy of the descriptors, the output and the neighbour lists;
            a single row may exceed it.
        group: processes that share the work; all have the same arguments.

    Returns:
        (len(rows), N) float32, in [0, 1]. Equally near neighbours are ordered by index, queries first.
    """
    x_MD = torch.cat([torch.as_tensor(np.asarray(part), dtype=torch.float32) for part in (query_QD, database_ND)])
    device, group = torch.device(device), group or ProcessGroup()
    if device.type == "cpu" or x_MD.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        x_MD = x_MD.to(device)
    queries = len(query_QD)
    weights_MM, largest_M = neighbourhoods(x_MD, k1, k2, squarings=squarings, memory=memory, group=group)
    all_rows = np.arange(queries) if rows is None else np.asarray(rows)
    local_rows = group.local_part(all_rows)
    result = np.empty((len(local_rows), len(x_MD) - queries), np.float32)
    stored, size = weights_MM[queries:].tocsc(), max(1, memory // (32 * result.shape[1]))
    for start in range(0, len(local_rows), size):
        block = local_rows[start : start + size]
        shared = sum_of_minima(weights_MM[block], stored, memory)
        product = x_MD[torch.as_tensor(block, device=x_MD.device)] @ x_MD[queries:].T
        original = relative_distance(squared_distance(product).cpu().numpy(), largest_M[block, None], squarings)
        jaccard = 1 - shared / (2 - shared)
        result[start : start + size] = (1 - weight) * jaccard + weight * original
    return group.gather(result, len(all_rows))


def neighbourhoods(
    x_MD: Matrix, k1: int, k2: int, *, squarings: int = 1, memory: int = MEMORY, group: ProcessGroup | None = None
) -> tuple[sparse.csr_matrix, NDArray[np.float32]]:
    """Compute the expanded k-reciprocal neighbourhood of every image.

    Args:
        x_MD: queries and database, unit rows.
        k1, k2, squarings, memory, group: as in `k_reciprocal_jaccard`.

    Returns:
        (weights, largest): each image's neighbourhood as a row of weights of sum 1, (M, M) sparse, and its largest
        squared distance to any image, (M,).
    """
    count, group = len(x_MD), group or ProcessGroup()
    k2 = min(k2, count)
    near_MK, largest_M = nearest_and_farthest(x_MD, min(max(k1 + 1, k2), count), memory, group)
    whole, half = (reciprocal_neighbours(near_MK[:, : k + 1]) for k in (k1, int(np.around(k1 / 2))))
    pairs = expand_reciprocal_sets(whole, half, memory).tocoo()
    weights_MM = gaussian_weights(x_MD, pairs, largest_M, squarings, memory)
    if k2 != 1:
        mean = np.full(count * k2, 1 / k2)
        starts = np.arange(0, count * k2 + 1, k2)
        weights_MM = sparse.csr_matrix((mean, near_MK[:, :k2].ravel(), starts), (count, count)) @ weights_MM
    return weights_MM, largest_M


def squared_distance(product: torch.Tensor) -> torch.Tensor:
    """Return the squared Euclidean distances of unit vectors from their dot products, float64."""
    return (2 - 2 * product.double()).clamp_min(0)


def relative_distance(squared: NDArray, largest: NDArray, squarings: int) -> NDArray:
    """Return squared distances over the largest of their row, in [0, 1]; with 2 squarings, both are squared again."""
    relative = squared / largest
    return relative * relative if squarings == 2 else relative


def nearest_and_farthest(
    x_MD: Matrix, k: int, memory: int, group: ProcessGroup
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return each row's k nearest rows, itself among them, (M, k), and its largest squared distance, (M,)."""
    (count, width), rows_R = x_MD.shape, group.local_part(np.arange(len(x_MD)))
    if isinstance(x_MD, torch.Tensor):
        size, step = min(count, max(1, memory // (12 * count))), count
    else:  # memory holds two blocks of rows, and their products
        size = step = min(count, max(1, min(memory // (16 * width), isqrt(memory // 24))))
    near_RK, least_R = np.empty((len(rows_R), k), np.int64), np.empty(len(rows_R), np.float32)
    buffer_BM = torch.empty(size, step, device=x_MD.device)  # allocated once for all blocks
    for start in range(0, len(rows_R), size):
        rows, part = rows_R[start : start + size], slice(start, start + size)
        rows_BD = x_MD[slice(rows[0], rows[-1] + 1) if group.size == 1 else rows]
        near: TopK | None = None
        for first in range(0, count, step):
            block_MD = x_MD[first : first + step]
            out_BM = buffer_BM.flatten()[: len(rows) * len(block_MD)].view(len(rows), -1)
            similarity_BM = torch.mm(rows_BD, block_MD.T, out=out_BM)
            index_BK = stable_topk(similarity_BM, min(k, len(block_MD)))
            block = similarity_BM.gather(1, index_BK), index_BK + first, similarity_BM.amin(1)
            near = merge_topk(near, block, k) if near else block
        _, column_BK, least_B = cast(TopK, near)
        near_RK[part], least_R[part] = column_BK.cpu().numpy(), least_B.cpu().numpy()
    largest_M = squared_distance(torch.from_numpy(group.gather(least_R, count)))
    largest_M = largest_M.clamp_min(1e-12)  # it is zero if all images are equal
    return group.gather(near_RK, count), largest_M.numpy()


def merge_topk(left: TopK, right: TopK, k: int) -> TopK:
    """Merge the nearest columns of two blocks into the k nearest of both.

    Args:
        left, right: (similarity, column, least similarity) of each block; the columns of `left` come first.
        k: number of columns kept.
    """
    value_BK, column_BK = (torch.cat(pair, dim=1) for pair in zip(left[:2], right[:2], strict=True))
    value_BK, order = value_BK.sort(dim=1, descending=True, stable=True)
    return value_BK[:, :k], column_BK.gather(1, order[:, :k]), torch.minimum(left[2], right[2])


def stable_topk(similar_BM: torch.Tensor, k: int) -> torch.Tensor:
    """Return the columns of each row's k largest values, (B, k): the largest first, equal values by column."""
    value_BK, index_BK = similar_BM.topk(k, dim=1)
    index_BK, order = index_BK.sort(dim=1)
    order = value_BK.gather(1, order).sort(dim=1, descending=True, stable=True).indices
    index_BK = index_BK.gather(1, order)
    # topk does not define which of several equal values it keeps at the cut
    tied = ((similar_BM >= value_BK[:, -1:]).sum(1) > k).nonzero()[:, 0]
    index_BK[tied] = similar_BM[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return index_BK


def reciprocal_neighbours(near_MK: NDArray[np.int64]) -> sparse.csr_matrix:
    """Return an (M, M) sparse matrix of ones where two rows are among each other's neighbours."""
    count, k = near_MK.shape
    ones = np.ones(near_MK.size, np.int32)
    listed = sparse.csr_matrix((ones, near_MK.ravel(), np.arange(0, near_MK.size + 1, k)), (count, count))
    return listed.multiply(listed.T).tocsr()


def expand_reciprocal_sets(whole: sparse.csr_matrix, half: sparse.csr_matrix, memory: int) -> sparse.csr_matrix:
    """Extend neighbourhoods by those of their members that lie in them by more than two thirds (Zhong et al., eq. 5).

    Args:
        whole: (M, M), the k1-reciprocal neighbours.
        half: (M, M), the k1 / 2-reciprocal neighbours, which the members contribute.
        memory: bytes of the working set.
    """
    sizes = np.asarray(half.sum(1)).ravel()
    most = max(1, int(whole.sum(1).max()) * int(sizes.max()))  # entries that the product of a row can have
    size, parts = max(1, memory // (32 * most)), []
    for start in range(0, whole.shape[0], size):
        block = whole[start : start + size]
        common = block.multiply(block @ half.T).tocoo()  # (i, c): how many of c's half set are in i's whole set
        grown = common.data > 2 / 3 * sizes[common.col]
        joined = sparse.csr_matrix((common.data[grown], (common.row[grown], common.col[grown])), block.shape)
        parts.append(joined @ half + block)
    return sparse.vstack(parts, format="csr")


def gaussian_weights(
    x_MD: Matrix, pairs: sparse.coo_matrix, largest_M: NDArray[np.float32], squarings: int, memory: int
) -> sparse.csr_matrix:
    """Return each row's neighbourhood as weights exp(-original distance), of sum 1 (eq. 7)."""
    squared = pair_distances(x_MD, pairs.row, pairs.col, memory)
    weights = np.exp(-relative_distance(squared, largest_M[pairs.row], squarings))
    sums = np.bincount(pairs.row, weights, minlength=len(x_MD))
    return sparse.csr_matrix((weights / sums[pairs.row], (pairs.row, pairs.col)), pairs.shape)


def pair_distances(
    x_MD: Matrix, left: NDArray[np.integer], right: NDArray[np.integer], memory: int
) -> NDArray[np.float64]:
    """Return the squared Euclidean distances of pairs of rows, given by their numbers."""
    result, size = np.empty(len(left)), max(1, memory // (24 * x_MD.shape[1]))
    for start in range(0, len(left), size):
        part = slice(start, start + size)
        numbers = np.concatenate([left[part], right[part]])
        if isinstance(x_MD, torch.Tensor):
            rows_MD = x_MD
        else:  # each row is read once
            rows, numbers = np.unique(numbers, return_inverse=True)
            rows_MD = x_MD[rows]
        first, second = (rows_MD.index_select(0, n) for n in torch.as_tensor(numbers, device=x_MD.device).chunk(2))
        result[part] = squared_distance((first * second).sum(1)).cpu().numpy()
    return result


def sum_of_minima(weights_BM: sparse.csr_matrix, stored_NM: sparse.csc_matrix, memory: int) -> NDArray[np.float64]:
    """Return sum_l min(weights[b, l], stored[n, l]), (B, N), of two sparse matrices; `stored` is by columns."""
    height, width = weights_BM.shape[0], stored_NM.shape[0]
    result = np.zeros(height * width)
    for row, column, least in shared_members(weights_BM, stored_NM, memory):
        np.add.at(result, row.astype(np.int64) * width + column, least)
    return result.reshape(height, width)


def shared_members(
    weights_BM: sparse.csr_matrix, stored_NM: sparse.csc_matrix, memory: int
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.float64]]]:
    """Yield (b, n, min(weights[b, l], stored[n, l])) for every l in which both rows have an entry.

    The values come in arrays of bounded length; b increases.
    """
    entries = weights_BM.tocoo()
    lengths = np.diff(stored_NM.indptr)[entries.col]  # number of stored rows with an entry in the column of each entry
    ends = np.cumsum(lengths)
    start, most = 0, max(1, memory // 64)
    while start < entries.nnz:
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + most, side="right")))
        part, repeats = slice(start, stop), lengths[start:stop]
        owner = np.repeat(np.arange(len(repeats)), repeats)
        offsets = np.repeat(stored_NM.indptr[entries.col[part]] - (np.cumsum(repeats) - repeats), repeats)
        place = np.arange(len(owner)) + offsets
        least = np.minimum(entries.data[part][owner], stored_NM.data[place])
        yield entries.row[part][owner], stored_NM.indices[place], least
        start = stop
