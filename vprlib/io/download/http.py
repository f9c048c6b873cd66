"""Download one file over HTTP: resume a partial file, retry failures, hash the bytes as they arrive."""

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from tqdm import tqdm

from vprlib._version import __version__
from vprlib.exceptions import InputError
from vprlib.io.download.archives import find_truncation
from vprlib.io.files import format_bytes, write_json

log = logging.getLogger(__name__)


CHUNK = 1 << 18  # bytes per read
LOG_SECONDS = 30  # between two lines of progress in the log, without a terminal
PASSING = {408, 425, 429, 500, 502, 503, 504}  # HTTP states that may have passed at the next try
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class DownloadFailed(Exception):
    """The file cannot be downloaded from an address; the message says why, without the address."""


class TransientFailure(DownloadFailed):
    """The file cannot be downloaded now, but perhaps at the next try, after `wait` seconds at least."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        """Set the reason, and the seconds to wait."""
        super().__init__(reason)
        self.wait = wait


class DownloadStopped(Exception):
    """The user stopped the downloads; partial files stay."""


@dataclass(frozen=True)
class RetryPolicy:
    """Number of tries and timeouts; times are in seconds.

    Attributes:
        tries: tries without a new byte, before the next address is used.
        first: pause between the first two tries; it doubles with each further try.
        longest: longest pause between two tries.
        asked: longest pause that a server may request.
        connect: timeout for a connection.
        read: timeout for the next byte.
    """

    tries: int = 6
    first: float = 1.0
    longest: float = 60.0
    asked: float = 600.0
    connect: float = 20.0
    read: float = 60.0

    def pause(self, failures: int) -> float:
        """Return the seconds before the next try, randomized so that many jobs do not retry at the same time."""
        return min(self.longest, self.first * 2**failures) * random.uniform(0.5, 1)


class DownloadProgress:
    """Progress of several files: one bar on a terminal, or a log line every LOG_SECONDS without a terminal.

    Attributes:
        desc: name of the bar.
        done: bytes downloaded.
        left: file -> bytes still to download.
        stopped: event that stops the downloads.
    """

    def __init__(self, desc: str) -> None:
        """Start the clock and draw the bar."""
        self.desc, self.done = desc, 0
        self.left: dict[str, int] = {}
        self.started = self.logged = time.monotonic()
        self.stopped, self.lock = threading.Event(), threading.Lock()
        self.bar = tqdm(desc=desc, unit="B", unit_scale=True, disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def expect(self, name: str, number: int) -> None:
        """Set the number of bytes of a file that are still to download."""
        with self.lock:
            self.left[name] = number
            self.bar.total = self.done + sum(self.left.values())
            self.bar.refresh()

    def arrived(self, name: str, number: int) -> None:
        """Count downloaded bytes of a file.

        Raises:
            DownloadStopped: the user stopped the downloads.
        """
        if self.stopped.is_set():
            raise DownloadStopped
        with self.lock:
            self.done += number
            self.left[name] = max(0, self.left.get(name, 0) - number)
            self.bar.update(number)
            if self.bar.disable and time.monotonic() - self.logged > LOG_SECONDS:
                self.logged = time.monotonic()
                log.info("%s: %s", self.desc, self)

    def wait(self, seconds: float) -> None:
        """Wait some seconds.

        Raises:
            DownloadStopped: the user stopped the downloads meanwhile.
        """
        if self.stopped.wait(seconds):
            raise DownloadStopped

    def __str__(self) -> str:
        """Return bytes downloaded, total, speed and minutes left, in readable form."""
        speed = self.done / (time.monotonic() - self.started)
        left = sum(self.left.values())
        minutes = f", {left / speed / 60:.0f} minutes left" if speed and left else ""
        return f"{format_bytes(self.done)} of {format_bytes(self.done + left)}, {format_bytes(speed)}/s{minutes}"


class PartialFile:
    """Downloaded part of a file, `name.part`, and beside it `name.part.json`, the server's version that it belongs to.

    Attributes:
        target: path of the complete file.
        path: path of the part.
        about: path of the JSON.
        version: `etag` and `modified`, the server's ETag and Last-Modified, as far as it sends them.
        bytes: length of the part.
        hashes: algorithm -> hashlib object of all its bytes.
    """

    def __init__(self, target: Path, algorithms: Sequence[str]) -> None:
        """Open the part, or create it, and hash its bytes.

        Args:
            target: path of the complete file.
            algorithms: names of hash algorithms.
        """
        self.target, self.algorithms = target, tuple(algorithms)
        self.path = target.with_name(f"{target.name}.part")
        self.about = target.with_name(f"{target.name}.part.json")
        target.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.path.open("a+b", buffering=0)  # unbuffered, so that a full disk is noticed at its byte
        try:
            version = json.loads(self.about.read_text())
        except (OSError, ValueError):
            version = {}
        self.version: dict[str, str] = version if isinstance(version, dict) else {}
        self._hash()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def _hash(self) -> None:
        """Hash and count the bytes of the part."""
        self.hashes = {name: hashlib.new(name) for name in self.algorithms}
        self.bytes = 0
        self.file.seek(0)
        while chunk := self.file.read(CHUNK):
            self._count(chunk)
        if self.bytes:
            log.info("%s: resumes after %s", self.target, format_bytes(self.bytes))

    def _count(self, chunk: bytes) -> None:
        """Hash and count a piece of the file."""
        for hashed in self.hashes.values():
            hashed.update(chunk)
        self.bytes += len(chunk)

    @property
    def validator(self) -> str | None:
        """Return the value for If-Range: the ETag, or the date of modification if the ETag is weak or missing."""
        etag = self.version.get("etag")
        return etag if etag and not etag.startswith("W/") else self.version.get("modified")

    def restart(self, version: dict[str, str]) -> None:
        """Discard the bytes of the part; the next bytes belong to this version."""
        self.file.truncate(0)
        self.hashes = {name: hashlib.new(name) for name in self.algorithms}
        self.bytes, self.version = 0, version
        write_json(self.about, version)

    def write(self, chunk: bytes) -> None:
        """Append bytes; hash and count those that were written.

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
                f"{self.path}: {why} after {format_bytes(self.bytes)}; make room and run it again, and it resumes "
                f"from there"
            ) from error

    def become(self, path: Path) -> None:
        """Move the complete part to `path`.

        Raises:
            InputError: `path` cannot be written.
        """
        try:
            os.fsync(self.file.fileno())
            self.path.replace(path)
            self.about.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror}); {self.path} is complete") from error


class SafeRedirectSession(requests.Session):
    """HTTP session that follows redirects, but never from https to http, nor to an address with a password.

    Passwords come from the user's netrc and proxies from the environment, as is requests' default.
    """

    def __init__(self) -> None:
        """Set the headers: the file is requested uncompressed, because the checksums are of the stored bytes."""
        super().__init__()
        self.headers.update({"Accept-Encoding": "identity", "User-Agent": f"vprlib/{__version__}"})

    def get_redirect_target(self, response: requests.Response) -> str | None:
        """Return the address that a response redirects to; None if it does not.

        Raises:
            DownloadFailed: the redirect is unsafe.
        """
        target = super().get_redirect_target(response)
        if target:
            here, there = urlsplit(response.url), urlsplit(urljoin(response.url, target))
            if there.scheme not in ("http", "https") or (here.scheme, there.scheme) == ("https", "http"):
                raise DownloadFailed(f"redirects from {here.scheme} to {there.scheme}, which is refused")
            if there.username or there.password:
                raise DownloadFailed("redirects to an address with a password in it, which is refused")
        return target


def transfer_file(
    session: requests.Session,
    url: str,
    part: PartialFile,
    *,
    size: int | None,
    has_checksum: bool,
    room: Callable[[int, int], None],
    meter: DownloadProgress,
    patience: RetryPolicy,
) -> None:
    """Complete a partial file from one address.

    Dropped connections are resumed. Only tries without a new byte count as failures.

    Args:
        session: HTTP session.
        url: the address.
        part: the partial file.
        size: published size in bytes, or None.
        has_checksum: whether a published checksum will verify the whole file. Only then is a part resumed for which the
            server sent no version.
        room: called with the number of bytes still to come and that of the whole file, before the first byte; it
            raises if the disk is too small.
        meter: progress of the downloads.
        patience: number of tries and timeouts.

    Raises:
        DownloadFailed: the address does not give the file; the message has the reason.
        InputError: the disk has no room for it.
        DownloadStopped: the user stopped the downloads.
    """
    failures, furthest = 0, part.bytes
    while True:
        try:
            return _attempt(session, url, part, size, has_checksum, room, meter, patience)
        except TransientFailure as error:
            # A server without ranges starts again from byte 0, so only bytes beyond the furthest one are an advance.
            failures = 0 if part.bytes > furthest else failures + 1
            furthest = max(furthest, part.bytes)
            if failures >= patience.tries:
                raise DownloadFailed(f"{error} ({failures} tries)") from error
            if error.wait > patience.asked:
                raise DownloadFailed(f"{error}; asks to wait for {error.wait:.0f} s") from error
            wait = max(error.wait, patience.pause(failures))
            log.warning("%s: %s; again in %.1f s, after byte %d", part.target.name, error, wait, part.bytes)
            meter.wait(wait)


def _attempt(
    session: requests.Session,
    url: str,
    part: PartialFile,
    size: int | None,
    has_checksum: bool,
    room: Callable[[int, int], None],
    meter: DownloadProgress,
    patience: RetryPolicy,
) -> None:
    """Complete a partial file with one request; see `transfer_file`.

    Raises:
        TransientFailure: another try may succeed.
        DownloadFailed: no other try can succeed.
    """
    if part.bytes and not (part.validator or has_checksum):
        part.restart({})
    headers = {}
    if part.bytes:
        headers["Range"] = f"bytes={part.bytes}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        with session.get(url, headers=headers, stream=True, timeout=(patience.connect, patience.read)) as response:
            total = _prepare_part(response, part, size)
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
        raise _failure_of(error, patience) from error
    if total is not None and part.bytes < total:  # a proxy may shorten a range
        raise TransientFailure(f"only bytes up to {part.bytes} of {total} were sent")
    if total is None and size is None and not has_checksum and (reason := find_truncation(part.path)):
        raise TransientFailure(f"the server sends no length, and the file received is no whole archive ({reason})")


def _prepare_part(response: requests.Response, part: PartialFile, size: int | None) -> int | None:
    """Prepare a partial file for the body of a response: keep its bytes if the server continues them, or restart it.

    Args:
        response: response to a request for the rest of the file.
        part: the partial file.
        size: published size in bytes, or None.

    Returns:
        Bytes of the whole file; None if the server sends no length.

    Raises:
        TransientFailure: the server is busy, or its file is another version than the part's.
        DownloadFailed: the server does not send the file, or one of another size.
    """
    status, headers = response.status_code, response.headers
    if status in PASSING:
        raise TransientFailure(f"{status} {response.reason}", _retry_after(headers.get("Retry-After")))
    if status not in (200, 206, 416):
        raise DownloadFailed(f"{status} {response.reason}")
    validators = (("etag", headers.get("ETag")), ("modified", headers.get("Last-Modified")))
    version = {key: value for key, value in validators if value}
    if status == 200:
        kind = headers.get("Content-Type", "")
        if kind.startswith("text/html") and part.target.suffix not in (".html", ".htm"):
            raise DownloadFailed("sends a web page instead of the file, as for a login or a confirmation")
        length = headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() and "Transfer-Encoding" not in headers else None
        _expect_size(total, size)
        part.restart(version)
        return total
    content_range = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range", ""))
    start = int(content_range[1]) if content_range and content_range[1] else None
    total = int(content_range[2]) if content_range and content_range[2] != "*" else None
    _expect_size(total, size)
    # Some servers send a range even if the version in If-Range is outdated.
    same = all(part.version.get(key, value) == value for key, value in version.items())
    if not same or not part.bytes or (status == 206 and start != part.bytes) or (status == 416 and total != part.bytes):
        part.restart({})
        raise TransientFailure("the server's file has changed since the download began; it is fetched from its start")
    return total


def _expect_size(total: int | None, size: int | None) -> None:
    """Compare the server's size with the published one, if both are known.

    Raises:
        DownloadFailed: they differ.
    """
    if None not in (total, size) and total != size:
        raise DownloadFailed(f"is {total} bytes long, not the published {size}")


def _retry_after(value: str | None) -> float:
    """Return the seconds of a Retry-After header, which is a number or a date; 0 if it is missing or invalid."""
    if not value:
        return 0.0
    try:
        return float(value) if value.isdecimal() else email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return 0.0


def _failure_of(error: Exception, patience: RetryPolicy) -> DownloadFailed:
    """Return a one-line error for a failed request; the library's own would show the address with its query."""
    chain: list[BaseException] = [error]
    while (deeper := chain[-1].__cause__ or chain[-1].__context__) and deeper not in chain:
        chain.append(deeper)
    if isinstance(error, requests.exceptions.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(error):
        return DownloadFailed("its certificate cannot be trusted")
    if isinstance(error, requests.TooManyRedirects):
        return DownloadFailed("redirects endlessly")
    if isinstance(error, ValueError):  # raised by requests for an invalid address
        return DownloadFailed("is no address of a file")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError):
        limit = patience.connect if isinstance(error, requests.ConnectTimeout) else patience.read
        return TransientFailure(f"no response within {limit:g} s")
    if any(isinstance(e, http.client.IncompleteRead) for e in chain):
        return TransientFailure("the connection ended early")
    system = [e.strerror for e in chain if isinstance(e, OSError) and e.strerror]
    return TransientFailure(f"the connection failed ({system[-1] if system else type(chain[-1]).__name__})")
