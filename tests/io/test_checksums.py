"""What a failing disk does to an artefact is told: flipped bits and cut ends, anywhere in the file."""

import h5py
import numpy as np
import pandas as pd
import pytest

from vprlib.data.text_table import read_written_table
from vprlib.exceptions import InputError
from vprlib.io.checksums import array_checksum
from vprlib.io.files import check_csv, h5_writer, open_h5, read_h5, write_csv, write_h5


def flip(path, bit):
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def content(path):
    with open_h5(path) as file:
        names = []
        file.visit(names.append)
        arrays = {name: file[name][()].tobytes() for name in names if isinstance(file[name], h5py.Dataset)}
        return arrays, {name: str(value) for name, value in file.attrs.items()}


def test_a_flipped_bit_of_an_hdf5_file_is_told_wherever_it_is(tmp_path):
    path, rng = tmp_path / "x.h5", np.random.default_rng(0)
    arrays = {"raw": rng.normal(size=(40, 16)).astype(np.float16), "all/raw/ranking": rng.integers(0, 9, (5, 4))}
    write_h5(path, arrays, {"checkpoint": "12ab" * 16, "recipe": '{"train": [{"epochs": 5}]}'})
    whole, told = content(path), []
    for bit in rng.choice(8 * path.stat().st_size, 400, replace=False):
        flip(path, bit)
        with pytest.raises(InputError) as refused:
            content(path)
        told.append(str(refused.value))
        flip(path, bit)
    assert all(message.startswith(f"{path}: ") and "\n" not in message for message in told)
    assert content(path) == whole


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_cut_hdf5_file_is_named(tmp_path, share, refused):
    path = tmp_path / "cut.h5"
    write_h5(path, {"raw": np.ones((50, 8), np.float32)})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with refused(path):
        read_h5(path, "raw")


def test_a_file_of_others_has_no_checksum_and_is_read(tmp_path):
    with h5py.File(tmp_path / "pca.h5", "w") as file:
        file["mu"] = np.arange(3)
    assert read_h5(tmp_path / "pca.h5", "mu")[0].tolist() == [0, 1, 2]


def test_lazy_datasets_are_left_to_their_reader(tmp_path):
    with h5_writer(tmp_path / "a.h5", lazy=("large",)) as file:
        file["large"], file["small"] = np.zeros(10), np.ones(3)
    with open_h5(tmp_path / "a.h5") as file:
        assert "checksum" not in file["large"].attrs
        assert file["small"].attrs["checksum"] == array_checksum(np.ones(3))


def test_a_checksum_changes_with_every_bit_with_shape_and_with_type():
    rng = np.random.default_rng(1)
    array = rng.integers(0, 255, 3 * (1 << 20) + 5).astype(np.uint8)  # more than one sum, and a rest
    expected = array_checksum(array)
    for position in [0, 1 << 20, len(array) - 1, *rng.integers(0, len(array), 20)]:
        changed = array.copy()
        changed[position] ^= 1 << int(rng.integers(8))
        assert array_checksum(changed) != expected
    assert array_checksum(array) == expected
    assert array_checksum(array.view(np.int8)) != expected
    assert array_checksum(array.reshape(1, -1)) != expected
    assert array_checksum(np.zeros((0, 4))) != array_checksum(np.zeros((0, 5)))
    assert array_checksum(array[::2]) == array_checksum(array[::2].copy())


def test_an_error_of_the_work_on_an_open_file_is_not_blamed_on_it(tmp_path):
    write_h5(tmp_path / "a.h5", {"x": np.ones(2)})
    with pytest.raises(RuntimeError, match="out of memory"), open_h5(tmp_path / "a.h5"):
        raise RuntimeError("out of memory")
    with pytest.raises(FileNotFoundError), open_h5(tmp_path / "a.h5"):
        (tmp_path / "missing").read_bytes()


@pytest.mark.parametrize("label", ["plain", 'quo"ted, and more', "two\nlines", "a\rreturn", ""])
def test_a_table_that_changed_is_told_wherever_it_changed(tmp_path, label, refused):
    path, rng = tmp_path / "images.csv", np.random.default_rng(0)
    table = pd.DataFrame({"path": [f"{number}.jpg" for number in range(20)], "east": rng.uniform(0, 1e6, 20)})
    table["place"] = label or None
    write_csv(path, table)
    whole = path.read_bytes()
    again = read_written_table(path, lambda column: column == "east")
    assert again.columns.tolist() == ["path", "east", "place"]
    assert again.east.tolist() == table.east.tolist()
    for bit in rng.choice(8 * len(whole), 200, replace=False):
        flip(path, bit)
        if bit >= 8 * (1 + whole.index(b"\n")):  # a changed header is an unknown or missing column
            with refused(path, "checksum"):
                check_csv(path)
        flip(path, bit)
    path.write_bytes(whole[: len(whole) // 2].rpartition(b"\n")[0] + b"\n")  # cut at the end of a row
    with refused(path, "checksum"):
        check_csv(path)
    path.write_bytes(whole)
    check_csv(path)


def test_a_table_of_others_and_an_empty_one_are_read(tmp_path, refused):
    (tmp_path / "mine.csv").write_text("path,place\na.jpg,1\n")
    check_csv(tmp_path / "mine.csv")
    write_csv(tmp_path / "empty.csv", pd.DataFrame({"path": []}))
    write_csv(tmp_path / "cut.csv", pd.DataFrame({"path": ["a.jpg"], "checksum": ["of a user"]}))
    assert read_written_table(tmp_path / "cut.csv", bool).columns.tolist() == ["path", "checksum"]
    (tmp_path / "cut.csv").write_text((tmp_path / "cut.csv").read_text().splitlines(keepends=True)[0])
    with refused(tmp_path / "cut.csv", "cut short"):
        check_csv(tmp_path / "cut.csv")
    for length in (0, 3, 11):
        (tmp_path / "mine.csv").write_text("path,place\n"[:length])
        if length < 11:
            with refused(tmp_path / "mine.csv", "cut short"):
                check_csv(tmp_path / "mine.csv", required=True)
    check_csv(tmp_path / "mine.csv", required=True)
    assert read_written_table(tmp_path / "empty.csv", bool).columns.tolist() == ["path"]
    write_csv(tmp_path / "wide.csv", pd.DataFrame({"run": ["a"]}), checksum=False)
    assert (tmp_path / "wide.csv").read_text() == "run\na\n"


def test_datasets_that_are_not_read_as_a_whole_are_not_compared(tmp_path, refused):
    path = tmp_path / "a.h5"
    write_h5(path, {"raw": np.arange(1000.0), "whitened": np.ones(9)})
    with h5py.File(path, "r+") as file:
        file["raw"][500] = 7
    with open_h5(path, verify=("whitened",)) as file:
        assert file["raw"][500] == 7
    with refused(path, "raw"), open_h5(path):
        pass
