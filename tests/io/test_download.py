import base64
import email.utils
import hashlib
import io
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
import requests
from test_unpack import KINDS, make

from tests.helpers.local_site import Page, Site
from vprlib.exceptions import InputError
from vprlib.io.download import fetch, progress
from vprlib.io.download.dataset import download_dataset
from vprlib.io.download.fetch import fetch_file
from vprlib.io.download.http import DownloadFailed, RetryPolicy, SafeRedirectSession, transfer_file
from vprlib.io.download.remote_file import RemoteFile
from vprlib.io.files import file_lock

BODY = random.Random(0).randbytes(1_000_003)
SHA256, MD5 = hashlib.sha256(BODY).hexdigest(), hashlib.md5(BODY).hexdigest()
QUICK = RetryPolicy(tries=3, first=0.001, longest=0.01, asked=2, connect=2, read=2)


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def site():
    with Site() as site:
        site.pages["/a"] = Page(BODY)
        yield site


@pytest.fixture
def get(site, tmp_path):
    """Fetch the page `/a`, or other paths; -> the file's path."""

    def get(*paths, offline=False, **declared):
        urls = tuple(map(site.url, paths or ("/a",)))
        return fetch_file(RemoteFile("a.bin", urls, **declared), tmp_path, offline=offline, patience=QUICK)

    return get


def names(folder):
    """The files of a folder and below, without the record."""
    found = (path for path in folder.rglob("*") if not path.is_dir())
    return sorted(str(path.relative_to(folder)) for path in found if path.name != "downloads.json")


def record(folder):
    return json.loads((folder / "downloads.json").read_text())["files"]


@pytest.mark.parametrize(
    "declared", [{}, {"sha256": SHA256.upper()}, {"md5": MD5}, {"size": len(BODY), "sha256": SHA256}]
)
def test_a_file_arrives_whole_verified_and_recorded(site, get, tmp_path, declared):
    assert get(**declared).read_bytes() == BODY
    assert names(tmp_path) == ["a.bin"]
    entry = record(tmp_path)["a.bin"]
    assert (entry["sha256"], entry["bytes"], entry["url"]) == (SHA256, len(BODY), site.url("/a"))
    assert site.asked == [("/a", None)]


def test_a_dropping_connection_goes_on_where_it_stopped_however_often(site, get):
    site.pages["/a"].steps = [{"drop": 50_000}] * 15  # many more than QUICK.tries
    assert get().read_bytes() == BODY
    assert site.asked == [("/a", None)] + [("/a", f"bytes={n * 50_000}-") for n in range(1, 16)]
    assert site.sent == len(BODY), "no byte twice"


@pytest.mark.parametrize("seed", range(5))
def test_random_troubles_give_the_same_bytes(site, get, seed):
    rng = random.Random(seed)
    page = site.pages["/a"]
    page.ranges, page.length = rng.random() < 0.7, True
    troubles = [{"drop": rng.randrange(200_000)}, {"status": 503}, {"drop": 0}, {"status": 500}]
    page.steps = [step for _ in range(2) for step in (rng.choice(troubles), {"drop": 400_000 + rng.randrange(99)})]
    assert get(sha256=SHA256).read_bytes() == BODY


def test_a_server_without_ranges_sends_it_again_from_the_start(site, get):
    site.pages["/a"].ranges = False
    site.pages["/a"].steps = [{"drop": 300_000}]
    assert get().read_bytes() == BODY
    assert site.sent == 300_000 + len(BODY)


def test_a_server_that_never_gets_further_is_given_up(site, get, refused, tmp_path):
    site.pages["/a"].ranges = False
    site.pages["/a"].steps = [{"drop": 300_000}] * 99
    with refused("the connection ended early", "(3 tries)"):
        get()
    assert len(site.asked) == 4, "the first one, which got further than none, and three tries"
    assert "a.bin" not in names(tmp_path)


def test_a_body_without_length_that_ends_early_is_caught_by_its_checksum(site, get, refused, tmp_path):
    site.pages["/a"].length = False
    assert get(sha256=SHA256).read_bytes() == BODY
    (tmp_path / "a.bin").unlink()
    site.pages["/a"].steps = [{"drop": 10}]
    with refused("its sha256 is", SHA256):
        get(sha256=SHA256)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ranges", [True, False])
def test_an_archive_without_length_or_checksum_that_ends_early_gets_no_name(site, get, tmp_path, refused, kind, ranges):
    body = make(tmp_path / "archive", kind, ("one", BODY[:50_000]), ("two", BODY[50_000:90_000])).read_bytes()
    (tmp_path / "archive").unlink()
    page = site.pages["/a"] = Page(body, length=False, ranges=ranges, etag='"1"' if ranges else None)
    cuts = [len(body) // 2, 10_000] + ([] if kind == "tar" else [len(body) - 1])
    for cut in cuts:
        page.steps = [{"drop": cut}]
        assert get().read_bytes() == body
        (tmp_path / "a.bin").unlink()
        (tmp_path / "downloads.json").unlink()
    page.ranges, page.etag = False, None
    page.steps = [{"drop": cuts[0]}] * 99
    with refused("the server sends no length", "no whole archive", "(3 tries)"):
        get()
    assert "a.bin" not in names(tmp_path)
    page.body, page.steps = BODY, [{"drop": 10}]
    assert get().read_bytes() == BODY[:10], "of another file nobody knows where it ends"


@pytest.mark.parametrize(
    "change", [{}, {"obeys_if_range": False}, {"etag": None, "modified": "Sun, 01 Nov 2020 00:00:00 GMT"}]
)
def test_a_file_that_changed_meanwhile_is_begun_again_and_never_spliced(site, get, change):
    vars(site.pages["/a"]).update(change)
    site.pages["/a"].steps = [{"drop": 300_000}, *[{"status": 500}] * 3]
    with pytest.raises(InputError):
        get()
    new = BODY[::-1]
    validators = {"etag": '"2"'} if site.pages["/a"].etag else {"modified": "Mon, 02 Nov 2020 00:00:00 GMT"}
    site.pages["/a"] = Page(new, **{**change, **validators})
    site.asked.clear()
    assert get().read_bytes() == new
    assert len(site.asked) == (1 if site.pages["/a"].obeys_if_range else 2)


@pytest.mark.parametrize(
    ("etag", "sha256", "resumed"), [(None, None, False), ('W/"1"', None, False), (None, SHA256, True)]
)
def test_without_a_version_only_what_a_checksum_judges_is_resumed(site, get, etag, sha256, resumed):
    site.pages["/a"].etag = etag
    site.pages["/a"].steps = [{"drop": 300_000}]
    assert get(sha256=sha256).read_bytes() == BODY
    assert site.sent == len(BODY) + (0 if resumed else 300_000)


def test_a_part_that_is_whole_is_taken_and_one_that_is_too_long_is_not(site, get, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    assert get(sha256=SHA256).read_bytes() == BODY
    assert site.sent == 0
    (tmp_path / "a.bin").unlink()
    (tmp_path / "a.bin.part").write_bytes(BODY + b"more")
    assert get(sha256=SHA256).read_bytes() == BODY
    assert names(tmp_path) == ["a.bin"]


def test_a_wrong_file_is_kept_aside_under_its_checksum(site, get, refused, tmp_path):
    wrong = BODY[:-1] + b"?"
    site.pages["/a"].body = wrong
    digest = hashlib.sha256(wrong).hexdigest()
    with refused(site.url("/a"), digest, SHA256, f"a.bin.wrong-{digest[:8]}"):
        get(sha256=SHA256)
    assert names(tmp_path) == [f"a.bin.wrong-{digest[:8]}"]
    assert (tmp_path / f"a.bin.wrong-{digest[:8]}").read_bytes() == wrong
    with refused("its md5 is"):
        get(md5=MD5)
    site.pages["/good"] = Page(BODY)
    assert get("/a", "/good", sha256=SHA256).read_bytes() == BODY


def test_a_file_of_another_size_is_refused_before_its_body(site, get, refused):
    with refused("is 1000003 bytes long, not the published 5"):
        get(size=5)
    assert site.asked == [("/a", None)]


def test_a_web_page_instead_of_the_file_is_refused(site, get, refused):
    site.pages["/a"].kind = "text/html; charset=utf-8"
    with refused("a web page instead of the file"):
        get()


def test_a_redirect_is_followed_and_the_next_range_too(site, get):
    site.pages["/old"] = Page(steps=[{"status": 302, "headers": {"Location": "/a"}}] * 2)
    site.pages["/a"].steps = [{"drop": 300_000}]
    assert get("/old").read_bytes() == BODY
    assert site.sent == len(BODY)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/a", "http://me:secret@127.0.0.1/a"])
def test_a_redirect_elsewhere_than_to_plain_http_is_refused(site, get, refused, location):
    site.pages["/old"] = Page(steps=[{"status": 302, "headers": {"Location": location}}])
    with refused("redirects", "refused"):
        get("/old")


@pytest.mark.parametrize(
    ("here", "there", "fine"), [("https", "http", False), ("http", "https", True), ("https", "https", True)]
)
def test_no_redirect_from_https_to_http(here, there, fine):
    response = requests.Response()
    response.status_code, response.url = 301, f"{here}://127.0.0.1/a"
    response.headers["Location"] = f"{there}://127.0.0.1/b"
    if fine:
        assert SafeRedirectSession().get_redirect_target(response) == f"{there}://127.0.0.1/b"
    else:
        with pytest.raises(DownloadFailed):
            SafeRedirectSession().get_redirect_target(response)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_goes_to_the_mirror_at_once(site, get, tmp_path, status):
    site.pages["/gone"] = Page(steps=[{"status": status}])
    assert get("/gone", "/a").read_bytes() == BODY
    assert [path for path, _ in site.asked] == ["/gone", "/a"]
    assert record(tmp_path)["a.bin"]["url"] == site.url("/a")


def test_passing_errors_are_tried_again_and_lasting_ones_go_to_the_mirror(site, get):
    site.pages["/a"].steps = [{"status": 500}, {"status": 502}]
    site.pages["/down"] = Page(steps=[{"status": 503}] * 99)
    assert get("/down", "/a").read_bytes() == BODY
    assert [path for path, _ in site.asked] == ["/down"] * 3 + ["/a"] * 3


@pytest.mark.parametrize("dated", [False, True])
def test_a_server_is_given_the_time_it_asks_for(site, get, dated):
    until = email.utils.formatdate(time.time() + 2, usegmt=True)  # whole seconds
    site.pages["/a"].steps = [{"status": 429, "headers": {"Retry-After": until if dated else "1"}}]
    started = time.monotonic()
    assert get().read_bytes() == BODY
    assert 0.9 <= time.monotonic() - started < 4


def test_a_server_that_asks_for_too_long_is_left(site, get, refused):
    site.pages["/a"].steps = [{"status": 429, "headers": {"Retry-After": "3600"}}]
    with refused("429", "a pause of 3600 s"):
        get()


def test_passwords_come_from_netrc(site, get, refused, tmp_path, monkeypatch):
    site.pages["/a"].login = "Basic " + base64.b64encode(b"me:secret").decode()
    with refused("401"):
        get()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert get().read_bytes() == BODY


def test_when_all_fail_one_line_has_each_address_its_reason_and_what_to_do(site, refused, tmp_path):
    with Site() as closed:
        nowhere = closed.url("/x?key=secret")
    remote = RemoteFile("a.bin", (site.url("/no?token=secret"), nowhere))
    with pytest.raises(InputError) as caught:
        fetch_file(remote, tmp_path, patience=QUICK)
    message = str(caught.value)
    for part in (
        site.url("/no") + ": 404 Not Found",
        nowhere[:-11],
        "Connection refused",
        f"{tmp_path / 'a.bin'}",
        "by hand",
    ):
        assert part in message
    assert "secret" not in message


def test_no_query_string_reaches_log_record_or_manifest(site, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    site.pages["/a"].steps = [{"status": 500}, {"drop": 5}]
    remote = RemoteFile("a.bin", (site.url("/no?t=secret"), site.url("/a?t=secret")))
    download_dataset(tmp_path / "manifest.json", remotes=[remote], root=tmp_path / "data", patience=QUICK)
    texts = [caplog.text, *(path.read_text() for path in tmp_path.rglob("*.json"))]
    assert "500" in caplog.text
    assert len(texts) == 3
    assert not [text for text in texts if "secret" in text]


def test_a_file_that_is_here_is_verified_and_not_fetched(site, get, refused, tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    assert get(sha256=SHA256, offline=True).read_bytes() == BODY
    (tmp_path / "a.bin").write_bytes(b"something else")
    with refused(tmp_path / "a.bin", SHA256, "a.bin.wrong-"):
        get(sha256=SHA256)
    assert not (tmp_path / "a.bin").exists()
    assert site.asked == []


def test_what_nobody_published_a_checksum_of_must_stay_what_it_was(site, get, refused, tmp_path):
    get()
    (tmp_path / "a.bin").unlink()
    site.pages["/a"] = Page(BODY[::-1])
    with refused(SHA256, "first recorded", tmp_path / "downloads.json"):
        get()
    (tmp_path / "a.bin").write_bytes(BODY[::-1])
    with refused(SHA256, "first recorded"):
        get(offline=True)


def test_offline_a_missing_file_is_one_line_and_no_request(site, get, refused, tmp_path):
    with refused(tmp_path / "a.bin", site.url("/a"), "offline"):
        get(offline=True)
    with refused("offline"):
        download_dataset(tmp_path / "m.json", remotes=[RemoteFile("x", (site.url("/a"),))], root=tmp_path, offline=True)
    assert site.asked == []
    assert not (tmp_path / "m.json").exists()


def test_too_little_room_is_one_line_before_any_byte(site, get, refused, tmp_path, monkeypatch):
    free = 900_000
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": free}))
    with refused(tmp_path, "900.0 kB free", "1.0 MB"):
        get()
    free = 1_500_000
    assert get().exists()
    with refused("free"):  # an archive needs its own room again
        fetch_file(RemoteFile("b.zip", (site.url("/a"),), unpack=""), tmp_path, patience=QUICK)
    free = 10
    declared = RemoteFile("c", (site.url("/a"),), size=len(BODY))
    with refused("10 bytes free", "1.0 MB"):
        download_dataset(tmp_path / "m.json", remotes=[declared], root=tmp_path / "new" / "folder", patience=QUICK)
    assert len(site.asked) == 3


FETCH = """
import resource, signal, sys
from vprlib.io.download.fetch import fetch_file
from vprlib.io.download.remote_file import RemoteFile
from vprlib.exceptions import InputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
url, folder, size, sha256 = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), -1))
try:
    fetch_file(RemoteFile("a.bin", (url,), sha256=sha256), folder)
except InputError as error:
    sys.exit(str(error))
"""


def start(repository, url, folder, size=-1):
    command = [sys.executable, "-c", FETCH, url, str(folder), str(size), SHA256]
    return subprocess.Popen(command, cwd=repository, stderr=subprocess.PIPE, text=True)


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_full_disk_is_one_line_and_what_is_here_stays(site, get, tmp_path, repository):
    with start(repository, site.url("/a"), tmp_path, 300_000) as running:
        _, said = running.communicate()
    assert running.returncode == 1
    assert "the disk is full" in said.splitlines()[-1], said
    assert str(tmp_path / "a.bin.part") in said
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:300_000]
    assert get(sha256=SHA256).read_bytes() == BODY
    assert site.asked[-1] == ("/a", "bytes=300000-")


def test_after_kill_9_in_the_middle_it_goes_on(site, get, refused, tmp_path, repository):
    site.pages["/a"].steps = [{"hang": 600_000}]
    part = tmp_path / "a.bin.part"
    with start(repository, site.url("/a"), tmp_path) as running:
        until(lambda: part.exists() and part.stat().st_size == 600_000)
        with refused(tmp_path / "a.bin", f"process {running.pid}"):  # it holds the file while it lives
            get()
        running.send_signal(signal.SIGKILL)
    assert not (tmp_path / "a.bin").exists()
    assert get().read_bytes() == BODY
    assert site.sent == len(BODY)
    assert names(tmp_path) == ["a.bin"]


def zipped(entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred(entries):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


@pytest.fixture
def dataset(site, tmp_path):
    """(remotes, root, run): a file and two archives, and run() that downloads them and gives the manifest."""
    site.pages["/z"] = Page(zipped({"photos/1.jpg": b"one", "photos/2.jpg": b"two"}))
    site.pages["/t"] = Page(tarred({"2.jpg": b"two", "3.jpg": b"three"}))
    remotes = [
        RemoteFile("gt.mat", (site.url("/a?token=1"),), sha256=SHA256, into="groundtruth"),
        RemoteFile("a.zip", (site.url("/z"),), unpack="", into="archives"),
        RemoteFile("b.tgz", (site.url("/t"),), unpack="photos", into="archives"),
    ]
    root, out = tmp_path / "data", tmp_path / "manifest.json"

    def run(**options):
        out.unlink(missing_ok=True)
        download_dataset(out, remotes=remotes, root=root, patience=QUICK, **options)
        return out.read_text()

    return remotes, root, run


def test_a_dataset_is_fetched_unpacked_and_listed(site, dataset):
    _, root, run = dataset
    manifest = json.loads(run())["files"]
    assert [(root / "photos" / f"{n}.jpg").read_text() for n in (1, 2, 3)] == ["one", "two", "three"]
    assert manifest["groundtruth/gt.mat"] == {"bytes": len(BODY), "sha256": SHA256, "url": site.url("/a")}
    assert manifest["archives/a.zip"]["unpacked"] == {"folder": "", "files": 2, "bytes": 6}
    assert manifest["archives/b.tgz"]["unpacked"] == {"folder": "photos", "files": 2, "bytes": 8}
    assert not [name for name in names(root) if ".unpacking" in name or ".part" in name or ".lock" in name]


def test_a_second_run_asks_reads_and_writes_nothing_anew(site, dataset, monkeypatch):
    _, root, run = dataset
    first = run()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    site.asked.clear()
    unread = []
    monkeypatch.setattr(hashlib, "new", lambda name: unread.append(name))
    assert run() == first
    assert run(offline=True) == first
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before
    assert site.asked == unread == []
    monkeypatch.undo()
    os.utime(root / "groundtruth/gt.mat", (1, 1))  # as a copy of the folder may do
    assert run() == first


def test_a_removed_archive_is_not_fetched_again_while_its_files_are_there(site, dataset):
    _, root, run = dataset
    first = run()
    site.asked.clear()
    (root / "archives/a.zip").unlink()
    assert run() == first
    assert site.asked == []
    (root / "photos/1.jpg").unlink()
    assert run() == first
    assert [path for path, _ in site.asked] == ["/z"]
    assert (root / "photos/1.jpg").read_text() == "one"


def test_one_failure_does_not_stop_the_others_and_all_are_told(site, dataset, refused):
    _, root, run = dataset
    site.pages["/z"].steps = [{"status": 404}]
    site.pages["/t"].body = b"no archive"
    with refused("a.zip", "404", "; also: ", "b.tgz"):
        run()
    assert (root / "groundtruth/gt.mat").read_bytes() == BODY
    site.pages["/a"].steps = [{"status": 404}]
    with refused("b.tgz"):
        run()
    assert (root / "photos/1.jpg").exists()


def test_files_come_at_the_same_time_but_no_more_than_asked(site, tmp_path, monkeypatch):
    together, running, lock = [], [], threading.Lock()
    transfer_one = transfer_file

    def counted(*arguments, **options):
        with lock:
            running.append(1)
            together.append(len(running))
        time.sleep(0.05)
        transfer_one(*arguments, **options)
        with lock:
            running.pop()

    monkeypatch.setattr(fetch, "transfer_file", counted)
    remotes = [RemoteFile(f"{n}", (site.url("/a"),)) for n in range(6)]
    download_dataset(tmp_path / "m.json", remotes=remotes, root=tmp_path / "data", at_once=3, patience=QUICK)
    assert max(together) == 3
    assert set(record(tmp_path / "data")) == set("012345"), "threads must not lose each other's records"


def test_where_there_is_no_terminal_the_log_tells_progress(site, get, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(progress, "LOG_SECONDS", 0)
    get()
    assert "1.0 MB" in caplog.text
    assert "/s" in caplog.text


def test_a_readable_folder_that_cannot_be_written_serves(site, tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(BODY)
    monkeypatch.setattr("os.access", lambda path, mode: False)  # tests may run as root, whom no mode stops
    assert fetch_file(RemoteFile("a.bin", (site.url("/a"),), sha256=SHA256), tmp_path).exists()
    assert not (tmp_path / "downloads.json").exists()


def test_a_damaged_record_is_named(get, refused, tmp_path):
    (tmp_path / "downloads.json").write_text("{")
    with refused(tmp_path / "downloads.json", "remove it"):
        get()


@pytest.mark.parametrize(
    ("declared", "part"),
    [
        ({"name": "../x"}, "'../x'"),
        ({"name": ""}, "not a file name"),
        ({"into": "/etc"}, "/etc"),
        ({"unpack": "a/../.."}, "a/../.."),
        ({"urls": ("ftp://a/b",)}, "ftp://a/b"),
        ({"urls": ("https://me:secret@a/b",)}, "netrc"),
        ({"sha256": "12"}, "64"),
        ({"md5": "x" * 32}, "32"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(declared, part):
    with pytest.raises(InputError) as caught:
        RemoteFile(**{"name": "a", "urls": ("https://a/b",)} | declared)
    assert part in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_declared_twice_is_refused(refused, tmp_path):
    remote = RemoteFile("a", ("https://a/b",))
    with refused("a", "twice"):
        download_dataset(tmp_path / "m.json", remotes=[remote, remote], root=tmp_path)


def test_declaring_is_cheap(repository):
    heavy = {"requests", "tqdm", "torch", "pandas", "numpy"}
    code = f"import sys, vprlib.io.download.remote_file; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=repository, check=False).returncode == 0


def test_the_lock_goes_with_its_holder(tmp_path, refused):
    path = Path(tmp_path, "x")
    with file_lock(path), refused(path, "process"), file_lock(path):
        pass
    with file_lock(path):
        pass
    assert list(tmp_path.iterdir()) == []
