"""Process the rows of an array in parallel threads; each thread computes its own matrix products.

numpy's matrix products are faster on several threads that compute one product each than on one thread that waits for
its BLAS helper threads after each product. Idle helpers also keep spinning for a while, and would take the cores of
these threads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_thread_state = threading.local()


def parallel_over_rows(work: Callable[[int, int], Any], count: int, threads: int | None = None) -> None:
    """Call `work(first, last)` for equal parts of `count` rows, in parallel threads.

    A call of this function within `work` runs on the calling thread alone. The first exception of a part is raised
    after all parts have ended.

    Args:
        work: called once per part, with the number of its first row and of the row after its last.
        count: number of rows.
        threads: number of threads; by default as many as faiss may use.
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


def _single_threaded_worker() -> None:
    """Initialize a worker thread: faiss runs single-threaded in it."""
    import faiss

    _thread_state.shares = True
    faiss.omp_set_num_threads(1)


def limit_blas_threads() -> AbstractContextManager[Any]:
    """Return a context in which numpy's BLAS uses one thread.

    The limit holds for the whole process, so only the main thread sets it. In another thread the context does nothing,
    and the computation is slower.
    """
    return (
        _blas_controller().limit(limits=1) if threading.current_thread() is threading.main_thread() else nullcontext()
    )


@functools.cache
def _blas_controller() -> ThreadpoolController:
    """Return the controller of the BLAS libraries with one thread limit per process, which are numpy's.

    faiss's own library uses OpenMP, whose limit is per thread, so it is left out.
    """
    from threadpoolctl import ThreadpoolController

    controller = ThreadpoolController()
    layers = {library["filepath"]: library.get("threading_layer", "openmp") for library in controller.info()}
    return controller.select(filepath=[path for path, layer in layers.items() if layer != "openmp"])
