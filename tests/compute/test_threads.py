import threading
import time

import faiss
import numpy as np
import pytest

from vprlib.compute.threads import _blas_controller, parallel_over_rows
from vprlib.retrieval.exact_search import nearest


def used() -> list:
    return [library["num_threads"] for library in _blas_controller().info()]


@pytest.fixture(autouse=True)
def two_threads():
    """Of faiss, and of numpy, however many this machine has."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(2)
    with _blas_controller().limit(limits=2):
        yield
    faiss.omp_set_num_threads(before)


@pytest.mark.parametrize(("count", "threads"), [(0, None), (1, None), (7, 1), (7, 2), (7, 20), (100, None)])
def test_shares_are_the_rows_once_and_in_order(count, threads):
    found = []
    parallel_over_rows(lambda first, last: found.append((first, last)), count, threads)
    assert [row for part in sorted(found) for row in range(*part)] == list(range(count))
    assert len(found) == max(1, min(threads or 2, count))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_share_has_one_thread_for_products_and_shares_nothing_itself(threads):
    found, together = [], threading.Barrier(threads)

    def work(first, last):
        together.wait()  # or the first thread may do both
        found.append((max(used()), threading.current_thread().name))
        parallel_over_rows(lambda *_: found.append((max(used()), threading.current_thread().name)), 4, threads)

    parallel_over_rows(work, 2, threads)
    assert {number for number, _ in found} == {1}
    assert len(found) == 2 * threads
    assert len({name for _, name in found}) == threads
    assert set(used()) == {2}


def test_callers_at_once_leave_the_threads_as_they_were():
    """Also where the first to come is the first to leave, and one of them is the main thread."""
    callers = [threading.Thread(target=parallel_over_rows, args=(lambda *_, s=s: time.sleep(s), 2)) for s in (0.1, 0.4)]
    for caller in callers:
        caller.start()
    parallel_over_rows(lambda *_: time.sleep(0.2), 2)
    during = used()
    for caller in callers:
        caller.join()
    assert set(during) == set(used()) == {2}


def test_what_a_share_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        parallel_over_rows(lambda first, last: 1 // first, 4)
    assert set(used()) == {2}


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_ranking_is_the_same_on_any_number_of_threads(threads):
    rng = np.random.default_rng(0)
    query, database = (rng.standard_normal((count, 24)).astype(np.float32) for count in (37, 900))
    expected = nearest(query, database, 9)
    faiss.omp_set_num_threads(threads)
    for one, other in zip(nearest(query, database, 9, block=101), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert faiss.omp_get_max_threads() == threads
