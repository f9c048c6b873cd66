"""Work on rows shared by threads, each with numpy's matrix products to itself.

numpy's products are faster on each of several threads than on one that waits for its helpers after each, and those
helpers keep turning for a while when there is nothing for them to do: they would take the cores of these threads.
"""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor

state = threading.local()


def in_shares(work, count: int, threads: int | None = None):
    """Call `work(first, last)` for equal shares of `count` rows, on as many threads as faiss may use by default.

    What `work` shares in turn stays on its thread. The first exception of a share is raised when all have ended.
    """
    import faiss

    threads = min(threads or faiss.omp_get_max_threads(), count)
    if threads <= 1 or getattr(state, "shared", False):
        work(0, count)
        return
    ends = [count * number // threads for number in range(threads + 1)]
    with blas().limit(limits=1), ThreadPoolExecutor(threads, "share", alone) as pool:
        list(pool.map(work, ends[:-1], ends[1:]))


def alone():
    """A thread that shares work has no helpers."""
    import faiss

    state.shared = True
    faiss.omp_set_num_threads(1)


@functools.cache
def blas():
    """numpy's library of matrix products, whose threads can be limited."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
