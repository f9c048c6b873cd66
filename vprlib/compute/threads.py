"""Work on rows shared by threads, each with numpy's matrix products to itself.

numpy's products are faster on each of several threads than on one that waits for its helpers after each, and those
helpers keep turning for a while when there is nothing for them to do: they would take the cores of these threads.
"""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

_thread_state = threading.local()


def parallel_over_rows(work, count: int, threads: int | None = None):
    """Call `work(first, last)` for equal shares of `count` rows, on as many threads as faiss may use by default.

    What `work` shares in turn stays on its thread. The first exception of a share is raised when all have ended.
    """
    import faiss

    if getattr(_thread_state, "shares", False):
        work(0, count)
        return
    threads = min(threads or faiss.omp_get_max_threads(), count)
    with limit_blas_threads():
        if threads <= 1:
            work(0, count)
            return
        ends = [count * number // threads for number in range(threads + 1)]
        with ThreadPoolExecutor(threads, "share", _single_threaded_worker) as pool:
            list(pool.map(work, ends[:-1], ends[1:]))


def _single_threaded_worker():
    """A thread that has a share has no helpers."""
    import faiss

    _thread_state.shares = True
    faiss.omp_set_num_threads(1)


def limit_blas_threads():
    """A context. The number is the process's, so only the main thread changes it; others are slower beside it."""
    return (
        _blas_controller().limit(limits=1) if threading.current_thread() is threading.main_thread() else nullcontext()
    )


@functools.cache
def _blas_controller():
    """The libraries of matrix products whose number of threads is the process's: numpy's.

    faiss' own is by OpenMP, whose number each thread has for itself.
    """
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController()
    layers = {library["filepath"]: library.get("threading_layer", "openmp") for library in found.info()}
    return found.select(filepath=[path for path, layer in layers.items() if layer != "openmp"])
