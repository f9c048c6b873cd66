import hashlib
import json
import os
import socket
import subprocess
import sys
import time

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vprlib.io.files import atomic, read_h5, write_bytes, write_csv, write_h5
from vprlib.io.fingerprints import sha256_of_file, short_hash

FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
import numpy as np, pandas as pd, torch
from vprlib.io import files
from vprlib.models.checkpoint import write_weights
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
x = np.random.default_rng(0).random(20_000)
writers = {
    "csv": lambda path: files.write_csv(path, pd.DataFrame({"x": x})),
    "json": lambda path: files.write_json(path, x.tolist()),
    "h5": lambda path: files.write_h5(path, {"x": x}),
    "weights": lambda path: write_weights(path, {"x": torch.from_numpy(x)}, {}),
}
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
raised = {}
for name, write in writers.items():
    try:
        write(Path(sys.argv[1], name, "out"))
        raised[name] = ["nothing"]
    except Exception as error:
        raised[name] = [kind.__name__ for kind in type(error).__mro__]
print(json.dumps(raised))
"""


def left_by(path, owner):
    return path.with_name(f".{path.name}.{socket.gethostname()}.{owner}")


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory, repository):
    """What each writer raised when the disk was full, and the folder it wrote into."""
    root = tmp_path_factory.mktemp("full")
    for name in ("csv", "json", "h5", "weights"):
        (root / name).mkdir()
        (root / name / "out").write_text("old")
    command = [sys.executable, "-c", FULL_DISK, root]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    return json.loads(done.stdout), root


@pytest.mark.parametrize("name", ["csv", "json", "h5", "weights"])
def test_a_full_disk_keeps_the_old_file_and_leaves_no_other(full_disk, name):
    raised, root = full_disk
    assert [*(root / name).iterdir()] == [root / name / "out"]
    assert (root / name / "out").read_text() == "old"
    assert {"OSError", "InputError"} & set(raised[name]), raised[name]


def test_a_failing_block_keeps_the_old_file_and_leaves_no_other(tmp_path):
    path = tmp_path / "new folder" / "out"
    write_bytes(path, b"old")
    with pytest.raises(TypeError), atomic(path) as partial:
        partial.write_text("half") + path.read_text()
    assert [*path.parent.iterdir()] == [path]
    assert path.read_bytes() == b"old"
    with path.open("rb") as reader:
        write_bytes(path, b"new")
        assert reader.read() == b"old", "a reader must not see a file change"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["out.csv", "run[1].csv"])
def test_leftovers_go_when_their_process_is_dead_and_stay_while_it_lives(tmp_path, name):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    path = tmp_path / name
    dead, alive, other = (left_by(path, owner) for owner in (ended.pid, os.getppid(), "backup"))
    for leftover in (dead, alive, other):
        leftover.write_text("half")
    write_bytes(path, b"new")
    assert {*tmp_path.iterdir()} == {path, alive, other}


def test_hdf5_has_the_same_bytes_later_and_reads_back(tmp_path):
    arrays = {"a/x": np.arange(6.0).reshape(2, 3), "n": 7}
    write_h5(tmp_path / "one.h5", arrays, {"model": "{}"})
    time.sleep(1.1)  # time stamps count seconds
    write_h5(tmp_path / "two.h5", arrays, {"model": "{}"})
    assert (tmp_path / "one.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    x, n = read_h5(tmp_path / "one.h5", "a/x", "n")
    np.testing.assert_array_equal(x, arrays["a/x"])
    assert n == 7
    with h5py.File(tmp_path / "one.h5") as file:
        assert file.attrs["model"] == "{}"


def test_an_unreadable_hdf5_is_named_in_one_line(tmp_path, refused):
    path = tmp_path / "x.h5"
    with refused(path):
        read_h5(path, "U")
    path.write_bytes(b"no HDF5")
    with refused(path):
        read_h5(path, "U")
    write_h5(path, {"centroids": 1, "b": 2})
    with refused(path, "'U'", "b, centroids"):
        read_h5(path, "b", "U")


@settings(deadline=None, derandomize=True)
@given(st.lists(st.floats(allow_nan=False), min_size=1))
def test_a_csv_keeps_every_digit(tmp_path_factory, values):
    path = tmp_path_factory.getbasetemp() / "digits.csv"
    write_csv(path, pd.DataFrame({"x": values}))
    assert [float(line.split(",")[0]) for line in path.read_text().splitlines()[1:]] == values


def test_a_digest_is_the_sha256(tmp_path):
    content = np.random.default_rng(0).bytes(300_000)
    (tmp_path / "x").write_bytes(content)
    assert sha256_of_file(tmp_path / "x") == hashlib.sha256(content).hexdigest()


def test_a_fingerprint_depends_on_content_and_not_on_the_order_of_keys():
    value = {"b": [1, 2.5], "a": {"y": None, "x": "é"}}
    turned = {"a": {"x": "é", "y": None}, "b": [1, 2.5]}
    assert short_hash(value) == short_hash(turned)
    assert short_hash(value) != short_hash(value | {"b": [2.5, 1]})
    assert set(short_hash(value)) <= set("0123456789abcdef")
    assert len(short_hash(value)) == 12
