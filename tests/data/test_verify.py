import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vprlib.data.checks import near_duplicates, photo_scan
from vprlib.data.checks.near_duplicates import count_near_duplicates
from vprlib.data.checks.photo_scan import PhotoRecord, read_scan_cache, scan_photo, scan_photos
from vprlib.data.checks.verify import BINS, count_histogram, count_positives, verify_dataset
from vprlib.data.dataset import Dataset
from vprlib.data.image_table import SPLITS
from vprlib.data.layouts.csv_table import csv_dataset
from vprlib.data.protocol import Protocol
from vprlib.io.files import write_csv


@pytest.fixture
def sets(tmp_path, photo):
    """Two splits of 3 places, 1 km apart; a query at each. Returns (rows by name, check)."""
    rows = {}
    for number, split in enumerate(("train", "test")):
        for place in range(3):
            for role, east in (("database", 0), ("query", 4)):
                name = f"{split}_{role}_{place}.jpg"
                photo(tmp_path / name, seed=len(rows))
                rows[name] = [split, role, 1000 * number + 50 * place + east, 0]

    def check(counts=(), max_hash_distance=4, radius=10, **changes):
        lines = [",".join(map(str, [name, *row])) for name, row in (rows | changes).items()]
        (tmp_path / "own.csv").write_text("\n".join(["path,split,role,east,north", *lines]))
        declared = replace(csv_dataset(tmp_path / "own.csv", Protocol("own", radius=radius)), counts=dict(counts))
        write_csv(tmp_path / "images.csv", declared.table())
        paths = {"images": tmp_path / "images.csv", "dataset": declared, "name": "own"}
        verify_dataset(tmp_path / "out.json", **paths, max_hash_distance=max_hash_distance, threads=2)
        return json.loads((tmp_path / "out.json").read_text())

    return tmp_path, check


def test_a_clean_set_passes(sets):
    _, check = sets
    report = check({("train", "query"): 3, ("val", "query"): 0})
    assert report["counts"] == {
        "train database": 3, "train query": 3, "val database": 0, "val query": 0, "test database": 3, "test query": 3,
    }  # fmt: skip
    assert report["declared"] == {"train query": 3, "val query": 0}
    assert report["sizes"] == [["32x24", 12]]
    assert report["bounds"] == {"east": [0, 1104], "north": [0, 0]}
    assert (report["duplicates"], report["leaks"]) == ([], {})
    assert report["near_duplicates"] == {"max_hash_distance": 4, "pairs": {}, "listed": []}
    assert [(row["split"], row["without"]) for row in report["positives"]] == [("train", []), ("test", [])]
    assert (report["dataset"], report["protocols"], report["radius"], report["unit"]) == ("own", ["own"], 10, "m")


@pytest.mark.parametrize("damage", [lambda content: content[:-60], lambda content: b"", None])
def test_photos_that_cannot_be_read_are_named_and_counted(sets, refused, damage):
    root, check = sets
    whole = {}
    for name in ("train_query_1.jpg", "test_database_2.jpg"):
        whole[name] = (root / name).read_bytes()
        if damage:
            (root / name).write_bytes(damage((root / name).read_bytes()))
        else:
            (root / name).unlink()
    with refused(root / "train_query_1.jpg", "and 1 more", "broken.json"):
        check()
    broken = json.loads((root / "broken.json").read_text())["broken"]
    assert sorted(broken) == sorted(str(root / name) for name in whole)
    assert not (root / "out.json").exists()
    for name, content in whole.items():
        (root / name).write_bytes(content)
    check()
    assert not (root / "broken.json").exists()


def test_other_counts_than_the_declared_ones_are_refused(sets, refused):
    _, check = sets
    with refused("images.csv", "test has 3 query", "should have 4"):
        check({("train", "query"): 3, ("test", "query"): 4})


def test_duplicates_leaks_and_queries_without_positives_are_reported(sets, caplog):
    root, check = sets
    for copy in ("train_query_2.jpg", "test_query_0.jpg"):
        shutil.copy(root / "train_database_0.jpg", root / copy)
    far, near = ["train", "query", 500, 0], ["train", "query", 1052, 0]
    with caplog.at_level(logging.WARNING):
        report = check(**{"train_query_0.jpg": far, "train_query_1.jpg": near})
    group = ["test_query_0.jpg", "train_database_0.jpg", "train_query_2.jpg"]
    assert report["duplicates"] == [[str(root / name) for name in group]]
    assert report["leaks"] == {"train near test": 1}
    lacking = [str(root / f"train_query_{place}.jpg") for place in (0, 1)]
    assert [row["without"] for row in report["positives"]] == [lacking, []]
    assert report["near_duplicates"]["pairs"] == {}
    assert "1 duplicates" in caplog.text
    assert "1 leaks" in caplog.text


def test_near_duplicates_are_those_of_the_definition(monkeypatch):
    """Random hashes, some copied with a few bits changed, against all pairs, one by one."""
    rng, count, radius = np.random.default_rng(0), 400, 25
    hashes = rng.integers(0, 2**64, count, np.uint64)
    for one in range(120, count):
        flips = np.uint64(sum(1 << int(bit) for bit in rng.choice(64, rng.integers(0, 9), replace=False)))
        hashes[one] = hashes[rng.integers(120)] ^ flips
    digests = [f"{number:02}" for number in rng.integers(0, 60, count)]
    table = pd.DataFrame({"path": [f"{i}.jpg" for i in range(count)], "split": rng.choice(SPLITS, count)})
    table = table.assign(east=rng.choice([0, 20.0, 25.0, 50.0], count), north=0.0)
    expected, bits = Counter(), {}
    split, east, order = list(table.split), list(table.east), list(table.split.unique())
    for a, b in combinations(range(count), 2):
        apart = abs(east[a] - east[b])
        differ = bin(int(hashes[a]) ^ int(hashes[b])).count("1")
        across = split[a] != split[b]
        if differ <= 5 and digests[a] != digests[b] and (across or apart > radius):
            expected[" and ".join(sorted({split[a], split[b]}, key=order.index))] += 1
            bits[table.path[a], table.path[b]] = [differ, apart]
    monkeypatch.setattr(near_duplicates, "LISTED", 50)
    found = count_near_duplicates(table, digests, hashes, max_hash_distance=5, radius=radius)
    assert found["pairs"] == expected
    assert len(expected) == 6
    listed = {(a, b): rest for a, b, *rest in found["listed"]}
    assert len(listed) == 50 < len(bits)
    assert all(bits[pair] == rest for pair, rest in listed.items())
    assert max(differ for differ, _ in listed.values()) <= sorted(differ for differ, _ in bits.values())[50]


def test_a_photo_saved_again_is_a_near_duplicate_where_it_should_not_be(sets):
    root, check = sets
    with Image.open(root / "train_database_0.jpg") as original:
        original.resize((64, 48)).save(root / "train_query_0.jpg", quality=60)  # 4 m away: by right
        original.save(root / "train_query_2.jpg", quality=60)
        original.save(root / "test_query_0.jpg", quality=70)
    found = check(max_hash_distance=6)["near_duplicates"]
    assert found["pairs"] == {"train": 2, "train and test": 3}
    pair = [str(root / name) for name in ("train_database_0.jpg", "train_query_2.jpg")]
    assert [pair, 104] in [[names, metres] for *names, _, metres in found["listed"]]
    assert check(max_hash_distance=0)["near_duplicates"]["max_hash_distance"] == 0


def test_positives_are_counted(sets):
    _, check = sets
    far = {f"test_query_{place}.jpg": ["test", "query", 1000 + 25 * place, 0] for place in range(3)}
    train, test = check(radius=25, **far)["positives"]
    assert (train["split"], train["min"], train["mean"], train["max"]) == ("train", 1, 1, 1)
    assert (test["split"], test["queries"], test["min"], test["median"], test["max"]) == ("test", 3, 1, 1, 2)
    assert test["mean"] == pytest.approx(4 / 3)
    assert test["histogram"] == [[1, 1, 2], [2, 2, 1]]


@pytest.mark.parametrize("most", [1, 30, 31, 360])
def test_a_histogram_s_bins_hold_all_queries_and_zero_alone(most):
    number = np.random.default_rng(0).integers(0, most + 1, 500)
    number[:2] = 0, most
    bins = count_histogram(number)
    assert len(bins) <= BINS + 1
    assert bins[0] == [0, 0, int((number == 0).sum())]
    assert len({last - first for first, last, _ in bins[1:]}) == 1
    assert [count for *_, count in bins] == [int(((number >= a) & (number <= b)).sum()) for a, b, _ in bins]
    assert sum(count for *_, count in bins) == 500


def test_each_protocol_judges_test_by_its_own_queries_and_cities():
    rows = [("database", 0, "a", 0), ("database", 3, "b", 0), ("query", 1, "a", 1), ("query", 2, "b", 0)]
    table = pd.DataFrame(rows, columns=["role", "east", "city", "asked"]).assign(split="test", north=0.0)
    table["path"] = [f"{i}.jpg" for i in range(4)]
    kinds = (Protocol("all", 5), Protocol("asked", 5, queries="asked"), Protocol("city", 5, same_column="city"))
    kinds += (Protocol("near", 1),)
    declared = Dataset(read_images=None, files=(), root=None, protocols=kinds, access="")
    found = {row["protocol"]: row for row in count_positives(table, declared)}
    assert {name: (row["queries"], row["mean"]) for name, row in found.items()} == {
        "all": (2, 2), "asked": (1, 2), "city": (2, 1), "near": (2, 1),
    }  # fmt: skip


def spoil(path):
    """Change what a photo holds, but neither its size nor its time: who still finds it whole did not read it."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_photos_that_did_not_change_are_not_read_again(sets, refused, caplog):
    root, check = sets
    first = check()
    for path in root.glob("*.jpg"):
        spoil(path)
    caplog.set_level(logging.INFO)
    assert check() == first
    assert "12 of 12 photos have not changed" in caplog.text
    os.utime(root / "test_query_0.jpg")
    with refused(root / "test_query_0.jpg", "cannot be decoded"):
        check()


def test_a_broken_photo_costs_no_second_look_at_the_others(sets, refused):
    root, check = sets
    whole = (root / "train_query_1.jpg").read_bytes()
    (root / "train_query_1.jpg").write_bytes(b"")
    with refused(root / "train_query_1.jpg"):
        check()
    for path in root.glob("*.jpg"):
        spoil(path)
    (root / "train_query_1.jpg").write_bytes(whole)
    assert check()["sizes"] == [["32x24", 12]]


@pytest.mark.parametrize("damage", ["digit", "cut", "junk", "other format"])
def test_damaged_lines_of_what_was_kept_are_ignored(sets, monkeypatch, damage):
    root, check = sets
    first, kept = check(), root / ".looked.jsonl"
    lines = kept.read_bytes().splitlines(keepends=True)
    if damage == "digit":
        lines[0] = lines[0].replace(b'"' + bytes(first_digest(lines[0])), b'"0000', 1)
    elif damage == "cut":
        lines[0], lines[-1] = b"", lines[-1][:40]  # the end of a file whose writer was killed
    elif damage == "junk":
        lines = [os.urandom(999)]
    else:
        monkeypatch.setattr(photo_scan, "FORMAT", b"2")
    kept.write_bytes(b"".join(lines))
    again = {"digit": 1, "cut": 2}.get(damage, 12)
    assert len(read_scan_cache(kept)) == 12 - again
    assert check() == first
    assert len(read_scan_cache(kept)) == 12


def first_digest(line):
    """The first four letters of the SHA-256 in a kept line."""
    return line.split(b'"')[3][:4]


LOOK = "import sys; from vprlib.data.checks.photo_scan import scan_photos; "
LOOK += "scan_photos(sys.argv[2:], kept=sys.argv[1], threads=2, desc='')"


def test_a_killed_look_goes_on_where_it_was(tmp_path, photo, repository):
    """kill -9 in the middle; what was kept is then spoilt, so that it must not be read again."""
    photo(tmp_path / "0.png", seed=0, size=(640, 480))
    paths = [tmp_path / f"{number}.png" for number in range(200)]
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    kept = tmp_path / "kept"
    running = subprocess.Popen([sys.executable, "-c", LOOK, kept, *paths], cwd=repository)
    while running.poll() is None and not (kept.exists() and kept.stat().st_size):
        time.sleep(0.005)
    running.kill()
    assert running.wait() == -signal.SIGKILL
    known = read_scan_cache(kept)
    assert 0 < len(known) < len(paths)
    for path in known:
        spoil(Path(path))
    before = kept.read_bytes()
    found = scan_photos(map(str, paths), kept=kept, threads=2, desc="")
    assert {one[2:] for one in found} == {scan_photo(paths[-1])[2:]}
    assert all(kept.read_bytes().count(line) == 1 for line in before.splitlines()[:-1])
    assert len(kept.read_bytes().splitlines()) == len(paths)


@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 90, "progressive": True}])
def test_the_small_decoding_fails_where_the_full_one_does(tmp_path, photo, options):
    photo(tmp_path / "whole.jpg", seed=0, size=(320, 240), **options)
    content = (tmp_path / "whole.jpg").read_bytes()
    verdicts = set()
    for cut in [*np.random.default_rng(0).integers(1, len(content), 40), *range(len(content) - 4, len(content) + 1)]:
        (tmp_path / "cut.jpg").write_bytes(content[:cut])
        try:
            with Image.open(tmp_path / "cut.jpg") as full:
                full.load()
        except OSError:
            full = None
        assert isinstance(scan_photo(tmp_path / "cut.jpg"), PhotoRecord) == (full is not None), cut
        verdicts.add(full is not None)
    assert verdicts == {True, False}


def test_a_photo_s_hash_and_size_are_those_of_the_upright_photo(tmp_path, photo):
    pixels = Image.fromarray(photo(tmp_path / "upright.png", seed=3, size=(320, 240)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    pixels.rotate(90, expand=True).save(tmp_path / "turned.jpg", exif=exif, quality=95)
    Image.fromarray(np.asarray(pixels.convert("L")).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    upright, turned, deep = (scan_photo(tmp_path / name) for name in ("upright.png", "turned.jpg", "deep.png"))
    assert (turned.width, turned.height) == (upright.width, upright.height) == (320, 240)
    assert bin(turned.phash ^ upright.phash).count("1") <= 4
    assert bin(deep.phash ^ upright.phash).count("1") <= 4
    assert upright.phash == int(str(imagehash.phash(pixels)), 16)


def test_real_traverses_are_looked_at(real_data, tmp_path):
    paths = sorted(map(str, (real_data / "gardens_point").glob("*/*.jpg")))
    found = scan_photos(paths, kept=tmp_path / "kept", threads=2, desc="")
    assert Counter((one.width, one.height) for one in found) == {(960, 540): 400, (640, 360): 200}
