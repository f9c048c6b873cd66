"""One file over HTTP, from where it stopped to its last byte, hashed on the way."""

import email.utils
import errno
import hashlib
import http.client
import json
import logging
import os
import random
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from tqdm import tqdm

from vprlib._version import __version__
from vprlib.exceptions import InputError
from vprlib.io.download.archives import find_truncation
from vprlib.io.files import format_bytes, write_json

log = logging.getLogger(__name__)


CHUNK = 1 << 18  # bytes read at a time
LOG_SECONDS = 30  # between two lines of progress where there is no terminal
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states that may be over at the next try
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DownloadFailed(Exception):
    """An address does not give the file; the message says why, without the address."""


class TransientFailure(DownloadFailed):
    """It did not this time, but may the next, after `wait` seconds at least."""

    def __init__(self, reason, wait=0.0):
        super().__init__(reason)
        self.wait = wait


class DownloadStopped(Exception):
    """The user ended the downloads; what is here stays."""


@dataclass(frozen=True)
class RetryPolicy:
    """How long to insist; times are in seconds."""

    tries: int = 6  # without a new byte, before the next address
    first: float = 1.0  # between the first two tries; doubled for each further one
    longest: float = 60.0  # between two tries
    asked: float = 600.0  # that a server may ask us to wait
    connect: float = 20.0  # for a connection
    read: float = 60.0  # without a byte

    def pause(self, failures: int) -> float:
        """Seconds before the next try, spread so that many jobs don't come back at once."""
        return min(self.longest, self.first * 2**failures) * random.uniform(0.5, 1)


class DownloadProgress:
    """The progress of several files as one bar, or as a log line now and then where there is no terminal."""

    def __init__(self, desc: str):
        self.desc, self.done, self.left = desc, 0, {}
        self.started = self.told = time.monotonic()
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.bar = tqdm(desc=desc, unit="B", unit_scale=True, disable=None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bar.close()

    def expect(self, name: str, number: int):
        """A file has so many bytes left to fetch."""
        with self.lock:
            self.left[name] = number
            self.bar.total = self.done + sum(self.left.values())
            self.bar.refresh()

    def arrived(self, name: str, number: int):
        """Count bytes.

        Raises:
            Stopped: if the user asked for it.
        """
        if self.stopped.is_set():
            raise DownloadStopped
        with self.lock:
            self.done += number
            self.left[name] = max(0, self.left.get(name, 0) - number)
            self.bar.update(number)
            if self.bar.disable and time.monotonic() - self.told > LOG_SECONDS:
                self.told = time.monotonic()
                log.info("%s: %s", self.desc, self)

    def wait(self, seconds: float):
        if self.stopped.wait(seconds):
            raise DownloadStopped

    def __str__(self):
        speed = self.done / (time.monotonic() - self.started)
        left = sum(self.left.values())
        minutes = f", {left / speed / 60:.0f} minutes left" if speed and left else ""
        return f"{format_bytes(self.done)} of {format_bytes(self.done + left)}, {format_bytes(speed)}/s{minutes}"


class PartialFile:
    """What is here of a file: `name.part`, and beside it `name.part.json`, which version on the server it belongs to.

    `bytes` are its length, `hashes` (algorithm -> hashlib object) those of all its bytes.
    """

    def __init__(self, target: Path, algorithms):
        self.target, self.algorithms = target, tuple(algorithms)
        self.path = target.with_name(f"{target.name}.part")
        self.about = target.with_name(f"{target.name}.part.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("a+b", buffering=0)  # unbuffered: a full disk is noticed at the byte
        try:
            version = json.loads(self.about.read_text())
        except (OSError, ValueError):
            version = {}
        self.version = version if isinstance(version, dict) else {}
        self._hash()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def _hash(self):
        self.hashes = {name: hashlib.new(name) for name in self.algorithms}
        self.bytes = 0
        self.file.seek(0)
        while chunk := self.file.read(CHUNK):
            self._count(chunk)
        if self.bytes:
            log.info("%s: goes on after %s", self.target, format_bytes(self.bytes))

    def _count(self, chunk):
        for known in self.hashes.values():
            known.update(chunk)
        self.bytes += len(chunk)

    @property
    def validator(self) -> str | None:
        """What If-Range may carry: a weak ETag may not."""
        etag = self.version.get("etag")
        return etag if etag and not etag.startswith("W/") else self.version.get("modified")

    def restart(self, version: dict):
        """Forget what is here; what comes belongs to this version."""
        self.file.truncate(0)
        self.hashes = {name: hashlib.new(name) for name in self.algorithms}
        self.bytes, self.version = 0, version
        write_json(self.about, version)

    def write(self, chunk: bytes):
        """Append, and hash what the disk took.

        Raises:
            InputError: the disk is full, or cannot be written.
        """
        try:
            while chunk:
                written = self.file.write(chunk)
                self._count(chunk[:written])
                chunk = chunk[written:]
        except OSError as error:
            why = "the disk is full" if error.errno in FULL else f"cannot be written ({error.strerror})"
            raise InputError(
                f"{self.path}: {why} after {format_bytes(self.bytes)}; make room and run it again, and it goes on "
                f"from there"
            ) from error

    def become(self, path: Path):
        """Move the whole part to `path`.

        Raises:
            InputError: if the system cannot.
        """
        try:
            os.fsync(self.file.fileno())
            self.path.replace(path)
            self.about.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); {self.path} is whole") from error


class SafeRedirectSession(requests.Session):
    """Follows redirects between http and https, but never from https back to http, nor to an address with a password.

    Passwords come from the user's netrc and proxies from the environment, as requests does by itself.
    """

    def __init__(self):
        super().__init__()
        # the bytes as they lie there, for the checksums are of those
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": f"vprlib/{__version__}"})

    def get_redirect_target(self, response):
        target = super().get_redirect_target(response)
        if target:
            here, there = urlsplit(response.url), urlsplit(urljoin(response.url, target))
            if there.scheme not in ("http", "https") or (here.scheme, there.scheme) == ("https", "http"):
                raise DownloadFailed(f"redirects from {here.scheme} to {there.scheme}, which is refused")
            if there.username or there.password:
                raise DownloadFailed("redirects to an address with a password in it, which is refused")
        return target


def transfer_file(
    session, url: str, part: PartialFile, *, size, judged, room, meter: DownloadProgress, patience: RetryPolicy
):
    """Complete a part from one address; as long as bytes come it goes on, however often the connection drops.

    Args:
        size: bytes, as published, or None.
        judged: whether a published checksum will judge the whole; only then is a part resumed of which the server
            told no version.
        room: called with the bytes that are still to come and those of the whole file, before the first of them.

    Raises:
        Failed: with the reason.
        InputError: the disk has no room for it.
    """
    failures, furthest = 0, part.bytes
    while True:
        try:
            return _attempt(session, url, part, size, judged, room, meter, patience)
        except TransientFailure as error:
            # a server without ranges starts again from 0, so only what goes beyond the furthest is an advance
            failures = 0 if part.bytes > furthest else failures + 1
            furthest = max(furthest, part.bytes)
            if failures >= patience.tries:
                raise DownloadFailed(f"{error} ({failures} tries)") from error
            if error.wait > patience.asked:
                raise DownloadFailed(f"{error}; asks to wait for {error.wait:.0f} s") from error
            wait = max(error.wait, patience.pause(failures))
            log.warning("%s: %s; again in %.1f s, after byte %d", part.target.name, error, wait, part.bytes)
            meter.wait(wait)


def _attempt(session, url, part, size, judged, room, meter, patience):
    if part.bytes and not (part.validator or judged):
        part.restart({})
    headers = {}
    if part.bytes:
        headers["Range"] = f"bytes={part.bytes}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        with session.get(url, headers=headers, stream=True, timeout=(patience.connect, patience.read)) as response:
            total = _agree(response, part, size)
            if response.status_code == 416:
                return
            if total is not None:
                room(total - part.bytes, total)
                meter.expect(str(part.target), total - part.bytes)
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                part.write(chunk)
                meter.arrived(str(part.target), len(chunk))
                if size is not None and part.bytes > size:
                    raise DownloadFailed(f"is longer than the published {size} bytes")
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        raise _reason(error, patience) from error
    if total is not None and part.bytes < total:  # a proxy may cut a range into shorter ones
        raise TransientFailure(f"only bytes up to {part.bytes} of {total} were sent")
    if total is None and size is None and not judged and (reason := find_truncation(part.path)):
        raise TransientFailure(f"its length is not told, and what came is no whole archive ({reason})")


def _agree(response, part: PartialFile, size) -> int | None:
    """Make the part ready for the body of a response; its whole length in bytes, None if the server does not tell."""
    status, headers = response.status_code, response.headers
    if status in PASSING:
        raise TransientFailure(f"{status} {response.reason}", _retry_after(headers.get("Retry-After")))
    if status not in (200, 206, 416):
        raise DownloadFailed(f"{status} {response.reason}")
    version = {"etag": headers.get("ETag"), "modified": headers.get("Last-Modified")}
    version = {key: value for key, value in version.items() if value}
    if status == 200:
        kind = headers.get("Content-Type", "")
        if kind.startswith("text/html") and part.target.suffix not in (".html", ".htm"):
            raise DownloadFailed("answers with a web page instead of the file, as for a login or a confirmation")
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() and "Transfer-Encoding" not in headers else None
        _expect_size(total, size)
        part.restart(version)
        return total
    told = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    start = int(told[1]) if told and told[1] else None
    total = int(told[2]) if told and told[2] != "*" else None
    _expect_size(total, size)
    # some servers send a range whatever If-Range says
    same = all(part.version.get(key, value) == value for key, value in version.items())
    if not same or not part.bytes or (status == 206 and start != part.bytes) or (status == 416 and total != part.bytes):
        part.restart({})
        raise TransientFailure("the file there is no longer the one that was begun; it is fetched from its start")
    return total


def _expect_size(total, size):
    if None not in (total, size) and total != size:
        raise DownloadFailed(f"is {total} bytes long, not the published {size}")


def _retry_after(value) -> float:
    """Seconds from a Retry-After header, a number or a date."""
    if not value:
        return 0.0
    try:
        return float(value) if value.isdecimal() else email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0


def _reason(error: Exception, patience: RetryPolicy) -> DownloadFailed:
    """One line on a failed exchange; the library's own would show the address with its query."""
    chain = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) and deeper not in chain:
        chain.append(deeper)
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DownloadFailed("its certificate is not to be trusted")
    if isinstance(error, requests.TooManyRedirects):
        return DownloadFailed("redirects without end")
    if isinstance(error, ValueError):  # requests' own for an address that none can be
        return DownloadFailed("is no address of a file")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        limit = patience.connect if isinstance(error, requests.ConnectTimeout) else patience.read
        return TransientFailure(f"no answer within {limit:g} s")
    if any(isinstance(e, http.client.IncompleteRead) for e in chain):
        return TransientFailure("the connection ended early")
    system = [e.strerror for e in chain if isinstance(e, OSError) and e.strerror]
    return TransientFailure(f"the connection failed ({system[-1] if system else type(chain[-1]).__name__})")
