"""Arrays of Python lists are read without running what they name."""

import os
import pickle
import struct
from contextlib import suppress

import numpy as np
import pytest

from vprlib.exceptions import InputError
from vprlib.io.object_arrays import read_integer_lists


def saved(path, content, protocol=None):
    """Write a `.npy` of objects; with a protocol, as another version of numpy would."""
    array = content if isinstance(content, np.ndarray) else objects(content)
    np.save(path, array, allow_pickle=True)
    if protocol is not None:
        head = path.read_bytes()[:10]
        length = struct.unpack("<H", head[8:10])[0]
        start = path.read_bytes()[: 10 + length]
        path.write_bytes(start + pickle.dumps(array, protocol=protocol))
    return path


def objects(rows):
    """A one-dimensional array of objects, whatever the lengths of the rows are."""
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def table(rows):
    """A (Q, 2) array of objects: a number and a list."""
    array = np.empty((len(rows), 2), object)
    for n, (number, row) in enumerate(rows):
        array[n, 0], array[n, 1] = number, row
    return array


@pytest.mark.parametrize("protocol", [None, 2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_lists_arrays_and_numbers_are_read_as_they_were_written(tmp_path, protocol, seed):
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, 300, rng.integers(0, 6)).tolist() for _ in range(9)]
    for kind in (list, np.array, lambda row: np.array(row, ">i4"), lambda row: np.array(row, np.uint8), tuple):
        written = [kind([min(value, 255) for value in row]) for row in lists]
        written = [
            row.astype(np.int16) if isinstance(row, np.ndarray) and row.dtype == float else row for row in written
        ]
        expected = [[min(value, 255) for value in row] for row in lists]
        assert read_integer_lists(saved(tmp_path / "x.npy", written, protocol)) == expected
        pairs = table([(np.int64(n) if n % 2 else n, row) for n, row in enumerate(written)])
        assert read_integer_lists(saved(tmp_path / "x.npy", pairs, protocol)) == [
            [n, row] for n, row in enumerate(expected)
        ]


@pytest.mark.parametrize(
    "content", [np.arange(6).reshape(2, 3), np.arange(3, dtype=">u2"), np.arange(6).reshape(3, 2).T]
)
def test_plain_arrays_of_whole_numbers_are_read_too(tmp_path, content):
    np.save(tmp_path / "x.npy", content)
    assert read_integer_lists(tmp_path / "x.npy") == content.tolist()


def test_rows_of_equal_length_keep_their_shape(tmp_path):
    cube = np.array([[[0], [1]], [[2], [3]]], object)
    assert read_integer_lists(saved(tmp_path / "x.npy", cube)) == cube.tolist()
    assert read_integer_lists(saved(tmp_path / "x.npy", np.array([[1, 2], [3, 4]], object).T)) == [[1, 3], [2, 4]]


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def evil_files(mark):
    yield "os.system", objects([Evil(os.system, f"touch {mark}")])
    yield "eval", objects([[0], Evil(eval, f"open({str(mark)!r}, 'w')")])
    yield "a dotted name", b"\x80\x04\x8c\x13numpy.core.multiarray\x8c\x09os.system\x93\x8c\x05touch\x85R."
    yield "a class of numpy", objects([Evil(np.memmap, str(mark), "u1", "w+", 0, (1,))])
    yield "loads again", objects([Evil(pickle.loads, pickle.dumps(Evil(os.system, f"touch {mark}")))])


@pytest.mark.parametrize("number", range(5))
def test_nothing_that_a_file_names_is_called(tmp_path, refused, number):
    mark = tmp_path / "mark"
    _, content = list(evil_files(mark))[number]
    path = tmp_path / "x.npy"
    if isinstance(content, bytes):
        saved(path, objects([[0]]))
        length = struct.unpack("<H", path.read_bytes()[8:10])[0]
        path.write_bytes(path.read_bytes()[: 10 + length] + content)
    else:
        saved(path, content)
    with refused(path, "cannot be read as lists of whole numbers", "json.dump"):
        read_integer_lists(path)
    assert not mark.exists()


def test_a_type_with_false_flags_makes_no_array(tmp_path):
    """Raw bytes under the type of objects would be pointers."""
    path = saved(tmp_path / "x.npy", objects([[1], [2]]))
    content = path.read_bytes()
    for end in range(len(content) - 40, len(content)):
        for bit in range(8):
            path.write_bytes(content[:end] + bytes([content[end] ^ 1 << bit]) + content[end + 1 :])
            with suppress(InputError):
                assert isinstance(read_integer_lists(path), list)


BAD = {
    "floats": objects([[0.5]]),
    "text": objects([["a"]]),
    "true": objects([[True]]),
    "none": objects([None, [1]]),
    "an array of floats": objects([np.array([0.5])]),
    "a dictionary": objects([{0: 1}]),
    "plain floats": np.arange(3.0),
    "a single number": np.array(3),
    "too deep": objects([[[[[[[1]]]]]]]),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_is_no_list_of_whole_numbers_is_refused(tmp_path, refused, content):
    with refused(saved(tmp_path / "x.npy", content), "cannot be read as lists of whole numbers"):
        read_integer_lists(tmp_path / "x.npy")


def test_a_list_in_itself_is_refused(tmp_path, refused):
    row: list = [1]
    row.append(row)
    with refused(saved(tmp_path / "x.npy", objects([row])), "too deep"):
        read_integer_lists(tmp_path / "x.npy")


def test_a_cut_file_is_refused(tmp_path, refused):
    path = saved(tmp_path / "x.npy", table([(n, [n, n + 1]) for n in range(5)]))
    content = path.read_bytes()
    for kept in range(0, len(content), 7):
        path.write_bytes(content[:kept])
        with refused(path, "cannot be read"):
            read_integer_lists(path)


def test_the_published_table_of_vpr_bench_is_read_as_numpy_reads_it(real_data):
    path = real_data / "gardens_point/vprbench_ground_truth_new.npy"
    trusted = np.load(path, allow_pickle=True)
    assert read_integer_lists(path) == [[number, row] for number, row in trusted]
