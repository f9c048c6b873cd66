"""The formats that `docs/reference/files.md` describes are those of the files that the workflow writes."""

import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest

from tests.helpers.workflow import MODEL, ROOT, RUN
from vprlib.io.files import FILE_CHECKSUM, write_h5

PAGE = (ROOT / "docs/reference/files.md").read_text(encoding="utf-8")
SHAPES = {"(N, D)": 2, "(N, M)": 2, "(Q, K)": 2, "(D, M)": 2, "(M,)": 1, "(D, 1)": 2, "(M, 1)": 2, "(N,)": 1}


def documented(heading):
    """{name: type} of the datasets and the names of the attributes in the table below a heading."""
    section = PAGE.split(f"## {heading}", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (.*?) \| (.*?) \| .* \|$", section, re.MULTILINE)
    names = {name: kind for cell, kind in rows[2:] for name in re.findall(r"`([^`]+)`", cell)}
    attributes = {name for cell, _ in rows if cell.startswith("attribute") for name in re.findall(r"`([^`]+)`", cell)}
    return {name: kind for name, kind in names.items() if name not in attributes}, attributes


def content(path):
    """{name: dataset's shape and type} and the names of the attributes of a file."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, node: found.update({name: node}) if isinstance(node, h5py.Dataset) else None)
        return {name: (node.ndim, node.dtype) for name, node in found.items()}, set(file.attrs) - {FILE_CHECKSUM}


def check(found, kinds):
    """Each dataset is documented, with its number of axes and its type."""
    for name, (axes, dtype) in found.items():
        shape, _, type_name = kinds[name].rpartition(" ")
        assert axes == SHAPES[shape], name
        assert dtype.kind == "O" if type_name == "text" else dtype == np.dtype(type_name), name


@pytest.mark.parametrize("name", ["database.h5", "queries.h5"])
def test_descriptors(done, name):
    kinds, attributes = documented("Descriptors: database.h5, queries.h5")
    found, written = content(done / RUN.format("city") / name)
    assert set(found) == {"raw", "whitened"}
    check(found, kinds)
    assert written == attributes


def test_rankings(done):
    kinds, attributes = documented("Rankings: ranking.h5, rerank/{rerank}.h5")
    _, of_descriptors = documented("Descriptors: database.h5, queries.h5")
    found, written = content(done / RUN.format("city") / "ranking.h5")
    parts = {name: "{scope}/{kind}/" + name.rpartition("/")[2] for name in found}
    assert {name.split("/")[0] for name in found} == {"all"}
    assert set(parts.values()) == set(kinds)
    for name, (axes, dtype) in found.items():
        shape, _, type_name = kinds[parts[name]].rpartition(" ")
        assert (axes, dtype) == (SHAPES.get(shape, 0), np.dtype(type_name))
    assert written == of_descriptors | attributes - {"rerank", "reranker"}


def test_whitening(done):
    kinds, attributes = documented("Whitening: pca.h5")
    found, written = content(done / MODEL / "pca.h5")
    check(found, kinds)
    assert set(found) == set(kinds)
    assert written == attributes


def test_the_output_of_describe(done):
    kinds, attributes = documented("Output of `vprlib describe`")
    photo = next((done / "data/city/queries_real").rglob("*.jpg"))
    command = [sys.executable, "-m", "vprlib", "describe", f"{MODEL}/best.safetensors", str(photo), "--out", "x.h5"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=done, check=True, stdout=subprocess.DEVNULL, env=environment)
    found, written = content(done / "x.h5")
    check(found, kinds)
    assert (set(found), written) == (set(kinds), attributes)


def test_a_change_of_a_name_would_be_seen(done):
    kinds, _ = documented("Descriptors: database.h5, queries.h5")
    write_h5(done / "x.h5", {"descriptors": np.zeros((2, 3), np.float16)})
    with pytest.raises(KeyError):
        check(content(done / "x.h5")[0], kinds)
