import bz2
import contextlib
import gzip
import io
import lzma
import os
import random
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest

from vprlib.exceptions import InputError
from vprlib.io.download import archive_members
from vprlib.io.download.unpack import unpack_archive

KINDS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]
SQUEEZE = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
CONTENT = {f"a/{n}.jpg": random.Random(n).randbytes(30_000 + n) for n in range(5)} | {"read me.txt": b"", "é/ü": b"x"}
LINKS = {"symlink": (tarfile.SYMTYPE, stat.S_IFLNK), "hardlink": (tarfile.LNKTYPE, None)}
SPECIAL = {"fifo": (tarfile.FIFOTYPE, stat.S_IFIFO), "device": (tarfile.CHRTYPE, stat.S_IFCHR)}


def make(path, kind, *members):
    """Write an archive of (name, content) and (name, target, what) members, what being one of LINKS and SPECIAL."""
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content, *what in members:
                info = zipfile.ZipInfo(name)
                info.filename = name  # as it is, which ZipInfo itself would tidy
                mode = (LINKS | SPECIAL)[what[0]][1] if what else stat.S_IFREG
                info.external_attr = (mode | 0o6777) << 16
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, content)
        return path
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content, *what in members:
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.gid = 0o6777, 12345, 12345
            if what:
                info.type, info.linkname = (LINKS | SPECIAL)[what[0]][0], content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    squeeze = SQUEEZE.get(kind.removeprefix("tar."), bytes)
    path.write_bytes(squeeze(packed.getvalue()))
    return path


def tree(folder):
    """{path: content} of all that is there, links and folders without files too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and not path.is_symlink() else None
        for path in folder.rglob("*")
        if not path.is_dir() or path.is_symlink() or not any(path.iterdir())
    }


@pytest.fixture
def place(tmp_path):
    """A folder with a file in it, where archives are unpacked to."""
    folder = tmp_path / "place"
    folder.mkdir()
    (folder / "mine").write_bytes(b"mine")
    return folder


@pytest.fixture
def rejected(tmp_path, place, refused):
    """rejected(archive, *fragments): it is refused so, and no file appeared, changed or went anywhere."""

    def check(archive, *fragments, **options):
        before = tree(tmp_path)
        with refused(archive, *fragments):
            unpack_archive(archive, place, **options)
        assert tree(tmp_path) == before

    return check


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_packed_is_there(tmp_path, place, kind):
    archive = make(tmp_path / "x", kind, *CONTENT.items())
    before = os.umask(0o022)
    found = unpack_archive(archive, place)
    os.umask(before)
    assert tree(place) == CONTENT | {"mine": b"mine"}
    assert found == {path: len(content) for path, content in CONTENT.items()}
    assert list(found) == sorted(found)
    modes = {stat.S_IMODE((place / path).stat().st_mode) for path in found}
    assert modes == {0o644}, "no setuid, not writable by others"
    assert stat.S_IMODE((place / "a").stat().st_mode) == 0o755
    assert (place / "a/0.jpg").stat().st_uid == os.getuid()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name", ["../out", "a/../../out", "/tmp/out", "C:/out", "C:out", "..\\out", "a\\..\\..\\out", "\\out", "new\nline"]
)
def test_a_name_out_of_the_folder_is_refused(tmp_path, rejected, kind, name):
    rejected(make(tmp_path / "x", kind, *CONTENT.items(), (name, b"evil")), repr(name))


def test_backslashes_of_a_windows_zip_are_folders(tmp_path, place):
    assert unpack_archive(make(tmp_path / "x", "zip", ("a\\b\\c.jpg", b"1"), ("empty\\", b"")), place) == {
        "a/b/c.jpg": 1
    }


@pytest.mark.parametrize("what", ["symlink", "hardlink"])
@pytest.mark.parametrize("target", ["../../out", "/etc/passwd", "a/../../../out", "missing", "b/folder", "d"])
def test_a_link_to_anything_but_a_file_of_the_archive_is_refused(tmp_path, rejected, what, target):
    members = [("b/folder/file", b"1"), ("b/d", target, what)]
    rejected(make(tmp_path / "x", "tar.gz", *members), "'b/d'")
    if what == "symlink":
        rejected(make(tmp_path / "x", "zip", *members), "'b/d'")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_through_a_link_is_refused(tmp_path, rejected, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    rejected(make(tmp_path / "x", kind, ("l", str(outside), "symlink"), ("l/evil", b"evil")))


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_links_inside_become_files_of_their_own(tmp_path, place, kind):
    members = [("one", "a/two", "symlink"), ("a/two", "../b/three", "symlink"), ("b/three", b"333")]
    if kind == "tar":
        members.append(("c/hard", "b/three", "hardlink"))
    found = unpack_archive(make(tmp_path / "x", kind, *members), place)
    assert set(found.values()) == {3}
    assert tree(place) == dict.fromkeys(found, b"333") | {"mine": b"mine"}
    (place / "one").write_bytes(b"new")
    assert (place / "b/three").read_bytes() == b"333"


@pytest.mark.parametrize("kind", ["zip", "tar"])
@pytest.mark.parametrize("what", SPECIAL)
def test_devices_and_pipes_are_refused(tmp_path, rejected, kind, what):
    rejected(make(tmp_path / "x", kind, *CONTENT.items(), ("pipe", "", what)), "'pipe'", "neither a plain file")


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_bomb_is_refused(tmp_path, rejected, kind):
    bomb = make(tmp_path / "x", kind, *((f"{n}", bytes(40_000_000)) for n in range(3)))
    assert bomb.stat().st_size < 200_000
    rejected(bomb, "more than 100.0 MB")
    rejected(bomb, "more than 30.0 MB", limit=30_000_000)


def test_links_count_as_what_they_become(tmp_path, rejected):
    links = [(f"l{n}", "file", "symlink") for n in range(9)]
    rejected(make(tmp_path / "x", "zip", ("file", bytes(1000)), *links), "more than 9.0 kB", limit=9_000)
    rejected(make(tmp_path / "x", "tar", ("file", bytes(1000)), *links), "more than 9.0 kB", limit=9_000)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_the_number_of_members_is_bounded(tmp_path, rejected, monkeypatch, kind):
    monkeypatch.setattr(archive_members, "MEMBERS", 3)
    rejected(make(tmp_path / "x", kind, *((str(n), b"") for n in range(4))), "more than 3")


def test_a_header_that_fills_the_memory_is_refused(tmp_path, rejected):
    info = tarfile.TarInfo("x")
    info.pax_headers = {"comment": "0" * 40_000_000}
    packed = info.tobuf(tarfile.PAX_FORMAT) + bytes(1024)
    (tmp_path / "x").write_bytes(gzip.compress(packed))
    rejected(tmp_path / "x", "header of more than")


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_path_twice_is_refused(tmp_path, rejected, kind):
    rejected(make(tmp_path / "x", kind, ("a", b"1"), ("./a", b"2")), "'a'", "twice")
    rejected(make(tmp_path / "x", kind, ("a", b"1"), ("a/b", b"2")), "'a'")
    rejected(make(tmp_path / "x", kind, ("a/b", b"1"), ("a", b"2")), "'a'")


@pytest.mark.parametrize("kind", KINDS)
def test_another_file_in_its_place_stays_and_the_same_one_serves(tmp_path, place, rejected, kind):
    archive = make(tmp_path / "x", kind, ("new", b"new"), ("mine", b"your"))
    rejected(archive, place / "mine", "differs")
    (place / "mine").write_bytes(b"your")
    assert unpack_archive(archive, place) == {"mine": 4, "new": 3}


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_leads_out_is_refused(tmp_path, place, refused, kind):
    (tmp_path / "outside").mkdir()
    (place / "l").symlink_to(tmp_path / "outside")
    with refused(place / "l", "leads out"):
        unpack_archive(make(tmp_path / "x", kind, ("l/evil", b"evil")), place)
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_one_line_wherever_it_ends(tmp_path, place, rejected, kind):
    whole = make(tmp_path / "whole", kind, *CONTENT.items()).read_bytes()
    end, edges = len(whole), []
    if kind == "tar":
        with tarfile.open(tmp_path / "whole") as archive:
            members = archive.getmembers()
        edges = [member.offset + shift for member in members[1:] for shift in (0, 100)]
        end = members[-1].offset_data + 2 * 512  # of the first block of the end mark
    for cut in [1, 100, 511, 512, 1024, *edges, *random.Random(0).sample(range(2, end), 20), end - 1]:
        (tmp_path / "x").write_bytes(whole[:cut])
        rejected(tmp_path / "x", "damaged")


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_one_line_or_harms_nothing(tmp_path, place, kind):
    """Any flipped byte: refused in one line without a trace, or nothing outside the folder."""
    rng, whole = random.Random(0), make(tmp_path / "whole", kind, *CONTENT.items()).read_bytes()
    refusals = []
    for trial in range(30):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        (tmp_path / "x").write_bytes(damaged)
        with contextlib.suppress(InputError):
            unpack_archive(tmp_path / "x", place / f"{trial}")
            continue
        assert not tree(place / f"{trial}")
        refusals.append(trial)
    assert {path.name for path in tmp_path.iterdir()} == {"whole", "x", "place"}
    assert {path.name for path in place.iterdir()} == {"mine", *map(str, range(30))}
    assert len(refusals) >= 20 or kind == "tar", "all but plain tars have checksums of their contents"


@pytest.mark.parametrize("content", [b"", b"no archive", gzip.compress(b"no tar", mtime=0), b"PK\3\4 and no more"])
def test_what_is_no_archive_is_refused(tmp_path, rejected, content):
    (tmp_path / "x").write_bytes(content)
    rejected(tmp_path / "x")


def test_an_archive_without_files_is_refused(tmp_path, rejected):
    rejected(make(tmp_path / "x", "zip"), "no file")
    rejected(make(tmp_path / "x", "tar.gz"), "no file")


def test_an_encrypted_zip_is_one_line(tmp_path, rejected):
    packed = bytearray(make(tmp_path / "x", "zip", ("a", b"1")).read_bytes())
    for header, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        packed[packed.index(header) + flags] |= 1
    (tmp_path / "x").write_bytes(packed)
    rejected(tmp_path / "x", "encrypted")


@pytest.mark.parametrize("kind", KINDS)
def test_too_little_room_is_refused(tmp_path, rejected, monkeypatch, kind):
    archive = make(tmp_path / "x", kind, ("a", bytes(1_000_000)))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 900_000}))
    rejected(archive, "900.0 kB free", "make room")


UNPACK = """
import resource, signal, sys, time
from vprlib.io.download import unpack
from vprlib.exceptions import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
archive, folder, size, slow = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), -1))
write = unpack._write
if slow == "slow":
    unpack._write = lambda *arguments: (write(*arguments), time.sleep(0.1))
try:
    unpack.unpack_archive(archive, folder)
except InputError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_one_line_and_nothing_half_written(tmp_path, place, repository, kind):
    archive = make(tmp_path / "x", kind, ("small", b"1"), ("large", random.Random(0).randbytes(500_000)))
    command = [sys.executable, "-c", UNPACK, archive, place, "400000", ""]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "File too large" in done.stderr.splitlines()[-1], done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert tree(place) == {"mine": b"mine"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_after_kill_9_in_the_middle_it_unpacks_whole(tmp_path, place, refused, repository, kind):
    archive = make(tmp_path / "x", kind, *CONTENT.items())
    with subprocess.Popen([sys.executable, "-c", UNPACK, archive, place, "-1", "slow"], cwd=repository) as running:
        end = time.monotonic() + 20
        while not (place / ".x.unpacking/a/2.jpg").exists():
            assert time.monotonic() < end
            time.sleep(0.01)
        with refused(f"process {running.pid}"):
            unpack_archive(archive, place)
        running.send_signal(signal.SIGKILL)
    visible = {path: content for path, content in tree(place).items() if not path.startswith(".")}
    assert visible == {"mine": b"mine"}
    unpack_archive(archive, place)
    assert tree(place) == CONTENT | {"mine": b"mine"}
