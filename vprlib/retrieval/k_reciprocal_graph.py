"""k-reciprocal neighbours: who is near whom, both ways (Zhong et al., CVPR 2017).

Two images are alike when they share neighbours that are neighbours of each other. Neighbour sets are sparse matrices
here: their intersections and unions are sparse products, so no (M, M) matrix of floats is ever there.
"""

from math import isqrt

import numpy as np
import torch
from scipy import sparse

from vprlib.compute.process_group import ProcessGroup
from vprlib.retrieval.descriptor_reader import take_rows

MEMORY = 256 << 20  # bytes of distances, or of pairs, held at once


class ConcatenatedDescriptors:
    """Queries (Q, D) and database (N, D) as one, read when they are asked for: what does not fit as a tensor.

    A slice, or an array of rising row numbers, gives a float32 tensor (n, D).
    """

    device = torch.device("cpu")

    def __init__(self, query_QD, database_ND):
        self.parts = query_QD, database_ND
        self.starts = 0, len(query_QD)
        self.shape = len(query_QD) + len(database_ND), database_ND.shape[1]

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, some) -> torch.Tensor:
        if isinstance(some, slice):
            first, last, _ = some.indices(len(self))
            ends = [(max(0, first - start), max(0, last - start)) for start in self.starts]
            found = [part[slice(*end)] for part, end in zip(self.parts, ends, strict=True)]
        else:
            cut = np.searchsorted(some, self.starts[1])
            asked = some[:cut], some[cut:] - self.starts[1]
            found = [take_rows(part, own) for part, own in zip(self.parts, asked, strict=True)]
        result = torch.empty(sum(map(len, found)), self.shape[1])
        return torch.cat([torch.from_numpy(np.asarray(own)) for own in found], out=result)


def k_reciprocal_jaccard(
    query_QD, database_DD, k1: int, k2: int, weight: float, *, rows=None, device="cpu", memory: int = MEMORY, group=None
) -> np.ndarray:
    """Distances of queries to the database by the Jaccard distance of their k-reciprocal neighbours (Zhong, eq. 7-12).

    Neighbours are looked for among queries and database together. The original distance is the squared Euclidean,
    divided by its largest value in each row, as in the authors' code; OpenIBL (`ibl/utils/rerank.py`) hands that code
    distances that are squared already, so its weights fall with the fourth power, which we do not follow.

    Args:
        query_QD: (Q, D) float, unit rows.
        database_DD: (N, D) float, unit rows.
        k1: neighbours an image has, itself not counted.
        k2: an image's neighbourhood is averaged over itself and its k2 - 1 nearest; 1 leaves it.
        weight: of the original distance; the Jaccard distance has 1 - weight.
        rows: the queries that distances are wanted for; by default all.
        device: where products are computed; a GPU on which the descriptors do not fit leaves it to the CPU.
        memory: bytes that the working set may take above a float32 copy of the descriptors, the output and the
            neighbour lists; at least a row's.
        group: a `ProcessGroup` whose processes share the work, all with the same arguments.

    Returns:
        (len(rows), N) float32, in [0, 1]. Of equally near neighbours the lower index counts first, queries first.
    """
    x_MD = torch.cat([torch.as_tensor(np.asarray(part), dtype=torch.float32) for part in (query_QD, database_DD)])
    device, group = torch.device(device), group or ProcessGroup()
    if device.type == "cpu" or x_MD.nbytes < torch.cuda.mem_get_info(device)[0] / 2:
        x_MD = x_MD.to(device)
    queries = len(query_QD)
    v, largest_M = neighbourhoods(x_MD, k1, k2, memory=memory, group=group)
    asked = np.arange(queries) if rows is None else np.asarray(rows)
    rows = group.share(asked)
    result = np.empty((len(rows), len(x_MD) - queries), np.float32)
    stored, size = v[queries:].tocsc(), max(1, memory // (32 * result.shape[1]))
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        shared = sum_of_minima(v[some], stored, memory)
        original = squared_distance(x_MD[torch.as_tensor(some, device=x_MD.device)] @ x_MD[queries:].T).cpu().numpy()
        jaccard = 1 - shared / (2 - shared)
        result[start : start + size] = (1 - weight) * jaccard + weight * original / largest_M[some, None]
    return group.gather(result, len(asked))


def neighbourhoods(x_MD, k1: int, k2: int, *, memory: int = MEMORY, group=None) -> tuple:
    """Each image's expanded neighbourhood as weights (M, M), sparse, of sum 1; and its largest squared distance, (M,).

    Args:
        x_MD: tensor or Joined, unit rows: queries and database.
        k1, k2, memory, group: as `k_reciprocal_jaccard`.
    """
    count, group = len(x_MD), group or ProcessGroup()
    k2 = min(k2, count)
    near_MK, largest_M = nearest_and_farthest(x_MD, min(max(k1 + 1, k2), count), memory, group)
    whole, half = (reciprocal_neighbours(near_MK[:, : k + 1]) for k in (k1, int(np.around(k1 / 2))))
    v = gaussian_weights(x_MD, expand_reciprocal_sets(whole, half, memory).tocoo(), largest_M, memory)
    if k2 != 1:
        mean = np.full(count * k2, 1 / k2)
        v = sparse.csr_matrix((mean, near_MK[:, :k2].ravel(), np.arange(0, count * k2 + 1, k2)), (count, count)) @ v
    return v, largest_M


def squared_distance(product):
    """Squared Euclidean distances of unit vectors from their dot products."""
    return (2 - 2 * product.double()).clamp_min(0)


def nearest_and_farthest(x_MD, k: int, memory: int, group: ProcessGroup) -> tuple:
    """Each row's k nearest rows, (M, k) int64, itself among them; and the squared distance of its farthest, (M,)."""
    (count, width), own_R = x_MD.shape, group.share(np.arange(len(x_MD)))
    if isinstance(x_MD, torch.Tensor):
        size, step = min(count, max(1, memory // (12 * count))), count
    else:  # two blocks of rows, and their products
        size = step = min(count, max(1, min(memory // (16 * width), isqrt(memory // 24))))
    near_RK, least_R = np.empty((len(own_R), k), np.int64), np.empty(len(own_R), np.float32)
    held_BM = torch.empty(size, step, device=x_MD.device)  # one block for all
    for start in range(0, len(own_R), size):
        rows, some = own_R[start : start + size], slice(start, start + size)
        rows_BD = x_MD[slice(rows[0], rows[-1] + 1) if group.size == 1 else rows]
        near = None
        for first in range(0, count, step):
            block_MD = x_MD[first : first + step]
            similar_BM = torch.mm(
                rows_BD, block_MD.T, out=held_BM.flatten()[: len(rows) * len(block_MD)].view(len(rows), -1)
            )
            index = stable_topk(similar_BM, min(k, len(block_MD)))
            found = similar_BM.gather(1, index), index + first, similar_BM.amin(1)
            near = merge_topk(near, found, k) if near else found
        near_RK[some], least_R[some] = near[1].cpu().numpy(), near[2].cpu().numpy()
    largest_M = squared_distance(torch.from_numpy(group.gather(least_R, count))).clamp_min(
        1e-12
    )  # zero for equal images
    return group.gather(near_RK, count), largest_M.numpy()


def merge_topk(one, other, k: int) -> tuple:
    """The k nearest columns of two blocks, the first's numbers below the other's: (similarity, column, least)."""
    value, column = (torch.cat(pair, dim=1) for pair in zip(one[:2], other[:2], strict=True))
    value, order = value.sort(dim=1, descending=True, stable=True)
    return value[:, :k], column.gather(1, order[:, :k]), torch.minimum(one[2], other[2])


def stable_topk(similar_BM, k: int):
    """The columns of each row's k largest values, the largest first, of equals the lower column first: (B, k)."""
    value_BK, index_BK = similar_BM.topk(k, dim=1)
    index_BK, order = index_BK.sort(dim=1)
    order = value_BK.gather(1, order).sort(dim=1, descending=True, stable=True).indices
    index_BK = index_BK.gather(1, order)
    tied = ((similar_BM >= value_BK[:, -1:]).sum(1) > k).nonzero()[:, 0]  # topk does not say which of them it keeps
    index_BK[tied] = similar_BM[tied].sort(dim=1, descending=True, stable=True).indices[:, :k]
    return index_BK


def reciprocal_neighbours(near_MK) -> sparse.csr_matrix:
    """Ones where two rows are among each other's neighbours."""
    count, k = near_MK.shape
    ones = np.ones(near_MK.size, np.int32)
    listed = sparse.csr_matrix((ones, near_MK.ravel(), np.arange(0, near_MK.size + 1, k)), (count, count))
    return listed.multiply(listed.T).tocsr()


def expand_reciprocal_sets(whole, half, memory: int) -> sparse.csr_matrix:
    """Neighbourhoods with those of their members that lie in them by more than two thirds (Zhong et al., eq. 5)."""
    sizes = np.asarray(half.sum(1)).ravel()
    most = max(1, int(whole.sum(1).max()) * int(sizes.max()))  # entries that a row's product can have
    size, parts = max(1, memory // (32 * most)), []
    for start in range(0, whole.shape[0], size):
        own = whole[start : start + size]
        common = own.multiply(own @ half.T).tocoo()  # (i, c): how many of c's half neighbourhood are in i's whole one
        grown = common.data > 2 / 3 * sizes[common.col]
        joined = sparse.csr_matrix((common.data[grown], (common.row[grown], common.col[grown])), own.shape)
        parts.append(joined @ half + own)
    return sparse.vstack(parts, format="csr")


def gaussian_weights(x_MD, pairs, largest_M, memory: int) -> sparse.csr_matrix:
    """Each row's neighbourhood as weights exp(-original distance), of sum 1 (eq. 7)."""
    weights = np.exp(-pair_distances(x_MD, pairs.row, pairs.col, memory) / largest_M[pairs.row])
    sums = np.bincount(pairs.row, weights, minlength=len(x_MD))
    return sparse.csr_matrix((weights / sums[pairs.row], (pairs.row, pairs.col)), pairs.shape)


def pair_distances(x_MD, left, right, memory: int) -> np.ndarray:
    """Squared Euclidean distances of pairs of rows, float64."""
    result, size = np.empty(len(left)), max(1, memory // (24 * x_MD.shape[1]))
    for start in range(0, len(left), size):
        some, rows_MD = slice(start, start + size), x_MD
        ends = np.concatenate([left[some], right[some]])
        if isinstance(x_MD, ConcatenatedDescriptors):  # each row is read once
            rows, ends = np.unique(ends, return_inverse=True)
            rows_MD = x_MD[rows]
        ends = torch.as_tensor(ends, device=x_MD.device).chunk(2)
        first, second = (rows_MD.index_select(0, end) for end in ends)
        result[some] = squared_distance((first * second).sum(1)).cpu().numpy()
    return result


def sum_of_minima(asked, stored, memory: int) -> np.ndarray:
    """sum_l min(asked[b, l], stored[n, l]), (B, N), of (B, M) and (N, M) sparse matrices; `stored` by columns."""
    height, width = asked.shape[0], stored.shape[0]
    result = np.zeros(height * width)
    for row, column, least in shared_members(asked, stored, memory):
        np.add.at(result, row.astype(np.int64) * width + column, least)
    return result.reshape(height, width)


def shared_members(asked, stored, memory: int):
    """Yield (b, n, min(asked[b, l], stored[n, l])) of every l that both have, arrays of bounded length; b rises."""
    asked = asked.tocoo()
    lengths = np.diff(stored.indptr)[asked.col]  # stored rows that hold the column of each asked entry
    ends = np.cumsum(lengths)
    start, most = 0, max(1, memory // 64)
    while start < asked.nnz:
        stop = max(start + 1, int(np.searchsorted(ends, (ends[start - 1] if start else 0) + most, side="right")))
        some, many = slice(start, stop), lengths[start:stop]
        owner = np.repeat(np.arange(len(many)), many)
        place = np.arange(len(owner)) + np.repeat(stored.indptr[asked.col[some]] - (np.cumsum(many) - many), many)
        yield asked.row[some][owner], stored.indices[place], np.minimum(asked.data[some][owner], stored.data[place])
        start = stop
